"""Composer's algorithms by the clock of the cycle: 10 batches an epoch, troughs at 4 and 10 epochs."""

from functools import cache
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
import torch
from composer import Callback
from composer.algorithms import (
    EMA,
    SWA,
    GradientClipping,
    LayerFreezing,
    ProgressiveResizing,
    SelectiveBackprop,
    StochasticDepth,
)
from composer.core import Algorithm, Event
from composer.models import ComposerClassifier
from composer.optim import CosineAnnealingWithWarmupScheduler, DecoupledSGDW
from composer.utils import reproducibility
from torch.utils.data import DataLoader, TensorDataset
from torchvision.models.resnet import Bottleneck

from composer_clr import CyclicCosineScheduler, InCycles, ParetoSnapshot
from composer_clr.recipes.load import load_recipe
from composer_clr.recipes.schema import RecipeError
from composer_clr.schedule.cycles import Cycles, geometric_ends
from composer_clr.training.build import build_trainer
from tests.helpers.trainers import trainers

QUIET_SWA = pytest.mark.filterwarnings('ignore:SWA has known issues:UserWarning')


class Watch(Callback):
    """What each batch was trained with."""

    def __init__(self, look=lambda state: None):
        self.look, self.seen, self.evaluated = look, [], set()
        self.losses: list[float] = []

    def before_train_batch(self, state, logger):
        self.seen.append(self.look(state))

    def after_train_batch(self, state, logger):
        self.losses.append(float(state.loss))  # type: ignore[arg-type]

    def eval_batch_start(self, state, logger):
        self.evaluated.add(tuple(state.batch[0].shape[2:]))


def images(count: int, batch_size: int, seed: int = 0) -> DataLoader:
    drawn = torch.randn(count, 1, 16, 16, generator=torch.Generator().manual_seed(seed))
    return DataLoader(TensorDataset(drawn, (drawn.mean((1, 2, 3)) > 0).long()), batch_size)


def convolutions() -> ComposerClassifier:
    reproducibility.seed_all(3)
    layers = [torch.nn.Conv2d(1, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.ReLU(), torch.nn.Conv2d(4, 4, 3)]
    head = [torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(4, 2)]
    return ComposerClassifier(torch.nn.Sequential(*layers, *head), num_classes=2)


def run(make_trainer, algorithm, *, watch=None, snapshot=None, **changes) -> Any:
    """A cyclic run, or a standard one where a scheduler is given; DecoupledSGDW, which decays weights by itself."""
    model = changes.pop('model', None) or convolutions()
    snapshot = snapshot or ParetoSnapshot(folder='out', overwrite=True, save_weights=False)
    arguments = {
        'model': model,
        'optimizers': DecoupledSGDW(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-3 / 2),
        'train_dataloader': images(40, 4),
        'eval_dataloader': images(20, 10, seed=1),
        'schedulers': CyclicCosineScheduler('3ep', t_mult=2, t_warmup='1ep'),
        'max_duration': '10ep',
        'algorithms': algorithm,
        'callbacks': [snapshot, watch] if watch else [snapshot],
    }
    trainer = make_trainer(**{**arguments, **changes})
    trainer.fit()
    return trainer


def standard(to: str = '4ep') -> dict[str, Any]:
    return {'schedulers': CosineAnnealingWithWarmupScheduler('1ep', '1dur'), 'max_duration': to}


MAKE = {
    'ProgressiveResizing': lambda: ProgressiveResizing(delay_fraction=0.25, finetune_fraction=0.25, size_increment=2),
    'LayerFreezing': lambda: LayerFreezing(freeze_start=0.2, freeze_level=1.0),
    'EMA': lambda: EMA(half_life='3ba', ema_start='0.3dur', update_interval='1ba'),
    'SWA': lambda: SWA(swa_start='0.4dur', swa_end='0.7dur', update_interval='3ba'),
    'SelectiveBackprop': lambda: SelectiveBackprop(start=0.3, end=0.8, keep=0.5),
}
EACH = pytest.mark.parametrize('name', MAKE)


@pytest.mark.parametrize(
    ('t', 'before', 'after'),
    [
        (0, (0, 0.0), (0, 0.0)),
        (1, (0, 1 / 16), (0, 1 / 16)),
        (8, (0, 0.5), (0, 0.5)),
        (16, (1, 0.0), (0, 1.0)),
        (24, (1, 0.5), (1, 0.5)),
        (32, (2, 0.0), (1, 1.0)),
        (48, (2, 0.5), (2, 0.5)),
    ],
)
def test_the_elapsed_part_by_hand(t, before, after):
    cycles = Cycles(8, geometric_ends(8, 8, 2))
    assert cycles.elapsed(t, after_batch=False) == before
    assert cycles.elapsed(t, after_batch=True) == after


def test_after_the_last_trough_the_last_cycle_is_over():
    assert Cycles(0, [4, 10]).elapsed(12, after_batch=False) == (1, 1.0)
    assert Cycles(0, [4, 10]).elapsed(10, after_batch=True) == (1, 1.0)


def at_three_batches(state, event) -> bool:
    """Resumes at a trough, and in the second cycle with averages under way and layers frozen, and after SWA."""
    batch = state.timestamp.batch.value
    return (event, batch) == (Event.EPOCH_CHECKPOINT, 40) or (event == Event.BATCH_CHECKPOINT and batch in (67, 83))


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """Trains with an algorithm once for all tests: a cyclic run, and Composer's standard run to its first trough."""

    @cache
    def of(name: str, unit: str = 'ep') -> SimpleNamespace:
        folder, cyclic, alone = tmp_path_factory.mktemp(name), Watch(), Watch()
        long, short = ('10ep', '4ep') if unit == 'ep' else ('100ba', '40ba')
        saved = {'save_folder': 'ck', 'save_num_checkpoints_to_keep': -1, 'save_filename': 'ba{batch}.pt'}
        saved |= {'save_interval': at_three_batches, 'max_duration': long}
        with trainers(folder) as make:
            made = (
                run(make, InCycles(MAKE[name]()), watch=cyclic, **saved),
                run(make, MAKE[name](), watch=alone, **standard(short)),
            )
            curves = [trainer.state.callbacks[0].curve for trainer in made]
            weights = made[1].state.model.state_dict()
        return SimpleNamespace(
            folder=folder, losses=cyclic.losses, curves=curves, standard_losses=alone.losses, standard_weights=weights
        )

    return of


@pytest.mark.parametrize('name', ['LayerFreezing', 'SWA'])
@QUIET_SWA
def test_asking_whether_it_matches_changes_nothing(make_trainer, trained, name):
    algorithm = InCycles(MAKE[name]())

    class Asks(Callback):
        def run_event(self, event, state, logger):
            before = dict(vars(algorithm))
            if event in (Event.FIT_START, Event.BATCH_START, Event.BATCH_END, Event.EPOCH_END):
                algorithm.match(Event.FIT_START, state)
                algorithm.match(Event.BATCH_START, state)
            assert vars(algorithm) == before

    asked = Watch()
    run(make_trainer, algorithm, watch=asked, callbacks=[Asks(), asked])
    assert asked.losses == trained(name).losses


def width(state) -> int:
    return state.batch[0].shape[-1]


def test_image_sizes_grow_to_full_by_each_trough(make_trainer):
    # By batches: troughs at 40 and 100; in the first quarter of a cycle half the width, in the last all of it.
    watch = Watch(width)
    run(make_trainer, InCycles(MAKE['ProgressiveResizing']()), watch=watch, max_duration='100ba')

    def designed(part: float) -> int:
        scale = 0.5 + 0.5 * min(max((part - 0.25) / 0.5, 0), 1)
        return round(16 * scale / 2) * 2

    assert watch.seen == [designed(t / 40) for t in range(40)] + [designed(t / 60) for t in range(60)]
    assert [watch.seen[t] for t in (0, 7, 20, 32, 39, 40, 51, 70, 88, 99)] == [8, 8, 12, 16, 16, 8, 8, 12, 16, 16]
    assert watch.evaluated == {(16, 16)}


def test_image_sizes_by_whole_epochs_where_the_duration_is_in_epochs(make_trainer):
    # As in Composer: the elapsed parts are 0, 1/4, 1/2, 3/4 in the first cycle, then sixths.
    watch = Watch(width)
    run(make_trainer, InCycles(MAKE['ProgressiveResizing']()), watch=watch)
    assert watch.seen[::10] == [8, 8, 12, 16, 8, 8, 10, 12, 14, 16]
    assert all(len(set(watch.seen[t : t + 10])) == 1 for t in range(0, 100, 10))


@QUIET_SWA
@pytest.mark.parametrize(('name', 'unit'), [*((name, 'ep') for name in MAKE), ('ProgressiveResizing', 'ba')])
def test_up_to_the_first_trough_it_is_composers_standard_run_bit_for_bit(trained, name, unit):
    both = trained(name, unit)
    assert both.losses[:40] == both.standard_losses
    cyclic, alone = both.curves
    assert cyclic.points[0].metrics == alone.points[0].metrics
    assert cyclic.run.method == alone.run.method == name
    # The second cycle does something: as long as the first by itself it would not be the same run.
    assert len(cyclic.points) == 2


@pytest.mark.parametrize('name', ['LayerFreezing', 'EMA'])
def test_with_one_cycle_nothing_changes(make_trainer, trained, name):
    wrapped, plain = Watch(), trained(name)
    weights = run(make_trainer, InCycles(MAKE[name]()), watch=wrapped, **standard()).state.model.state_dict()
    assert wrapped.losses == plain.standard_losses
    assert all(torch.equal(weights[key], value) for key, value in plain.standard_weights.items())


@QUIET_SWA
@EACH
@pytest.mark.parametrize('batch', [pytest.param(40, marks=pytest.mark.slow), 67, 83])
def test_a_resume_is_exact(make_trainer, trained, name, batch):
    whole, rest = trained(name), Watch()
    load = {'load_path': str(whole.folder / f'ck/ba{batch}.pt')}
    resumed = run(make_trainer, InCycles(MAKE[name]()), watch=rest, **load)
    assert rest.losses == whole.losses[batch:]
    assert [p.batch for p in resumed.state.callbacks[0].curve.points] == [40, 100]


def trainable(state) -> int:
    return sum(weight.requires_grad for weight in state.model.parameters())


def test_layers_freeze_within_a_cycle_and_thaw_at_its_restart(make_trainer):
    watch = Watch(trainable)
    trainer = run(make_trainer, InCycles(LayerFreezing(freeze_start=0.2, freeze_level=1.0)), watch=watch)
    # Layers with weights: convolution, norm, convolution, and the last, never frozen: 8 weights in all. Of the three,
    # int(3 (e - 0.2) / 0.8) are frozen at an epoch's end: in the first cycle 0 at 1/4, 1 at 1/2, 2 at 3/4.
    assert watch.seen[::10] == [8, 8, 6, 4, 8, 8, 8, 6, 6, 4]
    assert sum(len(group['params']) for group in trainer.state.optimizers[0].param_groups) == 8


def test_ema_and_swa_reset_at_each_trough(make_trainer):
    class Average(Callback):
        started: ClassVar[list[bool]] = []

        def batch_start(self, state, logger):
            (algorithm,) = state.algorithms
            self.started.append(algorithm.algorithm.ema_started)  # type: ignore[attr-defined]

    trainer = run(make_trainer, InCycles(MAKE['EMA']()), watch=Average())
    # By whole epochs, 0.3 has elapsed at the end of the batch after the second epoch of 4, and of 6.
    assert Average.started == [False] * 21 + [True] * 19 + [False] * 21 + [True] * 39
    settings = trainer.state.callbacks[0].curve.run.settings
    assert (settings['algorithms.EMA.half_life'], settings['algorithms.EMA.in_cycles']) == ('3ba', True)


@QUIET_SWA
def test_swa_averages_within_the_cycle_alone(make_trainer):
    class Counts(Callback):
        seen: ClassVar[list[tuple[bool, bool, int]]] = []

        def batch_start(self, state, logger):
            swa = state.algorithms[0].algorithm  # type: ignore[attr-defined]
            self.seen.append((swa.swa_started, swa.swa_completed, swa.step_counter))

    run(make_trainer, InCycles(SWA('0.4dur', '0.7dur', '3ba')), watch=Counts(), max_duration='100ba')
    # Composer's counter moves at every batch from 0.4 on: of 40 from the 16th, of 60 from the 24th.
    assert Counts.seen[16:18] == [(True, False, 1), (True, False, 2)]
    assert Counts.seen[30] == (True, True, 13)
    assert Counts.seen[41] == (False, False, 0)
    assert Counts.seen[63:65] == [(False, False, 0), (True, False, 1)]
    assert Counts.seen[99][:2] == (True, True)


def bottlenecks() -> ComposerClassifier:
    reproducibility.seed_all(3)
    blocks = [torch.nn.Conv2d(1, 8, 3), Bottleneck(8, 2), Bottleneck(8, 2)]
    head = [torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(8, 2)]
    return ComposerClassifier(torch.nn.Sequential(*blocks, *head), num_classes=2)


def drop_rates(state) -> list[float]:
    return [float(module.drop_rate) for module in state.model.modules() if hasattr(module, 'drop_rate')]


def depth() -> Algorithm:
    return InCycles(StochasticDepth('ResNetBottleneck', drop_rate=0.4, drop_warmup='0.5dur'))


def test_stochastic_depth_warms_up_in_each_cycle_and_across_a_resume(make_trainer):
    whole, rest = Watch(drop_rates), Watch(drop_rates)
    run(make_trainer, depth(), watch=whole, model=bottlenecks(), max_duration='100ba', save_folder='ck',
        save_interval='95ba', save_filename='ba{batch}.pt')  # fmt: skip
    assert [rates[-1] for rates in whole.seen[:20]] == pytest.approx([0.4 * t / 20 for t in range(20)])
    assert [rates[-1] for rates in whole.seen[40:70]] == pytest.approx([0.4 * t / 30 for t in range(30)])
    # From the end of the warmup on Composer leaves the rate as it was last.
    assert {rates[-1] for rates in whole.seen[70:]} == {whole.seen[69][-1]}
    run(make_trainer, depth(), watch=rest, model=bottlenecks(), max_duration='100ba', load_path='ck/ba95.pt')
    assert rest.seen == whole.seen[95:]
    assert rest.losses == whole.losses[95:]


@pytest.mark.parametrize(
    'make',
    [*MAKE.values(), lambda: StochasticDepth('ResNetBottleneck', drop_warmup='0.5dur')],
    ids=[*MAKE, 'StochasticDepth'],
)
@QUIET_SWA
def test_warns_of_an_algorithm_by_the_clock_of_the_run(make_trainer, make):
    name = type(make()).__name__
    trainer = make_trainer(
        model=bottlenecks() if name == 'StochasticDepth' else convolutions(),
        train_dataloader=images(8, 4),
        eval_dataloader=images(20, 10),
        schedulers=CyclicCosineScheduler('1ep'),
        algorithms=make(),
        callbacks=ParetoSnapshot(folder='out'),
        max_duration='3ep',
        device_train_microbatch_size=1,
    )
    with pytest.warns(UserWarning, match=f'{name} follows the elapsed part of the whole run.*InCycles.{name}'):
        trainer.fit()


def test_does_not_warn_of_others(make_trainer):
    """Nor of a run of one cycle, as the standard ones above."""
    run(make_trainer, [EMA('5ba', update_interval='1ba'), GradientClipping('norm', 1.0)], train_dataloader=images(8, 4))


def test_refused_on_construction():
    with pytest.raises(ValueError, match="EMA: ema_start='10ba' does not follow the clock of a cycle.*'dur'"):
        InCycles(EMA('5ba', ema_start='10ba'))
    with pytest.raises(ValueError, match='it follows the cycles already'):
        InCycles(InCycles(ProgressiveResizing()))
    with pytest.raises(TypeError, match='give an algorithm'):
        InCycles('EMA')  # type: ignore[arg-type]


@QUIET_SWA
def test_swa_that_drives_the_learning_rate_is_refused(make_trainer):
    for given in (InCycles, lambda algorithm: run(make_trainer, algorithm)):
        with pytest.raises(ValueError, match='schedule_swa_lr=True drives the learning rate'):
            given(SWA(schedule_swa_lr=True, swa_lr=0.1))


def test_refused_before_the_first_batch(make_trainer):
    with pytest.raises(ValueError, match='ProgressiveResizing is listed twice'):
        run(make_trainer, [InCycles(ProgressiveResizing()), ProgressiveResizing()])
    with pytest.raises(ValueError, match='the troughs of no scheduler are not known'):
        make_trainer(algorithms=InCycles(ProgressiveResizing())).fit()


def test_an_algorithm_of_ones_own(make_trainer):
    class Clock(Algorithm):
        seen: ClassVar[list[float]] = []

        def match(self, event, state):
            return event == Event.BATCH_START

        def apply(self, event, state, logger):
            self.seen.append(float(state.get_elapsed_duration()))  # type: ignore[arg-type]

    trainer = run(make_trainer, InCycles(Clock()), max_duration='100ba')
    assert Clock.seen == [t / 40 for t in range(40)] + [t / 60 for t in range(60)]
    assert trainer.state.callbacks[0].curve.run.method == 'Clock'


def test_from_a_recipe(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    overrides = ['progress_bar=false', 'algorithms.ProgressiveResizing.in_cycles=true']
    trainer = build_trainer(load_recipe('quickstart/digits', [*overrides, 'algorithms.ProgressiveResizing.mode=crop']))
    (algorithm,) = trainer.state.algorithms
    assert isinstance(algorithm, InCycles)
    assert algorithm.algorithm.mode == 'crop'  # type: ignore[attr-defined]
    trainer.close()
    with pytest.raises(RecipeError, match='algorithms.ProgressiveResizing.in_cycles=3: must be true or false'):
        build_trainer(load_recipe('quickstart/digits', ['algorithms.ProgressiveResizing.in_cycles=3']))
    with pytest.raises(RecipeError, match="algorithms.EMA.in_cycles: EMA: ema_start='3ep'"):
        build_trainer(load_recipe('quickstart/digits', ['algorithms.EMA={in_cycles: true, ema_start: 3ep}']))
