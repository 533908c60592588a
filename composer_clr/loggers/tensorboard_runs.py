"""The histories of TensorBoard runs, from their event files."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from composer_clr.curves.curve import CurveError
from composer_clr.loggers.history import LOGGED_AT, RunFilter, RunHistory, described, in_time, progress, series

__all__ = ['tensorboard_runs']

_SETTINGS = '_hparams_/session_start_info'


def tensorboard_runs(
    source: str, keep: RunFilter, want: Callable[[str], bool]
) -> tuple[list[RunHistory], list[CurveError]]:
    """Reads the selected runs in the event files at or under a folder.

    A run is a folder, named by its path in ``source``; its group is the folder that it is in. The hyperparameters that
    Composer's ``TensorboardLogger`` writes into a folder within the run's are its config. TensorBoard keeps values in
    single precision, about seven digits.

    Raises:
        CurveError: If TensorBoard is not installed, or there is no event file.
    """
    try:
        from tensorboard.util import tensor_util
    except ImportError as error:
        raise CurveError(
            f"{source}: TensorBoard cannot be imported ({error}): pip install 'composer_clr[tensorboard]'"
        ) from error
    if keep.tags:
        raise CurveError('--tag: runs of TensorBoard have none: select them by name, group or config')
    folder, files = Path(source), defaultdict[Path, list[Path]](list)
    for file in sorted(folder.rglob('*tfevents*')):
        files[file.parent].append(file)
    if not files:
        raise CurveError(f'{source}: no event file in this folder: name the log_dir of a TensorboardLogger')
    runs: dict[Path, RunHistory] = {}
    failed: dict[Path, CurveError] = {}
    for path, of_folder in progress(list(files.items()), source):
        owner = next((above for above in reversed(path.parents) if above in files), path)
        place = owner.relative_to(folder)
        name = str(place) if place.parts else folder.resolve().name
        run = runs.setdefault(owner, RunHistory(str(owner), name, str(place.parent) if len(place.parts) > 1 else ''))
        entries: dict[str, list[tuple[float, float, float]]] = defaultdict(list)
        try:
            for event, value in (found for file in of_folder for found in _values(file)):
                if value.tag == _SETTINGS:
                    run.config |= _hyperparameters(value.metadata.plugin_data.content)
                elif owner == path and want(value.tag) and (number := tensor_util.make_ndarray(value.tensor)).size == 1:
                    entries[value.tag].append((event.wall_time, float(event.step), float(number.item())))
        except Exception as error:  # of TensorBoard and protobuf; other runs may be readable
            failed[owner] = CurveError(f'{run}: its event files cannot be read: {described(error)}')
            continue
        if owner == path:
            logged = {key: in_time(of_key) for key, of_key in entries.items()}
            logged[LOGGED_AT] = in_time((at, step, at) for of_key in entries.values() for at, step, _ in of_key)
            run.series = series(logged)
    return [run for path, run in runs.items() if path not in failed and keep(run)], list(failed.values())


def _values(file: Path) -> Iterator[tuple[Any, Any]]:
    """Yields each event of a file and each of its values, up to a record that is cut short, as by a kill."""
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    event: Any
    for event in EventFileLoader(str(file)).Load():
        for value in event.summary.value:
            yield event, value


def _hyperparameters(content: bytes) -> dict[str, Any]:
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    data: Any = HParamsPluginData()
    data.ParseFromString(content)
    found: dict[str, Any] = {}
    for key, value in data.session_start_info.hparams.items():
        plain = getattr(value, value.WhichOneof('kind') or 'string_value')
        try:
            # Composer writes all values as JSON.
            found[key] = json.loads(plain) if isinstance(plain, str) else plain
        except (ValueError, RecursionError):
            found[key] = plain
    return found
