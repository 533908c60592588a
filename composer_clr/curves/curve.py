"""The record of a run: its tradeoff curve, point by point, read from and written to ``curve.json``."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from dataclasses import field, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from composer_clr.utils.errors import UserError
from composer_clr.utils.files import bounded_text, write_whole

__all__ = [
    'CURVE_FILE',
    'PREFIX',
    'CurveError',
    'Run',
    'TradeoffCurve',
    'TradeoffPoint',
    'point_numbers',
    'point_values',
    'points_table',
]

CURVE_FILE = 'curve.json'
# Of the names that a point's values are logged under.
PREFIX = 'pareto/'
_MAX_BYTES = 64 * 2**20
# JSON has no NaN and no infinity; a diverged run's points are kept as the strings "NaN" and "Infinity".
_RECORD = ConfigDict(ser_json_inf_nan='strings')
# A larger count cannot be computed with.
_Count = Annotated[int, Field(lt=2**63)]
_Finite = Annotated[float, Field(allow_inf_nan=False)]


class CurveError(UserError):
    """Raised for a curve that cannot be read or compared; the message names the file and the fault, on one line."""


@dataclass(frozen=True, config=_RECORD)
class TradeoffPoint:
    """A point of a tradeoff curve: what a run had reached at the trough of one cycle.

    Attributes:
        cycle (int): The cycle that ended here, from 0.
        epoch (float | None): Batches over the train loader's length; ``None`` where it has no length.
        batch (int): Batches trained.
        sample (int): Samples trained, over all ranks.
        token (int): Tokens trained, over all ranks; 0 for batches without tokens.
        wall_clock_train_s (float): Seconds of training, without evaluation and the saving of snapshots.
        wall_clock_total_s (float): Seconds with both.
        lr (float): Learning rate of the first parameter group, at its lowest.
        metrics (dict[str, float]): ``label/metric`` to its value at the trough.
        peak_metrics (dict[str, float]): The best value within the peak window before the trough.
        checkpoint (str | None): The snapshot's file name, beside ``curve.json``; ``None`` if it was not saved.
        extra (dict[str, dict[str, float]]): Training beyond the run's own that a second set of metrics took:
            ``{'fast-cycles': {'train_s': 1.9, 'batches': 18}}``.
        diverged (bool): Whether the last batch's loss or a weight was not finite. Default: ``False``.
        own_decay (bool): Whether the run was made longer after this point: it ended a decay of its own, which the
            run's later points do not share. Default: ``False``.
        world_size (int | None): Number of ranks that trained the last batch; ``None``: the run's.
        scheduled_lr (float | None): What the schedule asked for in place of ``lr``, where the optimizer's rate in any
            parameter group was another. Default: ``None``, the same.
        stopped (bool): Whether a run with one decay was stopped here, before its trough: no point of a tradeoff curve.
            Default: ``False``.
    """

    cycle: int
    epoch: float | None
    batch: _Count
    sample: _Count
    token: _Count
    wall_clock_train_s: float
    wall_clock_total_s: float
    lr: float
    metrics: dict[str, float]
    peak_metrics: dict[str, float]
    checkpoint: str | None = None
    extra: dict[str, dict[str, _Finite]] = field(default_factory=dict)
    diverged: bool = False
    own_decay: bool = False
    world_size: _Count | None = None
    scheduled_lr: float | None = None
    stopped: bool = False

    @cached_property
    def line(self) -> str:
        """The point as strict JSON on one line, made once: a curve is written whole at each of its points."""
        return _POINT.dump_json(self).decode()


@dataclass(frozen=True, config=_RECORD)
class Run:
    """The run that a curve was recorded from.

    Attributes:
        run_name (str): Composer's run name.
        kind (str): ``'cyclic'``, ``'standard'`` or another kind of curve.
        method (str): The set of algorithms: ``'baseline'``, or names such as ``'BP'`` and ``'MX'`` joined by ``+``.
        seed (int | None): Rank 0's seed.
        model (str | None): Name of the network.
        world_size (int | None): Number of ranks; ``None`` if it is not known, as of a run read from a CSV.
        schedule (dict): The scheduler, its arguments and the troughs.
        evaluation (dict[str, dict[str, int]]): By evaluator, the number of ``samples`` that it runs on, ``of`` how many
            in its data set; evaluators whose data have no length are left out.
        versions (dict[str, str]): Versions of this package, Composer, torch, Python, and of LLM Foundry, streaming and
            transformers where they are imported.
        started_at (str | None): When the run first started, UTC, ISO 8601.
        parent (dict | None): For a run branched off another: its run_name, batch and wall_clock_train_s.
        directions (dict[str, str]): ``'max'`` or ``'min'`` is best, by metric, as passed to ParetoSnapshot or as the
            metric states it.
        training (dict): ``loader_length`` in batches, ``batch_size`` over all ranks, training ``samples``, each
            ``None`` where it is not known, and the ``algorithms`` by name.
        changes (list[dict]): Settings that changed when the run was resumed: the ``batch``, and in ``changed`` the
            values before and after it, by key.
        parameters (int | None): Number of parameters of the network; ``None`` where it is not known.
        settings (dict | None): What made the curve, as plain values by dotted name, with the resolved recipe under
            ``recipe`` where there is one; see :mod:`composer_clr.curves.settings`. ``None``: not known, as of records
            made before there were settings.
        ended_at (dict | None): Where training was stopped before the trough that was to come: the ``batch``, the
            ``epoch`` and that ``trough`` as a time string. ``None`` where it was not, or has not ended.
        logged_to (dict[str, str]): The id of the logger's run in which a resumed run goes on, by Composer's logger:
            ``{'MLFlowLogger': '0f3c...'}``.
    """

    run_name: str
    kind: str
    method: str
    seed: int | None = None
    model: str | None = None
    world_size: _Count | None = 1
    schedule: dict[str, Any] = field(default_factory=dict)
    evaluation: dict[str, dict[str, int]] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    started_at: str | None = None
    parent: dict[str, Any] | None = None
    directions: dict[str, Literal['max', 'min']] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    changes: list[dict[str, Any]] = field(default_factory=list)
    parameters: int | None = None
    settings: dict[str, Any] | None = None
    ended_at: dict[str, Any] | None = None
    logged_to: dict[str, str] = field(default_factory=dict)


@dataclass(config=_RECORD)
class TradeoffCurve:
    """A run and its points, in order.

    Attributes:
        run (Run): The run.
        points (list[TradeoffPoint]): The points, in the order of training.
        source (str | None): The file that it was read from; not written to the record.

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
        """The curve's name in errors: its file, or the run's name if it was not read from a file."""
        return self.source or self.run.run_name

    @property
    def is_timed(self) -> bool:
        """Whether training time is known, as it is not of a log without it; then it is NaN at all points."""
        return not self.points or not all(math.isnan(point.wall_clock_train_s) for point in self.points)

    def of_points(self, points: Iterable[TradeoffPoint], **changes: Any) -> TradeoffCurve:
        """Returns some of the curve's points, as a curve from the same file, with changes to its run."""
        part = TradeoffCurve(replace(self.run, **changes), list(points))
        part.source = self.source
        return part

    def to_json(self) -> str:
        """Returns the curve as strict JSON; values that are not finite become ``"NaN"``, ``"Infinity"`` and so on."""
        run = _RUN.dump_json(self.run, indent=1).decode().replace('\n', '\n ')
        points = ','.join(f'\n  {point.line}' for point in self.points)
        return f'{{\n "format": {self.format},\n "run": {run},\n "points": [{points}\n ]\n}}\n'

    @classmethod
    def from_json(cls, text: str, source: str = 'the text') -> TradeoffCurve:
        """Reads what :meth:`to_json` wrote; keys that a later version may have added are ignored.

        Args:
            text (str): The JSON.
            source (str): The file's name, for errors.

        Raises:
            CurveError: If the text is not a curve, or a curve of an unknown format.
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
        """Reads a ``curve.json``, or the one in a folder.

        Raises:
            CurveError: If the file cannot be read, or is not a curve.
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
        """Writes the curve so that the file is complete at every instant: written aside, flushed to disk, renamed."""
        write_whole(Path(path), self.to_json())


_POINT, _RUN, _CURVE = TypeAdapter(TradeoffPoint), TypeAdapter(Run), TypeAdapter(TradeoffCurve)


def point_values(point: TradeoffPoint) -> dict[str, float | None]:
    """Returns a point as a row of names and values."""
    place = {
        'cycle': point.cycle,
        'epoch': point.epoch,
        'wall_clock_train_s': point.wall_clock_train_s,
        'lr': point.lr,
        **{name: count for name in ('sample', 'token') if (count := getattr(point, name))},
    }
    return {**place, **point.metrics, **{f'peak/{name}': value for name, value in point.peak_metrics.items()}}


def points_table(curve: TradeoffCurve) -> tuple[list[str], list[list[float | None]]]:
    """Returns all points as a table: its columns, and a row per point with ``None`` for what was not measured."""
    values = [point_values(point) for point in curve.points]
    columns = list(dict.fromkeys(name for row in values for name in row))
    return columns, [[row.get(name) for name in columns] for row in values]


def point_numbers(point: TradeoffPoint) -> dict[str, Any]:
    """Returns the measured values of a point, by the names that they are logged under."""
    return {f'{PREFIX}{name}': value for name, value in point_values(point).items() if value is not None}
