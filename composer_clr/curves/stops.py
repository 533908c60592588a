"""Why a race has stopped the runs of a method, as kept beside their curves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from composer_clr.curves.curve import CURVE_FILE, CurveError, TradeoffCurve
from composer_clr.utils.files import bounded_text, write_whole

__all__ = ['Stop', 'stop_notes']

_STOP_FILE = 'race.json'
_MAX_BYTES = 2**16
_Value = Annotated[float, Field(allow_inf_nan=False)]


@dataclass(frozen=True, kw_only=True)
class Stop:
    """Why a race stopped a method, as kept in ``race.json`` in the folder of each of its runs.

    Attributes:
        method (str): The method.
        trough (str): Where it was stopped, such as ``'128ep'``.
        points (int): The number of points that it had there.
        metric (str): ``label/metric``; values are in its own unit.
        lower_is_better (bool): Whether less of it is better.
        scale (float): 100 where the metric is a fraction, else 1.
        value (float): The mean over the seeds at that trough.
        most (float): What it could have reached at most by the last trough, noise included.
        leader (str): The method that led.
        leader_value (float): Its best mean so far.
        sigma (float): The standard deviation of one value between seeds: in percentage points of a fraction, as a
            fraction of a perplexity.
        is_stated (bool): Whether ``sigma`` was stated, and not measured.
        started_at (str | None): When the run had started, so that a run that starts over is not taken for it. Default:
            ``None``, as of a run that does not tell.
    """

    method: str
    trough: str
    points: int
    metric: str
    lower_is_better: bool
    scale: _Value
    value: _Value
    most: _Value
    leader: str
    leader_value: _Value
    sigma: _Value
    is_stated: bool
    started_at: str | None = None

    def __str__(self) -> str:
        most, has = (
            f'{100 * one:.2f}%' if self.scale == 100 else f'{one:.4g}' for one in (self.most, self.leader_value)
        )
        bound = 'at least' if self.lower_is_better else 'at most'
        return f'stopped at {self.trough}: {bound} {most}, {self.leader} has {has}'

    def write(self, folder: Path) -> None:
        """Writes it into the folder of a run, whole or not at all."""
        write_whole(folder / _STOP_FILE, f'{_STOP.dump_json(self, indent=1).decode()}\n')

    @classmethod
    def of(cls, curve: TradeoffCurve) -> Stop | None:
        """Reads what has stopped the run of a curve at a trough that it has passed; ``None`` where nothing has.

        Raises:
            CurveError: If the file is not such a record.
        """
        if curve.source is None or Path(curve.source).name != CURVE_FILE:
            return None
        path = Path(curve.source).with_name(_STOP_FILE)
        try:
            stop = _STOP.validate_json(bounded_text(path, _MAX_BYTES))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            why = error.errors()[0]['msg'] if isinstance(error, ValidationError) else error
            raise CurveError(f'{path}: is not the record of a race ({why}): remove it') from error
        return stop if stop.started_at == curve.run.started_at and stop.points <= len(curve.points) else None


_STOP = TypeAdapter(Stop)


def stop_notes(runs: Sequence[TradeoffCurve]) -> list[str]:
    """Returns one line for each method that a race has stopped, unless it was trained further since."""
    notes: dict[str, None] = {}
    for run in runs:
        try:
            stop = Stop.of(run)
        except CurveError as error:
            notes[str(error)] = None
            continue
        if stop is not None and stop.points == len(run.points):
            notes[f'{stop.method}: {stop}'] = None
    return list(notes)
