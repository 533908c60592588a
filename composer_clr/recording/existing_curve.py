"""What becomes of a curve that a run finds in its folder, decided before the first batch."""

from __future__ import annotations

from collections.abc import Sequence

from composer_clr.curves.curve import CURVE_FILE, CurveError, Run, TradeoffCurve, TradeoffPoint
from composer_clr.recording.run_folder import RunFolder

__all__ = ['take_over', 'with_later']


def take_over(
    folder: RunFolder, curve: TradeoffCurve, *, resumed: bool, overwrite: bool, autoresume: bool
) -> list[TradeoffPoint]:
    """Decide about the curve in a folder that is this process's own, and write the run's.

    =====================================  =====================================================================
    in the folder                          what happens
    =====================================  =====================================================================
    no curve, or one without points        the run's is written
    the curve of this very run, resumed    the checkpoint's points win; later ones stay until they are made again
    one of this name, resumed otherwise    kept aside if it has points that the checkpoint has not
    one of this name, ``autoresume``       kept aside: there was no checkpoint yet, the run starts over
    any other                              replaced with ``overwrite``, else refused
    =====================================  =====================================================================

    Snapshots in a local folder are removed where ``overwrite`` alone decides.

    Args:
        folder (RunFolder): The folder, prepared.
        curve (TradeoffCurve): The run, with the points that its checkpoint holds.
        resumed (bool): Whether the run goes on from a checkpoint.
        overwrite (bool): Whether another run's curve may be given up.
        autoresume (bool): Whether the Trainer would have gone on from a checkpoint, had there been one.

    Returns:
        list[TradeoffPoint]: Points of this run that were recorded after its checkpoint was made.

    Raises:
        FileExistsError: If there is a curve that is not this run's to replace.
        CurveError: If the file cannot be read, and ``overwrite`` is false.
        OSError: If the curve cannot be written.
    """
    run = curve.run
    found = _found(folder, overwrite)
    named_alike = found is not None and found.run.run_name == run.run_name
    later: list[TradeoffPoint] = []
    if found is None or not found.points:
        pass
    elif resumed and named_alike:
        later = [point for point in found.points if point.cycle > _last(curve.points)]
        if later and not _same(found.run, run):
            folder.keep_aside(found)
            later = []
    elif autoresume and named_alike:
        folder.keep_aside(found)
    elif not overwrite:
        raise FileExistsError(
            f"folder='{folder.uri}' already holds the {CURVE_FILE} of run '{found.run.run_name}' with "
            f'{len(found.points)} points: name another folder or run_name, or set overwrite=True to give it up'
        )
    folder.write_curve(TradeoffCurve(run, with_later(curve.points, later)))
    if overwrite and not resumed and not autoresume:
        folder.remove_snapshots()
    return later


def with_later(points: Sequence[TradeoffPoint], later: Sequence[TradeoffPoint]) -> list[TradeoffPoint]:
    """The points made so far, and those recorded before a crash that are yet to be made again."""
    return [*points, *(point for point in later if point.cycle > _last(points))]


def _last(points: Sequence[TradeoffPoint]) -> int:
    return points[-1].cycle if points else -1


def _found(folder: RunFolder, overwrite: bool) -> TradeoffCurve | None:
    try:
        return folder.curve()
    except CurveError:
        if overwrite:
            return None
        raise


def _same(found: Run, run: Run) -> bool:
    return (found.started_at, found.schedule) == (run.started_at, run.schedule)
