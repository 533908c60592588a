"""Accuracy-against-training-time tradeoff curves from one cyclic run, for MosaicML Composer."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = '0.1.0'

if TYPE_CHECKING:
    from composer_clr.algorithms.batch_size import CyclicBatchSize as CyclicBatchSize
    from composer_clr.algorithms.hyperparameters import CyclicGradientClipping as CyclicGradientClipping
    from composer_clr.algorithms.hyperparameters import CyclicMomentum as CyclicMomentum
    from composer_clr.algorithms.hyperparameters import CyclicWeightDecay as CyclicWeightDecay
    from composer_clr.algorithms.in_cycles import InCycles as InCycles
    from composer_clr.averaging.anytime import AnytimeAverage as AnytimeAverage
    from composer_clr.averaging.fast_cycles import FastCycles as FastCycles
    from composer_clr.averaging.schedule_free import ScheduleFree as ScheduleFree
    from composer_clr.averaging.trough_average import TroughAverage as TroughAverage
    from composer_clr.curves.curve import TradeoffCurve as TradeoffCurve
    from composer_clr.curves.curve import TradeoffPoint as TradeoffPoint
    from composer_clr.recording.pareto_snapshot import ParetoSnapshot as ParetoSnapshot
    from composer_clr.schedule.cycle_ends import ends_by_ratio as ends_by_ratio
    from composer_clr.schedule.cycle_ends import ends_log_spaced as ends_log_spaced
    from composer_clr.schedule.scheduler import AnytimeScheduler as AnytimeScheduler
    from composer_clr.schedule.scheduler import CyclicCosineScheduler as CyclicCosineScheduler
    from composer_clr.schedule.study_scheduler import study_scheduler as study_scheduler

# Imported when first asked for: reading and plotting curves does not wait for torch and Composer.
_HOMES = {
    'AnytimeAverage': 'composer_clr.averaging.anytime',
    'AnytimeScheduler': 'composer_clr.schedule.scheduler',
    'CyclicBatchSize': 'composer_clr.algorithms.batch_size',
    'CyclicCosineScheduler': 'composer_clr.schedule.scheduler',
    'CyclicGradientClipping': 'composer_clr.algorithms.hyperparameters',
    'CyclicMomentum': 'composer_clr.algorithms.hyperparameters',
    'CyclicWeightDecay': 'composer_clr.algorithms.hyperparameters',
    'InCycles': 'composer_clr.algorithms.in_cycles',
    'FastCycles': 'composer_clr.averaging.fast_cycles',
    'ParetoSnapshot': 'composer_clr.recording.pareto_snapshot',
    'ScheduleFree': 'composer_clr.averaging.schedule_free',
    'TradeoffCurve': 'composer_clr.curves.curve',
    'TradeoffPoint': 'composer_clr.curves.curve',
    'TroughAverage': 'composer_clr.averaging.trough_average',
    'ends_by_ratio': 'composer_clr.schedule.cycle_ends',
    'ends_log_spaced': 'composer_clr.schedule.cycle_ends',
    'study_scheduler': 'composer_clr.schedule.study_scheduler',
}

__all__ = [
    'AnytimeAverage',
    'AnytimeScheduler',
    'CyclicBatchSize',
    'CyclicCosineScheduler',
    'CyclicGradientClipping',
    'CyclicMomentum',
    'CyclicWeightDecay',
    'FastCycles',
    'InCycles',
    'ParetoSnapshot',
    'ScheduleFree',
    'TradeoffCurve',
    'TradeoffPoint',
    'TroughAverage',
    '__version__',
    'ends_by_ratio',
    'ends_log_spaced',
    'study_scheduler',
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
