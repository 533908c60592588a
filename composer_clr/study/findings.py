"""A comparison as one tidy table, of which text, Markdown, LaTeX and pages are views."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

from composer_clr.curves.names import STANDARD
from composer_clr.study.compare import Comparison
from composer_clr.study.differences import Differences
from composer_clr.study.estimates import Estimates
from composer_clr.study.verdicts import verdicts

__all__ = ['Finding', 'findings']


class Finding(NamedTuple):
    """One figure of a comparison.

    Attributes:
        kind (str): The kind of curve.
        method (str): The method; empty where it is of all.
        quantity (str): ``'verdict'``, ``'improvement'``, ``'improvement_at_equal_time'``, ``'gap'``, each of them with
            ``'mean_'`` before it but the first, ``'speedup'``, ``'crossing'``, ``'crossing_in_time'``, ``'cosine'``,
            ``'cost_ratio'`` or ``'tau'``.
        at (float): The count of the point, such as epochs; NaN where the figure is of a whole curve.
        value (float): The figure; of a crossing, the budget.
        low (float): Lower end of its 95% interval; NaN without one.
        high (float): Upper end.
        seeds (int): The number of seeds.
        note (str): A verdict; the relation of a bound; the method that is better from a crossing on; how a point was
            found on the standard curve, if that has none there.
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


def findings(compared: Comparison) -> list[Finding]:
    """Returns all figures of a comparison, by kind and method: verdicts, then those over the baseline, then gaps."""
    return list(_findings(compared))


def _findings(compared: Comparison) -> Iterator[Finding]:
    decided = verdicts(compared)
    for kind, found in compared.kinds.items():
        for method, over in found.over_baseline.items():
            for one in decided[kind][method]:
                note = one.decided or ('undecided' if not one.would_do else f'undecided; {one.would_do} seeds would do')
                yield Finding(kind, method, 'verdict', one.at, one.value, one.low, one.high, one.seeds, note)
            yield from _of_differences(kind, method, 'improvement', over.at_equal_counts)
            yield from _of_differences(kind, method, 'improvement_at_equal_time', over.at_equal_time)
            for one in over.speedups:
                answer = one.answer
                note = answer.relation if answer.state == 'bound' else '' if answer.exact else answer.state
                ends = answer.low, answer.high
                yield Finding(kind, method, 'speedup', one.count, answer.value, *ends, answer.seeds, note)
            for quantity, crossings in (
                ('crossing', over.crossings_in_counts),
                ('crossing_in_time', over.crossings_in_time),
            ):
                for one in crossings:
                    yield Finding(
                        kind, method, quantity, math.nan, one.budget, one.low, one.high, one.seeds, one.better
                    )
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
        value, _, low, high, seeds = (float(part[i]) for part in found.each)
        note = '' if how == 'exact' or quantity != 'gap' else how
        yield Finding(kind, method, quantity, count, value, low, high, int(seeds), note)
    value, _, low, high, seeds = (float(part[0]) for part in found.mean)
    over = f'over {len(found.mean_count)} of {len(found.count)} points'
    yield Finding(kind, method, f'mean_{quantity}', math.nan, value, low, high, int(seeds), over)


def _of_estimate(kind: str, method: str, quantity: str, at: float, found: Estimates) -> Finding:
    value, _, low, high, seeds = map(float, found)
    return Finding(kind, method, quantity, at, value, low, high, int(seeds))
