"""Composer's launcher, called as a user calls it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def launch(ranks: int, *arguments: str, folder: Path, timeout_s: float = 300) -> subprocess.CompletedProcess[str]:
    """``composer -n RANKS ARGUMENTS...`` in a folder."""
    return subprocess.run(
        [str(Path(sys.executable).parent / 'composer'), '-n', str(ranks), *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
