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


def mean_time(study, method, kind, epoch):
    return np.mean([study[method, kind, s, epoch][0] for s in seeds_at(study, method, kind, epoch)])


def cosine_similarity(a, b):
    shared = [epoch for epoch in a if epoch in b]
    one, other = ([np.mean(list(side[e].values())) for e in shared] for side in (a, b))
    return None if len(shared) < 2 else 1 - cosine(one, other)


def of_common_seeds(study, method):
    """Returns the part of a study of the seeds that both curves of a method have."""
    sides = [{s for m, k, s, _ in study if (m, k) == (method, kind)} for kind in ('cyclic', 'standard')]
    return {key: value for key, value in study.items() if key[2] in sides[0] & sides[1]}


def cost_ratio(study, method):
    """Returns the seconds of the standard runs over the time to the last cyclic point that they are paired with."""
    study = of_common_seeds(study, method)
    paired = [e for e in epochs_of(study, method, 'cyclic') if neighbours(study, method, 'standard', e)]
    separate = 0.0
    for epoch in paired:
        knots = neighbours(study, method, 'standard', epoch)
        logs = [math.log(mean_time(study, method, 'standard', e)) for e in knots]
        separate += math.exp(np.interp(math.log(epoch), [math.log(e) for e in knots], logs))
    return separate / max(mean_time(study, method, 'cyclic', e) for e in paired)


def drawn_mean(by_seed, z):
    """The mean as other seeds might give it: each seed's deviation over the root of n (n - 1), times a normal."""
    mean, n = np.mean(list(by_seed.values())), len(by_seed)
    return mean + sum(z[s] * (value - mean) for s, value in by_seed.items()) / math.sqrt(n * (n - 1))


def half_width(figures, seeds):
    return stats.t.ppf(0.975, seeds - 1) * np.std(figures)


def samples_at(study, method, kind, epoch, field):
    return {s: study[method, kind, s, epoch][field] for s in seeds_at(study, method, kind, epoch)}


def tau_half_width(study, methods, epoch, draws, rng):
    taus, seeds = [], math.inf
    for _ in range(draws):
        z, ranked = rng.normal(size=10), []
        for kind in ('cyclic', 'standard'):
            values = []
            for method in methods:
                knots = neighbours(study, method, kind, epoch)
                by_seed = [samples_at(study, method, kind, e, 1) for e in knots]
                seeds = min(seeds, *map(len, by_seed))
                means = [drawn_mean(one, z) for one in by_seed]
                values.append(np.interp(math.log(epoch), [math.log(e) for e in knots], means))
            ranked.append(values)
        taus.append(stats.kendalltau(*ranked)[0])
    return half_width(taus, seeds)


def log_cost_half_width(study, method, draws, rng):
    study = of_common_seeds(study, method)
    paired = [e for e in epochs_of(study, method, 'cyclic') if neighbours(study, method, 'standard', e)]
    logs, seeds = [], math.inf
    for _ in range(draws):
        z = rng.normal(size=10)

        def drawn_time(kind, epoch, z=z):
            nonlocal seeds
            by_seed = samples_at(study, method, kind, epoch, 0)
            seeds = min(seeds, len(by_seed))
            mean = np.mean(list(by_seed.values()))
            return mean * math.exp((drawn_mean(by_seed, z) - mean) / mean)

        separate = 0.0
        for epoch in paired:
            knots = neighbours(study, method, 'standard', epoch)
            times = [math.log(drawn_time('standard', e)) for e in knots]
            separate += math.exp(np.interp(math.log(epoch), [math.log(e) for e in knots], times))
        logs.append(math.log(separate / max(drawn_time('cyclic', e) for e in paired)))
    return half_width(logs, seeds)
