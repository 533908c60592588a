"""Says in which recorded settings runs differ, and so which are seeds of one curve, and whose times are comparable."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from composer_clr.curves.curve import CurveError, Run, TradeoffCurve
from composer_clr.curves.names import STANDARD
from composer_clr.curves.settings import (
    RECIPE,
    Difference,
    Effect,
    differences,
    listed_differences,
    settings_of,
)

__all__ = [
    'MOST_NAMED',
    'Setting',
    'by_curve',
    'differing_kinds',
    'differing_pace',
    'differing_settings',
    'mean_ranks',
    'mixed_curves',
    'of_each_pace',
    'resumed_otherwise',
]

MOST_NAMED = 3
_MOST_KEPT = 16
# In these, kinds of curve differ by what they are.
_OF_THE_SCHEDULE = ('kind', 'schedule', 'averages', 'callbacks', 'step_schedulers', 'starts_from')


def by_curve(runs: Iterable[TradeoffCurve]) -> dict[tuple[str, str], list[TradeoffCurve]]:
    """Returns runs by their method and kind."""
    groups: dict[tuple[str, str], list[TradeoffCurve]] = defaultdict(list)
    for run in runs:
        groups[run.run.method, run.run.kind].append(run)
    return groups


class Setting(NamedTuple):
    """A setting in which runs differ: its name, and each run that records it with its value."""

    name: str
    values: list[tuple[TradeoffCurve, Any]]

    def __str__(self) -> str:
        (run, value), *others = self.values
        other, its_value = next(one for one in others if one[1] != value)
        return f'run {run.place!r} has {Difference(self.name, value, its_value).text(f"run {other.place!r}")}'

    def refusal(self) -> CurveError:
        """Returns the error that names two runs and their values."""
        run = self.values[0][0].run
        return CurveError(
            f'{self}, so they are not seeds of one curve ({run.method}, {run.kind}): name the runs of one of them, or '
            'give each a method of its own (snapshot.method)'
        )


def mixed_curves(curves: Iterable[TradeoffCurve]) -> list[CurveError]:
    """Returns an error for each method and kind whose runs differ in more than the seed."""
    found = [differing_settings(runs, Effect.CURVE) for runs in by_curve(curves).values()]
    return [settings[0].refusal() for settings in found if settings]


def differing_kinds(curves: Iterable[TradeoffCurve]) -> list[str]:
    """Returns a sentence for each kind of curve that differs from the standard one in more than its schedule.

    Example:
        >>> from composer_clr.curves.curve import Run
        >>> runs = [Run(k, k, 'A', settings={'optimizer.lr': r}) for k, r in (('cyclic', 0.1), ('standard', 0.2))]
        >>> differing_kinds([TradeoffCurve(run, []) for run in runs])
        ['A: cyclic runs have optimizer.lr=0.1, standard runs 0.2: a gap is not that of the schedules alone']
    """
    groups, sentences = by_curve(curves), []
    for (method, kind), runs in groups.items():
        standard = groups.get((method, STANDARD), runs)
        found = differences(*(settings_of(one[0].run) for one in (runs, standard)))
        others = [one for one in found if not one.name.removeprefix(f'{RECIPE}.').startswith(_OF_THE_SCHEDULE)]
        if others:
            shown = listed_differences(others[:MOST_NAMED], 'standard runs')
            sentences.append(f'{method}: {kind} runs have {shown}: a gap is not that of the schedules alone')
    return sentences


def resumed_otherwise(curves: Iterable[TradeoffCurve]) -> list[str]:
    """Returns a sentence for each method and kind with a run that went on under settings that make another curve.

    Example:
        >>> from composer_clr.curves.curve import Run
        >>> changes = [{'batch': 8, 'changed': {'optimizer.lr': [0.1, 0.2]}}]
        >>> resumed_otherwise([TradeoffCurve(Run('r', 'cyclic', 'A', changes=changes), [])])
        ["A, cyclic: run 'r' went on at batch 8 under other settings: optimizer.lr=0.1, now 0.2"]
    """
    sentences = {}
    for curve in curves:
        for change, one in _changes(curve.run, Effect.CURVE):
            of = f'{curve.run.method}, {curve.run.kind}'
            where = f'run {curve.place!r} went on at batch {change.get("batch")} under other settings'
            sentences.setdefault(of, f'{of}: {where}: {one}')
    return list(sentences.values())


def differing_pace(curves: Iterable[TradeoffCurve]) -> str | None:
    """Returns a sentence where runs were timed under different settings, so that their times are not comparable.

    Example:
        >>> from composer_clr.curves.curve import Run
        >>> differing_pace([TradeoffCurve(Run(f'on-{n}', 'cyclic', 'A', world_size=n), []) for n in (8, 1, 8)])
        "training times are not comparable: run 'on-8' has world_size=8, run 'on-1' 1"
    """
    found = differing_settings(list(curves), Effect.PACE)
    return f'training times are not comparable: {found[0]}' if found else None


def of_each_pace(runs: Sequence[TradeoffCurve]) -> tuple[TradeoffCurve, ...]:
    """Returns runs that stand for all of them in :func:`differing_pace`: the first of each setting that sets a pace."""
    chosen = {id(runs[0]): runs[0]}
    for _, values in differing_settings(runs, Effect.PACE):
        firsts = {repr(value): run for run, value in reversed(values)}
        chosen |= {id(run): run for run in firsts.values()}
    return tuple(chosen.values())


def mean_ranks(curve: TradeoffCurve) -> dict[float, float]:
    """Returns the mean number of ranks over the time up to each point, by that time; NaN if it is not known.

    Where the record does not say when they changed, a stretch between two points has those of its end.
    """
    changed = [
        (at_s, one.then)
        for at_s, one in ((change.get('wall_clock_train_s'), one) for change, one in _changes(curve.run, Effect.PACE))
        if one.name == 'world_size' and isinstance(at_s, (int, float)) and isinstance(one.then, int)
    ]
    ranks: dict[float, float] = {}
    rank_s, last_s = 0.0, 0.0
    for point in curve.points:
        time_s = point.wall_clock_train_s
        size = point.world_size or curve.run.world_size
        stretches = [(at_s, before) for at_s, before in sorted(changed) if last_s < at_s < time_s]
        for at_s, of_stretch in (*stretches, (time_s, math.nan if size is None else size)):
            rank_s += (at_s - last_s) * of_stretch
            last_s = at_s
        ranks[time_s] = rank_s / time_s if time_s > 0 else math.nan
    return ranks


def differing_settings(runs: Sequence[TradeoffCurve], wanted: Effect) -> list[Setting]:
    """Returns the settings of one effect in which runs differ, as far as each run records them."""
    recorded = [(run, settings) for run in runs for settings in _recorded(run, wanted)]
    # Troughs are compared as far as both runs go, so with those of the run that has most.
    recorded.sort(key=lambda one: -len(one[0].points))
    known: dict[str, Any] = {}
    found: list[dict[str, Difference]] = []
    # Most runs of a curve have the same settings, whose comparison need not be made again.
    alike: list[tuple[dict[str, Any], dict[str, Difference]]] = []
    for _, settings in recorded:
        compared = _compared(settings)
        of_run = next((those for other, those in alike if other == compared), None)
        if of_run is None:
            of_run = {one.name: one for one in differences(known, settings, effect=wanted)}
            known = {**settings, **known}
            alike = [(compared, of_run), *alike[: _MOST_KEPT - 1]]
        found.append(of_run)
    names = {name: one.then for of_run in found for name, one in of_run.items()}
    return [
        Setting(
            name,
            [
                (run, of_run[name].now if name in of_run else then)
                for (run, settings), of_run in zip(recorded, found, strict=True)
                if name in of_run or name in settings or (name.startswith(f'{RECIPE}.') and RECIPE in settings)
            ],
        )
        for name, then in names.items()
    ]


def _recorded(curve: TradeoffCurve, wanted: Effect) -> Iterator[dict[str, Any]]:
    """Yields a run's settings with those that changed when it was resumed: of a pace, each that it was timed under."""
    settings, changes = settings_of(curve.run), list(_changes(curve.run, wanted))
    if wanted is not Effect.PACE:
        yield {**settings, 'changes': [f'{one} from batch {change.get("batch")}' for change, one in changes]}
        return
    yield settings
    used = {(one.name, repr(value)): value for _, one in changes for value in (one.then, one.now)}
    used |= {('world_size', repr(point.world_size)): point.world_size for point in curve.points if point.world_size}
    for (name, _), value in used.items():
        if settings.get(name) != value:
            yield {**settings, name: value}


def _changes(run: Run, wanted: Effect) -> Iterator[tuple[Mapping[str, Any], Difference]]:
    for change in run.changes:
        changed = change.get('changed')
        for name, values in changed.items() if isinstance(changed, dict) else ():
            # A run that was made longer has the same points up to there.
            if isinstance(values, list) and len(values) == 2 and name != 'max_duration' and Effect.of(name) is wanted:
                yield change, Difference(name, *values)


def _compared(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what a comparison reads."""
    recipe = settings.get(RECIPE)
    sections = {f'{RECIPE}.{name}': of_name for name, of_name in recipe.items()} if isinstance(recipe, dict) else {}
    named = {**settings, **sections, RECIPE: None}
    return {name: value for name, value in named.items() if Effect.of(name) is not Effect.NONE}
