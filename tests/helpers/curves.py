"""Points and curves with every field filled in."""

from dataclasses import replace

from composer_clr import TradeoffCurve, TradeoffPoint
from composer_clr.curves.curve import Run


def point(cycle: int = 0, **changes) -> TradeoffPoint:
    whole = TradeoffPoint(
        cycle=cycle,
        epoch=16.0,
        batch=10000,
        sample=20480000,
        token=0,
        wall_clock_train_s=4367.25,
        wall_clock_total_s=4500.5,
        lr=0.001,
        metrics={'eval/acc': 0.71},
        peak_metrics={'eval/acc': 0.72},
        checkpoint='cycle0-ba10000.pt',
    )
    return replace(whole, **changes)


def curve(*points: TradeoffPoint) -> TradeoffCurve:
    run = Run('demo', 'cyclic', 'BP+CL', seed=17, schedule={'t_0': '8ep', 'troughs': [10, 20]})
    return TradeoffCurve(run, list(points) or [point()])
