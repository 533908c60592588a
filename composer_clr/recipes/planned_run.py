"""A run of a study, of a recipe or of a command of one's own: which curve it makes, and whether that is complete."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf
from pathlib import Path

from composer_clr.curves.curve import CURVE_FILE, CurveError, Run, TradeoffCurve
from composer_clr.recipes.schema import RecipeError
from composer_clr.schedule.times import COUNTERS

__all__ = ['PlannedRun', 'troughs_passed']

_COUNTS = {'ep': 'epoch', **COUNTERS}


@dataclass(frozen=True, kw_only=True)
class PlannedRun(ABC):
    """A run of a study, and its complete curve's folder, troughs and their unit.

    ``name`` is what several runs share: the recipe's name, or the command. ``kind`` is that of its schedule, and
    ``curve_kind`` has the shape. ``method``: ``None`` where only the run shows it. ``remedy``: what to do where its
    folder has another curve. ``environment``: of a program, the variables that it is started with beside the
    present ones; ``None``: ``composer_clr.train`` is started. ``loader_processes``: per rank; ``None``: not known.
    ``keeps_checkpoints``: whether its checkpoints stay at its end. ``trunk`` is the folder of the run that this one
    branches off, which must be complete first. ``calibrates``: whether equivalent lengths are measured from it.
    ``stage`` is the number of points to train to for now; ``None``: all.
    """

    name: str
    run_name: str
    method: str | None
    kind: str
    curve_kind: str
    seed: int
    max_duration: str
    folder: str
    troughs: Sequence[int]
    unit: str
    remedy: str
    environment: Mapping[str, str] | None = None
    loader_processes: int | None = None
    keeps_checkpoints: bool = True
    trunk: str | None = None
    calibrates: bool = False
    stage: int | None = None

    @property
    def length(self) -> int:
        """What it is trained to for now, in its unit."""
        return self.troughs[-1 if self.stage is None else self.stage - 1]

    @property
    def until(self) -> str | None:
        """The trough that its stage ends at, as a time string; ``None`` where that is the end of training."""
        return None if self.stage in (None, len(self.troughs)) else f'{self.length}{self.unit}'

    @property
    @abstractmethod
    def words(self) -> list[str]:
        """The words that train it, resumed if it has begun: those of ``composer_clr.train``, or of a program."""

    @abstractmethod
    def command_line(self, launcher: Sequence[str], *, resumed: bool = True) -> list[str]:
        """Returns the command that trains it; ``launcher`` starts a module. ``resumed``: it goes on if it has begun."""

    @property
    @abstractmethod
    def checkpoints(self) -> str:
        """The folder of the checkpoints that it resumes from."""

    @abstractmethod
    def _makes(self, run: Run) -> bool:
        """Returns whether a recorded run is this one, by its method and kind."""

    @abstractmethod
    def _check_settings(self, run: Run, *, complete: bool) -> None:
        """Refuses the record of this run if other settings than are asked for made it."""

    def without_curve(self) -> str:
        """Returns what is said of the run where it has ended without its curve."""
        return f'ended without {self.folder}/{CURVE_FILE}'

    def is_complete(self) -> bool:
        """Returns whether the folder holds this run's curve up to its stage, or up to where it diverged.

        A run that diverged is not repeated: it would diverge again. The curve of another run, or of this one under
        other settings, is a ``RecipeError``.
        """
        try:
            curve = TradeoffCurve.read(Path(self.folder))
        except CurveError:
            return False
        passed = troughs_passed(curve, self.troughs, self.unit)
        if not self._makes(curve.run) or passed is None:
            of_curve = f'{curve.run.method}, {curve.run.kind}, with points at {_times(curve, self.unit)}'
            asked = self.curve_kind if self.method is None else f'{self.method}, {self.curve_kind}'
            raise RecipeError(
                f'{self.folder} holds the curve of another run, {of_curve}, not of {asked}, with points at '
                f'{self.troughs} ({self.unit}): {self.remedy}'
            )
        complete = passed == len(self.troughs) or (bool(curve.points) and curve.points[-1].diverged)
        self._check_settings(curve.run, complete=complete)
        return complete or (self.stage is not None and passed >= self.stage)


def troughs_passed(curve: TradeoffCurve, troughs: Sequence[int], unit: str) -> int | None:
    """Returns how many of a run's troughs have a point; ``None`` if the points are not at the first ones."""
    times = _times(curve, unit)
    # A point is at its trough, or at the batch that passed it.
    at_troughs = len(times) <= len(troughs) and all(
        time is not None and trough <= time < following
        for time, (trough, following) in zip(times, pairwise([*troughs, inf]), strict=False)
    )
    return len(times) if at_troughs else None


def _times(curve: TradeoffCurve, unit: str) -> list[float | None]:
    # A run that was stopped before its trough has a point where it was, which is none of the curve's.
    return [getattr(point, _COUNTS[unit]) for point in curve.points if not point.stopped]
