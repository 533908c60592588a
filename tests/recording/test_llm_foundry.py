"""What LLM Foundry does with a plugin: classes found by entry point, built from YAML values, put into a Trainer."""

import shlex
from configparser import ConfigParser
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path

import pytest
import torch
import yaml
from composer import Algorithm, Callback
from composer.core import DataSpec
from composer.models import ComposerClassifier
from composer.optim import ComposerScheduler
from omegaconf import OmegaConf
from torch.utils.data import DataLoader, IterableDataset

from composer_clr import TradeoffCurve, study_scheduler
from composer_clr.recipes.command_study import command_runs
from tests.helpers.markdown import code_blocks
from tests.helpers.trainers import loader

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / 'yamls/llm_foundry'

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


def declared(group: str) -> dict[str, type]:
    """The classes that ``setup.cfg`` declares for a registry, by name: those that are installed may be older."""
    config = ConfigParser()
    config.optionxform = str  # type: ignore[assignment, method-assign]
    config.read(ROOT / 'setup.cfg')
    lines = config['options.entry_points'][f'llmfoundry_{group}'].strip().splitlines()
    places = dict(line.replace(' ', '').split('=') for line in lines)
    return {
        name: getattr(import_module(module), attribute)
        for name, (module, attribute) in ((name, place.split(':')) for name, place in places.items())
    }


@pytest.mark.parametrize(
    ('group', 'base', 'names'),
    [
        ('schedulers', ComposerScheduler, 'anytime cyclic_cosine study'),
        (
            'callbacks',
            Callback,
            'anytime_average branch_points fast_cycles pareto_snapshot schedule_free trough_average trough_progress',
        ),
        (
            'algorithms',
            Algorithm,
            'cyclic_batch_size cyclic_gradient_clipping cyclic_momentum cyclic_weight_decay',
        ),
    ],
)
def test_every_entry_point_is_a_class_of_its_group_and_in_the_readme(group, base, names):
    classes = declared(group)
    assert ' '.join(sorted(classes)) == names
    assert all(base in each.__mro__ for each in classes.values())
    row = next(line for line in (SHIPPED / 'README.md').read_text().splitlines() if line.startswith(f'| `{group[:-1]}'))
    assert all(f'`{name}`' in row for name in classes)


def test_an_anytime_run_in_tokens_on_a_loader_without_length(make_trainer):
    callbacks = declared('callbacks')
    make_trainer(
        model=ComposerClassifier(torch.nn.Linear(4, 2), num_classes=2),
        train_dataloader=DataSpec(DataLoader(Stream(), batch_size=4), get_num_tokens_in_batch=lambda batch: 70),
        eval_dataloader=loader(40, seed=1),
        schedulers=[declared('schedulers')['anytime'](marks=['210tok', '490tok', '1050tok'], t_warmup='70tok')],
        callbacks=[callbacks['pareto_snapshot'](folder='out'), callbacks['anytime_average'](window=0.5)],
        max_duration='1050tok',
    ).fit()
    curve = TradeoffCurve.read('out')
    assert (curve.run.kind, [point.token for point in curve.points]) == ('anytime-window-0.5', [210, 490, 1050])


README_RUNS = [
    shlex.split(line, comments=True)[3:]
    for line in '\n'.join(code_blocks(SHIPPED / 'README.md', 'sh')).splitlines()
    if line.startswith('llmfoundry train mpt.yaml')
]
README_YAML = code_blocks(SHIPPED / 'README.md', 'yaml')


@pytest.mark.parametrize('changes', [*README_RUNS, *README_YAML], ids=str)
def test_what_the_readme_changes_in_the_shipped_yaml_can_be_built(changes):
    """As LLM Foundry merges the words of its command, and builds each part from its arguments."""
    own = OmegaConf.create(changes) if isinstance(changes, str) else OmegaConf.from_dotlist(changes)
    config = OmegaConf.to_container(OmegaConf.merge(OmegaConf.load(SHIPPED / 'mpt.yaml'), own))
    assert isinstance(config, dict)
    scheduler = dict(config['scheduler'])
    declared('schedulers')[scheduler.pop('name')](**scheduler)
    for name, arguments in config['callbacks'].items():
        declared('callbacks')[name](**(arguments or {}))


def test_the_study_of_the_readme_changes_the_shipped_yaml_to_each_of_its_runs():
    lines = '\n'.join(code_blocks(SHIPPED / 'README.md', 'sh'))
    words = next(iter(shlex.split(f'composer-clr run {part}') for part in lines.split('composer-clr run ')[1:]))
    options = dict(zip(words[2::2], words[3::2], strict=False))
    schedule = {name: options[f'--{name.replace("_", "-")}'] for name in ('t_0', 't_warmup')}
    planned = command_runs(options['--command'], options['--max-duration'], schedule=schedule)
    shipped = OmegaConf.load(SHIPPED / 'mpt.yaml')
    assert [run.kind for run in planned] == ['cyclic', *['standard'] * 5]
    for run in planned:
        config = OmegaConf.to_container(OmegaConf.merge(shipped, OmegaConf.from_dotlist(run.words[3:])))
        assert isinstance(config, dict)
        scheduler = dict(config['scheduler'])
        made = declared('schedulers')[scheduler.pop('name')](**scheduler)
        assert repr(made) == repr(study_scheduler(run.kind, **schedule))
        assert config['callbacks']['pareto_snapshot']['folder'].format(run_name=config['run_name']) == run.folder
        assert (config['seed'], config['max_duration']) == (17, run.max_duration)


def test_the_readme_makes_a_cyclic_a_wsd_s_and_an_anytime_run():
    assert [run[0] if run else 'cyclic' for run in README_RUNS] == [
        'cyclic',
        'run_name=mpt-wsd-s',
        'run_name=mpt-anytime',
    ]
