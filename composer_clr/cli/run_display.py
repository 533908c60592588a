"""Shows the progress of a study: live in a terminal, one line per run elsewhere."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from time import monotonic

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from composer_clr.training.study import StudyRun

__all__ = ['displayed', 'print_failures', 'study_view']

_REFRESHES_PER_SECOND = 4


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
        get_renderable=lambda: study_view(runs, monotonic() - began_s),
        console=console,
        refresh_per_second=_REFRESHES_PER_SECOND,
    ):
        yield lines.update


def print_failures(runs: Sequence[StudyRun], console: Console | None = None) -> None:
    """Prints the runs that failed, each with its reason and its log."""
    console = console or Console(highlight=False)
    failed = [run for run in runs if run.state == 'failed']
    _print(console, f'{len(failed)} of {len(runs)} {"run" if len(runs) == 1 else "runs"} failed:')
    for run in failed:
        _print(console, f'  {run.name}: {run.reason}')
        _print(console, f'    {os.path.relpath(run.log)}')


def study_view(runs: Sequence[StudyRun], seconds: float) -> RenderableType:
    """Returns the live view of a study: how many runs are done, and how far those are that run."""
    count = {state: sum(run.state == state for run in runs) for state in ('done', 'running', 'failed', 'stopped')}
    head = Table.grid(padding=(0, 1))
    bar = ProgressBar(total=max(1, len(runs)), completed=count['done'] + count['failed'] + count['stopped'], width=30)
    words = [f'{count["done"]} of {len(runs)} runs done', f'{count["running"]} running']
    words += [f'{count[state]} {state}' for state in ('failed', 'stopped') if count[state]]
    words.append(_clock(seconds))
    if (left_s := _left_s(runs, seconds)) is not None:
        words.append(f'about {_clock(left_s)} left')
    head.add_row(bar, Text(', '.join(words)))
    table = Table.grid(padding=(0, 2))
    for run in runs:
        if run.state == 'running':
            table.add_row('', Text(run.name, overflow='ellipsis', no_wrap=True), *_progress(run))
    return Group(head, table)


def _left_s(runs: Sequence[StudyRun], seconds: float) -> float | None:
    """Returns the time that the study still takes at the pace so far, by the lengths of its runs."""
    one_unit = len({run.planned.unit for run in runs}) == 1
    done = left = 0.0
    for run in runs:
        length = run.planned.length if one_unit else 1
        part = _part(run)
        # Runs that were complete before have taken no time.
        done += length * part if run.seconds else 0.0
        left += length * (1 - part) if run.state in ('waiting', 'running') else 0.0
    return left * seconds / done if done and left else None


def _part(run: StudyRun) -> float:
    """Returns how much of a run has been recorded."""
    if run.state == 'running':
        return run.planned.troughs[run.points - 1] / run.planned.length if run.points else 0.0
    return float(run.state == 'done')


def _progress(run: StudyRun) -> list[Text]:
    troughs = run.planned.troughs
    following = troughs[run.points] if run.points < len(troughs) else None
    left = '' if run.pace_s is None else f'{_clock(run.pace_s * run.planned.length * (1 - _part(run)))} left'
    return [
        Text(f'{run.points} of {len(troughs)} points'),
        Text(f'next at {following:g}{run.planned.unit}' if following is not None else ''),
        Text(left),
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
