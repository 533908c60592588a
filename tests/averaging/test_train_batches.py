"""Training batches read beside a run: the samples, transforms and workers of training, in another order."""

import random
from typing import Any

import pytest
import torch
from composer.core import DataSpec
from torch.utils.data import (
    DataLoader,
    Dataset,
    DistributedSampler,
    IterableDataset,
    RandomSampler,
    Sampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
    get_worker_info,
)

from composer_clr import CyclicCosineScheduler, FastCycles, ParetoSnapshot, TradeoffCurve
from composer_clr.averaging.train_batches import TrainBatches
from tests.helpers.averaged_runs import assert_refused
from tests.helpers.trainers import loader


class Numbers(Dataset):
    """Samples that are their own index."""

    def __len__(self) -> int:
        return 40

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return torch.full((4,), float(index)), index


class Thirds(DistributedSampler):
    """A user's own sampler: every third sample of another offset in each epoch, in an order of Python's."""

    def __iter__(self):
        indices = list(range(self.epoch % 3, 40, 3))
        random.shuffle(indices)
        return iter(indices)


class Pairs(Sampler):
    """A user's own batch sampler, without end: two neighbours of the first 20, again and again."""

    def __init__(self):
        self.generator = torch.Generator().manual_seed(5)

    def __iter__(self):
        while True:
            first = 2 * int(torch.randint(10, (), generator=self.generator))
            yield [first, first + 1]


def seen(make_trainer, train: DataLoader, count: int = 10, seed: int = 3, **arguments: Any) -> list[list[int]]:
    """Returns the samples in the first batches."""
    state = make_trainer(train_dataloader=train, **arguments).state
    random.seed(0)
    torch.manual_seed(0)
    batches = TrainBatches(state, 'a test', DataSpec(train)).read(state, seed, count)
    return [[int(label) for part in parts for label in part[1]] for parts in batches]


@pytest.mark.parametrize(
    ('arguments', 'samples'),
    [
        ({}, range(40)),
        ({'shuffle': True}, range(40)),
        ({'shuffle': True, 'generator': torch.Generator().manual_seed(5)}, range(40)),
        ({'sampler': SubsetRandomSampler(range(8, 28))}, range(8, 28)),
        ({'sampler': WeightedRandomSampler([0.0] * 20 + [1.0] * 20, 40)}, range(20, 40)),
        ({'sampler': RandomSampler(range(12), replacement=True, num_samples=40)}, range(12)),
        ({'sampler': DistributedSampler(Numbers(), 1, 0)}, range(40)),
        ({'sampler': Thirds(Numbers(), 1, 0)}, range(0, 40, 3)),  # type: ignore[arg-type]
        ({'sampler': list(range(16))}, range(16)),
    ],
    ids=['in-order', 'shuffled', 'generator', 'subset', 'weighted', 'replaced', 'ranks', 'own', 'list'],
)
def test_the_samples_are_those_of_training(make_trainer, arguments, samples):
    train = DataLoader(Numbers(), 4, **arguments)
    count = len(samples) // 4
    before = arguments['generator'].get_state() if 'generator' in arguments else None
    batches = seen(make_trainer, train, count)
    assert {number for batch in batches for number in batch} <= set(samples)
    assert all(len(batch) == 4 for batch in batches)
    if not isinstance(arguments.get('sampler'), (WeightedRandomSampler, RandomSampler, Thirds)):
        assert sorted(number for batch in batches for number in batch) == list(samples)
    assert batches == seen(make_trainer, train, count)
    assert batches != seen(make_trainer, train, count, seed=4)
    if before is not None:
        assert torch.equal(arguments['generator'].get_state(), before)


def test_a_batch_sampler_of_the_users_own_is_copied(make_trainer):
    pairs = Pairs()
    train = DataLoader(Numbers(), batch_sampler=pairs)
    batches = seen(make_trainer, train, 60, train_subset_num_batches=50, device_train_microbatch_size=2)
    assert len(batches) == 60
    assert {tuple(batch) for batch in batches} == {(n, n + 1) for n in range(0, 20, 2)}
    assert torch.equal(pairs.generator.get_state(), torch.Generator().manual_seed(5).get_state())


def test_of_a_part_of_each_epoch(make_trainer):
    """In order, training never sees the rest; shuffled, it sees another part in each epoch."""
    for shuffle in (False, True):
        train = DataLoader(Numbers(), 4, shuffle=shuffle)
        batches = seen(make_trainer, train, 12, train_subset_num_batches=3)
        numbers = [n for batch in batches for n in batch]
        assert [len(set(numbers[epoch : epoch + 12])) for epoch in range(0, 48, 12)] == [12] * 4
        assert (set(numbers) == set(range(12))) != shuffle


def test_transforms_microbatches_and_counts_are_those_of_the_train_data(make_trainer):
    data = DataSpec(
        DataLoader(Numbers(), 4),
        batch_transforms=lambda batch: (batch[0] + 100, batch[1]),
        microbatch_transforms=lambda batch: (batch[0] * 2, batch[1]),
        get_num_samples_in_batch=lambda batch: 7 * len(batch[1]),
    )
    state = make_trainer(train_dataloader=data, device_train_microbatch_size=3).state
    batches = TrainBatches(state, 'a test', data)
    (parts,) = batches.read(state, 0, 1)
    assert [len(labels) for _, labels in parts] == [3, 1]
    assert all(torch.equal(images[:, 0], 2 * (labels + 100)) for images, labels in parts)
    assert batches.data.get_num_samples_in_batch(parts[0]) == 21


class OpenedByWorkers(Dataset):
    """A data set whose file each worker opens for itself."""

    points: Any = None

    def __len__(self) -> int:
        return 40

    def __getitem__(self, index: int):
        return self.points[index]


def open_points(worker: int) -> None:
    info = get_worker_info()
    assert info is not None
    info.dataset.points = loader(40).dataset  # type: ignore[attr-defined]


def test_workers_are_made_as_those_of_training(make_trainer):
    arguments: dict[str, Any] = {'num_workers': 1, 'multiprocessing_context': 'fork', 'timeout': 60}
    train = DataLoader(OpenedByWorkers(), 4, worker_init_fn=open_points, **arguments)
    assert len(seen(make_trainer, train)) == 10


class Tripled(DataLoader):
    def __iter__(self):  # type: ignore[override]
        return ([3 * part for part in batch] for batch in super().__iter__())


class Fixed(DataLoader):
    def __init__(self):
        super().__init__(Numbers(), 4)


def test_a_kind_of_loader_of_the_users_own_makes_the_batches(make_trainer):
    batches = seen(make_trainer, Tripled(Numbers(), 4))
    assert sorted(n for batch in batches for n in batch) == list(range(0, 120, 3))


@pytest.mark.parametrize(
    ('train', 'match'),
    [
        (
            lambda: DataLoader(Numbers(), 4, sampler=(n for n in range(40))),
            r'DataLoader with a generator does not allow \(cannot pickle',
        ),
        (Fixed, 'which a Fixed with a SequentialSampler does not allow'),
        (lambda: DataLoader(Numbers(), batch_size=None), 'by index, which a Numbers does not allow'),
    ],
    ids=['generator', 'own-batches', 'unbatched'],
)
def test_refused_before_the_first_batch(make_trainer, train, match):
    trainer = make_trainer(train_dataloader=train(), train_subset_num_batches=10, callbacks=[FastCycles('2ba')])
    assert_refused(trainer, match)


class Stream(IterableDataset):
    """The points of ``loader(40)``: iterated in order, yet with a length and items, as every ``StreamingDataset``."""

    def __init__(self) -> None:
        self.points = loader(40).dataset

    def __len__(self) -> int:
        return 40

    def __getitem__(self, index):
        return self.points[index]

    def __iter__(self):
        return (self[i] for i in range(40))


def points(make_trainer, folder, dataset, callback):
    trainer = make_trainer(
        train_dataloader=DataLoader(dataset, 4),
        schedulers=CyclicCosineScheduler('1ep', t_warmup='1ep'),
        max_duration='4ep',
        callbacks=[ParetoSnapshot(folder=folder, save_weights=False), callback],
    )
    trainer.fit()
    return [point.metrics for point in TradeoffCurve.read(folder).points]


def test_an_iterable_dataset_with_items_gives_the_points_of_a_map_style_one(make_trainer):
    streamed = points(make_trainer, 'streamed', Stream(), FastCycles('4ba'))
    assert streamed == points(make_trainer, 'mapped', Stream().points, FastCycles('4ba'))
    assert all('fast-cycles/eval/CrossEntropy' in metrics for metrics in streamed)


def test_all_of_a_streaming_dataset_is_read_and_the_run_is_not_disturbed(make_trainer, tmp_path):
    streaming = pytest.importorskip('streaming', reason='the extra streaming is not installed')
    with streaming.MDSWriter(out=str(tmp_path / 'mds'), columns={'x': 'ndarray:float32:4', 'y': 'int'}) as shards:
        for x, y in Stream():
            shards.write({'x': x.numpy(), 'y': int(y)})

    def collate(samples):
        return torch.stack([torch.tensor(s['x']) for s in samples]), torch.tensor([s['y'] for s in samples])

    def run(folder, *callbacks):
        dataset = streaming.StreamingDataset(local=str(tmp_path / 'mds'), batch_size=4, shuffle=True)
        trainer = make_trainer(
            train_dataloader=DataLoader(dataset, 4, collate_fn=collate),
            schedulers=CyclicCosineScheduler('1ep', t_warmup='1ep'),
            max_duration='4ep',
            callbacks=[ParetoSnapshot(folder=folder, save_weights=False), *callbacks],
        )
        trainer.fit()
        return TradeoffCurve.read(folder).points

    plain = run('plain')
    branching = run('fast', FastCycles('4ba'))
    for before, after in zip(plain, branching, strict=True):
        assert before.metrics.items() <= after.metrics.items()
        assert 'fast-cycles/eval/CrossEntropy' in after.metrics
