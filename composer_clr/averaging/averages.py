"""Averages of the weights over windows of training, with few copies kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch

from composer_clr.schedule.averages import Window, decay_named

__all__ = ['DecayingAverage', 'Mean', 'TailAverages', 'share', 'to_average']

Weights = Mapping[str, torch.Tensor]


def share(decay: Callable[[float], float], start: float, end: float, before: float, after: float) -> float:
    """Returns the share of the step from ``before`` to ``after`` in an average over ``(start, end]``.

    With :math:`w_j = w_{j-1} + u_j`, shares :math:`d(\\tau_{j-1}) - d(\\tau_j)` scale each update as the decay would
    have scaled its learning rate (Tian et al. 2025, arXiv:2507.17634). The linear decay is the uniform average.

    Example:
        >>> from composer_clr.schedule.shapes import linear
        >>> share(linear, start=6, end=8, before=6, after=7), share(linear, start=6, end=8, before=5, after=6)
        (0.5, 0.0)
    """
    tau_before, tau_after = (min(max((t - start) / (end - start), 0.0), 1.0) for t in (before, after))
    return decay(tau_before) - decay(tau_after)


def to_average(weights: Weights, device: str | None = None) -> Weights:
    """Returns the floating-point and complex weights where they are averaged, in 32 bits or more."""
    return {
        name: weight.detach().to(device or weight.device, torch.promote_types(weight.dtype, torch.float32))
        for name, weight in weights.items()
        if weight.dtype.is_floating_point or weight.dtype.is_complex
    }


class Mean:
    """A running mean of weights by shares; :func:`to_average` makes them ready."""

    def __init__(self, mean: dict[str, torch.Tensor] | None = None, total: float = 0.0):
        self.mean = mean or {}
        self.total = total

    @torch.no_grad()
    def add(self, values: Weights, part: float = 1.0) -> None:
        self.total += part
        if self.mean:
            # The optimizers of torch use the same kernels: one launch for many tensors.
            news = [values[name] for name in self.mean]
            torch._foreach_lerp_(list(self.mean.values()), news, part / self.total)  # type: ignore[reportPrivateImportUsage]
        else:
            self.mean = {name: value.clone() for name, value in values.items()}


class TailAverages:
    """Averages over windows that end at troughs or marks, a copy of the weights for each window that is open."""

    def __init__(
        self, windows: Iterable[Window], decay: str | Callable[[Window], Callable] = 'linear', device: str | None = None
    ):
        self._decay: Callable[[Window], Callable] = decay if callable(decay) else lambda _: decay_named(decay)
        self.device = device
        self.windows = {window.end: window for window in sorted(windows, key=lambda window: window.end)}
        self._open: dict[int, Mean] = {}

    def add(self, weights: Weights, before: int, after: int) -> None:
        """Takes in the weights after the step from ``before`` to ``after``."""
        chosen = [window for window in self.windows.values() if window.start < after and before < window.end]
        values = to_average(weights, self.device) if chosen else {}
        for window in chosen:
            part = share(self._decay(window), window.start, window.end, before, after)
            if part > 0:
                self._open.setdefault(window.end, Mean()).add(values, part)

    def mean(self, end: int) -> dict[str, torch.Tensor]:
        """Returns the average over the window that ends there, once its last step has been added."""
        return dict(self._open[end].mean)

    def close(self, until: int) -> None:
        """Drops the averages whose windows have ended."""
        self._open = {end: mean for end, mean in self._open.items() if end > until}

    def missing(self, t: int) -> list[Window]:
        """Returns the windows that are under way, and of which there is no average."""
        return [w for w in self.windows.values() if w.start < t < w.end and w.end not in self._open]

    def state_dict(self) -> dict[str, Any]:
        """Returns the open averages as plain values and tensors, which ``weights_only=True`` loads."""
        return {
            str(end): {'start': self.windows[end].start, 'mean': dict(one.mean), 'total': one.total}
            for end, one in self._open.items()
        }

    def load_state_dict(self, state: Mapping[str, Any], devices: Mapping[str, torch.device]) -> None:
        """Loads averages, but of windows that start elsewhere here, to the device or to where each weight is."""
        for end, kept in ((int(key), value) for key, value in state.items()):
            if self.windows.setdefault(end, Window(kept['start'], end)).start == kept['start']:
                mean = {name: tensor.to(self.device or devices[name]) for name, tensor in kept['mean'].items()}
                self._open[end] = Mean(mean, kept['total'])


class DecayingAverage(TailAverages):
    r"""The exponential average whose half-life is a part :math:`f` of the time so far: one copy for all marks.

    .. math::
        S_t = 2^{-\Delta t / (f t)} S_{t - \Delta t} + \Delta t, \qquad
        \bar{w}_t = \bar{w}_{t - \Delta t} + (w_t - \bar{w}_{t - \Delta t}) \, \Delta t / S_t

    The weights of time :math:`s` count :math:`\approx (s / t)^{\ln 2 / f}` at time :math:`t`: the polynomial-decay
    average of Shamir and Zhang 2013, arXiv:1212.1824, section 4.
    """

    def __init__(self, fraction: float, device: str | None = None):
        super().__init__([Window(0, 0)], device=device)
        self.fraction = fraction

    def add(self, weights: Weights, before: int, after: int) -> None:
        if after > before:
            mean = self._open.setdefault(0, Mean())
            mean.total *= 2.0 ** (-(after - before) / (self.fraction * after))
            mean.add(to_average(weights, self.device), after - before)

    def mean(self, end: int) -> dict[str, torch.Tensor]:
        del end
        return super().mean(0)

    def close(self, until: int) -> None:
        """Does nothing: the one copy serves every mark."""

    def missing(self, t: int) -> list[Window]:
        return [Window(0, t)] if t and not self._open else []
