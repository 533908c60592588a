"""Reads the ``.wandb`` file of a run, with wandb's own reader: its records, and the numbers in a row of its history."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError
from wandb.proto import wandb_internal_pb2
from wandb.sdk.internal.datastore import DataStore

from composer_clr.curves.curve import CurveError

__all__ = ['config_values', 'history_row', 'logged_values', 'records']

# Its type stubs are of another protobuf.
_Record: Any = wandb_internal_pb2.Record
_NOT_FINITE = ('NaN', 'Infinity', '-Infinity')


def records(file: Path) -> Iterator[Any]:
    """Yields the records of a file up to the first that is cut short or damaged, as the last of a killed run may be.

    Args:
        file (Path): The ``.wandb`` file.

    Raises:
        CurveError: If the file cannot be read, or is not one of wandb's.
    """
    return map(_parsed, _scanned(file))


def logged_values(file: Path, key: str) -> set[float]:
    """Returns every number that a run logged under a key; none for a file that a kill left empty.

    Records without the key are not parsed, so that a history of days takes seconds.

    Raises:
        CurveError: As :func:`records`.
    """
    values: set[float] = set()
    if file.stat().st_size:
        for data in _scanned(file):
            if key.encode() in data:
                values.update(history_row(_parsed(data), lambda name: name == key).values())
    return values


def history_row(record: Any, want: Callable[[str], bool]) -> dict[str, float]:
    """Returns the numbers in a row of the history, by key.

    Args:
        record (Record): A record of the kind ``history``; any other has no row.
        want (Callable[[str], bool]): Which keys to take.
    """
    row = {}
    for item in record.history.item:
        key = item.key or '.'.join(item.nested_key)
        if want(key):
            value = _json(item.value_json)
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                row[key] = _float(value)
            elif value in _NOT_FINITE:
                row[key] = float(value)
    return row


def config_values(update: Any) -> Iterator[tuple[list[str], Any]]:
    """Yields each value in an update of the config, after the keys of its levels."""
    for item in update:
        yield list(item.nested_key) or [item.key], _json(item.value_json)


def _scanned(file: Path) -> Iterator[bytes]:
    store = DataStore()
    try:
        try:
            store.open_for_scan(str(file))
        except OSError as error:
            raise CurveError(f'{file}: cannot be read ({error})') from error
        except Exception as error:  # the reader asserts and unpacks
            raise CurveError(f'{file}: no run can be read from it: {error}') from error
        while True:
            try:
                data = store.scan_data()
            except Exception:  # likewise: cut short, or damaged
                return
            if data is None:
                return
            yield data
    finally:
        store.close()


def _parsed(data: bytes) -> Any:
    record = _Record()
    try:
        record.ParseFromString(data)
    except DecodeError:
        record.Clear()
    return record


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf
