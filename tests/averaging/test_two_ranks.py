"""Runs without a decay on two ranks: weights are equal on both, points are of the saved weights, resumed on one."""

from pathlib import Path

import pytest
import torch
from composer.models import ComposerClassifier
from torch.utils.data import DataLoader, TensorDataset

from composer_clr import TradeoffCurve
from tests.helpers.averaged_runs import same, saved
from tests.helpers.launcher import launch

pytest.importorskip('schedulefree')

# Arguments: the kind; the folder; 'norm', batch norm with 'old' statistics, or 'none'; the duration; a checkpoint.
SCRIPT = """
import sys
from pathlib import Path

import schedulefree
import torch
from composer import Callback, Trainer
from composer.models import ComposerClassifier
from composer.utils import dist, reproducibility
from torch.utils.data import DataLoader, TensorDataset

from composer_clr import AnytimeAverage, AnytimeScheduler, ParetoSnapshot, ScheduleFree

kind, folder, norm, duration, *checkpoint = sys.argv[1:]
dist.initialize_dist('cpu')
reproducibility.seed_all(0)
layers = [torch.nn.Linear(4, 8), torch.nn.Tanh() if norm == 'none' else torch.nn.BatchNorm1d(8), torch.nn.Linear(8, 2)]
model = ComposerClassifier(torch.nn.Sequential(*layers), num_classes=2)


class Jittered(TensorDataset):
    def __getitem__(self, index):
        x, y = super().__getitem__(index)
        return x + 0.1 * torch.rand(()), y


def loader(images, batch_size, seed):
    inputs = torch.randn(images, 4, generator=torch.Generator().manual_seed(seed))
    # Random numbers differ between ranks; those that batch norm's statistics are recomputed with must not.
    kind = TensorDataset if norm == 'none' or seed else Jittered
    data = kind(inputs, (inputs.sum(1) > 0).long())
    return DataLoader(data, batch_size // dist.get_world_size(), sampler=dist.get_sampler(data, shuffle=False))


class Evaluated(Callback):
    weights = {}

    def eval_end(self, state, logger):
        network = getattr(state.model, 'module', state.model) if dist.get_world_size() > 1 else state.model
        if state.dataloader_label == 'eval':
            self.weights[state.timestamp.batch.value] = {k: v.clone() for k, v in network.state_dict().items()}


bn_batches = 0 if norm == 'old' else 50
if kind == 'anytime':
    average = AnytimeAverage(window=0.5, bn_batches=bn_batches)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
else:
    average = ScheduleFree(bn_batches=bn_batches)
    optimizer = getattr(schedulefree, kind)(model.parameters(), lr=0.05)
trainer = Trainer(
    model=model,
    run_name='run',
    seed=17,
    train_dataloader=loader(40, 4, 0),
    eval_dataloader=loader(60, 20, 1),
    eval_interval='5ba',
    optimizers=optimizer,
    schedulers=AnytimeScheduler(['20ba', '40ba'], '10ba'),
    callbacks=[average, ParetoSnapshot(folder=folder), Evaluated()],
    max_duration=duration,
    save_folder=f'{folder}/own' if norm == 'none' else None,
    save_interval='1ba',
    save_num_checkpoints_to_keep=-1,
    load_path=checkpoint[0] if checkpoint else None,
    progress_bar=False,
)
trainer.fit()
torch.save(Evaluated.weights, Path(folder) / f'evaluated{dist.get_global_rank()}.pt')
"""
KINDS = ['anytime', 'SGDScheduleFree', 'AdamWScheduleFree']
Weights = dict[str, torch.Tensor]


def train(folder: Path, ranks: int, *arguments: str) -> None:
    (folder / 'run.py').write_text(SCRIPT)
    done = launch(ranks, 'run.py', *arguments, folder=folder)
    assert done.returncode == 0, done.stderr


def evaluated(folder: Path, rank: int = 0) -> dict[int, Weights]:
    return torch.load(folder / f'evaluated{rank}.pt', weights_only=True)


def evaluation() -> DataLoader:
    inputs = torch.randn(60, 4, generator=torch.Generator().manual_seed(1))
    return DataLoader(TensorDataset(inputs, (inputs.sum(1) > 0).long()), 60)


@pytest.mark.parametrize(
    ('kind', 'norm'),
    [
        *(pytest.param(kind, 'norm', marks=() if kind == 'SGDScheduleFree' else pytest.mark.slow) for kind in KINDS),
        pytest.param('SGDScheduleFree', 'old', marks=pytest.mark.slow),
    ],
)
def test_the_point_is_of_the_saved_weights_which_both_ranks_have(tmp_path, kind, norm):
    train(tmp_path, 2, kind, 'out', norm, '40ba')
    curve = TradeoffCurve.read(tmp_path / 'out')
    assert (curve.run.world_size, [point.batch for point in curve.points]) == (2, [20, 40])
    layers = [torch.nn.Linear(4, 8), torch.nn.BatchNorm1d(8), torch.nn.Linear(8, 2)]
    network = ComposerClassifier(torch.nn.Sequential(*layers), num_classes=2).eval()
    ((inputs, labels),) = evaluation()
    first, second = (evaluated(tmp_path / 'out', rank) for rank in (0, 1))
    assert list(first) == ([20, 40] if kind == 'anytime' else list(range(5, 41, 5)))
    assert all(same(weights, second[batch]) for batch, weights in first.items())
    for point in curve.points:
        one = first[point.batch]
        assert same(one, saved(tmp_path / 'out', point.checkpoint))
        network.load_state_dict(one)
        with torch.no_grad():
            loss = torch.nn.functional.cross_entropy(network.module(inputs), labels)
        assert point.metrics['eval/CrossEntropy'] == pytest.approx(float(loss), abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize(('first', 'then'), [(2, 1), (1, 2), (2, 2)])
def test_resumed_within_a_window_on_another_number_of_ranks(tmp_path, kind, first, then):
    train(tmp_path, first, kind, 'whole', 'none', '40ba')
    train(tmp_path, first, kind, 'part', 'none', '33ba')
    train(tmp_path, then, kind, 'part', 'none', '40ba', 'part/own/ep3-ba33-rank0.pt')
    whole, part = (evaluated(tmp_path / name)[40] for name in ('whole', 'part'))
    if first == then:
        assert same(whole, part)
    # The sum of the gradients of two ranks rounds otherwise.
    assert all(torch.allclose(whole[name], part[name], atol=1e-5) for name in whole)
    whole, part = (TradeoffCurve.read(tmp_path / name) for name in ('whole', 'part'))
    for a, b in zip(whole.points, part.points, strict=True):
        assert (a.batch, a.sample) == (b.batch, b.sample)
        assert a.metrics == pytest.approx(b.metrics, abs=1e-5)
