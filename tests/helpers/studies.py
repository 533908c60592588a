"""A study of four small runs, as the figures and commands read it."""

from dataclasses import replace

from composer_clr.curves.curve import Run, TradeoffCurve
from tests.helpers.curves import point


def run(kind: str, seed: int, *points: tuple[float, float, float], method: str = 'baseline', metric: str = 'eval/Acc'):
    metric = metric.replace('Acc', 'Accuracy')
    curve_points = [
        replace(point(i), epoch=epoch, wall_clock_train_s=s, metrics={metric: v}, peak_metrics={metric: v + 0.1})
        for i, (epoch, s, v) in enumerate(points)
    ]
    return TradeoffCurve(Run(f'{method}-{kind}-{seed}', kind, method, seed), curve_points)


STUDY = [
    run('cyclic', 1, (4, 10, 0.5), (8, 20, 0.6)),
    run('cyclic', 2, (4, 14, 0.7), (8, 24, 0.6)),
    run('standard', 1, (4, 12, 0.52)),
    run('standard', 1, (8, 22, 0.64)),
]
