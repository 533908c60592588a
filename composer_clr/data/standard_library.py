"""Text on every machine with Python: the bytes of the standard library's own sources, split by file."""

from __future__ import annotations

import hashlib
import os
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import torch
from composer.core import DataSpec
from torch.utils.data import Dataset

from composer_clr.data.loaders import dataspecs, evenly_spaced, loader_arguments

__all__ = ['ByteSequences', 'standard_library_dataspecs', 'standard_library_files']

# Packages of other origin and tests; tables rather than text.
_OTHER_SOURCES = {'site-packages', 'dist-packages', 'test', 'tests', 'idlelib', 'lib2to3', 'turtledemo', '__pycache__'}
_TABLES = {'encodings', 'pydoc_data'}
# One file in twelve is held out, by a hash of its path: the same files on every machine and for every seed.
_HELD_OUT = 12


class ByteSequences(Dataset):
    """Texts, joined and cut into sequences of bytes, each with the bytes that follow as labels; the rest is dropped.

    Example:
        >>> ByteSequences([b'abc', b'de'], sequence_length=2)[1]
        {'input_ids': tensor([ 99, 100]), 'labels': tensor([100, 101])}
    """

    def __init__(self, texts: list[bytes], sequence_length: int):
        if sequence_length < 1:
            raise ValueError(f'{sequence_length=}: must be at least 1 byte')
        text = bytearray(b''.join(texts))
        self._length = (len(text) - 1) // sequence_length
        if self._length < 1:
            raise ValueError(f'{sequence_length=}: must be less than the length of the text, {len(text)} bytes')
        self._bytes = torch.frombuffer(text, dtype=torch.uint8)
        self._sequence_length = sequence_length

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        start = index * self._sequence_length
        window = self._bytes[start : start + self._sequence_length + 1].long()
        return {'input_ids': window[:-1], 'labels': window[1:]}


def standard_library_files(*, held_out: bool, folder: Path | None = None) -> Iterator[Path]:
    """Yields the source files of one split of the library, by default the running Python's, sorted by path."""
    library = folder or Path(sysconfig.get_path('stdlib'))
    found: list[Path] = []
    for folder_name, folders, names in os.walk(library):
        # Not entered: the packages installed beside the library may be many times as many files.
        folders[:] = [name for name in folders if name not in _OTHER_SOURCES | _TABLES]
        # `_sysconfigdata` files differ between machines, in name and content.
        found += [
            Path(folder_name, name) for name in names if name.endswith('.py') and not name.startswith('_sysconfigdata')
        ]
    for path in sorted(found):
        relative = path.relative_to(library)
        digest = hashlib.sha1(relative.as_posix().encode(), usedforsecurity=False).digest()
        if (int.from_bytes(digest, 'big') % _HELD_OUT == 0) == held_out:
            yield path


def standard_library_dataspecs(
    batch_size: int,
    eval_batch_size: int,
    sequence_length: int,
    eval_sequences: int | None = None,
    num_workers: int = 0,
    seed: int = 0,
) -> tuple[DataSpec, DataSpec]:
    """Returns the standard library's sources as sequences of bytes: a vocabulary of 256, no tokenizer.

    The sources differ between versions of Python; ``versions.python`` in ``curve.json`` records the version.

    Args:
        batch_size (int): Training sequences per batch and rank.
        eval_batch_size (int): Evaluation sequences per batch and rank.
        sequence_length (int): Bytes per sequence.
        eval_sequences (int | None): Evaluation sequences, spread evenly over the held-out ones. Default: ``None``, all.
        num_workers (int): Loader processes per rank. Default: ``0``.
        seed (int): Determines the order of the training sequences. Default: ``0``.

    Returns:
        tuple[DataSpec, DataSpec]: Training and evaluation data: ``input_ids`` and ``labels`` of equal shape.

    Raises:
        ValueError: If a split holds too few sequences, or no sources are found.
    """
    train, held_out = (
        ByteSequences(_texts(standard_library_files(held_out=held_out)), sequence_length) for held_out in (False, True)
    )
    evaluated = evenly_spaced(held_out, eval_sequences, 'eval_sequences')
    return dataspecs(train, evaluated, batch_size, eval_batch_size, seed, **loader_arguments(num_workers))


def _texts(paths: Iterator[Path]) -> list[bytes]:
    texts = [path.read_bytes() for path in paths]
    if not texts:
        raise ValueError(f'no Python sources in {sysconfig.get_path("stdlib")}: use a Python that has them as files')
    return texts
