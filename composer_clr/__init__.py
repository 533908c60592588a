"""Accuracy-against-training-time tradeoff curves from one cyclic run, for MosaicML Composer."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from composer_clr._version import __version__ as __version__

if TYPE_CHECKING:
    from composer_clr.batch_size import CyclicBatchSize as CyclicBatchSize
    from composer_clr.curve import TradeoffCurve as TradeoffCurve
    from composer_clr.curve import TradeoffPoint as TradeoffPoint
    from composer_clr.fast_cycles import FastCycles as FastCycles
    from composer_clr.in_cycles import InCycles as InCycles
    from composer_clr.in_step import CyclicGradientClipping as CyclicGradientClipping
    from composer_clr.in_step import CyclicMomentum as CyclicMomentum
    from composer_clr.in_step import CyclicWeightDecay as CyclicWeightDecay
    from composer_clr.scheduler import CyclicCosineScheduler as CyclicCosineScheduler
    from composer_clr.snapshot import ParetoSnapshot as ParetoSnapshot
    from composer_clr.trough_average import TroughAverage as TroughAverage

# Imported when first asked for: reading and plotting curves does not wait for torch and Composer.
_HOMES = {
    'CyclicBatchSize': 'composer_clr.batch_size',
    'CyclicCosineScheduler': 'composer_clr.scheduler',
    'CyclicGradientClipping': 'composer_clr.in_step',
    'CyclicMomentum': 'composer_clr.in_step',
    'CyclicWeightDecay': 'composer_clr.in_step',
    'InCycles': 'composer_clr.in_cycles',
    'FastCycles': 'composer_clr.fast_cycles',
    'ParetoSnapshot': 'composer_clr.snapshot',
    'TradeoffCurve': 'composer_clr.curve',
    'TradeoffPoint': 'composer_clr.curve',
    'TroughAverage': 'composer_clr.trough_average',
}

__all__ = [
    'CyclicBatchSize',
    'CyclicCosineScheduler',
    'CyclicGradientClipping',
    'CyclicMomentum',
    'CyclicWeightDecay',
    'FastCycles',
    'InCycles',
    'ParetoSnapshot',
    'TradeoffCurve',
    'TradeoffPoint',
    'TroughAverage',
    '__version__',
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
