"""Reads the scripts of job arrays."""

from __future__ import annotations

import shlex
from pathlib import Path


def commands(script: str | Path) -> list[list[str]]:
    """Returns the command of each job of a script, as words."""
    lines = [line.strip() for line in Path(script).read_text().splitlines()]
    # After the names of the log and of the folder of checkpoints.
    return [shlex.split(line)[3:] for line in lines if line.startswith('run ')]
