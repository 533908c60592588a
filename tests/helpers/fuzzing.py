"""Settings and strategies for fuzzing readers of files."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

# Each reader has a test with each number; `pytest -m slow` runs the longer ones.
FEW, MANY = 100, 10_000
LONGEST_S = 20.0


def attempts(number: int):
    return settings(
        max_examples=number,
        deadline=LONGEST_S * 1000,
        database=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )


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
