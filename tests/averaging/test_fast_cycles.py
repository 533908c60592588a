"""FastCycles in real Trainers: the run never sees them, and they are the training that the formula says."""

import math
import threading
from dataclasses import replace

import pytest
import torch
from composer.algorithms import SAM

from composer_clr import FastCycles, ParetoSnapshot
from composer_clr.averaging.fast_cycles import _total, copied
from composer_clr.curves.curve import TradeoffCurve
from composer_clr.curves.files import with_metric_sets
from composer_clr.study.compare import compare
from composer_clr.study.table import Study
from tests.helpers.averaged_runs import assert_refused, points, saved, trained, with_dropout
from tests.helpers.recorded_runs import doubling
from tests.helpers.runs_and_lines import ACC, run, standard_runs
from tests.helpers.trainers import loader

pytestmark = pytest.mark.filterwarnings('ignore:Some targets have less than 1 total probability')


def test_each_point_has_its_metrics_and_cost_beside_those_of_the_run_without(make_trainer):
    trained(make_trainer, 'plain')
    trained(make_trainer, 'fast', FastCycles('3ba', 0.5, cycles=2, save_weights=True))
    for before, after in zip(points('plain'), points('fast'), strict=True):
        assert before.metrics.items() <= after.metrics.items()
        assert f'fast-cycles/{ACC}' in after.metrics
        assert after.extra['fast-cycles']['batches'] == 6
        assert 0 < after.extra['fast-cycles']['train_s'] < after.wall_clock_total_s - after.wall_clock_train_s
        assert before.extra == {}


def test_an_epoch_is_one_of_the_training_data(make_trainer):
    """10 batches, where the evaluator that runs has 2."""
    trained(make_trainer, 'out', FastCycles('1ep', cycles=3))
    assert [point.extra['fast-cycles']['batches'] for point in points('out')] == [30, 30, 30]


def test_the_branch_is_the_training_that_the_formula_says(make_trainer):
    """From the trough's snapshot and momentum by hand, with plain SGD steps written out."""
    network = with_dropout()
    network.module[2].p = 0.0  # type: ignore[union-attr]
    seen = {}

    class Seen(FastCycles):
        def make_weights(self, state):
            seen['momenta'] = [
                state.optimizers[0].state[p]['momentum_buffer'].clone() for p in state.model.parameters()
            ]
            generator_seed = state.rank_zero_seed + state.timestamp.batch.value
            assert self._batches is not None
            seen['batches'] = [parts[0] for parts in self._batches.read(state, generator_seed, 8)]
            return super().make_weights(state)

    fast = Seen('4ba', 0.5, cycles=2, bn_batches=0, save_weights=True)
    trained(make_trainer, 'out', fast, model=network, train_dataloader=loader(40), algorithms=[])
    start, saved = (
        torch.load(f'out/cycle2-ba80{suffix}.pt', weights_only=True)['state']['model']
        for suffix in ('', '-fast-cycles')
    )
    network.load_state_dict(start)
    network.train()
    parameters, momenta = list(network.parameters()), seen['momenta']
    minima = []
    for step, batch in enumerate(seen['batches']):
        network.zero_grad()
        network.loss(network(batch), batch).backward()
        rate = 0.5 * 0.1 * (1 + math.cos(math.pi * (step % 4) / 4)) / 2
        with torch.no_grad():
            for parameter, momentum in zip(parameters, momenta, strict=True):
                momentum.mul_(0.9).add_(parameter.grad)
                parameter.sub_(rate * momentum)
        if step % 4 == 3:
            minima.append([parameter.detach().clone() for parameter in parameters])
    for (name, _), first, second in zip(network.named_parameters(), *minima, strict=True):
        assert torch.allclose(saved[name], (first + second) / 2, atol=1e-6), name
    assert not torch.allclose(saved['module.0.weight'], start['module.0.weight'], atol=1e-4)


def test_its_cost_is_counted():
    def of(curve):
        made = [
            type(p)(
                **{
                    **vars(p),
                    'metrics': {**p.metrics, f'fast-cycles/{ACC}': p.metrics[ACC] + 0.01},
                    'extra': {'fast-cycles': {'train_s': 300.0, 'batches': 18.0}},
                }
            )
            for p in curve.points
        ]
        return TradeoffCurve(curve.run, made)

    cyclic = of(run('baseline', 'cyclic', [(16, 0.50), (32, 0.60), (64, 0.70)]))
    standard = standard_runs('baseline', [(16, 0.49), (32, 0.61), (64, 0.74)])
    study = Study.of(with_metric_sets([cyclic, *standard]))
    figures = compare(study, strict=False).kinds['cyclic-fast-cycles'].methods['baseline']
    assert figures.gap.each.value == pytest.approx([2, 0, -3])
    assert float(figures.cost.ratio.value) == pytest.approx(11200 / (6400 + 3 * 300))
    assert study.curves['baseline', 'cyclic-fast-cycles'].mean('time_s') == pytest.approx([1900, 3500, 6700])
    # In epochs too, of 10 batches, though the points are shown at the epochs of their troughs.
    counted = [
        TradeoffCurve(c.run, [replace(p, batch=round(10 * (p.epoch or 0))) for p in c.points])
        for c in (cyclic, *standard)
    ]
    study = Study.of(with_metric_sets(counted))
    figures = compare(study, strict=False).kinds['cyclic-fast-cycles'].methods['baseline']
    assert study.curves['baseline', 'cyclic-fast-cycles'].count.tolist() == [16, 32, 64]
    assert figures.cost.counted_ratio == pytest.approx(112 / (64 + 3 * 1.8))


@pytest.mark.parametrize(
    ('arguments', 'match'),
    [
        ({'period': '0ba'}, "period='0ba': give the period"),
        ({'period': '100sp'}, "period='100sp': give the period"),
        ({'amplitude': 0.0}, 'amplitude=0.0: give a fraction'),
        ({'amplitude': 2.0}, 'amplitude=2.0: give a fraction'),
        ({'cycles': 0}, 'cycles=0: give a whole number'),
    ],
)
def test_refused_on_construction(arguments, match):
    with pytest.raises(ValueError, match=match):
        FastCycles(**arguments)


class Cached(torch.nn.Module):
    """Keeps its activations, with their graph, which torch refuses to copy."""

    def forward(self, x):
        self.kept = x * 1.0
        return self.kept


class Remembering(torch.optim.SGD):
    """Has an attribute of its own, which torch's copy of an optimizer leaves out."""

    def __init__(self, parameters, lr):
        super().__init__(parameters, lr=lr)
        self.doubled = 2.0

    def step(self, closure=None):
        assert self.doubled == 2.0
        return super().step(closure)


def fast_weights(make_trainer, folder, model, **arguments):
    fast = FastCycles('4ba', 0.5, cycles=2, save_weights=True)
    optimizers = Remembering(model.parameters(), lr=0.5)
    trainer = make_trainer(
        model=model,
        optimizers=optimizers,
        schedulers=doubling(),
        callbacks=[ParetoSnapshot(folder=folder), fast],
        max_duration='2ep',
        **arguments,
    )
    trainer.fit()
    return saved(folder, 'cycle0-ba20-fast-cycles.pt')


def test_a_compiled_network_is_trained_as_the_plain_one(make_trainer):
    plain = fast_weights(make_trainer, 'plain', with_dropout(), device_train_microbatch_size=2)
    compiled = fast_weights(
        make_trainer, 'out', with_dropout(), device_train_microbatch_size=2, compile_config={'backend': 'eager'}
    )
    assert all(torch.allclose(plain[name], compiled[name], atol=1e-6) for name in plain)
    assert not torch.equal(plain['module.0.weight'], saved('plain', 'cycle0-ba20.pt')['module.0.weight'])


def test_layers_that_keep_activations_or_are_compiled_can_be_copied():
    network = with_dropout()
    network.module = torch.nn.Sequential(Cached(), torch.compile(network.module, backend='eager'))  # type: ignore
    optimizer = Remembering(network.parameters(), lr=0.5)
    batch = next(iter(loader(40)))
    network.loss(network(batch), batch).backward()
    model, other = copied(network, optimizer)
    before = {name: weight.clone() for name, weight in network.named_parameters()}
    gradients = [weight.grad.clone() for weight in network.parameters() if weight.grad is not None]
    model.loss(model(batch), batch).backward()  # type: ignore[operator]
    other.step()
    assert all(torch.equal(before[name], weight) for name, weight in network.named_parameters())
    for gradient, weight in zip(gradients, network.parameters(), strict=True):
        assert weight.grad is not None
        assert torch.equal(gradient, weight.grad)
    assert any(not torch.equal(a, b) for a, b in zip(network.parameters(), model.parameters(), strict=True))


@pytest.mark.filterwarnings('ignore:SAM has known issues:UserWarning')
def test_under_sam_the_branch_is_trained_by_the_optimizer_beneath(make_trainer):
    fast = FastCycles('3ba', cycles=1, save_weights=True)
    _, recorder = trained(make_trainer, 'out', fast, algorithms=SAM(), max_duration='2ep')
    _, alone = trained(make_trainer, 'alone', algorithms=SAM(), max_duration='2ep')
    assert recorder.losses == alone.losses
    start, end = saved('out', 'cycle0-ba20.pt'), saved('out', 'cycle0-ba20-fast-cycles.pt')
    assert not torch.equal(start['module.0.weight'], end['module.0.weight'])


def uncopied(network):
    network.lock = threading.Lock()


def patched(network):
    linear = network.module[0]
    linear.forward = lambda x: torch.nn.functional.linear(x, linear.weight)


@pytest.mark.parametrize(
    ('spoil', 'match'),
    [
        (uncopied, r"cannot be copied \(cannot pickle '_thread.lock' object\): leave FastCycles out"),
        (patched, r'forward of module.0 is <function .*, which goes on with the original'),
    ],
)
def test_a_network_that_cannot_be_copied_is_refused_before_the_first_batch(make_trainer, spoil, match):
    network = with_dropout()
    spoil(network)
    assert_refused(make_trainer(model=network, schedulers=doubling(), callbacks=[FastCycles('2ba')]), match)


def test_the_total_of_losses_is_composers():
    losses = torch.tensor(1.0), torch.tensor([2.0, 4.0])
    assert float(_total(losses)) == 4.0
    assert float(_total({'a': losses[0], 'total': losses[1].sum()})) == 6.0
