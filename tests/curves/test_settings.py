"""What made a curve: names, what a difference means, and which differences two records have."""

from __future__ import annotations

import math
from dataclasses import asdict, replace

import pytest

from composer_clr.curves.curve import Run, TradeoffCurve
from composer_clr.curves.settings import Difference, Effect, differences, flat, settings_of
from composer_clr.recipes.load import load_recipe

CURVE = """method kind model model.parameters model.structure loss loss.weight optimizer optimizer.lr
    optimizer.group1.weight_decay algorithms algorithms.MixUp.alpha averages averages.TroughAverage.window
    averages.AnytimeAverage.bn_batches data data.batch_size data.loader_length data.samples data.sampler
    evaluation.eval.samples microbatch_size step_schedulers_every_batch schedule.scheduler schedule.alpha_f
    schedule.warmup schedule.troughs schedule.average.window schedule.ssr peak_window recipe.model.name
    recipe.model.arguments.dropout recipe.data.path recipe.data.batch_size recipe.data.arguments.resize
    recipe.optimizer.name recipe.optimizer.arguments.momentum recipe.schedule.t_warmup recipe.schedule.shape
    recipe.schedule.average.window recipe.algorithms recipe.algorithms.EMA.half_life recipe.snapshot.method
    recipe.snapshot.peak_window recipe.callbacks.TroughAverage recipe.callbacks.TroughAverage.window
    recipe.callbacks.FastCycles.period recipe.device_train_microbatch_size a.name.of.a.later.version"""
PACE = """device host world_size precision compile parallelism loader.num_workers versions.torch versions.mosaicml
    recipe.precision recipe.compile recipe.data.num_workers"""
NONE = """run_name seed schedule.t_0 schedule.t_mult schedule.cycle_ends schedule.marks schedule.points_at
    schedule.points_at.t_0 schedule.t_warmup schedule.max_duration schedule.unit versions.composer_clr versions.python
    recipe.run_name recipe.base recipe.seed recipe.max_duration recipe.progress_bar recipe.schedule.t_0
    recipe.schedule.marks.first recipe.checkpoint.folder recipe.checkpoint.autoresume recipe.loggers.WandBLogger.project
    recipe.evaluation.interval recipe.snapshot.folder recipe.snapshot.save_weights recipe.snapshot.on_change
    recipe.data.timeout_s recipe.callbacks.SpeedMonitor recipe.callbacks.SpeedMonitor.window_size"""


@pytest.mark.parametrize(('names', 'expected'), [(CURVE, Effect.CURVE), (PACE, Effect.PACE), (NONE, Effect.NONE)])
def test_what_a_difference_means(names, expected):
    assert {name: Effect.of(name) for name in names.split()} == dict.fromkeys(names.split(), expected)


@pytest.mark.parametrize(
    ('then', 'now', 'expected'),
    [
        ({'optimizer.lr': 1}, {'optimizer.lr': 1.0}, []),
        ({'optimizer.betas': (0.9, 1)}, {'optimizer.betas': [0.9, 1.0]}, []),
        ({'loss': 'a'}, {'loss': 'b'}, [('loss', 'a', 'b')]),
        ({'loss': 'a'}, {'optimizer.lr': 0.1}, []),
        ({'loss': 'a'}, {'loss': None}, [('loss', 'a', None)]),
        (None, {'loss': 'a'}, []),
        ({'loss': 'a'}, None, []),
        ({'seed': 17, 'host': 'a'}, {'seed': 18, 'host': 'b'}, []),
        ({'schedule.troughs': [2, 4]}, {'schedule.troughs': [2, 4, 8]}, []),
        ({'schedule.troughs': [2, 4]}, {'schedule.troughs': [2, 5, 8]}, [('schedule.troughs', [2, 4], [2, 5, 8])]),
        ({'schedule.troughs': [4]}, {'schedule.troughs': [8]}, []),
        (
            {'schedule.t_hold': 0.1},
            {'schedule.t_hold': 0.1, 'schedule.shape': 'linear'},
            [('schedule.shape', 'cosine', 'linear')],
        ),
        ({'schedule.t_hold': None}, {'schedule.alpha_f': 0}, []),
        # As read from a file, and as they were written.
        ({'optimizer.clip': 'Infinity'}, {'optimizer.clip': math.inf}, []),
        ({'optimizer.clip': [math.nan]}, {'optimizer.clip': ['NaN']}, []),
        ({'optimizer.clip': math.nan}, {'optimizer.clip': math.nan}, []),
        ({'optimizer.parts': [{'1': 2}]}, {'optimizer.parts': [{1: 2}]}, []),
        ({'optimizer.clip': -math.inf}, {'optimizer.clip': math.inf}, [('optimizer.clip', -math.inf, math.inf)]),
    ],
)
def test_differences_of_captured_settings(then, now, expected):
    assert [(one.name, one.then, one.now) for one in differences(then, now)] == expected


def recipe(*overrides: str) -> dict:
    return {'recipe': asdict(load_recipe('quickstart/digits', list(overrides)))}


def named(then: dict, now: dict, **arguments) -> list[str]:
    return list(map(str, differences(then, now, **arguments)))


@pytest.mark.parametrize(
    ('overrides', 'expected'),
    [
        (['optimizer.lr=0.05'], ['optimizer.lr=0.2, now 0.05']),
        (['optimizer.arguments.momentum=null'], ['optimizer.arguments.momentum=0.9, now None']),
        (['algorithms.MixUp.alpha=0.3'], ["algorithms=[], now ['MixUp']"]),
        (['algorithms.MixUp=false'], []),
        (['model.arguments.width=8'], ['model.arguments.width=None, now 8']),
        (['callbacks.TroughAverage.window=0.5'], ['callbacks.TroughAverage=None, now True']),
        (['callbacks.SpeedMonitor={}'], []),
        # Of no matter to a cyclic run.
        (['schedule.average.window=0.5', 'schedule.rate=1/sqrt', 'schedule.a=4ep'], []),
        (['seed=18', 'run_name=x', 'max_duration=4ep', 'schedule.t_mult=3', 'checkpoint.keep=3'], []),
    ],
)
def test_differences_of_recipes(overrides, expected):
    # `method` follows from the algorithms.
    found = [line for line in named(recipe(), recipe(*overrides)) if not line.startswith('snapshot.method')]
    assert found == expected


def test_arguments_of_algorithms_and_averages_in_a_recipe():
    then = recipe('algorithms={MixUp: {alpha: 0.2}, LabelSmoothing: {}}', 'callbacks.TroughAverage.window=0.25')
    now = recipe('algorithms={LabelSmoothing: {}, MixUp: {alpha: 0.3}}', 'callbacks.TroughAverage.window=0.5')
    assert named(then, now) == [
        'algorithms.MixUp.alpha=0.2, now 0.3',
        'callbacks.TroughAverage.window=0.25, now 0.5',
        "algorithms=['MixUp', 'LabelSmoothing'], now ['LabelSmoothing', 'MixUp']",
    ]


def test_a_key_added_later_is_at_its_default():
    then, now = recipe(), recipe()
    del then['recipe']['optimizer']['weight_decay']
    assert named(then, now, defaults=flat(recipe())) == []
    now['recipe']['optimizer']['weight_decay'] = 0.1
    assert named(then, now, defaults=flat(recipe())) != []


@pytest.mark.parametrize(
    ('host', 'path', 'differs'),
    [('a', '/data/images', False), ('a', '/mnt/images', True), ('b', '/mnt/images', False), ('b', '/mnt/others', True)],
)
def test_data_may_lie_elsewhere_on_another_host(host, path, differs):
    then, now = {'host': 'a', **recipe('data.path=/data/images')}, {'host': host, **recipe(f'data.path={path}')}
    assert bool(differences(then, now)) is differs
    assert differences({'host': 'a', **recipe()}, now) != []


def test_a_recipe_or_schedule_that_one_side_lacks_is_not_known_there():
    assert named({'method': 'a'}, {'method': 'a', **recipe()}) == []
    assert named({'method': 'a', 'schedule.alpha_f': 0.1}, {'method': 'a'}) == []
    assert named({'schedule.alpha_f': 0.1}, {'schedule.shape': 'linear'}) != []


def test_what_the_trainer_shows_is_not_named_twice():
    then = {'optimizer': 'SGD', 'optimizer.lr': 0.2, **recipe()}
    now = {'optimizer': 'SGD', 'optimizer.lr': 0.05, **recipe('optimizer.lr=0.05', 'model.arguments.width=8')}
    assert named(then, now) == ['optimizer.lr=0.2, now 0.05', 'model.arguments.width=None, now 8']
    # What one side lacks is not known there.
    assert named(recipe(), now) == ['optimizer.lr=0.2, now 0.05', 'model.arguments.width=None, now 8']


RUN = Run(
    *('r', 'cyclic', 'LS'),
    seed=17,
    model='ResNet',
    schedule={'scheduler': 'CyclicCosineScheduler', 't_0': '1ep', 't_mult': 2, 'troughs': [20, 40]},
    evaluation={'eval': {'samples': 40, 'of': 40}},
    training={'loader_length': 10, 'batch_size': 4, 'samples': 40, 'algorithms': ['LabelSmoothing']},
    parameters=29,
)


@pytest.mark.parametrize(
    ('changes', 'expected'),
    [
        ({'seed': 18, 'run_name': 's'}, []),
        ({'parameters': 30}, ['model.parameters=29, now 30']),
        ({'parameters': None, 'model': None, 'training': {}, 'evaluation': {}}, []),
        ({'training': {**RUN.training, 'batch_size': 8}}, ['data.batch_size=4, now 8']),
        ({'training': {**RUN.training, 'algorithms': []}}, ["algorithms=['LabelSmoothing'], now []"]),
        ({'schedule': {**RUN.schedule, 't_0': '10ba', 't_mult': 2.0, 'troughs': [20, 40, 80]}}, []),
        ({'schedule': {**RUN.schedule, 'alpha_f': 0.1}}, ['schedule.alpha_f=0.0, now 0.1']),
        ({'evaluation': {'eval': {'samples': 20, 'of': 40}}}, ['evaluation.eval.samples=40, now 20']),
        ({'settings': {'optimizer.lr': 0.1}}, []),
        (
            {'parent': {'run_name': 'pretrained', 'batch': 20, 'wall_clock_train_s': 1.0}},
            ["starts_from='the beginning', now 'another run'"],
        ),
    ],
)
def test_older_records_are_compared_as_far_as_they_go(changes, expected):
    assert named(settings_of(RUN), settings_of(replace(RUN, **changes))) == expected


def test_a_branch_is_the_run_that_was_trained_alone():
    branch = replace(RUN, kind='branch', parent={'run_name': 'trunk', 'batch': 20, 'wall_clock_train_s': 1.0})
    assert named(settings_of(branch), settings_of(replace(branch, parent=None))) == []


def test_a_curve_keeps_its_settings():
    run = replace(RUN, settings={'optimizer.lr': 0.1, 'optimizer.betas': [0.9, 0.99], **recipe()})
    read = TradeoffCurve.from_json(TradeoffCurve(run, []).to_json()).run
    assert read.settings == run.settings
    assert settings_of(read)['optimizer.lr'] == 0.1
    assert differences(settings_of(read), settings_of(run)) == []
    assert differences(settings_of(read), settings_of(run), effect=Effect.PACE) == []


def test_a_difference_is_one_line():
    text = str(Difference('data.transform', 'a\nb', 'x' * 1000))
    assert '\n' not in text
    assert len(text) < 300
