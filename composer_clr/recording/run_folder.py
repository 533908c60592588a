"""The folder of a run's curve and snapshots, local or in an object store: what is written under which name."""

from __future__ import annotations

import re
import shutil
import stat
import tempfile
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from composer.core import State
from composer.utils import dist, maybe_create_object_store_from_uri, parse_uri, retry
from composer.utils.checkpoint import save_checkpoint
from rich.filesize import decimal

from composer_clr.curves.curve import CURVE_FILE, CurveError, TradeoffCurve
from composer_clr.curves.names import METRIC_SETS
from composer_clr.recording.folder_lock import FolderLock
from composer_clr.utils.files import PART, part_of, put_in_place

__all__ = ['RunFolder', 'save_file', 'save_weights', 'snapshot_path']

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


def save_file(state: State, folder: RunFolder, name: str, *, weights_only: bool) -> None:
    """Saves a checkpoint into a folder, on all ranks together; only rank 0 writes a file.

    Raises:
        OSError | RuntimeError: If the file cannot be written; ``torch`` reports it as either.
    """
    try:
        path = save_checkpoint(
            state, str(folder.aside(name)), weights_only=weights_only, ignore_keys=_make_loadable_without_pickle
        )
    except (OSError, RuntimeError):
        if dist.get_global_rank() == 0:
            # The other ranks wait, at the end of save_checkpoint, for the file.
            dist.barrier()
        raise
    if path is not None:
        folder.publish(name)


def save_weights(state: State, folder: RunFolder, cycle: int, suffix: str = '') -> str | None:
    """Saves the weights at a trough, on all ranks together, and returns the file's name.

    A failure is a warning, and ``None``: training continues.
    """
    name = f'cycle{cycle}-ba{state.timestamp.batch.value}{suffix}.pt'
    try:
        save_file(state, folder, name, weights_only=True)
    except (OSError, RuntimeError) as error:
        if dist.get_global_rank() > 0:
            raise
        with suppress(OSError):
            folder.discard(name)
        reason = str(error).partition('\n')[0]
        warnings.warn(
            f"folder='{folder.uri}': the weights of cycle {cycle} are NOT saved ({reason}): training continues, "
            'and the point names no checkpoint',
            UserWarning,
            stacklevel=2,
        )
        return None
    return name


class RunFolder:
    """A folder whose files appear under their names only when they are complete.

    A file is written :meth:`aside` and then published: by a rename, or by an upload to an object store, which shows
    complete objects only. A local folder is locked for one process. Object stores have no locks; there a curve that
    another run has written since is not replaced, so that of two runs one stops at its next trough.

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

    def prepare(self) -> None:
        """Creates and locks a local folder, and removes half-written files that a crash has left.

        Raises:
            FolderInUseError: If a live process has locked it.
            OSError: If it cannot be created or written to.
        """
        if self._store is not None:
            return
        try:
            self._local.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise NotADirectoryError(
                f"folder='{self.uri}' cannot be created, a file is in its place: move the file or name another folder"
            ) from error
        except OSError as error:
            raise type(error)(
                f"folder='{self.uri}' cannot be created ({error.strerror}): name a folder that this user may write to"
            ) from error
        self._lock = FolderLock(self._local)
        for part in self._local.glob(f'{PART}*'):
            if _OWN.fullmatch(part.name.removeprefix(PART)) and _is_regular(part):
                part.unlink(missing_ok=True)

    def check_room(self, needed_bytes: int) -> None:
        """Refuses a local folder whose disk has no room for a file of this size."""
        if self._store is None and (free_bytes := shutil.disk_usage(self._local).free) < needed_bytes:
            raise OSError(
                f"folder='{self.uri}': the first snapshot takes {decimal(needed_bytes)}, but {decimal(free_bytes)} "
                'are free: make room, name another folder, or set save_weights=False'
            )

    def curve(self, name: str = CURVE_FILE) -> TradeoffCurve | None:
        """Returns the curve that is already here, or ``None``.

        Raises:
            CurveError: If the file of that name is not a curve.
            OSError: If the object store does not respond.
        """
        if self._store is not None:
            return TradeoffCurve.read(self.aside(name)) if self._downloaded(name) else None
        path = self._local / name
        return TradeoffCurve.read(path) if path.exists() else None

    def write_curve(self, curve: TradeoffCurve) -> None:
        """Replaces the curve that is here.

        Raises:
            OSError: If it cannot be written, or if the one in an object store was written by another run.
        """
        text = curve.to_json()
        if self._store is not None and self._written is not None and self._downloaded(CURVE_FILE):
            existing = self.aside(CURVE_FILE).read_text(encoding='utf-8', errors='replace')
            if existing not in (self._written, text):
                raise OSError(f"'{self.uri}': {CURVE_FILE} was written by another run since this one's last point")
        self._write(CURVE_FILE, text)
        self._written = text

    def keep_aside(self, curve: TradeoffCurve) -> str:
        """Keeps a curve as ``curve-1.json``, ``curve-2.json`` and so on, which no command reads; returns the name."""
        number = 1
        while self._exists(name := f'curve-{number}.json'):
            number += 1
        self._write(name, curve.to_json())
        return name

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
            UserWarning,
            stacklevel=2,
        )

    def remove_snapshots(self, curve: TradeoffCurve) -> None:
        """Removes the weights that a curve's points name, and averages beside them; object stores cannot delete."""
        if self._store is not None:
            return
        for name in {point.checkpoint for point in curve.points if point.checkpoint is not None}:
            if _SNAPSHOT.fullmatch(name):
                for path in (self._local / name, *(self._local / f'{name[:-3]}-{other}.pt' for other in METRIC_SETS)):
                    if _is_regular(path):
                        path.unlink()

    def aside(self, name: str) -> Path:
        """Returns the local path to write a file to before it is published."""
        return part_of(self._local / name)

    def location(self, name: str) -> str:
        """Returns the path, or the URI in an object store, of a published file."""
        return str(self._local / name) if self._store is None else f'{self.uri.rstrip("/")}/{name}'

    def publish(self, name: str) -> None:
        """Publishes the file written :meth:`aside` under its name, on disk before it is visible."""
        if self._store is None:
            put_in_place(self._local / name)
            return
        try:
            self._retried(self._upload)(name)
        except Exception as error:
            raise OSError(f"'{self.uri}' cannot store {name}: {error}") from error
        self.aside(name).unlink()

    def discard(self, name: str) -> None:
        """Removes what was written :meth:`aside`, if anything, to free the disk."""
        self.aside(name).unlink(missing_ok=True)

    def close(self) -> None:
        """Removes what was staged for an upload, and unlocks the folder."""
        if self._staging is not None:
            self._staging.cleanup()
        if self._lock is not None:
            self._lock.release()

    def _write(self, name: str, text: str) -> None:
        try:
            self.aside(name).write_text(text, encoding='utf-8')
            self.publish(name)
        except BaseException:
            with suppress(OSError):
                self.discard(name)
            raise

    def _exists(self, name: str) -> bool:
        return (self._local / name).exists() if self._store is None else self._downloaded(name)

    def _object_name(self, name: str) -> str:
        return f'{self._prefix}/{name}' if self._prefix else name

    def _downloaded(self, name: str) -> bool:
        """Downloads an object to :meth:`aside` and returns whether it exists."""
        try:
            return self._retried(self._download)(name)
        except Exception as error:
            raise OSError(f"'{self.uri}' cannot be read for {name}: {error}") from error

    def _download(self, name: str) -> bool:
        assert self._store is not None
        try:
            self._store.download_object(self._object_name(name), str(self.aside(name)), overwrite=True)
        except FileNotFoundError:
            return False
        return True

    def _upload(self, name: str) -> None:
        assert self._store is not None
        self._store.upload_object(self._object_name(name), self.aside(name))

    def _retried(self, call: Callable[[str], _T]) -> Callable[[str], _T]:
        """Retries what has worked once, on top of the store's own attempts; a wrong address fails at once."""
        return call if self._written is None else retry(Exception, num_attempts=4, initial_backoff=PAUSE_S)(call)


def _is_regular(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


def _make_loadable_without_pickle(state_dict: dict[str, Any]) -> None:
    """Replaces torch's version, an object of torch's own that ``weights_only=True`` refuses, by its text."""
    metadata = state_dict['state']['metadata']
    metadata['torch_version'] = str(metadata['torch_version'])
