"""What a logger has kept of a run: its settings, and the values of each key by step."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.markup import escape
from rich.progress import track

from composer_clr.curves.curve import CurveError
from composer_clr.utils.errors import one_line, printable

__all__ = ['LOGGED_AT', 'RunFilter', 'RunHistory', 'Series', 'described', 'in_time', 'progress', 'series']

# When the values of a step were logged, by the logger's own clock, in seconds.
LOGGED_AT = '_timestamp'

_T = TypeVar('_T')
Series = tuple[NDArray[np.float64], NDArray[np.float64]]


@dataclass
class RunHistory:
    """The parts of a logged run that a curve needs; ``series`` holds the steps of each key, sorted, and its values."""

    run_id: str
    name: str
    group: str = ''
    tags: tuple[str, ...] = ()
    config: dict[str, Any] = field(default_factory=dict)
    series: dict[str, Series] = field(default_factory=dict)

    def __str__(self) -> str:
        return f'run {self.name!r} ({self.run_id})'

    def setting(self, key: str) -> Any:
        """Returns a value of the config by its key, or keys of levels joined with dots; ``None`` if it is not set."""
        if key in self.config:
            return self.config[key]
        value: Any = self.config
        for part in key.split('.'):
            value = value.get(part) if isinstance(value, Mapping) else None
        return value


@dataclass(frozen=True)
class RunFilter:
    """Selects runs.

    Attributes:
        name (str | None): Regular expression to search for in the name.
        group (str | None): The group.
        tags (tuple[str, ...]): Tags, all of which the run must have.
        config (Mapping[str, Any]): Values that its config must have, by key, levels separated by dots.

    Raises:
        CurveError: If the name is not a regular expression.

    Example:
        >>> keep = RunFilter(name='^digits', config={'pareto.kind': 'cyclic'})
        >>> keep(RunHistory('id', 'digits-17', config={'pareto': {'kind': 'cyclic'}}))
        True
    """

    name: str | None = None
    group: str | None = None
    tags: tuple[str, ...] = ()
    config: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        try:
            re.compile(self.name or '')
        except re.error as error:
            raise CurveError(f'--name {self.name!r} is not a regular expression ({error})') from error

    def __call__(self, history: RunHistory) -> bool:
        return (
            re.search(self.name or '', history.name) is not None
            and self.group in (None, history.group)
            and set(self.tags) <= set(history.tags)
            and all(history.setting(key) == value for key, value in self.config.items())
        )


def series(logged: Mapping[str, Mapping[float, float]]) -> dict[str, Series]:
    """Returns the values of each key by step, in the order of steps."""
    ordered = {key: sorted(by_step.items()) for key, by_step in logged.items() if by_step}
    return {
        key: (np.array([step for step, _ in rows]), np.array([value for _, value in rows], dtype=np.float64))
        for key, rows in ordered.items()
    }


def in_time(entries: Iterable[tuple[float, float, float]]) -> dict[float, float]:
    """Returns the values of a key by step, from the time, step and value of each entry.

    What a resumed run logs again replaces what was logged before from its step on.

    Example:
        >>> in_time([(10.0, 1, 0.1), (11.0, 2, 0.2), (12.0, 3, 0.3), (20.0, 2, 0.4)])
        {1: 0.1, 2: 0.4}
    """
    kept: list[tuple[float, float]] = []
    for _, step, value in sorted(entries, key=lambda entry: entry[:2]):
        while kept and kept[-1][0] >= step:
            kept.pop()
        kept.append((step, value))
    return dict(kept)


def progress(items: Sequence[_T], source: str) -> Iterable[_T]:
    """Shows on stderr how many of the items have been read."""
    return track(items, description=escape(printable(source)), console=Console(stderr=True), transient=True)


def described(error: Exception) -> str:
    """Returns an error of a logger's library on one line."""
    return f'{type(error).__name__}: {one_line(error)[:200]}'
