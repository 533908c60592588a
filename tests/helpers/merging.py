"""The shares of the last iterates in an average that stands for a decay, written out."""

from collections.abc import Callable
from typing import Any


def merging_shares(decay: Callable, count: int, one: Any = 1.0) -> list:
    """Returns d((j - 1) / k) - d(j / k) for j = 1, ..., k, in the arithmetic of ``one``."""
    return [decay((j - 1) * one / count) - decay(j * one / count) for j in range(1, count + 1)]
