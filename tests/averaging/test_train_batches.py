"""Training batches read beside a run, of datasets that have no sampler: an iterable one with a length and items."""

import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset

from composer_clr import CyclicCosineScheduler, FastCycles, ParetoSnapshot, TradeoffCurve, TroughAverage
from tests.conftest import loader


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


@pytest.mark.parametrize(
    ('make', 'prefix'),
    [(lambda: FastCycles('4ba'), 'fast-cycles'), (lambda: TroughAverage(0.25), 'averaged')],
    ids=['FastCycles', 'TroughAverage'],
)
def test_an_iterable_dataset_with_items_gives_the_points_of_a_map_style_one(make_trainer, make, prefix):
    streamed = points(make_trainer, 'streamed', Stream(), make())
    assert streamed == points(make_trainer, 'mapped', Stream().points, make())
    assert all(f'{prefix}/eval/CrossEntropy' in metrics for metrics in streamed)


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
