"""What made the curves of a study, from the records of its runs: settings, versions and devices."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from composer_clr.curves.curve import TradeoffCurve
from composer_clr.curves.settings import RECIPE, Effect, flat, settings_of
from composer_clr.figures.looks import drawing_order
from composer_clr.report.page import TableText
from composer_clr.study.pooling import differing_settings
from composer_clr.study.table import Study

__all__ = ['machines', 'runs_table', 'settings_table', 'shared_settings']

_MACHINE = ('device', 'host', 'world_size', 'precision', 'compile', 'parallelism')
_VERSIONS = 'versions.'
# These name a curve or a run.
_NAMES = ('method', 'kind', 'run_name', 'seed', 'starts_from')
_MOST_CHARACTERS = 300


def runs_table(runs: Sequence[TradeoffCurve]) -> TableText:
    """Returns a row per run: where its record is, and when it was started."""
    rows = []
    for curve in runs:
        run, seed = curve.run, '' if curve.run.seed is None else str(curve.run.seed)
        started = (run.started_at or '').replace('T', ' ').partition('+')[0]
        rows.append([run.method, run.kind, seed, str(len(curve.points)), started, curve.place])
    return 'runs', ['method', 'kind', 'seed', 'points', 'started (UTC)', 'record'], rows, 2


def settings_table(study: Study) -> TableText:
    """Returns a row per value of each setting in which curves differ: those that make another curve, or another pace.

    Beside it stand the curves that record it.
    """
    rows = []
    for effect in (Effect.CURVE, Effect.PACE):
        for name, values in differing_settings(_representatives(study), effect):
            holders: dict[str, dict[str, None]] = defaultdict(dict)
            for curve, value in values if name not in _NAMES else ():
                holders[_spelled(value)][f'{curve.run.method}, {curve.run.kind}'] = None
            rows.extend([name.removeprefix(f'{RECIPE}.'), value, '; '.join(of)] for value, of in holders.items())
    return 'settings that differ between curves', ['setting', 'value', 'curves'], rows, 3


def shared_settings(study: Study) -> list[TableText]:
    """Returns the settings of a run that are not those of a machine, and its recipe, as far as it records them."""
    first = _representatives(study)[0]
    settings = settings_of(first.run)
    recipe = settings.pop(RECIPE, None)
    elsewhere = (*_NAMES, *_MACHINE)
    plain = {name: value for name, value in settings.items() if name not in elsewhere and not _is_version(name)}
    tables = [(f'settings of {first.place}', plain)]
    if isinstance(recipe, dict):
        tables.append((f'recipe of {first.place}', flat(recipe)))
    return [
        (title, ['setting', 'value'], [[name, _spelled(value)] for name, value in values.items()], 2)
        for title, values in tables
    ]


def machines(study: Study) -> TableText:
    """Returns the devices, numbers of ranks and versions of a study's runs."""
    found: dict[str, dict[str, None]] = defaultdict(dict)
    for curve in _representatives(study):
        for name, value in settings_of(curve.run).items():
            if name in _MACHINE or _is_version(name):
                found[name.removeprefix(_VERSIONS)][_spelled(value)] = None
    return 'devices and versions', ['', 'of the runs'], [[name, ', '.join(values)] for name, values in found.items()], 2


def _representatives(study: Study) -> list[TradeoffCurve]:
    """Returns runs that stand for all: the seeds of a curve have the same settings, but for those of their pace."""
    curves = [study.curves[key] for key in sorted(study.curves, key=drawing_order)]
    return list({id(run): run for curve in curves for run in curve.timed}.values())


def _is_version(name: str) -> bool:
    return name.startswith(_VERSIONS)


def _spelled(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= _MOST_CHARACTERS else f'{text[: _MOST_CHARACTERS - 1]}…'
