"""Slow and obvious implementations of the comparisons, in numpy and scipy: the reference for the package's own.

A study is a dict: (method, kind, seed, epoch) to (seconds, value).
"""

# What is None here fails the test in any case.
# pyright: reportOptionalMemberAccess=false, reportOptionalOperand=false, reportOperatorIssue=false
# pyright: reportCallIssue=false, reportArgumentType=false

from __future__ import annotations

import math

import numpy as np
from scipy import stats
from scipy.spatial.distance import cosine


def epochs_of(study, method, kind):
    return sorted({epoch for m, k, _, epoch in study if (m, k) == (method, kind)})


def seeds_at(study, method, kind, epoch):
    return {seed for m, k, seed, e in study if (m, k, e) == (method, kind, epoch)}


def neighbours(study, method, kind, epoch):
    """Returns the measured epochs that the value at an epoch is interpolated from: none, one, or two."""
    measured = epochs_of(study, method, kind)
    if epoch in measured:
        return [epoch]
    below, above = [e for e in measured if e < epoch], [e for e in measured if e > epoch]
    return [below[-1], above[0]] if below and above else []


def value_of_seed(study, method, kind, seed, epoch):
    knots = neighbours(study, method, kind, epoch)
    return np.interp(math.log(epoch), [math.log(e) for e in knots], [study[method, kind, seed, e][1] for e in knots])


def common_seeds(study, sides, epoch):
    """Returns the seeds that each (method, kind) has at all epochs that its value is interpolated from."""
    return sorted(
        set.intersection(*(seeds_at(study, *side, e) for side in sides for e in neighbours(study, *side, epoch)))
    )


def differences(study, a, b, epochs):
    """Returns, by epoch, the difference of each common seed; epochs where a side has no value are left out."""
    by_epoch = {}
    for epoch in epochs:
        if neighbours(study, *a, epoch) and neighbours(study, *b, epoch):
            seeds = common_seeds(study, (a, b), epoch)
            if seeds:
                by_epoch[epoch] = {
                    s: value_of_seed(study, *a, s, epoch) - value_of_seed(study, *b, s, epoch) for s in seeds
                }
    return by_epoch


def interval(by_seed):
    """Returns Student's 95% interval of a mean, or ``None`` with one seed."""
    values = list(by_seed.values())
    if len(values) < 2:
        return None
    ends = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    return ends.low, ends.high


def mean_value(study, method, kind, epoch):
    knots = neighbours(study, method, kind, epoch)
    means = [np.mean([study[method, kind, s, e][1] for s in seeds_at(study, method, kind, e)]) for e in knots]
    return np.interp(math.log(epoch), [math.log(e) for e in knots], means) if knots else math.nan


def mean_time(study, method, kind, epoch):
    return np.mean([study[method, kind, s, epoch][0] for s in seeds_at(study, method, kind, epoch)])


def cosine_similarity(a, b):
    shared = [epoch for epoch in a if epoch in b]
    one, other = ([np.mean(list(side[e].values())) for e in shared] for side in (a, b))
    return None if len(shared) < 2 else 1 - cosine(one, other)


def cost_ratio(study, method):
    """Returns the seconds of the standard runs over the time to the last cyclic point that they are paired with."""
    paired = [e for e in epochs_of(study, method, 'cyclic') if neighbours(study, method, 'standard', e)]
    separate = 0.0
    for epoch in paired:
        knots = neighbours(study, method, 'standard', epoch)
        logs = [math.log(mean_time(study, method, 'standard', e)) for e in knots]
        separate += math.exp(np.interp(math.log(epoch), [math.log(e) for e in knots], logs))
    return separate / max(mean_time(study, method, 'cyclic', e) for e in paired)
