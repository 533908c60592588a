"""A running average of weights."""

from __future__ import annotations

from collections.abc import Mapping

import torch

__all__ = ['WeightAverage']


class WeightAverage:
    r"""The mean of all weights added so far; with a half-life, later ones count more.

    .. math::
        \bar{w} = \frac{\sum_i 2^{-(t - t_i) / h} \, w_i}{\sum_i 2^{-(t - t_i) / h}}

    where :math:`w_i` was added at time :math:`t_i`, the last at :math:`t`, and :math:`h` is the half-life. It is kept
    as :math:`S \leftarrow 2^{-\Delta t / h} S + 1` and :math:`\bar{w} \leftarrow \bar{w} + (w - \bar{w}) / S`, so that
    the first weights count no more than their share. Without a half-life all count alike.

    Args:
        half_life (float | None): In the unit of the times, > 0. Default: ``None``.

    Attributes:
        mean (dict[str, Tensor]): The average by name, in 32 bits where the weights have fewer.
        total (float): The sum of the shares, :math:`S`.
        last (float): The time at which weights were last added.

    Example:
        >>> average = WeightAverage(half_life=1)
        >>> for t, value in enumerate([0.0, 3.0]): average.add({'w': torch.tensor(value)}, t)
        >>> average.mean['w']
        tensor(2.)

    Source:
        Izmailov et al. 2018, arXiv:1803.05407, for equal shares.
    """

    def __init__(self, half_life: float | None = None):
        self.half_life = half_life
        self.mean: dict[str, torch.Tensor] = {}
        self.total = 0.0
        self.last = 0.0

    @torch.no_grad()
    def add(self, weights: Mapping[str, torch.Tensor], t: float, share: float = 1.0) -> None:
        """Adds the weights at time ``t``, not earlier than the last, to count as a share > 0 of the total."""
        if not self.mean:
            self.mean = {name: w.detach().to(_at_least_32_bits(w.dtype), copy=True) for name, w in weights.items()}
            self.total = share
        else:
            kept = 1.0 if self.half_life is None else 2.0 ** (-(t - self.last) / self.half_life)
            self.total = kept * self.total + share
            for name, mean in self.mean.items():
                mean += (weights[name].detach() - mean) / (self.total / share)
        self.last = t


def _at_least_32_bits(dtype: torch.dtype) -> torch.dtype:
    return torch.promote_types(dtype, torch.float32) if dtype.is_floating_point else dtype
