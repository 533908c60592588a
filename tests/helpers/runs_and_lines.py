"""Small curves to compare, by default of 100 s per epoch."""

import numpy as np

from composer_clr.analysis.mean_curve import MeanCurve
from composer_clr.curves.curve import Run, TradeoffCurve, TradeoffPoint

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
    times = [100.0 * epoch for epoch in epochs] if times is None else times
    samples = tuple({'seed 1': value} for value in values)
    epoch, time_s, value = (np.array(column, dtype=float) for column in (epochs, times, values))
    return MeanCurve(method, kind, epoch, time_s, value, samples)
