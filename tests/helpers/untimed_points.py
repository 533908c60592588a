"""Reads the points of recorded runs without their times, to compare runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def untimed_points(folder: Path) -> list[dict[str, Any]]:
    """Returns the points of the curve in a folder."""
    points = json.loads((folder / 'curve.json').read_text(encoding='utf-8'))['points']
    return [{name: value for name, value in point.items() if not name.startswith('wall_clock')} for point in points]


def untimed_points_by_run(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Returns the points of every curve below a folder, by the name of the curve's own folder."""
    return {file.parent.name: untimed_points(file.parent) for file in sorted(folder.rglob('curve.json'))}
