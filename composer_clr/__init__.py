"""Accuracy-against-training-time tradeoff curves from one cyclic run, for MosaicML Composer."""

from composer_clr._version import __version__ as __version__
from composer_clr.scheduler import CyclicCosineScheduler as CyclicCosineScheduler
from composer_clr.snapshot import ParetoSnapshot as ParetoSnapshot
