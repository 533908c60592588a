"""Small curves to compare, by default of 100 s per epoch."""

import numpy as np

from composer_clr.curves.curve import Run, TradeoffCurve, TradeoffPoint
from composer_clr.study.curve import Curve

ACC = 'eval/MulticlassAccuracy'


def point(epoch, value, time_s=None, metric=ACC, peak=None, batch=0):
    peaks = {} if peak is None else {metric: peak}
    time_s = 100.0 * epoch if time_s is None else time_s
    return TradeoffPoint(0, epoch, batch, 0, 0, time_s, time_s, 0.0, {metric: value}, peaks)


def run(method, kind, points, seed=None, name='r', metric=ACC):
    return TradeoffCurve(Run(name, kind, method, seed), [point(*p, metric=metric) for p in points])


def standard_runs(method, points, seed=None, metric=ACC):
    return [run(method, 'standard', [p], seed, f's{p[0]}', metric) for p in points]


def line(epochs, values, times=None, method='m', kind='cyclic'):
    """Returns a curve; values and times of one seed, or of shape (seeds, points)."""
    count, values = np.array(epochs, dtype=float), np.atleast_2d(np.array(values, dtype=float))
    times = np.broadcast_to(100.0 * count if times is None else np.array(times, dtype=float), values.shape)
    counts, ranks = np.broadcast_to(count, values.shape), np.ones(values.shape)
    seeds = tuple(f'seed {i}' for i in range(len(values)))
    return Curve(method, kind, 'epoch', seeds, count, values, times, ranks, times, counts, counts, (1.0,), ())
