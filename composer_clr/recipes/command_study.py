"""Lists the runs of a study of one's own script: a command with placeholders, filled in for each run."""

from __future__ import annotations

import shlex
import shutil
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from string import Formatter
from typing import Any

from composer_clr.curves.curve import CURVE_FILE, Run
from composer_clr.curves.names import (
    ANYTIME,
    CYCLIC,
    SCHEDULE_FREE,
    STANDARD,
    filled_in,
    has_cycles,
    kind_without_shape,
)
from composer_clr.curves.settings import COMMAND, COMMAND_VARIABLE
from composer_clr.recipes.planned_cycles import cycles_of, run_lengths
from composer_clr.recipes.planned_run import PlannedRun
from composer_clr.recipes.schema import RecipeError, ScheduleRecipe
from composer_clr.schedule.run_schedule import RunSchedule
from composer_clr.schedule.times import NO_TIME, ScheduleTime, read_time

__all__ = ['CommandRun', 'check_programs', 'command_runs']

_KINDS = (CYCLIC, STANDARD, ANYTIME, SCHEDULE_FREE)
# What a run differs in: without one of these, runs that differ in it alone would be the same.
_DIFFERING = ('kind', 'seed', 'max_duration')
_QUOTED = 'quote as in a shell, and write the braces of a placeholder once, others twice: {{ }}'


@dataclass(frozen=True, kw_only=True)
class CommandRun(PlannedRun):
    """A run of a command, which is ``name``; ``filled`` are its words with the placeholders of this run filled in.

    ``warmup`` is the length of its warmup.
    """

    filled: list[str]
    warmup: ScheduleTime

    @property
    def words(self) -> list[str]:
        return list(self.filled)

    def command_line(self, launcher: Sequence[str], *, resumed: bool = True) -> list[str]:
        del launcher, resumed  # both are the command's own
        return ['env', *(f'{name}={value}' for name, value in (self.environment or {}).items()), *self.filled]

    @property
    def checkpoints(self) -> str:
        return f'{self.folder}/checkpoints'

    def without_curve(self) -> str:
        missing = super().without_curve()
        for usual in ('{run_name}/pareto', 'runs/{run_name}', '{run_name}'):
            other = usual.format(run_name=self.run_name)
            if Path(other, CURVE_FILE).exists():
                return f'{missing}, but {other} has one: pass --folder {usual!r}'
        return f'{missing}: give the ParetoSnapshot of the script {{folder}}, or --folder what it has'

    def _makes(self, run: Run) -> bool:
        is_kind = has_cycles(run.kind) if self.kind == CYCLIC else kind_without_shape(run.kind) == self.kind
        return is_kind and self.method in (None, run.method)

    def _check_settings(self, run: Run, *, complete: bool) -> None:
        """Refuses another seed, schedule or command, as far as the record tells them: one by hand has no command."""
        state = 'complete' if complete else 'begun'
        if run.seed != self.seed:
            raise RecipeError(
                f'{self.folder}: {state} with seed {run.seed}, not {self.seed}: give {{seed}} to the Trainer of the '
                'script (seed=...), or pass another --folder'
            )
        scheduled = {self.warmup: _recorded_warmup(run)}
        troughs, unit = run.schedule.get('troughs'), str(run.schedule.get('unit'))
        for planned, recorded in zip(self.troughs, troughs if isinstance(troughs, list) else (), strict=False):
            scheduled[ScheduleTime(planned, self.unit)] = ScheduleTime(recorded, unit)
        for planned, recorded in scheduled.items():
            per_unit = {self.unit: 1, 'ba': run.training.get('loader_length')}.get(recorded.unit) if recorded else None
            if recorded and per_unit and abs(recorded.value - per_unit * planned.value) > 0.5:
                what = 'the warmup' if planned is self.warmup else 'a trough'
                raise RecipeError(
                    f'{self.folder}: {state} with {what} at {recorded}, not {planned}: give study_scheduler in the '
                    'script the times of --t-0, --t-mult and --t-warmup, or pass another --folder'
                )
        then = (run.settings or {}).get(COMMAND)
        if then not in (None, self.name):
            raise RecipeError(
                f'{self.folder}: {state} under command={then!r}, asked for {self.name!r}: choose another --folder, or '
                'a method name (--method)'
            )


def command_runs(
    command: str,
    max_duration: str,
    *,
    schedule: Mapping[str, Any],
    seeds: Sequence[int] = (17,),
    kinds: Sequence[str] = (CYCLIC, STANDARD),
    method: str | None = None,
    folder: str = 'runs/{run_name}',
) -> list[CommandRun]:
    """Lists the runs of a study of a command, complete ones included.

    These are, for every seed, the cyclic run and one standard run to each of its troughs. Of the kinds ``anytime`` and
    ``schedule-free`` there is one run through all marks. A run that ends off a trough is warned of.

    Args:
        command (str): The command. Its words are split as by a shell, and no shell runs it; in each, ``{kind}``,
            ``{seed}``, ``{max_duration}``, ``{run_name}``, ``{folder}``, and ``{method}`` and the names of ``schedule``
            where they are given, stand for the run's. A brace is written twice.
        max_duration (str): Length of the cyclic run.
        schedule (Mapping): Arguments of its schedule: ``t_0``, ``t_mult``, ``t_warmup``, ``cycle_ends``.
        seeds (Sequence[int]): The seeds. Default: ``(17,)``.
        kinds (Sequence[str]): Kinds of run. Default: ``('cyclic', 'standard')``.
        method (str | None): The method of the curves, which is also in the names of the runs. Default: ``None``, as the
            script names it.
        folder (str): The folder of a run's curve, with the same placeholders. Default: ``'runs/{run_name}'``.

    Raises:
        RecipeError: If the command or the schedule cannot be read, a placeholder is unknown, or runs would be the same
            or would write to one folder.

    Example:
        >>> schedule = {'t_0': '2ep', 't_warmup': '2ep'}
        >>> runs = command_runs('python t.py {kind} {seed} {max_duration} {folder}', '8ep', schedule=schedule)
        >>> for run in runs: print(*run.words)
        python t.py cyclic 17 8ep runs/cyclic-8ep-seed17
        python t.py standard 17 4ep runs/standard-4ep-seed17
        python t.py standard 17 8ep runs/standard-8ep-seed17
    """
    for kind in kinds:
        if kind not in _KINDS:
            raise RecipeError(f'--kinds {kind}: must be one of {", ".join(_KINDS)}: a branch needs a recipe')
    notes: set[str] = set()

    def cycles(kind: str) -> RunSchedule:
        return cycles_of(ScheduleRecipe(kind=kind, **schedule), max_duration)  # type: ignore[arg-type]

    lengths, unit = run_lengths(kinds, max_duration, cycles, '--max-duration', notes)
    named = {**schedule, 'method': method}
    if isinstance(ends := schedule.get('cycle_ends'), Sequence):
        named['cycle_ends'] = ','.join(ends)
    each = [
        {'kind': kind, 'seed': seed, 'max_duration': duration, 'troughs': troughs}
        for seed in seeds
        for kind in kinds
        for duration, troughs in lengths[kind]
    ]
    template = _split(command)
    _check_differing(template, each)
    runs: dict[str, CommandRun] = {}
    for one in each:
        kind, seed, duration, troughs = one.values()
        run_name = '-'.join([*([method] if method else []), kind, duration, f'seed{seed}'])
        values = {name: value for name, value in named.items() if value is not None}
        values |= {'kind': kind, 'seed': seed, 'max_duration': duration, 'run_name': run_name}
        place = _folder(folder, values)
        values['folder'] = place
        if place in runs:
            raise RecipeError(
                f'--folder {folder!r}: several runs would write to {place}: put {{run_name}} into it, and name no '
                'seed or kind twice'
            )
        runs[place] = CommandRun(
            name=command,
            run_name=run_name,
            method=method,
            kind=kind,
            curve_kind=kind,
            seed=seed,
            max_duration=duration,
            folder=place,
            troughs=troughs,
            unit=unit,
            remedy='have the script follow {kind}, {max_duration} and --method, or pass another --folder',
            environment={COMMAND_VARIABLE: command},
            filled=[_filled(word, values) for word in template],
            warmup=read_time('t_warmup', schedule.get('t_warmup') or NO_TIME),
        )
    for note in sorted(notes):
        warnings.warn(note, UserWarning, stacklevel=2)
    return list(runs.values())


def check_programs(runs: Sequence[PlannedRun]) -> None:
    """Refuses programs that are not on this machine."""
    for program in dict.fromkeys(run.filled[0] for run in runs if isinstance(run, CommandRun)):
        if shutil.which(program) is None:
            raise RecipeError(f'--command: {program!r} is no program here: name one on the PATH, such as python')


def _split(command: str) -> list[str]:
    """Splits a command into words, in which placeholders are left."""
    try:
        words = shlex.split(command.replace('\\\n', ' '))
        for word in words:
            list(Formatter().parse(word))
    except ValueError as error:
        raise RecipeError(f'--command {command!r}: {error}: {_QUOTED}') from error
    if not words:
        raise RecipeError(
            f"--command {command!r}: names no program: give one, such as 'python train.py --kind {{kind}}'"
        )
    return words


def _check_differing(template: Sequence[str], each: Sequence[Mapping[str, Any]]) -> None:
    """Refuses a command that would train the same run for several of the planned ones."""
    named = {name for word in template for _, name, _, _ in Formatter().parse(word)}
    for name in _DIFFERING:
        values = list(dict.fromkeys(str(one[name]) for one in each))
        if len(values) > 1 and name not in named:
            raise RecipeError(
                f'--command: has no {{{name}}}, in which the runs differ ({", ".join(values)}): pass it to the script'
            )


def _filled(word: str, values: Mapping[str, Any], option: str = '--command') -> str:
    """Returns a word with its placeholders filled in."""
    for _, name, _, _ in Formatter().parse(word):
        if name is not None and name not in values:
            known = ', '.join(f'{{{one}}}' for one in values)
            raise RecipeError(
                f'{option}: {{{name}}} in {word!r} is not one of {known}: write braces of other use twice, {{{{ }}}}'
            )
    try:
        return word.format_map(values)
    except (ValueError, LookupError) as error:
        raise RecipeError(f'{option}: {word!r}: {error}: {_QUOTED}') from error


def _folder(folder: str, values: Mapping[str, Any]) -> str:
    try:
        return filled_in(_filled(folder, values, '--folder'), str(values['run_name']), key='--folder')
    except ValueError as error:
        raise RecipeError(str(error)) from error


def _recorded_warmup(run: Run) -> ScheduleTime | None:
    """Returns the warmup of a recorded run; ``None`` where it is not known, as of one whose points were given."""
    recorded = (run.settings or {}).get('schedule.warmup')
    with suppress(ValueError):
        return None if recorded is None or 'points_at' in run.schedule else read_time('schedule.warmup', recorded)
    return None
