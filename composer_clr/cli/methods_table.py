"""Tables of methods against the baseline on one kind of curve, and the notes below them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from rich.box import SIMPLE_HEAD
from rich.table import Table

from composer_clr.analysis.over_baseline import OverBaseline
from composer_clr.analysis.queries import Answer
from composer_clr.analysis.resampling import Crossing
from composer_clr.analysis.study import StudyComparison
from composer_clr.cli.durations import readable_duration
from composer_clr.cli.numbers import (
    better,
    interval,
    interval_heading,
    marked,
    marks,
    plus_minus,
    plus_minus_heading,
    resolved,
    safe,
    signed,
    without_interval,
)
from composer_clr.curves.axes import PLURALS, count_labels
from composer_clr.curves.metrics import difference_unit, in_points
from composer_clr.utils.errors import listed

__all__ = ['improvements_table', 'methods_notes', 'speedups_table']

_MOST_RANKINGS = 20
_MOST_CROSSINGS = 6


def improvements_table(study: StudyComparison, found: OverBaseline) -> Table:
    """Returns two rows per method: its improvement over the baseline at equal counts, and at equal training time."""
    unit = 'logarithms' if study.is_ratio else difference_unit(study.metric, study.scale)
    digits, of_mean = (2, 3) if in_points(study.metric, study.scale) else (4, 4)
    compared = f'improvement over {safe(study.baseline)}, {safe(found.kind)}'
    rows = [
        (method, at, differences)
        for method, figures in found.methods.items()
        for at, differences in (
            (PLURALS[study.axis], figures.at_equal_counts),
            (marked('time', figures.unlike_times), figures.at_equal_time),
        )
    ]
    counts = sorted({float(count) for _, _, differences in rows if differences for count in differences.count})
    spread = plus_minus_heading(one for _, _, differences in rows if differences for one in differences.estimates)
    title = f'{compared}, {safe(study.metric)} ({better(study.lower_is_better)}), in {unit}{spread}'
    table = Table(title=title, title_justify='left', box=SIMPLE_HEAD)
    table.add_column('method')
    table.add_column('at equal')
    for heading in count_labels(counts, study.axis):
        table.add_column(heading, justify='right')
    for heading in ('mean', '95% interval', 'seeds'):
        table.add_column(heading, justify='right')
    for method, at, differences in rows:
        if differences is None:
            table.add_row(safe(method), at, *[''] * len(counts), 'the curves do not overlap')
            continue
        values = dict(zip(differences.count.tolist(), differences.estimates, strict=True))
        table.add_row(
            safe(method),
            at,
            *(plus_minus(values.get(count), digits) for count in counts),
            signed(differences.mean, of_mean),
            interval(differences.average, lambda value: signed(value, of_mean)),
            str(differences.average.seeds),
        )
    return table


def speedups_table(study: StudyComparison, found: OverBaseline) -> Table:
    """Returns a row per method: how many times sooner it reaches the value of each of the baseline's points."""
    every = [speedup for figures in found.methods.values() for speedup in figures.speedups]
    title = f'speedup over {safe(study.baseline)} at equal {safe(study.metric)}, {safe(found.kind)}'
    table = Table(title=title + interval_heading(every), title_justify='left', box=SIMPLE_HEAD)
    table.add_column('method')
    first = next(iter(found.methods.values()))
    labels = count_labels(found.baseline.count.tolist(), study.axis)
    for label, speedup in zip(labels, first.speedups, strict=True):
        target = f'{study.scale * speedup.target:.4g}{"%" if study.scale == 100 else ""}'
        table.add_column(f'to {target} ({label})', justify='right')
    table.add_column('seeds', justify='right')
    for method, figures in found.methods.items():
        cells = [
            f'{_bounded(speedup.answer)} {interval(speedup, "{:.2f}".format)}'.strip() for speedup in figures.speedups
        ]
        table.add_row(marked(safe(method), figures.unlike_times), *cells, str(figures.speedups[0].seeds))
    return table


def methods_notes(study: StudyComparison, found: OverBaseline, *, resolve: float | None = None) -> list[str]:
    """Returns where methods overtake the baseline, how they rank at each point, and the seeds that this rests on."""
    notes = [safe(note) for note in _notes(study, found)]
    if resolve is not None:
        notes += [
            safe(f'{method}: {resolved(figures.at_equal_counts.average, resolve)}')
            for method, figures in found.methods.items()
            if figures.at_equal_counts is not None
        ]
    return notes


def _notes(study: StudyComparison, found: OverBaseline) -> Iterator[str]:
    yield from marks(figures.unlike_times for figures in found.methods.values())
    for method, figures in found.methods.items():
        both = f'{method} and {study.baseline}'
        yield from _crossing_notes(both, figures.crossings_in_counts, f' {PLURALS[study.axis]}', '{:.4g}'.format)
        for note in _crossing_notes(both, figures.crossings_in_time, '', readable_duration):
            yield marked(note, figures.unlike_times)
        overlap = figures.at_equal_counts is not None and len(figures.at_equal_counts.count) > 1
        if overlap and not (figures.crossings_in_counts or figures.crossings_in_time):
            yield f'{both} do not cross'
        if figures.at_equal_counts is not None and figures.at_equal_counts.unequal:
            yield f'{method}: {figures.at_equal_counts.unequal}'
    compared = {method: figures.at_equal_counts for method, figures in found.methods.items()}
    one_seed = [method for method, one in compared.items() if one is not None and one.average.sem is None]
    if one_seed:
        yield f'one seed, so no interval: {", ".join(one_seed)}'
    yield from without_interval(
        (method, speedup)
        for method, figures in found.methods.items()
        for speedup in figures.speedups
        if method not in one_seed
    )
    at: dict[str, list[float]] = {}
    for count, ranking in found.ranking.items():
        at.setdefault(' > '.join(' = '.join(tied) for tied in ranking), []).append(count)
    for ranking, counts in list(at.items())[:_MOST_RANKINGS]:
        yield f'ranking at {listed(count_labels(counts, study.axis))} {PLURALS[study.axis]}: {ranking}'
    if len(at) > _MOST_RANKINGS:
        yield f'{len(at) - _MOST_RANKINGS:,} more rankings are not shown: --json FILE writes all of them'


def _crossing_notes(
    both: str, crossings: Sequence[Crossing], unit: str, spelled: Callable[[float], str]
) -> Iterator[str]:
    if len(crossings) > _MOST_CROSSINGS:
        first, last = (spelled(crossing.budget) for crossing in (crossings[0], crossings[-1]))
        yield f'{both} cross {len(crossings):,} times from {first}{unit} to {last}{unit}'
        return
    for crossing in crossings:
        budget = f'{spelled(crossing.budget)}{unit}'
        yield f'{both}: {crossing.better} is better from {budget} on{_uncertain(crossing, spelled)}'


def _uncertain(crossing: Crossing, spelled: Callable[[float], str]) -> str:
    if crossing.low is not None:
        return f' {interval(crossing, spelled)}'
    return (
        '' if crossing.seeds < 2 else ' (no interval: the curves do not cross in over 2.5% of the draws of the seeds)'
    )


def _bounded(answer: Answer) -> str:
    if answer.value is None:
        return ''
    return f'{answer.value:.2f}' if answer.state == 'reached' else f'{answer.relation} {answer.value:.2f}'
