"""A curve's mean as a line: its values at places, and the places where it reaches values, with intervals over seeds."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from composer_clr.study.curve import Curve
from composer_clr.study.estimates import TIE, Array, figures, student_t

__all__ = ['ROUGH', 'Line', 'quotient']

# An end of an interval, which is the root of a polynomial, is found to this.
ROUGH = 1e-7
_MOST_NUMBERS = 2_000_000


class Line(NamedTuple):
    """A curve's mean along the logarithm of counts or times: straight pieces, each with the influence of the seeds.

    Attributes:
        x (Array): Where each piece begins and ends. Shape ``(2, pieces)``.
        value (Array): The mean there, turned so that more is better. Shape ``(2, pieces)``.
        influence (Array): How far each seed moves the value at that place, as of :class:`Figures`; along times, by its
            own times too. Shape ``(2, seeds, pieces)``.
        seeds (int): The number of seeds.
    """

    x: Array
    value: Array
    influence: Array
    seeds: int

    @classmethod
    def of(cls, curve: Curve, axis: str) -> Line:
        """Returns the line of a curve along ``'time'``, or what it counts."""
        values, x = figures(curve.sign * curve.value), np.log(curve.positions(axis))
        later = figures(curve.time_s).influence / np.exp(x) if axis == 'time' else np.zeros_like(values.influence)
        order = np.argsort(x, kind='stable')
        order = order if len(order) > 1 else order[[0, 0]]
        x, value, moved, later = x[order], values.value[order], values.influence[:, order], later[:, order]
        # A seed that is later than others is worse at a given time, by the slope.
        shift = quotient(value[1:] - value[:-1], x[1:] - x[:-1]) * np.stack([later[:, :-1], later[:, 1:]])
        ends = [np.stack([one[..., :-1], one[..., 1:]]) for one in (x, value, moved)]
        return cls(ends[0], ends[1], ends[2] - shift, int(values.seeds.min()))

    def at(self, x: Array, within: Array | None = None) -> tuple[Array, Array, Array]:
        """Returns values, influences and slopes at places; of the pieces that other places lie in, if they are given.

        Shapes ``(places,)``, ``(seeds, places)`` and ``(places,)``.
        """
        piece = np.searchsorted(self.x[0], x if within is None else within, side='right') - 1
        piece = np.clip(piece, 0, self.x.shape[1] - 1)
        (first, last), value, moved = self.x[:, piece], self.value[:, piece], self.influence[:, :, piece]
        share = np.clip(quotient(x - first, last - first), 0, 1)
        slope = quotient(value[1] - value[0], last - first)
        return (1 - share) * value[0] + share * value[1], (1 - share) * moved[0] + share * moved[1], slope

    def best_within(self, x: float) -> tuple[float, Array]:
        """Returns the best value up to a place, and the influence of the seeds on it."""
        before = self.x.ravel()[self.x.ravel() <= x + TIE]
        values, moved, _ = self.at(np.append(before, np.clip(x, self.x[0, 0], self.x[1, -1])))
        best = int(values.argmax())
        return float(values[best]), moved[:, best]

    def minus(self, other: Line) -> Line | None:
        """Returns the difference of two lines over the same seeds; ``None`` where they do not overlap."""
        knots = np.unique(np.concatenate([self.x, other.x], axis=1))
        first, last = max(self.x[0, 0], other.x[0, 0]), min(self.x[1, -1], other.x[1, -1])
        knots = knots[(knots >= first) & (knots <= last)]
        if len(knots) < 2:
            return None
        ends = np.stack([knots[:-1], knots[1:]])
        one, two = ([line.at(x, ends.mean(axis=0)) for x in ends] for line in (self, other))
        a, b = (np.stack([end[0] for end in line]) for line in (one, two))
        lead = np.where(np.abs(a - b) <= TIE * np.maximum(np.abs(a), np.abs(b)), 0.0, a - b)
        moved = np.stack([mine[1] - others[1] for mine, others in zip(one, two, strict=True)])
        return Line(ends, lead, moved, min(self.seeds, other.seeds))

    def places(
        self, targets: Array, moved: Array | float = 0.0, later: Array | float = 0.0
    ) -> tuple[Array, Array, Array]:
        """Returns where the line, or an end of its interval, may pass targets, each with line - target, and half of the
        95% interval of that. Shapes ``(targets, places)``, in order.
        """
        length = self.x[1] - self.x[0]
        v0, rise = self.value[0] - targets[:, None], self.value[1] - self.value[0]
        shift = np.asarray(later)[..., None] * quotient(rise, length) - np.asarray(moved)[..., None]
        e0, risen = self.influence[0] + shift, self.influence[1] - self.influence[0]
        # The squared standard error is a polynomial of the share of a piece.
        square, mixed, growth = (e0**2).sum(axis=-2), (e0 * risen).sum(axis=-2), (risen**2).sum(axis=-2)
        q = float(student_t(self.seeds - 1)) ** 2 if self.seeds > 1 else 0.0
        square, mixed, growth = (np.nan_to_num(q * one) for one in (square, mixed, growth))
        a, b, c = rise**2 - growth, 2 * (v0 * rise - mixed), v0**2 - square
        with np.errstate(divide='ignore', invalid='ignore', over='ignore'):
            root = np.sqrt(np.maximum(b * b - 4 * a * c, 0))
            roots = [0 * v0, (-b - root) / (2 * a), (-b + root) / (2 * a), -v0 / rise, -c / b, 0 * v0 + 1]
        shares = np.stack(np.broadcast_arrays(*roots))
        shares = np.sort(np.where((shares >= 0) & (shares < 1), shares, 1.0), axis=0)
        half = np.sqrt(np.maximum(square + shares * (2 * mixed + shares * growth), 0))
        found = (self.x[0] + shares * length, v0 + shares * rise, half)
        x, lead, half = (np.moveaxis(one, 0, 2).reshape(len(targets), -1) for one in found)
        return x, lead, half

    def reach(self, targets: Array, moved: Array | float = 0.0, later: Array | float = 0.0) -> Array:
        r"""Returns where the line first reaches values, with the ends of the 95% intervals: as logarithms.

        Between points :math:`\ln t = (1 - \lambda) \ln t_a + \lambda \ln t_b`, :math:`\lambda = (v - v_a) / (v_b -
        v_a)`. An interval goes from where the upper end of the value's interval first reaches the target to where its
        lower end does. So it is not symmetric, and as exact as Student's interval of the value.

        ``moved`` is the influence of the seeds on each target, ``later`` that on the logarithm which the place is
        subtracted from, of shape ``(targets, seeds)``. Places, lower and upper ends have shape ``(3, targets)``: a
        place is NaN if it is not reached, ``-inf`` if it was before the line begins; ends are infinite where the line
        does not tell, NaN without an interval.
        """
        step = max(1, _MOST_NUMBERS // self.influence[0].size)
        found = np.full((3, len(targets)), np.nan)
        for part in (slice(i, i + step) for i in range(0, len(targets), step)):
            x, lead, half = self.places(
                targets[part], *(one[part] if isinstance(one, np.ndarray) else one for one in (moved, later))
            )
            rough, slack = ROUGH * np.maximum(np.abs(lead), half), TIE * np.abs(targets[part, None])
            for row, holds in enumerate((lead >= -slack, lead + half >= -rough, lead - half >= -rough)):
                found[row, part] = np.where(
                    holds.any(axis=1), x[np.arange(len(x)), holds.argmax(axis=1)], np.nan if row == 0 else np.inf
                )
        found[0, self.value[0, 0] > targets + TIE * np.abs(targets)] = -np.inf
        found[1, found[1] <= self.x[0, 0]] = -np.inf
        found[1:, np.isnan(found[0]) | (self.seeds < 2)] = np.nan
        return found


def quotient(rise: Array, length: Array) -> Array:
    """Returns a slope; 0 where the length is not above 0."""
    return np.divide(rise, length, out=np.zeros(np.broadcast(length, rise).shape), where=length > 0)
