"""What LLM Foundry does with a plugin: classes found by entry point, built from YAML values, put into a Trainer."""

from importlib.metadata import entry_points

import pytest
import torch
import yaml
from composer import Algorithm, Callback
from composer.core import DataSpec
from composer.optim import ComposerScheduler
from torch.utils.data import DataLoader, IterableDataset

from composer_clr import TradeoffCurve
from tests.conftest import loader

CONFIG = yaml.safe_load(
    """
scheduler: {name: cyclic_cosine, t_0: 140tok, t_mult: 2.0, t_warmup: 70tok, alpha_f: 0.1}
callbacks: {pareto_snapshot: {folder: '{run_name}/curve', save_weights: false, peak_window: 70tok}}
"""
)


class Stream(IterableDataset):
    """Batches without end: a loader that has no length."""

    def __iter__(self):
        generator = torch.Generator().manual_seed(0)
        while True:
            x = torch.randn(4, generator=generator)
            yield x, (x.sum() > 0).long()


def found(group: str, name: str):
    (entry,) = entry_points(group=group, name=name)
    return entry.load()


def test_both_are_found_and_run_together_in_tokens_on_a_loader_without_length(make_trainer):
    arguments = dict(CONFIG['scheduler'])
    scheduler = found('llmfoundry_schedulers', arguments.pop('name'))(**arguments)
    callback = found('llmfoundry_callbacks', 'pareto_snapshot')(**CONFIG['callbacks']['pareto_snapshot'])
    assert ComposerScheduler in type(scheduler).__mro__
    assert isinstance(callback, Callback)

    make_trainer(
        train_dataloader=DataSpec(DataLoader(Stream(), batch_size=4), get_num_tokens_in_batch=lambda batch: 70),
        eval_dataloader=loader(40, seed=1),
        schedulers=[scheduler],
        callbacks=[callback],
        max_duration='1050tok',
    ).fit()

    curve = TradeoffCurve.read('run/curve')
    assert [(p.cycle, p.token, p.batch, p.epoch) for p in curve.points] == [
        (0, 210, 3, None),
        (1, 490, 7, None),
        (2, 1050, 15, None),
    ]
    assert curve.run.schedule['unit'] == 'tok'
    assert curve.run.kind == 'cyclic'


@pytest.mark.parametrize(
    ('group', 'base'),
    [
        ('llmfoundry_schedulers', ComposerScheduler),
        ('llmfoundry_callbacks', Callback),
        ('llmfoundry_algorithms', Algorithm),
    ],
)
def test_every_entry_point_is_a_class_of_its_group_and_of_our_own(group, base):
    ours = [entry for entry in entry_points(group=group) if entry.value.startswith('composer_clr')]
    assert ours
    for entry in ours:
        assert base in entry.load().__mro__
