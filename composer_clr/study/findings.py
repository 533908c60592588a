"""A comparison in words and as one tidy table, of which text, Markdown, LaTeX and pages are views."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from composer_clr.curves.axes import UNITS, count_labels
from composer_clr.curves.metrics import difference_unit, in_points
from composer_clr.curves.names import STANDARD
from composer_clr.study.compare import Comparison, MethodOverBaseline
from composer_clr.study.differences import Differences
from composer_clr.study.estimates import Estimates
from composer_clr.study.table import Study
from composer_clr.study.verdicts import Verdict
from composer_clr.utils.errors import listed

__all__ = ['Finding', 'findings', 'verdict_lines']

# Methods that a line names with their figures.
_MOST_SAID = 3
# Budgets of a kind that have a line each; of more, as of a log of every epoch, those that double do.
_MOST_BUDGETS = 16


class Finding(NamedTuple):
    """One figure of a comparison.

    Attributes:
        kind (str): The kind of curve.
        method (str): The method; empty where it is of all.
        quantity (str): ``'verdict'``, ``'improvement'``, ``'improvement_at_equal_time'``, ``'gap'``, each of them with
            ``'mean_'`` before it but the first, ``'mean_improvement_of_all'``, ``'speedup'``, ``'crossing'``,
            ``'crossing_in_time'``, ``'cosine'``, ``'cost_ratio'`` or ``'tau'``.
        at (float): The count of the point, such as epochs; NaN where the figure is of a whole curve.
        value (float): The figure; of a crossing, the budget.
        low (float): Lower end of its 95% interval; NaN without one.
        high (float): Upper end.
        seeds (int): The number of seeds.
        note (str): A verdict; the relation of a bound; the method that is better from a crossing on; how a point was
            found on the standard curve, if that has none there.
        points (int): The number of points that a mean is over.
        of_points (int): The number of points that there are.
        deviations (tuple[float, ...]): Of a mean, between seeds, as :func:`seeds_to_resolve` takes them.
    """

    kind: str
    method: str
    quantity: str
    at: float
    value: float
    low: float
    high: float
    seeds: int
    note: str = ''
    points: int = 0
    of_points: int = 0
    deviations: tuple[float, ...] = ()


def findings(compared: Comparison) -> list[Finding]:
    """Returns all figures of a comparison, by kind and method: verdicts, then those over the baseline, then gaps."""
    return list(_findings(compared))


def _findings(compared: Comparison) -> Iterator[Finding]:
    for kind, found in compared.kinds.items():
        for method, over in found.over_baseline.items():
            for one in over.verdicts:
                note = one.decided or ('undecided' if not one.would_do else f'undecided; {one.would_do} seeds would do')
                yield Finding(kind, method, 'verdict', one.at, one.value, one.low, one.high, one.seeds, note)
            yield from _of_differences(kind, method, 'improvement', over.at_equal_counts)
            if over.at_equal_counts is not None:
                mean = over.at_equal_counts.mean_of_all.at(0)
                yield _of_estimate(kind, method, 'mean_improvement_of_all', math.nan, mean)
            yield from _of_differences(kind, method, 'improvement_at_equal_time', over.at_equal_time)
            for one in over.speedups:
                value, relation, low, high, seeds = one.answer
                note = {'bound': relation, 'reached': '', 'not reached': 'not reached'}[one.answer.state]
                yield Finding(kind, method, 'speedup', one.count, value, low, high, seeds, note)
            for axis, crossings in over.crossings.items():
                quantity = 'crossing_in_time' if axis == 'time' else 'crossing'
                for budget, better, low, high, seeds in crossings:
                    yield Finding(kind, method, quantity, math.nan, budget, low, high, seeds, better)
        if kind == STANDARD:
            continue
        for method, one in found.methods.items():
            yield from _of_differences(kind, method, 'gap', one.gap)
            if one.cosine is not None:
                yield _of_estimate(kind, method, 'cosine', math.nan, one.cosine)
            if not math.isnan(one.cost.ratio.value):
                yield _of_estimate(kind, method, 'cost_ratio', math.nan, one.cost.ratio)
        for count, tau in found.taus.items():
            if tau is not None:
                yield _of_estimate(kind, '', 'tau', count, tau)


def _of_differences(kind: str, method: str, quantity: str, found: Differences | None) -> Iterator[Finding]:
    if found is None:
        return
    for i, (count, how) in enumerate(zip(found.count.tolist(), found.how, strict=True)):
        each = _of_estimate(kind, method, quantity, count, found.each.at(i))
        yield each._replace(note='' if how == 'exact' or quantity != 'gap' else how)
    mean = _of_estimate(kind, method, f'mean_{quantity}', math.nan, found.mean.at(0))
    yield mean._replace(points=len(found.mean_count), of_points=len(found.count), deviations=found.deviations)


def _of_estimate(kind: str, method: str, quantity: str, at: float, found: Estimates) -> Finding:
    value, _, low, high, seeds = map(float, found)
    return Finding(kind, method, quantity, at, value, low, high, int(seeds))


def verdict_lines(compared: Comparison) -> list[str]:
    """Returns what is compared, then a line per kind and budget: methods that are better or worse, by how much if few.

    There is none without a method beside the baseline.
    """
    lines, axis = [], compared.study.axis
    kinds = {kind: found.over_baseline for kind, found in compared.kinds.items() if found.over_baseline}
    for kind, methods in kinds.items():
        found = [(method, one) for method, over in methods.items() for one in over.verdicts]
        if len(methods) > _MOST_SAID and all(one.seeds < 2 for _, one in found):
            lines.append(f'{"" if len(kinds) == 1 else f"{kind}: "}undecided, one seed: train two or more')
            continue
        all_of_them = sorted({one.at for _, one in found})
        counts = all_of_them if len(all_of_them) <= _MOST_BUDGETS else _doubling(all_of_them)
        for count, label in zip(counts, count_labels(counts, axis), strict=True):
            here = [(method, one) for method, one in found if one.at == count]
            said = _counted(here) if len(here) > _MOST_SAID else [_said(compared.study, *each) for each in here]
            lines.append(f'{"" if len(kinds) == 1 else f"{kind}, "}{label} {UNITS[axis]}: {"; ".join(said)}')
        if len(counts) < len(all_of_them):
            where = '' if len(kinds) == 1 else f'{kind}: '
            lines.append(f'{where}{len(all_of_them) - len(counts):,} budgets between these: with --json FILE')
    return [_compared(compared.study, kinds), *lines] if lines else []


def _compared(study: Study, kinds: Mapping[str, Mapping[str, MethodOverBaseline]]) -> str:
    """Returns what the lines are about: they are read without the tables."""
    metric = f'{study.metric} (less is better)' if study.lower_is_better else study.metric
    unit = 'logarithms' if study.is_ratio else difference_unit(study.metric, study.scale)
    said = f'improvement over {study.baseline}, {metric}, in {unit}; above 0 is better'
    over = [one for methods in kinds.values() for over in methods.values() for one in over.verdicts]
    if all(math.isnan(one.low) for one in over):
        return said
    return f'{said}; intervals hold for all lines{" of a kind" if len(kinds) > 1 else ""} at once'


def _doubling(counts: Sequence[float]) -> list[float]:
    """Returns the last count, and those nearest to half of it, a quarter, and so on."""
    at, wanted = np.log(counts), np.log(counts[-1]) - math.log(2) * np.arange(64)
    kept = {int(np.abs(at - one).argmin()) for one in wanted if one >= at[0]}
    return [counts[i] for i in sorted(kept)]


def _counted(here: Sequence[tuple[str, Verdict]]) -> list[str]:
    """Returns the names of methods that are decided, and how many are not: more than a line has room for."""
    names = {verdict: [name for name, one in here if one.decided == verdict] for verdict in ('better', 'worse')}
    said = [f'{verdict}: {listed(found, 6)}' for verdict, found in names.items() if found]
    undecided = len(here) - sum(map(len, names.values()))
    return [*said, f'{undecided} undecided'] if undecided else said


def _said(study: Study, method: str, found: Verdict) -> str:
    size = abs(found.value) if math.isnan(found.high) else (found.high - found.low) / 2
    # Two digits of the interval; points are read beside tables that have decimals.
    digits = min(1 - math.floor(math.log10(size)), 12) if size > 0 else 0
    digits = max(digits, 1 if in_points(study.metric, study.scale) else 0)
    if found.decided:
        sign = -1 if found.decided == 'worse' else 1
        ends = ' to '.join(f'{end:.{digits}f}' for end in sorted((sign * found.low, sign * found.high)))
        return f'{method} {found.decided} by {abs(found.value):.{digits}f} ({ends})'
    value, low, high = (f'{0.0 if round(one, digits) == 0 else one:.{digits}f}' for one in found[1:4])
    seeds = f'{found.seeds} seed{"s" if found.seeds > 1 else ""}'
    if math.isnan(found.low):
        return f'{method} undecided ({value}; {seeds}{" that do not differ" if found.seeds > 1 else ""})'
    more = f', {found.would_do} would do' if found.would_do else ''
    return f'{method} undecided ({value}, {low} to {high}; {seeds}{more})'
