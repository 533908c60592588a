"""Where a run's curve and snapshots are kept: a local folder, or one in an object store."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from composer.utils import maybe_create_object_store_from_uri, parse_uri, retry
from rich.filesize import decimal

from composer_clr.curves.curve import CURVE_FILE, TradeoffCurve
from composer_clr.recording.folder_lock import FolderLock
from composer_clr.utils.files import PART, part_of, put_in_place

__all__ = ['RunFolder', 'snapshot_name']

# Before the second attempt at an upload; doubled before each of the two that follow.
PAUSE_S = 1.0

_T = TypeVar('_T')
_SNAPSHOT = re.compile(r'cycle\d+-ba\d+(-[\w-]+)?\.pt')


def snapshot_name(cycle: int, batch: int, suffix: str = '') -> str:
    """The file of the weights at a trough; a suffix for other weights than those in training.

    Example:
        >>> snapshot_name(2, 80)
        'cycle2-ba80.pt'
        >>> snapshot_name(2, 80, '-averaged')
        'cycle2-ba80-averaged.pt'
    """
    return f'cycle{cycle}-ba{batch}{suffix}.pt'


class RunFolder:
    """A folder whose files appear under their names only when they are complete.

    A file is made at :meth:`aside` and then put in its place by :meth:`publish`: by a rename in a local folder, by an
    upload to an object store, which shows an object only when all of it has arrived.

    A local folder is locked for one process. Object stores have no locks; there :meth:`write_curve` refuses to replace
    a curve that is not the one it wrote last, so that of two runs one stops at its next trough.

    Args:
        uri (str): A local path, or a URI that Composer has an object store for, such as ``s3://bucket/study/run``.
    """

    def __init__(self, uri: str):
        self.uri = uri
        backend, _, prefix = parse_uri(uri)
        self._store = maybe_create_object_store_from_uri(uri) if backend else None
        self._prefix = prefix.strip('/')
        self._staging = tempfile.TemporaryDirectory(prefix='composer_clr-') if self._store is not None else None
        self._local = Path(self._staging.name) if self._staging is not None else Path(uri)
        self._lock: FolderLock | None = None
        self._written: str | None = None

    def prepare(self) -> None:
        """Make the folder, where it is a local one, lock it, and clear away what a crash has left half made.

        Raises:
            NotADirectoryError: If a file stands in its place.
            FolderInUseError: If a live process has it.
        """
        if self._store is not None:
            return
        try:
            self._local.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise NotADirectoryError(
                f"folder='{self.uri}' cannot be made, a file stands in its place: move the file or name another folder"
            ) from error
        self._lock = FolderLock(self._local)
        for part in self._local.glob(f'{PART}*'):
            part.unlink(missing_ok=True)

    def check_room(self, needed_bytes: int) -> None:
        """Refuse a local folder without room for a file that will have to fit in.

        Raises:
            OSError: If there is not as much room on its disk.
        """
        if self._store is None and (free_bytes := shutil.disk_usage(self._local).free) < needed_bytes:
            raise OSError(
                f"folder='{self.uri}': the first snapshot takes {decimal(needed_bytes)}, but {decimal(free_bytes)} "
                'are free: make room, name another folder, or set save_weights=False'
            )

    def curve(self, name: str = CURVE_FILE) -> TradeoffCurve | None:
        """The curve that is kept here already; ``None`` where there is none.

        Raises:
            CurveError: If there is a file of that name that is no curve.
            OSError: If the object store does not answer.
        """
        if self._store is not None:
            return TradeoffCurve.read(self.aside(name)) if self._downloaded(name) else None
        path = self._local / name
        return TradeoffCurve.read(path) if path.exists() else None

    def write_curve(self, curve: TradeoffCurve) -> None:
        """Put a curve in the place of the one that is here.

        Raises:
            OSError: If it cannot be written, or, in an object store, if it is no longer this run's.
        """
        text = curve.to_json()
        if self._store is not None and self._written is not None and self._downloaded(CURVE_FILE):
            found = self.aside(CURVE_FILE).read_text(encoding='utf-8', errors='replace')
            if found not in (self._written, text):
                raise OSError(f"'{self.uri}': {CURVE_FILE} was written by another run since this one's last point")
        self._write(CURVE_FILE, text)
        self._written = text

    def keep_aside(self, curve: TradeoffCurve) -> str:
        """Keep a curve under a name of its own, ``curve-1.json`` and so on, which no command takes for a run's curve.

        Returns:
            str: The name.
        """
        number = 1
        while self._exists(name := f'curve-{number}.json'):
            number += 1
        self._write(name, curve.to_json())
        return name

    def remove_snapshots(self) -> None:
        """Remove an earlier run's weights from a local folder; Composer's object stores cannot delete."""
        if self._store is None:
            for path in self._local.iterdir():
                if _SNAPSHOT.fullmatch(path.name):
                    path.unlink()

    def aside(self, name: str) -> Path:
        """The local path to make a file at before it is published."""
        return part_of(self._local / name)

    def location(self, name: str) -> str:
        """The path, or the URI in an object store, of a file that is in its place."""
        return str(self._local / name) if self._store is None else f'{self.uri.rstrip("/")}/{name}'

    def publish(self, name: str) -> None:
        """Put the file made at :meth:`aside` in its place, on disk before it is seen.

        Raises:
            OSError: If it cannot be, or the object store does not take it.
        """
        if self._store is None:
            put_in_place(self._local / name)
            return
        try:
            self._retried(self._upload)(name)
        except Exception as error:
            raise OSError(f"'{self.uri}' does not take {name}: {error}") from error
        self.aside(name).unlink()

    def discard(self, name: str) -> None:
        """Remove what was made at :meth:`aside`, if anything: on a full disk it is in the way."""
        self.aside(name).unlink(missing_ok=True)

    def close(self) -> None:
        """Remove what was staged for an upload, and let another process have the folder."""
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
        """Fetch an object to :meth:`aside`, if there is one."""
        try:
            return self._retried(self._download)(name)
        except Exception as error:
            raise OSError(f"'{self.uri}' does not tell whether it holds {name}: {error}") from error

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
        """What has worked once is tried again, on top of the store's own attempts; a wrong address is told at once."""
        return call if self._written is None else retry(Exception, num_attempts=4, initial_backoff=PAUSE_S)(call)
