"""Averages of the weights over the end of training so far, for any number of marks, with few copies kept."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch

from composer_clr.averaging.merging import share
from composer_clr.schedule.averages import decay_named
from composer_clr.schedule.windows import Window

__all__ = ['DecayingAverage', 'TailAverages']


class TailAverages:
    r"""Averages of the weights over windows that are known ahead, each kept from its start to its end.

    .. math::
        \bar{w} = \sum_t \bigl(d(\tau_{t-1}) - d(\tau_t)\bigr) \, w_t, \qquad
        \tau_t = \frac{t - \text{start}}{\text{end} - \text{start}}

    over the steps :math:`t` in the window, with the decay :math:`d` that the average stands for; see
    :func:`~composer_clr.averaging.merging.merging_shares`. The linear decay gives the uniform average. It is kept as a
    running mean, so that each window's average is the same, bit for bit, whichever other windows there are.

    Copies of the weights: one for each window that is open, :func:`~composer_clr.schedule.windows.most_open` at most.
    Work for a step: one pass over the weights for each.

    Args:
        windows (Iterable[Window]): The windows, in any order, with one end each.
        decay (str): ``'linear'`` (uniform), ``'cosine'`` or ``'1-sqrt'``. Default: ``'linear'``.
        device (str | None): Where the copies are kept, such as ``'cpu'``. Default: ``None``, beside the weights.

    Example:
        >>> averages = TailAverages([Window(1, 3)])
        >>> for t, value in enumerate([9.0, 1.0, 3.0]): averages.add({'w': torch.tensor(value)}, t, t + 1)
        >>> averages.mean(3)
        {'w': tensor(2.)}

    Source:
        Izmailov et al. 2018, arXiv:1803.05407, for the uniform average; Tian et al. 2025, arXiv:2507.17634, for the
        others.
    """

    def __init__(self, windows: Iterable[Window], decay: str = 'linear', device: str | None = None):
        self.decay = decay_named(decay)
        self.device = device
        self.windows = {window.end: window for window in sorted(windows, key=lambda window: window.end)}
        self._open: dict[int, _Mean] = {}

    def add(self, weights: Mapping[str, torch.Tensor], before: int, after: int) -> None:
        """Takes in the weights after the step from ``before`` to ``after``."""
        chosen = [window for window in self.windows.values() if window.start < after and before < window.end]
        values = _values(weights, self.device) if chosen else {}
        for window in chosen:
            part = share(self.decay, window.start, window.end, before, after)
            if part > 0:
                self._open.setdefault(window.end, _Mean()).add(values, part)

    def mean(self, end: int) -> dict[str, torch.Tensor]:
        """Returns the average over the window that ends at a mark, once its last step has been added."""
        return dict(self._open[end].mean)

    def close(self, until: int) -> None:
        """Drops the averages whose windows have ended by ``until``."""
        for end in [end for end in self._open if end <= until]:
            del self._open[end]

    def missing(self, t: int) -> list[Window]:
        """Returns the windows that have started by ``t`` and not ended, and of which there is no average."""
        return [w for w in self.windows.values() if w.start < t < w.end and w.end not in self._open]

    def state_dict(self) -> dict[str, Any]:
        """Returns the open averages as plain values and tensors, which ``weights_only=True`` loads."""
        return {
            str(end): {'start': self.windows[end].start, 'mean': dict(one.mean), 'total': one.total}
            for end, one in self._open.items()
        }

    def load_state_dict(self, state: Mapping[str, Any], devices: Mapping[str, torch.device]) -> None:
        """Loads the averages of the windows that exist here too.

        Args:
            state (Mapping): What :meth:`state_dict` returned.
            devices (Mapping[str, device]): Where each weight is.
        """
        self._open = {}
        for end, one in ((int(key), value) for key, value in state.items()):
            if end in self.windows and self.windows[end].start == one['start']:
                where = {name: self.device or devices[name] for name in one['mean']}
                self._open[end] = _Mean({name: m.to(where[name]) for name, m in one['mean'].items()}, one['total'])


class DecayingAverage:
    r"""The exponential average of the weights whose half-life grows with the time so far: one copy for all marks.

    .. math::
        S_t = 2^{-\Delta t / (f t)} S_{t - \Delta t} + \Delta t, \qquad
        \bar{w}_t = \bar{w}_{t - \Delta t} + (w_t - \bar{w}_{t - \Delta t}) \, \Delta t / S_t

    At each step of length :math:`\Delta t` to the time :math:`t`, all weights so far are discounted at the half-life
    :math:`f t`. So the weights of time :math:`s` count :math:`\approx (s / t)^{\ln 2 / f}` at time :math:`t`: the
    polynomial-decay average.

    Args:
        fraction (float): :math:`f`, > 0.
        device (str | None): Where the copy is kept. Default: ``None``, beside the weights.

    Example:
        >>> average = DecayingAverage(0.5)
        >>> for t, value in enumerate([0.0, 3.0]): average.add({'w': torch.tensor(value)}, t, t + 1)
        >>> average.mean(2)
        {'w': tensor(2.)}

    Source:
        Shamir and Zhang 2013, arXiv:1212.1824, section 4, for the polynomial-decay average.
    """

    def __init__(self, fraction: float, device: str | None = None):
        self.fraction = fraction
        self.device = device
        self._mean = _Mean()

    def add(self, weights: Mapping[str, torch.Tensor], before: int, after: int) -> None:
        """Takes in the weights after the step from ``before`` to ``after``."""
        if after > before:
            self._mean.total *= 2.0 ** (-(after - before) / (self.fraction * after))
            self._mean.add(_values(weights, self.device), after - before)

    def mean(self, end: int) -> dict[str, torch.Tensor]:
        """Returns the average so far."""
        del end
        return dict(self._mean.mean)

    def close(self, until: int) -> None:
        """Does nothing: the one copy serves every mark."""

    def missing(self, t: int) -> list[Window]:
        """Returns training so far, if none of it has been added."""
        return [Window(0, t)] if t and not self._mean.mean else []

    def state_dict(self) -> dict[str, Any]:
        """Returns the average as plain values and tensors, which ``weights_only=True`` loads."""
        return {'mean': dict(self._mean.mean), 'total': self._mean.total}

    def load_state_dict(self, state: Mapping[str, Any], devices: Mapping[str, torch.device]) -> None:
        """Loads what :meth:`state_dict` returned; see :meth:`TailAverages.load_state_dict`."""
        mean = state.get('mean', {})
        where = {name: self.device or devices[name] for name in mean}
        self._mean = _Mean({name: m.to(where[name]) for name, m in mean.items()}, state.get('total', 0.0))


class _Mean:
    """A running mean by shares, and their sum so far."""

    def __init__(self, mean: dict[str, torch.Tensor] | None = None, total: float = 0.0):
        self.mean = mean or {}
        self.total = total

    @torch.no_grad()
    def add(self, values: Mapping[str, torch.Tensor], part: float) -> None:
        self.total += part
        if self.mean:
            # The optimizers of torch use the same kernels: one launch for many tensors.
            means, news = list(self.mean.values()), [values[name] for name in self.mean]
            torch._foreach_lerp_(means, news, part / self.total)  # type: ignore[reportPrivateImportUsage]
        else:
            self.mean = {name: value.clone() for name, value in values.items()}


def _values(weights: Mapping[str, torch.Tensor], device: str | None) -> dict[str, torch.Tensor]:
    """Returns the floating-point and complex weights where they are averaged, in 32 bits or more."""
    return {
        name: weight.detach().to(device or weight.device, torch.promote_types(weight.dtype, torch.float32))
        for name, weight in weights.items()
        if weight.dtype.is_floating_point or weight.dtype.is_complex
    }
