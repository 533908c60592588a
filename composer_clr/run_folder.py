"""Where a run's curve and snapshots are kept: a local folder, or one in an object store."""

from __future__ import annotations

import tempfile
from pathlib import Path

from composer.utils import maybe_create_object_store_from_uri, parse_uri, retry
from composer.utils.object_store import ObjectStoreTransientError

from composer_clr.curve import TradeoffCurve
from composer_clr.whole_file import part_of, put_in_place

__all__ = ['RunFolder']


class RunFolder:
    """A folder whose files appear under their names only when they are complete.

    A file is made at :meth:`aside` and then put in its place by :meth:`publish`: by a rename in a local folder, by an
    upload to an object store, which shows an object only when all of it has arrived.

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

    def prepare(self) -> None:
        """Make the folder, where it is a local one.

        Raises:
            NotADirectoryError: If a file stands in its place.
        """
        if self._store is not None:
            return
        try:
            self._local.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise NotADirectoryError(
                f"folder='{self.uri}' cannot be made, a file stands in its place: move the file or name another folder"
            ) from error

    def curve(self, name: str) -> TradeoffCurve | None:
        """The curve that is kept here already; ``None`` where there is none.

        Raises:
            CurveError: If there is a file of that name that is no curve.
        """
        if self._store is not None:
            try:
                self._store.download_object(self._object_name(name), str(self.aside(name)), overwrite=True)
            except FileNotFoundError:
                return None
            return TradeoffCurve.read(self.aside(name))
        path = self._local / name
        return TradeoffCurve.read(path) if path.exists() else None

    def aside(self, name: str) -> Path:
        """The local path to make a file at before it is published."""
        return part_of(self._local / name)

    def location(self, name: str) -> str:
        """The path, or the URI in an object store, of a file that is in its place."""
        return str(self._local / name) if self._store is None else f'{self.uri.rstrip("/")}/{name}'

    def publish(self, name: str) -> None:
        """Put the file made at :meth:`aside` in its place, on disk before it is seen.

        Raises:
            OSError: If the object store does not take it.
        """
        if self._store is None:
            put_in_place(self._local / name)
            return
        try:
            self._upload(name, self.aside(name))
        except Exception as error:
            raise OSError(f"'{self.uri}' does not take {name}: {error}") from error
        self.aside(name).unlink()

    def close(self) -> None:
        """Remove what was staged for an upload."""
        if self._staging is not None:
            self._staging.cleanup()

    def _object_name(self, name: str) -> str:
        return f'{self._prefix}/{name}' if self._prefix else name

    @retry(ObjectStoreTransientError, num_attempts=4)
    def _upload(self, name: str, path: Path) -> None:
        assert self._store is not None
        self._store.upload_object(self._object_name(name), path)
