"""The folder of a run's curve and snapshots, local or in an object store: what is there, and what is written."""

from __future__ import annotations

import re
import stat
import tempfile
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from composer.core import State
from composer.utils import dist, maybe_create_object_store_from_uri, parse_uri, retry
from composer.utils.checkpoint import save_checkpoint

from composer_clr.curves.curve import CURVE_FILE, CurveError, TradeoffCurve, TradeoffPoint
from composer_clr.curves.settings import differences, listed_differences, settings_of
from composer_clr.recording.folder_lock import FolderLock
from composer_clr.recording.resume import other_settings
from composer_clr.utils.files import PART, part_of, put_in_place, write_whole

__all__ = ['RunFolder', 'snapshot_path']

# Before the second attempt at an upload; doubled before each of the next two.
PAUSE_S = 1.0

_T = TypeVar('_T')
_SNAPSHOT = re.compile(r'cycle\d+-ba\d+\.pt')
# All that a run writes: what stands after PART in the name of a file that it did not finish.
_OWN = re.compile(r'curve(-\d+)?\.json|cycle\d+-ba\d+(-[a-z-]+)?\.pt|branch-to-[\w.]+\.pt')


def snapshot_path(folder: Path, name: str) -> Path:
    """Returns the path of a point's snapshot, whose name may come from a stranger's ``curve.json``.

    Raises:
        CurveError: If it is not the bare name of a snapshot, or the file is not a regular file.
    """
    path = folder / name
    if not _SNAPSHOT.fullmatch(name):
        raise CurveError(f"checkpoint={name!r}: must name a snapshot beside {CURVE_FILE}, as 'cycle0-ba20.pt'")
    if not _is_regular(path):
        raise CurveError(f'{path}: the snapshot is missing, or is not a regular file')
    return path


class RunFolder:
    """A folder whose files appear under their names only when they are complete.

    A file is written aside and then published: by a rename, or by an upload to an object store, which shows complete
    objects only. A local folder is locked for one process. Object stores have no locks; there a curve that another run
    has written since is not replaced, so that of two runs one stops at its next trough.

    Args:
        uri (str): A local path, or a URI that Composer has an object store for, such as ``s3://bucket/study/run``.

    Raises:
        ValueError: If Composer has no object store for the URI.
    """

    def __init__(self, uri: str):
        self.uri = uri
        self._store, self._prefix, self._staging = None, '', None
        self._local = Path(uri)
        # Composer takes all before a colon for a backend, also in the run name 'lr:0.1'.
        if '://' in uri:
            try:
                self._store = maybe_create_object_store_from_uri(uri)
            except NotImplementedError as error:
                raise ValueError(
                    f"folder='{uri}': Composer has no such object store: name a local folder, or a URI as s3://bucket/run"
                ) from error
            self._prefix = parse_uri(uri)[2].strip('/')
            self._staging = tempfile.TemporaryDirectory(prefix='composer_clr-')
            self._local = Path(self._staging.name)
        self._lock: FolderLock | None = None
        self._written: str | None = None
        # Points of this run in the file beyond those of the checkpoint: each stays until it is recorded again.
        self._later: list[TradeoffPoint] = []

    def prepare(self) -> None:
        """Creates and locks a local folder, and removes half-written files that a crash has left."""
        if self._store is not None:
            return
        try:
            self._local.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise type(error)(
                f"folder='{self.uri}' cannot be created ({error.strerror}): name a folder that this user may write to"
            ) from error
        self._lock = FolderLock(self._local)
        for part in self._local.glob(f'{PART}*'):
            if _OWN.fullmatch(part.name.removeprefix(PART)) and _is_regular(part):
                part.unlink(missing_ok=True)

    def take_over(self, curve: TradeoffCurve, *, resumed: bool, overwrite: bool, autoresume: bool) -> None:
        """Writes a run's curve into the folder that is prepared, unless it may not replace the one that is there.

        Points of this same run beyond its checkpoint stay until they are recorded again.
        One of another run of this name is kept aside. Any other is replaced with ``overwrite``, else refused.
        """
        try:
            existing = self.curve()
        except CurveError as error:
            if not overwrite:
                raise CurveError(f'{error}; move it away, or set overwrite=True') from error
            existing = None
        if existing is not None and existing.points:
            then, now = existing.run, curve.run
            is_own, changed = then.run_name == now.run_name, differences(settings_of(then), settings_of(now))
            if resumed and is_own:
                if not changed and then.started_at == now.started_at and other_settings(then) == other_settings(now):
                    self._later = existing.points
                elif len(_with_later(curve, existing.points).points) > len(curve.points):
                    self._keep_aside(existing, 'was recorded under other settings, after this checkpoint was saved')
            elif autoresume and is_own and (overwrite or not changed):
                self._keep_aside(existing, 'has no checkpoint to resume from, so the run starts over')
            elif not overwrite:
                under = (
                    f', recorded under other settings: {listed_differences(changed)}' if autoresume and is_own else ''
                )
                raise FileExistsError(
                    f"folder='{self.uri}' already holds the {CURVE_FILE} of run '{then.run_name}' with "
                    f'{len(existing.points)} points{under}: name another folder or run_name, or set overwrite=True to '
                    'replace it'
                )
        self.write_curve(curve)

    def check_in_place(self) -> None:
        """Creates and locks again, with a warning, a local folder that was removed while the run had it.

        Raises:
            OSError: If another run has locked the folder, or has written a curve to it.
        """
        if self._store is not None or self._lock is None or self._lock.is_in_place:
            return
        self._lock.release()
        self.prepare()
        path = self._local / CURVE_FILE
        if path.exists() and not (_is_regular(path) and path.read_text(errors='replace') == self._written):
            raise OSError(f"folder='{self.uri}': its lock is gone, and another run has written its {CURVE_FILE}")
        warnings.warn(
            f"folder='{self.uri}': the folder or its lock was removed while the run wrote to it; both are there again, "
            'snapshots that were in it may be lost',
            stacklevel=2,
        )

    def curve(self, name: str = CURVE_FILE) -> TradeoffCurve | None:
        """Returns the curve in a file of the folder; ``None`` if it does not exist."""
        return TradeoffCurve.read(self._local / name) if self._exists(name) else None

    def write_curve(self, curve: TradeoffCurve) -> None:
        """Replaces the curve that is here, but for the points that were recorded after the checkpoint.

        Raises:
            OSError: If it cannot be written, or if the one in an object store was written by another run.
        """
        text = _with_later(curve, self._later).to_json()
        if self._store is not None and self._written is not None and self._exists(CURVE_FILE):
            existing = (self._local / CURVE_FILE).read_text(encoding='utf-8', errors='replace')
            if existing not in (self._written, text):
                raise OSError(f"'{self.uri}': {CURVE_FILE} was written by another run since this one's last point")
        self._write(CURVE_FILE, text)
        self._written = text

    def end(self, curve: TradeoffCurve) -> None:
        """Writes the curve of a run that has ended; points beyond its end, of an earlier attempt, are kept aside."""
        whole = _with_later(curve, self._later)
        if len(whole.points) > len(curve.points):
            whole.run = replace(whole.run, ended_at=None)
            self._keep_aside(whole, 'goes on beyond the end of this run')
        self._later = []
        if self._written != curve.to_json():
            self.write_curve(curve)

    def save(self, state: State, name: str, *, weights_only: bool) -> None:
        """Saves a checkpoint, whole at once, on all ranks together; only rank 0 writes a file.

        Raises:
            OSError | RuntimeError: If the file cannot be written; ``torch`` reports it as either.
        """
        part = str(part_of(self._local / name))
        try:
            saved = save_checkpoint(state, part, weights_only=weights_only, ignore_keys=_make_loadable_safely)
        except (OSError, RuntimeError):
            if dist.get_global_rank() == 0:
                # The other ranks wait, at the end of save_checkpoint, for the file.
                dist.barrier()
            raise
        if saved is not None:
            put_in_place(self._local / name)
            self._upload(name)

    def save_weights(self, state: State, cycle: int, suffix: str = '') -> str | None:
        """Saves the weights at a trough, on all ranks together; returns the file's name, or ``None`` with a warning."""
        name = f'cycle{cycle}-ba{state.timestamp.batch.value}{suffix}.pt'
        try:
            self.save(state, name, weights_only=True)
        except (OSError, RuntimeError) as error:
            if dist.get_global_rank() > 0:
                raise
            with suppress(OSError):
                part_of(self._local / name).unlink(missing_ok=True)  # to free the disk
            reason = str(error).partition('\n')[0]
            warnings.warn(
                f"folder='{self.uri}': the weights of cycle {cycle} are NOT saved ({reason}): training continues, "
                'and the point names no checkpoint',
                stacklevel=2,
            )
            return None
        return name

    def location(self, name: str) -> str:
        """Returns the path, or the URI in an object store, of a file."""
        return str(self._local / name) if self._store is None else f'{self.uri.rstrip("/")}/{name}'

    def close(self) -> None:
        """Removes what was staged for an upload, and unlocks the folder."""
        if self._staging is not None:
            self._staging.cleanup()
        if self._lock is not None:
            self._lock.release()

    def _keep_aside(self, curve: TradeoffCurve, reason: str) -> None:
        """Keeps a curve as ``curve-1.json``, ``curve-2.json`` and so on, which no command reads."""
        number = 1
        while self._exists(name := f'curve-{number}.json'):
            number += 1
        self._write(name, curve.to_json())
        warnings.warn(
            f"folder='{self.uri}': the {CURVE_FILE} there, with {len(curve.points)} points, {reason}: it is kept as "
            f'{name}',
            stacklevel=2,
        )

    def _write(self, name: str, text: str) -> None:
        write_whole(self._local / name, text)
        self._upload(name)

    def _upload(self, name: str) -> None:
        """Moves a file that was staged to the object store, if that is where the folder is."""
        if self._store is None:
            return
        store, path = self._store, self._local / name
        try:
            self._retried(lambda: store.upload_object(self._object_name(name), path))
        except Exception as error:
            raise OSError(f"'{self.uri}' cannot store {name}: {error}") from error
        finally:
            path.unlink()

    def _exists(self, name: str) -> bool:
        """Returns whether a file exists; what does in an object store is downloaded."""
        if self._store is None:
            return (self._local / name).exists()
        store = self._store

        def download() -> bool:
            try:
                store.download_object(self._object_name(name), str(self._local / name), overwrite=True)
            except FileNotFoundError:
                return False
            return True

        try:
            return self._retried(download)
        except Exception as error:
            raise OSError(f"'{self.uri}' cannot be read for {name}: {error}") from error

    def _object_name(self, name: str) -> str:
        return f'{self._prefix}/{name}' if self._prefix else name

    def _retried(self, call: Callable[[], _T]) -> _T:
        """Retries what has worked once, on top of the store's own attempts; a wrong address fails at once."""
        return call() if self._written is None else retry(Exception, num_attempts=4, initial_backoff=PAUSE_S)(call)()


def _with_later(curve: TradeoffCurve, later: list[TradeoffPoint]) -> TradeoffCurve:
    """Returns the curve with those of the later points that are not recorded again yet."""
    last = curve.points[-1].cycle if curve.points else -1
    return TradeoffCurve(curve.run, [*curve.points, *(point for point in later if point.cycle > last)])


def _is_regular(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


def _make_loadable_safely(state_dict: dict[str, Any]) -> None:
    """Replaces torch's version, an object of torch's own that ``weights_only=True`` refuses, by its text."""
    metadata = state_dict['state']['metadata']
    metadata['torch_version'] = str(metadata['torch_version'])
