"""Pairs of recipes that differ in one key, resumed: the undisturbed points, or one line, or a recorded change."""

from __future__ import annotations

import math
import random
import secrets
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from composer import Event

from composer_clr.recipes.load import load_recipe
from composer_clr.train import main
from composer_clr.training.build import build_trainer
from tests.helpers.recorded_runs import Stop, StopAfter, curve

# Twelve batches of a network of a few thousand weights.
BASE = {
    'max_duration': '4ep',
    'progress_bar': 'false',
    'model.arguments.depth': '8',
    'data.arguments.train_images': '120',
    'data.arguments.eval_images': '60',
    'data.batch_size': '40',
    'data.eval_batch_size': '60',
    'schedule.t_warmup': '1ep',
    'schedule.t_0': '1ep',
    'snapshot.overwrite': 'false',
    'snapshot.save_weights': 'false',
    'checkpoint.interval': '1ep',
    'checkpoint.autoresume': 'true',
}
KINDS = ['cyclic', 'cyclic', 'standard', 'branch', 'anytime', 'schedule-free']
# Algorithms and the callbacks that average, with two values of an argument.
PARTS = {
    'algorithms.MixUp.alpha': ['0.2', '0.4'],
    'algorithms.CutMix.alpha': ['0.5', '1.0'],
    'algorithms.LabelSmoothing.smoothing': ['0.1', '0.9'],
    'algorithms.CutOut.length': ['0.25', '0.5'],
    'algorithms.ColOut.p_row': ['0.15', '0.3'],
    'algorithms.BlurPool.min_channels': ['1', '64'],
    'algorithms.EMA.half_life': ['2ba', '8ba'],
    'algorithms.SWA.swa_start': ['0.5dur', '0.25dur'],
    'algorithms.SAM.rho': ['0.05', '0.2'],
    'algorithms.GradientClipping': [
        '{clipping_type: norm, clipping_threshold: 1.0}',
        '{clipping_type: norm, clipping_threshold: 0.1}',
        '{clipping_type: value, clipping_threshold: 1.0}',
    ],
    'algorithms.LayerFreezing.freeze_start': ['0.5', '0.25'],
    'algorithms.SqueezeExcite': ['{latent_channels: 4, min_channels: 16}', '{latent_channels: 8, min_channels: 16}'],
    'algorithms.GhostBatchNorm.ghost_batch_size': ['20', '10'],
    'algorithms.WeightStandardization.n_last_layers_ignore': ['0', '1'],
    'algorithms.Factorize': ['{min_channels: 8, latent_channels: 4}', '{min_channels: 8, latent_channels: 2}'],
    'algorithms.CyclicMomentum.at_peak': ['0.85', '0.5'],
    'algorithms.CyclicWeightDecay.at_peak': ['1.0', '0.5'],
    'algorithms.CyclicBatchSize.at_trough': ['2', '3'],
    'algorithms.CyclicGradientClipping': [
        '{clipping_type: norm, at_peak: 1.0, at_trough: 0.1}',
        '{clipping_type: norm, at_peak: 0.5, at_trough: 0.1}',
        '{clipping_type: value, at_peak: 1.0, at_trough: 0.1}',
    ],
    'algorithms.EMA': ['{half_life: 2ba}', '{half_life: 2ba, in_cycles: true}'],
    'algorithms.ChannelsLast': ['{}', '{}'],
    'callbacks.TroughAverage.window': ['0.5', '0.25'],
    'callbacks.TroughAverage.bn_batches': ['1', '2'],
    'callbacks.FastCycles.period': ['2ba', '3ba'],
    'callbacks.SpeedMonitor.window_size': ['10', '20'],
}
# The one key that changes, where it is none of those; `None` leaves it at the recipe's own.
KEYS: dict[str, list[str | None]] = {
    'max_duration': ['8ep', '5ep', '4ep'],
    'seed': ['18'],
    'precision': ['fp32'],
    'device_train_microbatch_size': ['20', '10', None],
    'evaluation.interval': ['1ep'],
    'model.loss': ['binary_cross_entropy_with_logits', 'soft_cross_entropy'],
    'model.arguments.depth': ['14', '8'],
    'data.batch_size': ['20', '60'],
    'data.eval_batch_size': ['30', '25'],
    'data.arguments.train_images': ['140', '80'],
    'data.arguments.eval_images': ['90'],
    'optimizer.name': ['SGD', 'AdamW'],
    'optimizer.lr': ['0.05', '0.2'],
    'optimizer.weight_decay': ['0.001', '0.0'],
    'optimizer.arguments.momentum': ['0.5'],
    'schedule.t_0': ['2ep', '3ba'],
    'schedule.t_mult': ['3', '2.0'],
    'schedule.t_warmup': ['0ba', '3ba', '2ep'],
    'schedule.alpha_f': ['0.1', '0.0'],
    'schedule.shape': ['linear', '1-sqrt'],
    'schedule.t_hold': ['0.5'],
    'schedule.peak_decay': ['0.8', 'sqrt'],
    'schedule.t_rewarmup': ['1ba'],
    'schedule.rate': ['1/sqrt'],
    'schedule.average': ['{window: 0.5}', '{half_life: 0.1}', '{window: 0.25, bn_batches: 1}'],
    'schedule.schedule_free.lr': ['0.5'],
    'snapshot.peak_window': ['1ep'],
    'snapshot.method': ['other'],
    'snapshot.kind': ['other'],
    'snapshot.metrics': ['[eval/CrossEntropy]'],
}


def drawn_pair(draw: random.Random) -> tuple[dict[str, str], dict[str, str]]:
    """Returns the keys of a run, and those that it is resumed with."""
    kind = draw.choice(KINDS)
    first = {**BASE, 'schedule.kind': kind}
    if kind == 'branch':
        first['schedule.t_hold'] = '0.5'
    if draw.random() < 0.5:
        first['max_duration'] = '8ep'
    for name in draw.sample(list(PARTS), draw.choice([0, 1, 1, 2])):
        first[name] = draw.choice(PARTS[name])
    second = dict(first)
    parts = [name for name in first if name in PARTS]
    changed = draw.choice(['nothing', 'part', 'part', 'part', 'key', 'key', 'key', 'key', 'key'])
    if changed == 'part' and parts:
        name = draw.choice(parts)
        second[name] = draw.choice(PARTS[name])
        if draw.random() < 0.2:
            del second[name]
    elif changed == 'part':
        name = draw.choice(list(PARTS))
        second[name] = draw.choice(PARTS[name])
    elif changed == 'key':
        name = draw.choice(list(KEYS))
        value = draw.choice(KEYS[name])
        if name == 'schedule.rate':
            second['schedule.a'] = '2ep'
        second |= {} if value is None else {name: value}
    if draw.random() < 0.25:
        second['snapshot.on_change'] = 'continue'
    return first, second


def trainer(keys: dict[str, str], folder: str, *callbacks):
    own = {'run_name': 'run', 'snapshot.folder': folder, 'checkpoint.folder': f'{folder}-own'}
    recipe = load_recipe('quickstart/digits', [f'{name}={value}' for name, value in {**keys, **own}.items()])
    return build_trainer(recipe, callbacks=callbacks)


def trained(keys: dict[str, str], folder: str, stop: int | None = None):
    """Trains, up to a batch; ``None`` where the recipe is refused on its own."""
    run = None
    try:
        run = trainer(keys, folder, *([] if stop is None else [StopAfter(stop, Event.BATCH_START)]))
        run.fit()
    except Stop:
        pass
    except Exception:
        # Composer and torch refuse some of the algorithms for this network.
        return None
    finally:
        if run is not None:
            run.close()
    return run


def points(folder: str) -> list[tuple[Any, ...]]:
    return [(p.cycle, p.batch, p.epoch, p.lr, p.metrics, p.peak_metrics) for p in curve(folder).points]


def shared(one: list[tuple[Any, ...]], other: list[tuple[Any, ...]], rel_tol: float) -> bool:
    """Returns whether points are alike in all metrics that both have; either may have recorded fewer."""

    def alike(a: Any, b: Any) -> bool:
        if isinstance(a, dict):
            return all(math.isclose(a[k], b[k], rel_tol=rel_tol) for k in a.keys() & b.keys())
        return a == b

    return len(one) == len(other) and all(
        alike(a, b) for two in zip(one, other, strict=True) for a, b in zip(*two, strict=True)
    )


def check_pair(first: dict[str, str], second: dict[str, str], stop: int | None, name: str) -> str:
    """Trains with the first keys, resumes with the second, and says what has come of it."""
    if trained(first, name, stop) is None:
        return 'the first is refused'
    before, text = points(name), Path(name, 'curve.json').read_text()
    resumed, refusal, batch = None, '', 0
    try:
        resumed = trainer(second, name)
        state, batch = resumed.state, resumed.state.timestamp.batch.value
        if state.max_duration is not None and state.timestamp >= state.max_duration:
            return 'already at its end'
        resumed.fit()
    except Exception as error:
        refusal = str(error)
    finally:
        if resumed is not None:
            resumed.close()
    if 'recorded under other settings' in refusal:
        assert '\n' not in refusal
        assert second.get('snapshot.on_change') != 'continue'
        assert Path(name, 'curve.json').read_text() == text
        return 'refused'
    if refusal:
        # The recipe does not run at all, or not from this checkpoint: nothing is recorded.
        assert Path(name, 'curve.json').read_text() == text or trained(second, f'{name}-whole') is None, refusal
        return 'does not run'
    after, changes = points(name), [change for change in curve(name).run.changes if not change.get('pace')]
    kept = [point for point in before if point[1] <= batch]
    assert after[: len(kept)] == kept, 'a point from before is lost or changed'
    if changes and batch:
        assert changes[-1]['batch'] == batch
        return 'continued with a change'
    # The checkpoint's optimizer settings and seed win.
    used = {**second, 'seed': '17'}
    if 'snapshot.on_change' in second:
        replaced = [key for key in used if key.startswith('optimizer.') and key != 'optimizer.name']
        used = {key: value for key, value in used.items() if key not in replaced}
        used |= {key: value for key, value in first.items() if key.startswith('optimizer.') and key != 'optimizer.name'}
    assert trained(used, f'{name}-whole') is not None
    # A mean over batches of another size, which also divides the set, differs by rounding.
    rounds = first.get('data.eval_batch_size') != second.get('data.eval_batch_size')
    same = shared(after, points(f'{name}-whole'), 1e-6 if rounds else 0.0)
    assert same, 'mixed: silent, and not the undisturbed run of the settings of now'
    return 'undisturbed'


ANYTIME = {'schedule.kind': 'anytime', 'schedule.average': '{bn_batches: 3}'}
SMOOTHED = {'algorithms.LabelSmoothing.smoothing': '0.1'}


@pytest.mark.parametrize(
    ('first', 'second', 'expected'),
    [
        (SMOOTHED, {'algorithms.LabelSmoothing.smoothing': '0.9'}, 'algorithms.LabelSmoothing.smoothing=0.1, now 0.9'),
        (ANYTIME, {'schedule.average': '{bn_batches: 1}'}, 'averages.AnytimeAverage.bn_batches=3, now 1'),
    ],
    ids=['smoothing', 'bn_batches'],
)
@pytest.mark.filterwarnings('ignore::UserWarning')
def test_another_value_is_refused_with_both(tmp_path, monkeypatch, first, second, expected):
    monkeypatch.chdir(tmp_path)
    first = {**BASE, 'schedule.kind': 'cyclic', **first}
    assert trained(first, 'out') is not None
    text = Path('out/curve.json').read_text()
    resumed = trainer({**first, **second, 'max_duration': '8ep'}, 'out')
    with pytest.raises(ValueError, match='recorded under other settings') as error:
        resumed.fit()
    resumed.close()
    assert expected in str(error.value)
    assert '\n' not in str(error.value)
    assert Path('out/curve.json').read_text() == text


@pytest.mark.filterwarnings('ignore::UserWarning')
def test_an_argument_that_is_given_at_its_default_is_no_change(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    own = {
        'run_name': 'run',
        'snapshot.folder': 'out',
        'checkpoint.folder': 'own',
        'callbacks.TroughAverage.window': '0.5',
    }
    keys = {**BASE, 'schedule.kind': 'cyclic', **own}
    given = {'callbacks.TroughAverage.bn_batches': '50', 'algorithms.LabelSmoothing.smoothing': '0.1'}
    for more in ({'algorithms.LabelSmoothing': '{}'}, {'max_duration': '8ep', **given}):
        assert main(['quickstart/digits', *(f'{name}={value}' for name, value in {**keys, **more}.items())]) == 0
    assert curve('out').run.changes == []
    assert len(curve('out').points) == 3
    # Another value than the default is another curve.
    more = {'algorithms.LabelSmoothing': '{}', 'max_duration': '16ep', 'callbacks.TroughAverage.bn_batches': '2'}
    assert main(['quickstart/digits', *(f'{name}={value}' for name, value in {**keys, **more}.items())]) == 2
    assert 'callbacks.TroughAverage.bn_batches=50, asked for 2' in capsys.readouterr().err


@pytest.mark.filterwarnings('ignore::UserWarning')
def test_a_resume_under_sam_is_refused_for_the_state_that_its_checkpoints_lack(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    keys = {**BASE, 'schedule.kind': 'cyclic', 'algorithms.SAM.rho': '0.05', 'max_duration': '2ep'}
    assert trained(keys, 'out') is not None
    resumed = trainer({**keys, 'max_duration': '4ep'}, 'out')
    with pytest.raises(ValueError, match=r"optimizer\.state='as trained', now \"lost: checkpoints of Composer's SAM"):
        resumed.fit()
    resumed.close()
    assert trained({**keys, 'max_duration': '4ep', 'snapshot.on_change': 'continue'}, 'out') is not None
    changes = curve('out').run.changes
    assert [(change['batch'], list(change['changed'])) for change in changes] == [(6, ['optimizer.state'])]


def check_pairs(pairs: int, seed: int) -> Counter[str]:
    """Checks drawn pairs in the current folder, and counts what has come of them."""
    draw, ends = random.Random(seed), Counter()
    mixed = []
    number = 0
    while sum(ends.values()) - ends['the first is refused'] < pairs:
        number += 1
        first, second = drawn_pair(draw)
        stop = draw.choice([None, *[draw.randrange(4, 11)] * 3])
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            try:
                ends[check_pair(first, second, stop, f'pair{number}')] += 1
            except AssertionError as error:
                ends['mixed'] += 1
                changed = {key: (first.get(key), second.get(key)) for key in {**first, **second}}
                changed = {key: values for key, values in changed.items() if values[0] != values[1]}
                parts = [key for key in first if key in PARTS]
                kind = first['schedule.kind']
                mixed.append(f'pair {number}, {kind} with {parts}: {changed}, stopped at {stop}: {error}')
    print(f'\nseed {seed}, {pairs} pairs: {", ".join(f"{count} {end}" for end, count in sorted(ends.items()))}')
    assert mixed == [], f'seed {seed}:\n' + '\n'.join(mixed)
    return ends


@pytest.mark.slow
@pytest.mark.filterwarnings('ignore::UserWarning')
def test_pairs_of_recipes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ends = check_pairs(200, secrets.randbelow(10**6))
    assert all(ends[end] for end in ('undisturbed', 'refused', 'continued with a change'))
