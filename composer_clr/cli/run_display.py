"""Shows the progress of a study: live in a terminal, one line per run elsewhere."""

from __future__ import annotations

import os
import shlex
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from itertools import takewhile
from pathlib import Path
from statistics import fmean, median
from time import monotonic

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Column, Table
from rich.text import Text

from composer_clr.training.study import StudyRun

__all__ = ['displayed', 'folder_of_curves', 'print_end', 'print_failures', 'study_table', 'study_view']

_REFRESHES_PER_SECOND = 4
_WIDE, _NARROW = 500, 80


@contextmanager
def displayed(runs: Sequence[StudyRun], console: Console | None = None) -> Iterator[Callable[[], None]]:
    """Shows runs on a console; yields what is to be called several times per second."""
    console = console or Console(highlight=False)
    lines = _Lines(runs, console)
    if not console.is_terminal:
        yield lines.update
        return
    began_s = monotonic()
    # Refreshed by a thread: the first start of a run waits for the imports.
    with Live(
        get_renderable=lambda: study_view(runs, monotonic() - began_s, console.width),
        console=console,
        refresh_per_second=_REFRESHES_PER_SECOND,
    ):
        yield lines.update


def print_end(runs: Sequence[StudyRun], console: Console | None = None) -> None:
    """Prints what a study has, and where its curves are."""
    console = console or Console(highlight=False)
    if len(runs) > 1:
        # A log has no width.
        wide = console if console.is_terminal else Console(file=console.file, highlight=False, width=_WIDE)
        wide.print(study_table(runs))
    if any(run.points or run.state in ('done', 'stopped') for run in runs):
        folder = folder_of_curves(runs)
        read = f' (composer-clr compare {shlex.quote(folder)})' if all(run.is_local for run in runs) else ''
        _print(console, f'curves: {folder}{read}')


def folder_of_curves(runs: Sequence[StudyRun]) -> str:
    """Returns the folder that holds the folders of runs, at any depth."""
    if all(run.is_local for run in runs):
        return os.path.relpath(os.path.commonpath([Path(run.planned.folder).absolute().parent for run in runs]))
    parts = zip(*(run.planned.folder.split('/')[:-1] for run in runs), strict=False)
    return '/'.join(same[0] for same in takewhile(lambda same: len(set(same)) == 1, parts))


def print_failures(runs: Sequence[StudyRun], console: Console | None = None) -> None:
    """Prints the runs that failed, each with its reason and its log, or its folder if it has none."""
    console = console or Console(highlight=False)
    failed = [run for run in runs if run.state == 'failed']
    _print(console, f'{len(failed)} of {len(runs)} {"run" if len(runs) == 1 else "runs"} failed:')
    for run in failed:
        _print(console, f'  {run.name}: {run.reason}')
        _print(console, f'    {os.path.relpath(run.log) if Path(run.log).exists() else run.planned.folder}')


def study_view(runs: Sequence[StudyRun], seconds: float, width: int) -> RenderableType:
    """Returns the live view of a study for a width: how many runs are done, and how far those are that run."""
    is_narrow = width < _NARROW
    count = Counter(run.state for run in runs)
    head = Table.grid(padding=(0, 1))
    ended = count['done'] + count['failed'] + count['stopped']
    bar = ProgressBar(total=max(1, len(runs)), completed=ended, width=10 if is_narrow else 30)
    words = [f'{count["done"]} of {len(runs)} runs done', f'{count["running"]} running']
    words += [f'{count[state]} {state}' for state in ('failed', 'stopped') if count[state]]
    words.append(_clock(seconds))
    paces = _Paces(runs)
    if (left_s := paces.study_s()) is not None:
        words.append(f'about {_clock(left_s)} left' + (' of this stage' if count['held'] else ''))
    head.add_row(bar, Text(', '.join(words)))
    differing = _differing(runs)
    table = Table.grid(padding=(0, 2))
    for run in runs:
        if run.state == 'running':
            cells = [_VALUES[name](run) for name in differing] or [run.name]
            cells += _progress(run, paces.run_s(run), is_narrow)
            table.add_row('', *(Text(cell, overflow='ellipsis', no_wrap=True) for cell in cells))
    return Group(head, table)


def study_table(runs: Sequence[StudyRun]) -> Table:
    """Returns what a study has: a row for each recipe, method and kind, without what all have in common."""
    differing = [name for name in _differing(runs) if name in _GROUPED]
    groups: dict[tuple[str, ...], list[StudyRun]] = {}
    for run in runs:
        groups.setdefault(tuple(_VALUES[name](run) for name in _GROUPED), []).append(run)
    table = Table(*differing, 'durations', 'seeds', 'runs', Column('time', justify='right'), box=None, pad_edge=False)
    for values, group in groups.items():
        group.sort(key=lambda run: run.planned.troughs[-1])
        durations, seeds = (list(dict.fromkeys(_VALUES[name](run) for run in group)) for name in ('duration', 'seed'))
        table.add_row(
            *(value for name, value in zip(_GROUPED, values, strict=True) if name in differing),
            ' '.join(durations),
            ' '.join(seed.removeprefix('seed ') for seed in seeds),
            ', '.join(f'{number} {state}' for state, number in Counter(run.state for run in group).items()),
            _clock(sum(run.seconds for run in group)),
        )
    return table


# What may differ between the runs of a study.
_VALUES: dict[str, Callable[[StudyRun], str]] = {
    'recipe': lambda run: run.planned.name,
    'method': lambda run: str(run.planned.method),
    'kind': lambda run: run.planned.curve_kind,
    'duration': lambda run: run.planned.max_duration,
    'seed': lambda run: f'seed {run.planned.seed}',
}
_GROUPED = ('recipe', 'method', 'kind')


def _differing(runs: Sequence[StudyRun]) -> list[str]:
    return [name for name, value in _VALUES.items() if len({value(run) for run in runs}) > 1]


class _Paces:
    """What training takes, from the points of the runs that have been started; starting them is counted apart."""

    def __init__(self, runs: Sequence[StudyRun]):
        self._runs = runs
        self._known: dict[tuple[str, ...], list[float]] = {}
        beyond = []
        for run in runs:
            if run.pace_s is not None:
                for key in _alike(run):
                    self._known.setdefault(key, []).append(run.pace_s)
                if run.state == 'done':
                    beyond.append(run.seconds - run.pace_s * run.planned.length)
        # A run that was resumed has taken less time than it has trained.
        self._beyond_s = median([one for one in beyond if one > 0] or [0.0])

    def run_s(self, run: StudyRun) -> float | None:
        """Returns the time until the end of a run; ``None`` if none like it has a point."""
        paces = [run.pace_s] if run.pace_s is not None else next(filter(None, map(self._known.get, _alike(run))), None)
        if paces is None:
            return None
        passed = run.planned.troughs[run.points - 1] if run.points else 0
        left_s = fmean(paces) * (run.planned.length - passed) + (0.0 if run.points else self._beyond_s)
        return max(0.0, left_s - (run.since_s if run.state == 'running' else 0.0))

    def study_s(self) -> float | None:
        """Returns the time until the end of those that are left; ``None`` if none is, or it is not known of some."""
        times = [self.run_s(run) for run in self._runs if run.state in ('waiting', 'running')]
        known = [time for time in times if time is not None]
        if not known or len(known) < len(times):
            return None
        # Also between the end of a run and the start of the next one in its place.
        places = {run.slot for run in self._runs if run.seconds or run.state == 'running'}
        return max(*known, sum(known) / max(1, len(places)))


def _alike(run: StudyRun) -> list[tuple[str, ...]]:
    """Returns what names the runs of the same pace: those of its recipe and method, else those of its unit."""
    return [(run.planned.name, _VALUES['method'](run)), (run.planned.unit,)]


def _progress(run: StudyRun, left_s: float | None, is_narrow: bool) -> list[str]:
    troughs = run.planned.troughs
    following = f'next at {troughs[run.points]:g}{run.planned.unit}' if run.points < len(troughs) else ''
    return [
        f'{run.points} of {len(troughs)} points',
        *([] if is_narrow else [following]),
        '' if left_s is None else f'{_clock(left_s)} left',
    ]


class _Lines:
    """Prints a line per run when it ends."""

    def __init__(self, runs: Sequence[StudyRun], console: Console):
        self._runs, self._console = runs, console
        complete, failed = (sum(run.state == state for run in runs) for state in ('done', 'failed'))
        self._ended = {id(run) for run in runs if run.state in ('done', 'failed')}
        self._waits: set[int] = set()
        noted = f', {complete} of them complete' if complete else ''
        noted += f', {failed} failed before' if failed else ''
        _print(console, f'{len(runs)} {"run" if len(runs) == 1 else "runs"}{noted}')

    def update(self) -> None:
        for run in self._runs:
            if run.state == 'waiting' and run.reason and id(run) not in self._waits:
                self._waits.add(id(run))
                _print(self._console, f'{run.name}: {run.reason}')
            if id(run) in self._ended or run.state not in ('done', 'failed', 'interrupted', 'stopped'):
                continue
            self._ended.add(id(run))
            number = f'{len(self._ended):>{len(str(len(self._runs)))}}/{len(self._runs)}'
            words = {'failed': f'failed: {run.reason}', 'stopped': run.reason}.get(run.state, run.state)
            _print(self._console, f'{number} {run.name}: {words} ({_clock(run.seconds)})')


def _clock(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))


def _print(console: Console, line: str) -> None:
    """Prints a line, between words over several rows of a terminal, whole elsewhere."""
    console.print(Text(line), soft_wrap=not console.is_terminal)
