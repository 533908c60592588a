"""Decides, before the first batch, what to do with a curve already in the folder."""

from __future__ import annotations

from collections.abc import Sequence

from composer_clr.curves.curve import CURVE_FILE, CurveError, Run, TradeoffCurve, TradeoffPoint
from composer_clr.recording.run_folder import RunFolder

__all__ = ['take_over', 'with_later']


def take_over(
    folder: RunFolder, curve: TradeoffCurve, *, resumed: bool, overwrite: bool, autoresume: bool
) -> list[TradeoffPoint]:
    """Decides what to do with the curve in a folder that this process has locked, and writes the run's.

    =====================================  =====================================================================
    in the folder                          what happens
    =====================================  =====================================================================
    no curve, or one without points        the run's is written
    the curve of this same run, resumed    the checkpoint's points win; later ones stay until recorded again
    one of this name, resumed otherwise    kept aside if it has points that the checkpoint lacks
    one of this name, ``autoresume``       kept aside: without a checkpoint the run starts over
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
        FileExistsError: If the curve belongs to another run, and ``overwrite`` is false.
        CurveError: If the file cannot be read, and ``overwrite`` is false.
        OSError: If the curve cannot be written.
    """
    run = curve.run
    existing = _read(folder, overwrite)
    named_alike = existing is not None and existing.run.run_name == run.run_name
    later: list[TradeoffPoint] = []
    if existing is None or not existing.points:
        pass
    elif resumed and named_alike:
        later = [point for point in existing.points if point.cycle > _last(curve.points)]
        if later and not _same_run(existing.run, run):
            folder.keep_aside(existing)
            later = []
    elif autoresume and named_alike:
        folder.keep_aside(existing)
    elif not overwrite:
        raise FileExistsError(
            f"folder='{folder.uri}' already holds the {CURVE_FILE} of run '{existing.run.run_name}' with "
            f'{len(existing.points)} points: name another folder or run_name, or set overwrite=True to replace it'
        )
    folder.write_curve(TradeoffCurve(run, with_later(curve.points, later)))
    if overwrite and not resumed and not autoresume:
        folder.remove_snapshots()
    return later


def with_later(points: Sequence[TradeoffPoint], later: Sequence[TradeoffPoint]) -> list[TradeoffPoint]:
    """Returns the points recorded so far, then those of before a crash that are not yet recorded again."""
    return [*points, *(point for point in later if point.cycle > _last(points))]


def _last(points: Sequence[TradeoffPoint]) -> int:
    return points[-1].cycle if points else -1


def _read(folder: RunFolder, overwrite: bool) -> TradeoffCurve | None:
    try:
        return folder.curve()
    except CurveError:
        if overwrite:
            return None
        raise


def _same_run(existing: Run, run: Run) -> bool:
    return (existing.started_at, existing.schedule) == (run.started_at, run.schedule)
