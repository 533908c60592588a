"""The paper's figures by their numbers, to be drawn from anyone's curves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from composer_clr.cost_figure import training_time
from composer_clr.improvement_figure import improvement_over_baseline
from composer_clr.plots import accuracy_against_time, methods_beside_baseline, standard_beside_cyclic
from composer_clr.schedule_figures import constant_periods, learning_rate_and_accuracy

__all__ = ['FIGURES']

# Each takes the curves, then metric=None and peak=False, and returns the figure and what it drew on: an Axes, or a
# list of them where the figure has panels. What else one takes is in its signature.
FIGURES: dict[str, Callable[..., tuple[Any, Any]]] = {
    '1A': learning_rate_and_accuracy,
    '1B': training_time,
    '1C': accuracy_against_time,
    '2': methods_beside_baseline,
    '3': improvement_over_baseline,
    '3D': training_time,
    'S1': constant_periods,
    'S2': standard_beside_cyclic,
}
