"""Settings and strategies for fuzzing readers of files."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

# How many inputs each reader is given; `pytest -m slow` gives it the larger number.
NUMBERS = [100, pytest.param(10_000, marks=pytest.mark.slow)]
LONGEST_S = 20.0
SUPPRESSED = [HealthCheck.too_slow]


def check_each(number: int, inputs: st.SearchStrategy, check: Callable[[Any], None], found: Iterable = ()) -> None:
    """Checks the inputs that a reader once fell over, and so many drawn ones."""
    for one in found:
        check(one)

    @settings(
        max_examples=number, deadline=LONGEST_S * 1000, database=None, suppress_health_check=[HealthCheck.too_slow]
    )
    @given(inputs)
    def drawn(one: Any) -> None:
        check(one)

    drawn()


def refused_or(read: Callable[[], object], error: type[Exception]) -> object | None:
    """Returns what is read, or ``None`` if it is refused with the reader's own error, on one line."""
    try:
        return read()
    except error as refused:
        if '\n' in str(refused):
            raise AssertionError('more than one line') from refused
        return None


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
