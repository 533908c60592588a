"""The best value of each metric within a window before a trough."""

from __future__ import annotations

import math
from collections.abc import Mapping

from composer_clr.curves.metrics import is_lower_better

__all__ = ['PeakWindow']


class PeakWindow:
    r"""Keeps the evaluations that the peak of the next trough may include.

    The peak of a metric at trough :math:`b` is its best value over the evaluations at times in :math:`[b - w, b]`,
    never before the cycle's restart. NaN values are ignored.

    Args:
        length (int): The window :math:`w`, in the unit that the cycles are counted in, :math:`\ge 0`.
        directions (Mapping[str, str]): ``'max'`` or ``'min'`` by metric, where the name does not decide it.
        seen (list[tuple[int, dict[str, float]]]): Evaluations since the restart, each its time and metrics.

    Example:
        >>> window = PeakWindow(length=5, directions={})
        >>> window.note(4, {'eval/accuracy': 0.9}, trough=10)
        >>> window.note(6, {'eval/accuracy': 0.7}, trough=10)
        >>> window.peaks({'eval/accuracy': 0.6})
        {'eval/accuracy': 0.7}
    """

    def __init__(
        self, length: int, directions: Mapping[str, str], seen: list[tuple[int, dict[str, float]]] | None = None
    ):
        self.length = length
        self.directions = directions
        self.seen = [] if seen is None else seen

    def note(self, t: int, metrics: dict[str, float], trough: int | None) -> None:
        """Keeps an evaluation if the next trough's window reaches back to it."""
        if trough is not None and self.length and metrics and t >= trough - self.length:
            self.seen.append((t, metrics))

    def peaks(self, at_trough: Mapping[str, float]) -> dict[str, float]:
        """Returns the best of the evaluations kept and of the values at the trough itself."""
        best = {}
        for name, value in at_trough.items():
            values = [*(metrics[name] for _, metrics in self.seen if name in metrics), value]
            choose = min if is_lower_better(name, self.directions) else max
            best[name] = choose((one for one in values if not math.isnan(one)), default=math.nan)
        return best

    def restart(self) -> None:
        """Forgets the evaluations of the cycle that has ended."""
        self.seen.clear()
