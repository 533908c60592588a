"""Renders tables as lines of text."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table


def shown(*tables: Table) -> list[str]:
    """Returns the lines that a wide terminal shows, with single spaces."""
    console = Console(width=300)
    with console.capture() as capture:
        console.print(*tables)
    return [' '.join(line.split()) for line in capture.get().splitlines()]
