"""Random settings on a resume: the undisturbed run of the settings of now, or a recorded change, or one line."""

from __future__ import annotations

import random
import secrets
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from composer import Event
from composer.algorithms import LabelSmoothing
from composer.optim import CosineAnnealingScheduler, CosineAnnealingWarmRestartsScheduler

from composer_clr import CyclicCosineScheduler
from composer_clr.schedule.run_schedule import RunSchedule
from tests.helpers.recorded_runs import Stop, StopAfter, curve, snapshot
from tests.helpers.trainers import classifier, loader

SETTINGS: dict[str, list[Any]] = {
    'schedule': ['cyclic', 'cyclic', 'cyclic', 'ends', 'standard', 'composer'],
    't_0': ['1ep', '2ep', '10ba', '7ba', '24sp', '0.25dur'],
    't_mult': [1.0, 1.5, 2.0],
    't_warmup': ['0ba', '1ep', '3ba', '8sp'],
    'alpha_f': [0.0, 0.1],
    'shape': ['cosine', 'linear'],
    'cycle_ends': [['2ep', '3ep'], ['2ep', '3ep', '5ep'], ['15ba', '30ba', '50ba'], ['60sp', '200sp'], ['1dur']],
    'max_duration': ['1ep', '2ep', '3ep', '4ep', '5ep', '25ba', '120sp'],
    'batch_size': [4, 4, 2],
    'images': [40, 40, 60],
    'smoothing': [False, False, True],
    'on_change': ['refuse', 'continue'],
}


def drawn(draw: random.Random) -> dict[str, Any]:
    return {name: draw.choice(values) for name, values in SETTINGS.items()}


def scheduler(settings: dict[str, Any]):
    if settings['schedule'] == 'standard':
        return CosineAnnealingScheduler(alpha_f=settings['alpha_f'])
    if settings['schedule'] == 'composer':
        return CosineAnnealingWarmRestartsScheduler(settings['t_0'], settings['t_mult'])
    periods = {'cycle_ends': settings['cycle_ends']}
    if settings['schedule'] == 'cyclic':
        periods = {name: settings[name] for name in ('t_0', 't_mult')}
    shape = {name: settings[name] for name in ('t_warmup', 'alpha_f', 'shape')}
    return CyclicCosineScheduler(**periods, **shape)


def trainer(make_trainer, folder: str, settings: dict[str, Any], *callbacks):
    model = classifier()
    return make_trainer(
        model=model,
        optimizers=torch.optim.SGD(model.parameters(), lr=0.5, momentum=0.9),
        schedulers=scheduler(settings),
        train_dataloader=loader(settings['images'], settings['batch_size']),
        algorithms=[LabelSmoothing(0.1)] if settings['smoothing'] else [],
        callbacks=[snapshot(folder=folder, autoresume=True, on_change=settings['on_change']), *callbacks],
        max_duration=settings['max_duration'],
        save_folder=f'{folder}-own',
        save_interval='7ba',
        save_overwrite=True,
        autoresume=True,
    )


def trained(make_trainer, folder: str, settings: dict[str, Any], stop: int | None = None):
    """Trains; ``None`` where these settings are refused on their own."""
    run = None
    try:
        run = trainer(make_trainer, folder, settings, *([] if stop is None else [StopAfter(stop, Event.BATCH_START)]))
        run.fit()
    except Stop:
        pass
    except ValueError:
        return None
    assert run is not None
    run.close()
    return run


def points(folder: str) -> list[tuple]:
    return [(p.cycle, p.batch, p.epoch, p.lr, p.metrics, p.checkpoint) for p in curve(folder).points]


def counted(state, unit: str) -> int:
    return {'ba': state.timestamp.batch, 'sp': state.timestamp.sample}[unit].value


def check_pair(make_trainer, first: dict[str, Any], second: dict[str, Any], stop: int | None, name: str) -> str:
    """Trains with the first settings, resumes with the second, and says what has come of it."""
    if trained(make_trainer, name, first, stop) is None:
        return 'the first is refused'
    if trained(make_trainer, f'{name}-whole', second) is None:
        return 'the second is refused'
    before = points(name)
    text = Path(name, 'curve.json').read_text()
    resumed = trainer(make_trainer, name, second)
    state, batch = resumed.state, resumed.state.timestamp.batch.value
    if state.timestamp >= state.max_duration:
        resumed.close()
        return 'already at its end'
    refused = None
    try:
        resumed.fit()
    except ValueError as refusal:
        refused = str(refusal)
    finally:
        resumed.close()
    if refused is not None:
        assert 'recorded under other settings' in refused
        assert '\n' not in refused
        assert second['on_change'] == 'refuse'
        assert state.timestamp.batch == batch
        assert Path(name, 'curve.json').read_text() == text
        return 'refused'
    after, changes = points(name), curve(name).run.changes
    kept = [point for point in before if point[1] <= batch]
    assert after[: len(kept)] == kept, 'a point from before is lost or changed'
    schedule = RunSchedule.of_trainer(state)
    now = counted(state, schedule.unit)
    new = after[len(kept) :]
    assert all(point[1] > batch for point in new)
    start = {'ba': batch, 'sp': batch * second['batch_size']}[schedule.unit] if batch else 0
    troughs = [trough for trough in schedule.cycles.troughs(now) if trough > start]
    # Batches of another size before the change leave the count of samples to the checkpoint.
    if (first['batch_size'] == second['batch_size'] and first['images'] == second['images']) or not batch:
        assert len(new) == len(troughs), f'{len(troughs)} troughs passed, {len(new)} points'
        assert [p[0] for p in after] == sorted({p[0] for p in after})
    if changes and batch:
        assert changes[-1]['batch'] == batch
        return 'continued with a change'
    assert after == points(f'{name}-whole'), 'silent, and not the undisturbed run of the settings of now'
    return 'undisturbed'


@pytest.mark.slow
@pytest.mark.filterwarnings('ignore::UserWarning')
def test_random_settings_on_a_resume(make_trainer):
    seed, pairs = secrets.randbelow(10**6), 100
    draw, ends = random.Random(seed), Counter()
    for number in range(pairs):
        first = drawn(draw)
        second = {**first, **drawn(draw)} if draw.random() < 0.2 else dict(first)
        for name in draw.sample(list(SETTINGS), draw.choice([0, 0, 1, 2])):
            second[name] = draw.choice(SETTINGS[name])
        second['max_duration'] = draw.choice([first['max_duration'], '5ep', '6ep', '58ba', '260sp'])
        stop = draw.choice([None, draw.randrange(8, 40)])
        try:
            with warnings.catch_warnings():
                warnings.simplefilter('ignore')
                ends[check_pair(make_trainer, first, second, stop, f'pair{number}')] += 1
        except Exception as error:
            raise AssertionError(f'seed {seed}, pair {number}: {first}, then {second}, stopped at {stop}') from error
    print(f'\nseed {seed}, {pairs} pairs: {", ".join(f"{count} {end}" for end, count in sorted(ends.items()))}')
    assert all(ends[end] for end in ('undisturbed', 'refused', 'continued with a change'))
