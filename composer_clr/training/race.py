"""Runs a race: the methods of a study are trained to a trough side by side, and those that cannot win are stopped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from composer_clr.curves.curve import TradeoffCurve
from composer_clr.curves.names import ANYTIME, CYCLIC, SCHEDULE_FREE
from composer_clr.curves.stops import Stop
from composer_clr.recipes.schema import RecipeError
from composer_clr.study.race import FIRST_STOP, check_doublings, decide
from composer_clr.training.study import StudyRun

__all__ = ['Race']

# One run has all points of a curve.
_ONE_RUN = (CYCLIC, ANYTIME, SCHEDULE_FREE)
_AT_TROUGH, _ENDED = ('held', 'done'), ('done', 'stopped', 'failed')


class Race:
    """Trains runs stage by stage, and stops a method at the end of a stage.

    The runs of the one kind that has all points of a curve race; the first stage ends at the fourth trough, each other
    at the next one. What a method has been stopped for is kept beside its curves, so that the same command goes on with
    the same decisions; a run that has passed the trough since, without a race, goes on. Decisions at a trough look at
    the curves up to it alone. A run that has failed is left out of its method's mean. The other runs, of separate
    points, follow when the race is over, except for those of methods that were stopped.

    Args:
        runs (Sequence[StudyRun]): The runs of a study.
        metric (str | None): ``label/metric``; ``None``: as :func:`~composer_clr.study.race.decide` chooses.
        sigma (float | None): The standard deviation of one value between seeds; ``None``: measured.

    Raises:
        RecipeError: If the runs cannot race: fewer than two methods, other troughs, several kinds, too few troughs or
            none that double, one seed without ``sigma``, or curves in an object store.
    """

    def __init__(self, runs: Sequence[StudyRun], *, metric: str | None = None, sigma: float | None = None):
        self._racing = [run for run in runs if run.planned.kind in _ONE_RUN]
        self._others = [run for run in runs if run not in self._racing and not run.planned.calibrates]
        self._metric, self._sigma = metric, sigma
        _check(self._racing, sigma)
        planned = self._racing[0].planned
        self._troughs, self._unit = list(planned.troughs), planned.unit
        self._stage = FIRST_STOP
        for run in self._racing:
            run.go_on(self._stage)
        for run in self._others:
            run.state = 'held' if run.state == 'waiting' else run.state

    def advance(self) -> bool:
        """Decides at the end of a stage, has the others go on, and returns whether any run is left to be trained."""
        while not self._goes_on() and self._stage < len(self._troughs):
            self._stop_hopeless()
            self._stage += 1
            for run in self._racing:
                if run.state == 'held':
                    run.go_on(self._stage)
        if self._goes_on():
            return True
        stopped = {_method(run): run.reason for run in self._racing if run.state == 'stopped'}
        for run in self._others:
            if run.state == 'held' and _method(run) in stopped:
                run.state, run.reason = 'stopped', stopped[_method(run)]
            elif run.state == 'held':
                run.go_on()
        return any(run.state == 'waiting' for run in self._others)

    def lines(self) -> list[str]:
        """Returns a line per method that was stopped, and how much training the race has saved so far."""
        stopped = {_method(run): run.reason for run in self._racing if run.state == 'stopped'}
        methods = set(map(_method, self._racing))
        so_far = '' if all(run.state in _ENDED for run in self._racing) else ' so far'
        whole = sum(run.planned.troughs[-1] for run in self._racing)
        saved = sum(run.planned.troughs[-1] - run.planned.length for run in self._racing if run.state == 'stopped')
        others = sum(run.state == 'stopped' for run in self._others)
        and_others = f' and {others} runs of one point' if others else ''
        go_on = ': the same command without --race goes on with them' if stopped else ''
        return [
            *(f'{method}: {reason}' for method, reason in stopped.items()),
            f'race: {len(stopped)} of {len(methods)} methods stopped{so_far}, {saved / whole:.0%} of '
            f'{whole:,}{self._unit}{and_others} saved{go_on}',
        ]

    def _goes_on(self) -> bool:
        return any(run.state == 'waiting' for run in self._racing)

    def _stop_hopeless(self) -> None:
        """Stops the methods that were stopped at this trough before, or cannot win."""
        curves = {run: TradeoffCurve.read(Path(run.planned.folder)) for run in self._racing if run.state in _AT_TROUGH}
        here = {run for run, curve in curves.items() if len(curve.points) == self._stage}
        upto = [curve.of_points(curve.points[: self._stage]) for curve in curves.values()]
        before = {run: Stop.of(curves[run]) for run in here}
        decided = {stop.method: stop for stop in before.values() if stop is not None and stop.points == self._stage}
        if upto:
            trough, left = f'{self._troughs[self._stage - 1]}{self._unit}', len(self._troughs) - self._stage
            for stop in decide(upto, trough, left, metric=self._metric, sigma=self._sigma):
                decided.setdefault(stop.method, stop)
        for method, stop in decided.items():
            runs = [run for run in curves if _method(run) == method]
            if here.issuperset(runs):
                for run in runs:
                    of_run = replace(stop, started_at=curves[run].run.started_at)
                    if before[run] != of_run:
                        of_run.write(Path(run.planned.folder))
                    run.state, run.reason = 'stopped', str(stop)


def _method(run: StudyRun) -> str:
    return str(run.planned.method)


def _check(runs: Sequence[StudyRun], sigma: float | None) -> None:
    """Refuses runs that cannot race."""
    kinds = list(dict.fromkeys(run.planned.kind for run in runs))
    if len(kinds) != 1:
        these = f'curves of the kinds {" and ".join(kinds)} are not compared' if kinds else 'separate runs do not race'
        raise RecipeError(f'--race: {these}: name one of {", ".join(_ONE_RUN)} among --kinds')
    first = runs[0].planned
    check_doublings(first.troughs, first.unit)
    names: dict[tuple[str, int], str] = {}
    for run in runs:
        planned, key = run.planned, (_method(run), run.planned.seed)
        if (planned.troughs, planned.unit) != (first.troughs, first.unit):
            raise RecipeError(
                f'--race: {run.name} has points at {planned.troughs} ({planned.unit}), and {runs[0].name} at '
                f'{first.troughs} ({first.unit}): give both one schedule and max_duration'
            )
        if key in names:
            raise RecipeError(f'--race: {names[key]} and {run.name} are of one method: give them snapshot.method names')
        if not run.is_local:
            raise RecipeError(f'--race: {planned.folder}: is in an object store: pass a local snapshot.folder')
        names[key] = run.name
    if len({method for method, _ in names}) < 2:
        raise RecipeError('--race: a race is between methods: name two or more recipes, or --methods')
    if sigma is None and len({seed for _, seed in names}) < 2:
        raise RecipeError(
            '--race: one seed does not tell the noise: pass two --seeds, or the standard deviation of a run between '
            'seeds, such as --sigma 0.3 (points, of a fraction)'
        )
