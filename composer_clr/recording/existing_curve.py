"""Decides, before the first batch, what becomes of a curve already in the folder."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

from composer_clr.curves.curve import CURVE_FILE, CurveError, TradeoffCurve, TradeoffPoint
from composer_clr.curves.settings import differences, listed_differences, settings_of
from composer_clr.recording.resume import other_settings
from composer_clr.recording.run_folder import RunFolder

__all__ = ['keep_aside', 'take_over', 'with_later']


def take_over(
    folder: RunFolder, curve: TradeoffCurve, *, resumed: bool, overwrite: bool, autoresume: bool
) -> list[TradeoffPoint]:
    """Decides what to do with the curve in a folder that this process has locked, and writes the run's.

    =====================================  =====================================================================
    in the folder                          what happens
    =====================================  =====================================================================
    no curve, or one without points        the run's is written
    the curve of this same run, resumed    the checkpoint's points win; later ones stay until recorded again
    one of this name, resumed otherwise    kept aside if it has points that the checkpoint lacks, with a warning
    one of this name, ``autoresume``       kept aside: without a checkpoint the run starts over, with a warning;
                                           refused if its settings make another curve, but for ``overwrite``
    any other                              replaced with ``overwrite``, else refused
    =====================================  =====================================================================

    With ``overwrite`` a new run also removes the snapshots in a local folder.

    Args:
        folder (RunFolder): The folder, prepared.
        curve (TradeoffCurve): The run, with the points that its checkpoint holds.
        resumed (bool): Whether the run continues from a checkpoint.
        overwrite (bool): Whether another run's curve may be replaced.
        autoresume (bool): Whether the Trainer looked for a checkpoint.

    Returns:
        list[TradeoffPoint]: Points of this run that were recorded after its checkpoint was saved.

    Raises:
        FileExistsError: If the curve belongs to another run, or was made by other settings, and ``overwrite`` is false.
        CurveError: If the file cannot be read, and ``overwrite`` is false.
        OSError: If the curve cannot be written.
    """
    run = curve.run
    existing = _read(folder, resumed, overwrite)
    if existing is None or not existing.points:
        folder.write_curve(curve)
        return []
    then = existing.run
    later: list[TradeoffPoint] = []
    changed = differences(settings_of(then), settings_of(run))
    held = f"of run '{then.run_name}' with {len(existing.points)} points"
    if resumed and then.run_name == run.run_name:
        later = [point for point in existing.points if point.cycle > _last(curve.points)]
        if later and (changed or then.started_at != run.started_at or other_settings(then) != other_settings(run)):
            keep_aside(folder, existing, 'was recorded under other settings, after this checkpoint was saved')
            later = []
    elif autoresume and then.run_name == run.run_name and changed and not overwrite:
        raise FileExistsError(
            f"folder='{folder.uri}' already holds the {CURVE_FILE} {held}, recorded under other settings: "
            f'{listed_differences(changed)}: name another folder or run_name, or set overwrite=True'
        )
    elif autoresume and then.run_name == run.run_name:
        keep_aside(folder, existing, 'has no checkpoint to resume from, so the run starts over')
    elif not overwrite:
        raise FileExistsError(
            f"folder='{folder.uri}' already holds the {CURVE_FILE} {held}: name another folder or run_name, or set "
            'overwrite=True to replace it'
        )
    folder.write_curve(TradeoffCurve(run, with_later(curve.points, later)))
    if overwrite and not resumed and not autoresume:
        folder.remove_snapshots(existing)
    return later


def with_later(points: Sequence[TradeoffPoint], later: Sequence[TradeoffPoint]) -> list[TradeoffPoint]:
    """Returns the points recorded so far, then those of before a crash that are not yet recorded again."""
    return [*points, *(point for point in later if point.cycle > _last(points))]


def _last(points: Sequence[TradeoffPoint]) -> int:
    return points[-1].cycle if points else -1


def _read(folder: RunFolder, resumed: bool, overwrite: bool) -> TradeoffCurve | None:
    try:
        return folder.curve()
    except CurveError as error:
        if overwrite:
            return None
        remedy = 'the checkpoint holds its points: move it away' if resumed else 'move it away, or set overwrite=True'
        raise CurveError(f'{error}; {remedy}') from error


def keep_aside(folder: RunFolder, existing: TradeoffCurve, reason: str) -> None:
    """Keeps a curve beside the run's, under a name that no command reads as a run's curve, with a warning."""
    name = folder.keep_aside(existing)
    warnings.warn(
        f"folder='{folder.uri}': the {CURVE_FILE} there, with {len(existing.points)} points, {reason}: it is kept as "
        f'{name}',
        UserWarning,
        stacklevel=2,
    )
