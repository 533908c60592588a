"""Slow and obvious intervals of verdicts, run by run and point by point: the reference for the package's own."""

# What is a tuple here fails the test in any case.
# pyright: reportOperatorIssue=false

from __future__ import annotations

import math
from statistics import fmean, variance

from scipy import stats
from scipy.optimize import brentq
from scipy.special import digamma, polygamma


def drawn_together(squares, freedom):
    """Returns variances of so many degrees of freedom, moderated, and whether they differ beyond chance (Smyth)."""
    logs = [math.log(square) - digamma(freedom / 2) + math.log(freedom / 2) for square in squares]
    beyond = variance(logs) - polygamma(1, freedom / 2)
    if beyond <= 0:
        return [fmean(squares)] * len(squares), False
    prior = 2 * brentq(lambda half: polygamma(1, half) - beyond, 1e-3, 1e6, xtol=1e-13)
    common = math.exp(fmean(logs) + digamma(prior / 2) - math.log(prior / 2))
    return [(prior * common + freedom * square) / (prior + freedom) for square in squares], True


def half_widths(values, baseline):
    """Returns, by method, half of the interval at each point; ``values`` are ``{method: [[of a point, ...], ...]}``."""
    n, points, methods = len(values[baseline]), range(len(values[baseline][0])), list(values)
    own = {m: [variance([run[i] for run in values[m]]) for i in points] for m in methods}
    freedom = len(methods) * (n - 1)
    squares, differ = drawn_together([fmean(own[m][i] for m in methods) for i in points], freedom)

    def correlation(i, j):
        products = []
        for m in methods:
            means = [fmean(run[k] for run in values[m]) for k in (i, j)]
            products.append(sum((run[i] - means[0]) * (run[j] - means[1]) for run in values[m]) / (n - 1))
        return fmean(products) / math.sqrt(squares[i] * squares[j])

    trace = sum(correlation(i, i) for i in points)
    independent = trace**2 / sum(correlation(i, j) ** 2 for i in points for j in points)
    common = freedom * min(independent, 1) if differ else freedom * independent
    factor = {m: max(1, fmean(own[m][i] / squares[i] for i in points)) for m in methods}
    level = 0.95 ** (1 / (len(points) * (len(methods) - 1)))
    found = {}
    for m in methods:
        both = factor[m], factor[baseline]
        unsure = sum(f * (f - 1) / (independent * (n - 1)) for f in both)
        known = min(common, sum(both) ** 2 / (4 / common + unsure))
        quantile = stats.t.ppf((1 + level) / 2, known)
        found[m] = [quantile * math.sqrt(squares[i] * sum(both) / n) for i in points]
    return found, differ, factor
