"""The record of a run: its tradeoff curve, point by point, read from and written to ``curve.json``."""

from __future__ import annotations

import os
from dataclasses import field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from composer_clr.utils.errors import UserError
from composer_clr.utils.files import bounded_text, write_whole

__all__ = ['CURVE_FILE', 'CurveError', 'Run', 'TradeoffCurve', 'TradeoffPoint']

CURVE_FILE = 'curve.json'
_MAX_BYTES = 64 * 2**20
# JSON has no number for NaN and infinity; a diverged run's points are kept as the strings "NaN" and "Infinity".
_RECORD = ConfigDict(ser_json_inf_nan='strings')


class CurveError(UserError):
    """A curve that cannot be read: the message names the file and what is wrong with it, on one line."""


@dataclass(frozen=True, config=_RECORD)
class TradeoffPoint:
    """What a run had reached at the trough of one cycle.

    Attributes:
        cycle (int): The cycle that ended here, from 0.
        epoch (float | None): Batches over the train loader's length; ``None`` where it has no length.
        batch (int): Batches trained.
        sample (int): Samples trained, over all ranks.
        token (int): Tokens trained, over all ranks; 0 where batches have none.
        wall_clock_train_s (float): Seconds of training: no evaluation, no saving of snapshots.
        wall_clock_total_s (float): The same with both.
        lr (float): Learning rate of the first parameter group, at its lowest.
        metrics (dict[str, float]): ``label/metric`` to its value at the trough.
        peak_metrics (dict[str, float]): The best value within the peak window before the trough.
        checkpoint (str | None): The snapshot's file name, beside ``curve.json``; ``None`` where none was saved.
        extra (dict[str, dict[str, float]]): Of a second set of metrics, what training it took beyond the run's own:
            ``{'fast-cycles': {'train_s': 1.9, 'batches': 18}}``.
        diverged (bool): Whether the last batch's loss or a weight was no finite number. Default: ``False``.
    """

    cycle: int
    epoch: float | None
    batch: int
    sample: int
    token: int
    wall_clock_train_s: float
    wall_clock_total_s: float
    lr: float
    metrics: dict[str, float]
    peak_metrics: dict[str, float]
    checkpoint: str | None = None
    extra: dict[str, dict[str, float]] = field(default_factory=dict)
    diverged: bool = False


@dataclass(frozen=True, config=_RECORD)
class Run:
    """What a curve is the curve of.

    Attributes:
        run_name (str): Composer's run name.
        kind (str): ``'cyclic'`` or ``'standard'``, or the name of another way to draw a curve.
        method (str): The set of algorithms: ``'baseline'``, or names such as ``'BP'`` and ``'MX'`` joined by ``+``.
        seed (int | None): Rank 0's seed.
        model (str | None): Name of the network.
        world_size (int): Number of ranks.
        schedule (dict): The scheduler, its arguments and the troughs.
        evaluation (dict[str, dict[str, int]]): By evaluator, on how many ``samples`` it runs, ``of`` how many that its
            data set has; without one whose data have no length.
        versions (dict[str, str]): Of this package, Composer, torch and Python.
        started_at (str | None): When the run first started, UTC, ISO 8601.
        parent (dict | None): For a run branched off another: its run_name, batch and wall_clock_train_s.
        directions (dict[str, str]): ``'max'`` or ``'min'`` is best, by metric, where the run was given it.
    """

    run_name: str
    kind: str
    method: str
    seed: int | None = None
    model: str | None = None
    world_size: int = 1
    schedule: dict[str, Any] = field(default_factory=dict)
    evaluation: dict[str, dict[str, int]] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    started_at: str | None = None
    parent: dict[str, Any] | None = None
    directions: dict[str, Literal['max', 'min']] = field(default_factory=dict)


@dataclass(config=_RECORD)
class TradeoffCurve:
    """A run and the points it has passed, in order.

    Attributes:
        run (Run): What it is the curve of.
        points (list[TradeoffPoint]): In the order in which they were passed.
        source (str | None): The file that it was read from; no part of the record.

    Example:
        >>> accuracy = {'eval/MulticlassAccuracy': 0.71}
        >>> point = TradeoffPoint(0, 16.0, 10000, 20480000, 0, 4367.0, 4500.0, 0.0, accuracy, accuracy)
        >>> curve = TradeoffCurve(Run('demo', 'cyclic', 'baseline', seed=17), [point])
        >>> TradeoffCurve.from_json(curve.to_json()) == curve
        True
    """

    format: Literal[1] = field(default=1, kw_only=True)
    run: Run
    points: list[TradeoffPoint]
    source: Annotated[str | None, Field(exclude=True)] = field(default=None, init=False, compare=False, repr=False)

    @property
    def place(self) -> str:
        """What an error calls the curve: its file, or the run's name where it was not read from one."""
        return self.source or self.run.run_name

    def to_json(self) -> str:
        """The curve as strict JSON; a value that is no finite number becomes ``"NaN"``, ``"Infinity"`` and so on."""
        return _CURVE.dump_json(self, indent=1).decode() + '\n'

    @classmethod
    def from_json(cls, text: str, source: str = 'the text') -> TradeoffCurve:
        """Read what :meth:`to_json` wrote; keys that a later version may have added are passed over.

        Args:
            text (str): The JSON.
            source (str): The file's name, for errors.

        Raises:
            CurveError: If the text is no curve, or one of a format that this version does not know.
        """
        try:
            return _CURVE.validate_json(text)
        except ValidationError as error:
            first = min(error.errors(), key=lambda e: e['loc'] != ('format',))
            place = '.'.join(map(str, first['loc']))
            raise CurveError(
                f'{source}: not a curve of format 1: {place}{": " if place else ""}{first["msg"]}; '
                'give a curve.json that ParetoSnapshot wrote'
            ) from error

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> TradeoffCurve:
        """Read a ``curve.json``, or the one in a folder.

        Raises:
            CurveError: If there is none, or it is no curve.
        """
        path = Path(path)
        if path.is_dir():
            path = path / CURVE_FILE
        try:
            text = bounded_text(path, _MAX_BYTES)
        except (OSError, ValueError) as error:
            raise CurveError(f'{path}: cannot be read ({error})') from error
        curve = cls.from_json(text, str(path))
        curve.source = str(path)
        return curve

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the curve so that the file is whole at every instant: aside, flushed to disk, renamed."""
        write_whole(Path(path), self.to_json())


_CURVE = TypeAdapter(TradeoffCurve)
