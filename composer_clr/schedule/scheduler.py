"""The learning rate schedule: linear warmup, then cosine cycles of growing period."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from fractions import Fraction
from itertools import pairwise
from typing import Any

from composer.core import State, Time, TimeUnit
from composer.optim import ComposerScheduler

from composer_clr.schedule.cycles import Cycles, geometric_ends, nearest_end
from composer_clr.schedule.shapes import CycleShape, cycle_shape, stretch
from composer_clr.schedule.times import common_unit, horizon, in_unit, increasing, now, parse_time, spell

__all__ = ['CyclicCosineScheduler', 'warn_if_cut']


class CyclicCosineScheduler(ComposerScheduler):
    r"""Stepwise multiplicative cosine restarts: every trough is a point of the tradeoff curve.

    .. math::
        \alpha(t) = \begin{cases}
            t / t_{warmup} & t < t_{warmup} \\
            \alpha_f + (1 - \alpha_f) \frac{1}{2} (1 + \cos(\pi \tau_i)) & \text{otherwise}
        \end{cases}
        \qquad \tau_i = \frac{t - b_i}{b_{i+1} - b_i}

    where cycle :math:`i` runs from its restart :math:`b_i` to its trough :math:`b_{i+1}`, with :math:`b_0 = t_{warmup}`
    and :math:`b_{k+1} = \operatorname{round}(t_{warmup} + t_0 \sum_{i=0}^{k} t_{mult}^i)`.

    Other shapes than the cosine, by ``shape``, ``peak_decay``, ``t_rewarmup`` and ``t_hold``, stand in place of the
    second line; their formula is at :class:`~composer_clr.schedule.shapes.CycleShape`. Whatever the shape, the troughs
    are in the same places and the multiplier comes down to ``alpha_f`` at each. With ``t_hold`` the schedule is the
    WSD-S of the literature: from each trough it goes on at the constant rate, and decays only before the next.

    The warmup is part of the schedule, since of several schedulers Composer applies only the last. The first cycle is,
    bit for bit, Composer's ``CosineAnnealingWithWarmupScheduler`` run to the first trough.

    ``scale_schedule_ratio`` scales every time, warmup included, :math:`\alpha_{ssr}(t) = \alpha(t / ssr)`, so that the
    last trough stays the end of training. (Composer's own schedulers leave the warmup unscaled by default.)

    Composer steps schedulers before it advances the clock, so batch :math:`k`, counted from 0, trains at
    :math:`\alpha(\max(k - 1, 0))`, here as with every scheduler of Composer's.

    Args:
        t_0 (str | Time): Period of the first cycle, > 0, in ``ep``, ``ba``, ``sp``, ``tok`` or ``dur``.
        t_mult (float | Fraction): Period of a cycle over that of the one before, >= 1; 1 gives a constant period.
            Default: ``2.0``.
        t_warmup (str | Time): Length of the linear warmup, >= 0. Default: ``'0ba'``.
        alpha_f (float): Multiplier that each cycle decays to, in [0, 1]. Default: ``0.0``.
        cycle_ends (Sequence[str | Time]): The troughs spelled out, in increasing order, in place of ``t_0`` and
            ``t_mult``. After the last one the multiplier stays at ``alpha_f``. Default: ``None``.
        shape (str): How a cycle decays: ``'cosine'``, ``'linear'``, ``'1-sqrt'``, or ``'triangle'``, which rises along
            a line through the first half of each cycle and falls along one through the second (a warmup takes the
            place of the first cycle's rise). Default: ``'cosine'``.
        peak_decay (float | Sequence[float] | str | None): What the peak is multiplied by at every restart, in (0, 1];
            or a list, a factor for each restart in turn; or ``'sqrt'``, which makes the peak of cycle :math:`i`
            :math:`\min(1, \sqrt{T_0 / T_i})`, :math:`T_i` being its period. Default: ``None``, every peak is 1.
        t_rewarmup (str | Time | float | None): Length of a linear rise from ``alpha_f`` to the peak after each restart,
            in place of the jump: a time, or a part of each cycle in [0, 1). Cycle 0 has ``t_warmup``. Default:
            ``None``, the jump.
        t_hold (str | Time | float | None): Length of a constant part before each decay: a time, or a part of each cycle
            in [0, 1), such as 0.9 to decay through the last tenth. Default: ``None``, none.

    Raises:
        ValueError: On construction, if an argument is out of range. On the first use, if the times cannot be converted
            into each other, need a dataloader length that there is none of, the warmup goes past the first trough, or
            the shape does not fit into every cycle of the run.

    Example:
        The paper's schedule: troughs at 16, 32, 64, 128, 256 and 512 epochs.

        >>> from composer_clr import CyclicCosineScheduler
        >>> CyclicCosineScheduler(t_0='8ep', t_mult=2, t_warmup='8ep')
        CyclicCosineScheduler(t_0='8ep', t_mult=2, t_warmup='8ep', alpha_f=0.0)

        Troughs of one's own choice:

        >>> CyclicCosineScheduler(cycle_ends=['16ep', '24ep', '60ep'], t_warmup='8ep')
        CyclicCosineScheduler(cycle_ends=['16ep', '24ep', '60ep'], t_warmup='8ep', alpha_f=0.0)

        WSD-S with the (1-sqrt) decay through the last tenth of each cycle:

        >>> CyclicCosineScheduler(t_0='8ep', t_warmup='8ep', shape='1-sqrt', t_hold=0.9)
        CyclicCosineScheduler(t_0='8ep', t_mult=2.0, t_warmup='8ep', alpha_f=0.0, shape='1-sqrt', t_hold=0.9)

    Source:
        Portes et al. 2022, arXiv:2206.00832; cosine restarts, and peaks that decay, after Loshchilov and Hutter 2017,
        arXiv:1608.03983; the triangle after Smith 2017, arXiv:1506.01186; a hold before the decay (WSD) after Hu et al.
        2024, arXiv:2404.06395, in cycles (WSD-S) after Wen et al. 2024, arXiv:2410.05192; the (1-sqrt) decay after
        Hägele et al. 2024, arXiv:2405.18392.
    """

    def __init__(
        self,
        t_0: str | Time | None = None,
        t_mult: float | Fraction = 2.0,
        t_warmup: str | Time = '0ba',
        alpha_f: float = 0.0,
        cycle_ends: Sequence[str | Time] | None = None,
        *,
        shape: str = 'cosine',
        peak_decay: float | Sequence[float] | str | None = None,
        t_rewarmup: str | Time | float | None = None,
        t_hold: str | Time | float | None = None,
    ):
        self.t_warmup = parse_time('t_warmup', t_warmup)
        if self.t_warmup.value < 0:
            raise ValueError(f'{t_warmup=!s}: the warmup cannot be negative; 0ba is none')
        if isinstance(alpha_f, bool) or not isinstance(alpha_f, (int, float)) or not 0 <= alpha_f <= 1:
            raise ValueError(f'{alpha_f=}: a multiplier to decay to lies between 0 and 1')
        self.alpha_f = alpha_f
        self.t_0: Time | None = None
        self.t_mult = t_mult
        self.cycle_ends: list[Time] | None = None
        if cycle_ends is None:
            self.t_0 = self._checked_period(t_0)
        else:
            self.cycle_ends = self._checked_ends(t_0, cycle_ends)
        self.shape = shape
        self.peak_decay = peak_decay
        self.t_rewarmup = _checked_length('t_rewarmup', t_rewarmup)
        self.t_hold = _checked_length('t_hold', t_hold)
        # What can be told of the shape without a run; its lengths are counted once there is one.
        self._cycle_shape({name: Fraction(time.value) for name, time in self._times().items()})
        self._resolved: tuple[tuple, Cycles, TimeUnit] | None = None
        self._attached_under: tuple | None = None

    def _checked_period(self, t_0: str | Time | None) -> Time:
        if t_0 is None:
            raise ValueError("t_0 is missing: give the period of the first cycle ('8ep'), or the troughs as cycle_ends")
        period = parse_time('t_0', t_0)
        if period.value <= 0:
            raise ValueError(f"t_0='{spell(period)}': the first cycle needs a length above 0")
        mult = self.t_mult
        if isinstance(mult, bool) or not isinstance(mult, (int, float, Fraction)) or not 1 <= mult < math.inf:
            raise ValueError(
                f't_mult={mult!r}: periods must not shrink, give a finite number >= 1 (1: constant period)'
            )
        return period

    def _checked_ends(self, t_0: str | Time | None, cycle_ends: Sequence[str | Time]) -> list[Time]:
        if t_0 is not None or self.t_mult != 2.0:
            raise ValueError(f'cycle_ends stands in place of t_0={t_0!r} and t_mult={self.t_mult!r}: give one or other')
        if isinstance(cycle_ends, (str, Time)) or len(cycle_ends) == 0:
            raise ValueError(
                f"cycle_ends={cycle_ends!r}: give a list with at least one trough, such as ['16ep', '24ep']"
            )
        ends = [parse_time(f'cycle_ends[{i}]', end) for i, end in enumerate(cycle_ends)]
        spelled = [spell(end) for end in ends]
        if ends[0].value <= 0:
            raise ValueError(f'cycle_ends={spelled}: the first trough must come after the start of training')
        if not increasing(ends):
            raise ValueError(f'cycle_ends={spelled}: list the troughs in strictly increasing order')
        if self.t_warmup.value and not increasing([self.t_warmup, ends[0]]):
            raise ValueError(
                f"t_warmup='{spell(self.t_warmup)}' does not end before the first trough, cycle_ends[0]='{spelled[0]}':"
                ' shorten the warmup or move the trough'
            )
        return ends

    def __call__(self, state: State, ssr: float = 1.0) -> float:
        """The multiplier alpha at ``state.timestamp``.

        Args:
            state (State): The trainer's state.
            ssr (float): Composer's scale schedule ratio, > 0. Default: ``1.0``.

        Returns:
            float: The learning rate multiplier, in [0, 1].
        """
        if ssr != 1.0 and not state.schedulers and self._mixes_dur():
            # The Trainer's constructor asks for alpha(0) before it has scaled max_duration, of which 'dur' is a part.
            return 0.0 if self.t_warmup.value else 1.0
        cycles, unit = self.cycles(state, ssr)
        t = now(state, unit)
        if state.schedulers:
            self._check_attached(state, cycles, unit, t)
        return cycles.multiplier(t, self.alpha_f)

    def cycles(self, state: State, ssr: float = 1.0) -> tuple[Cycles, TimeUnit]:
        """The cycles of this run, and the unit that they are counted in.

        Raises:
            ValueError: As listed at the class.
        """
        loader_length, duration = state.dataloader_len, state.max_duration
        under = (
            ssr,
            None if loader_length is None else loader_length.value,
            None if duration is None else (duration.value, duration.unit),
        )
        if self._resolved is None or self._resolved[0] != under:
            cycles, unit = self._resolve(state, ssr)
            # The Trainer's constructor asks before it has scaled max_duration, which the next call then checks against.
            scaled = bool(state.schedulers) or ssr == 1.0
            until = horizon(state, unit) if scaled else cycles.start + 1
            if until is None:
                # How many cycles the run has is not known; the first restart is where most of what is wrong shows.
                until = (cycles.next_trough(cycles.start) or cycles.start) + 1
            cycles.check_shape(until, self.alpha_f)
            self._resolved = (under, cycles, unit)
        return self._resolved[1], self._resolved[2]

    def troughs(self, state: State, ssr: float = 1.0) -> list[Time]:
        """The troughs up to ``max_duration``, in the unit that they are counted in.

        Batches for times given in ``ep`` or ``ba``, and for ``dur`` of a duration in those; samples and tokens in
        their own.

        Raises:
            ValueError: If ``max_duration`` is not set or cannot be counted in the schedule's unit.
        """
        cycles, unit = self.cycles(state, ssr)
        until = horizon(state, unit)
        if until is None:
            raise ValueError(
                f'max_duration={state.max_duration} cannot be counted in {unit.value!r}, the unit of the schedule: '
                'give both in the same unit'
            )
        return [Time(trough, unit) for trough in cycles.troughs(until)]

    def describe(self) -> dict[str, object]:
        """The arguments as plain values, for the record of a run."""
        if self.cycle_ends is not None:
            periods: dict[str, object] = {'cycle_ends': [spell(end) for end in self.cycle_ends]}
        else:
            assert self.t_0 is not None
            t_mult = self.t_mult if isinstance(self.t_mult, int) else float(self.t_mult)
            periods = {'t_0': spell(self.t_0), 't_mult': t_mult}
        given = {
            'shape': self.shape if self.shape != 'cosine' else None,
            'peak_decay': _plain(self.peak_decay),
            't_rewarmup': _plain(self.t_rewarmup),
            't_hold': _plain(self.t_hold),
        }
        other = {name: value for name, value in given.items() if value is not None}
        return {**periods, 't_warmup': spell(self.t_warmup), 'alpha_f': self.alpha_f, **other}

    def __repr__(self) -> str:
        return f'{type(self).__name__}({", ".join(f"{name}={value!r}" for name, value in self.describe().items())})'

    def _times(self) -> dict[str, Time]:
        if self.cycle_ends is not None:
            times = {f'cycle_ends[{i}]': end for i, end in enumerate(self.cycle_ends)}
        else:
            assert self.t_0 is not None
            times = {'t_0': self.t_0}
        lengths = {'t_warmup': self.t_warmup, 't_rewarmup': self.t_rewarmup, 't_hold': self.t_hold}
        return times | {name: length for name, length in lengths.items() if isinstance(length, Time)}

    def _cycle_shape(self, exact: Mapping[str, Fraction]) -> CycleShape | None:
        """The shape of the cycles, its lengths taken from what they come to in the unit of the cycles."""

        def counted(name: str, _: object) -> float:
            return float(exact.get(name, 0))

        return cycle_shape(
            self.shape,
            self.peak_decay,
            stretch('t_rewarmup', self.t_rewarmup, counted),
            stretch('t_hold', self.t_hold, counted),
            warmed_up=bool(self.t_warmup.value),
        )

    def _mixes_dur(self) -> bool:
        units = {time.unit for time in self._times().values() if time.value}
        return TimeUnit.DURATION in units and len(units) > 1

    def _resolve(self, state: State, ssr: float) -> tuple[Cycles, TimeUnit]:
        if ssr <= 0:
            raise ValueError(f'scale_schedule_ratio={ssr}: give a ratio above 0')
        times = self._times()
        unit = common_unit(times, state)
        exact = {name: in_unit(name, time, state, ssr) for name, time in times.items() if time.value}
        shape = self._cycle_shape(exact)
        warmup = exact.get('t_warmup', Fraction(0))
        if self.t_0 is not None:
            if exact['t_0'] < 1:
                raise ValueError(
                    f"t_0='{spell(self.t_0)}' at scale_schedule_ratio={ssr:g} makes a first cycle of "
                    f'{float(exact["t_0"]):g}{unit.value}: it must be at least 1{unit.value} long'
                )
            return Cycles(round(warmup), geometric_ends(warmup, exact['t_0'], self.t_mult), shape), unit
        ends = [round(exact[f'cycle_ends[{i}]']) for i in range(len(self.cycle_ends or ()))]
        if round(warmup) >= ends[0]:
            raise ValueError(
                f"t_warmup='{spell(self.t_warmup)}' does not end before the first trough, "
                f"cycle_ends[0]='{spell(self.cycle_ends[0])}': shorten the warmup or move the trough"  # type: ignore
            )
        if any(b <= a for a, b in pairwise(ends)):
            counted = [f'{end}{unit.value}' for end in ends]
            raise ValueError(
                f'cycle_ends={[spell(end) for end in self.cycle_ends or ()]} come to {counted} in this run: '
                'list the troughs in strictly increasing order'
            )
        return Cycles(round(warmup), ends, shape), unit

    def _check_attached(self, state: State, cycles: Cycles, unit: TimeUnit, t: int) -> None:
        """What can be told only once the Trainer is set up, looked at once for each duration of the run."""
        if t == 0 and state.timestamp.batch.value > 0:
            raise ValueError(
                f'the schedule is counted in {unit.value!r}, but the batches so far held none: '
                "give get_num_tokens_in_batch to the train DataSpec, or count the schedule in 'ba', 'ep' or 'sp'"
            )
        assert self._resolved is not None
        if self._attached_under == self._resolved[0]:
            return
        self._attached_under = self._resolved[0]
        if len(state.schedulers) > 1:
            raise ValueError(
                f'the Trainer has {len(state.schedulers)} schedulers, of which Composer applies only the last: '
                f'give {self!r} alone (its warmup is built in)'
            )
        warn_if_cut(cycles, unit, state)


def _checked_length(name: str, length: str | Time | float | None) -> Time | float | None:
    """A length as a time, or as a number where it is a part of each cycle."""
    if length is None or isinstance(length, (int, float)):
        return length
    time = parse_time(name, length)
    if time.value < 0:
        raise ValueError(f"{name}='{spell(time)}': a length cannot be negative")
    return time


def _plain(value: Any) -> object:
    """An argument as the record of a run keeps it."""
    if isinstance(value, Time):
        return spell(value)
    return [float(item) for item in value] if isinstance(value, (list, tuple)) else value


def warn_if_cut(cycles: Cycles, unit: TimeUnit, state: State) -> None:
    """Warn where training stops between two troughs, since the time after the last whole one makes no point."""
    until = horizon(state, unit)
    if until is None:
        return
    passed = cycles.troughs(until)
    if passed and passed[-1] == until:
        return
    nearest = nearest_end(cycles, until)
    spelled_max = spell(Time(until, unit), state)
    last = f"the last whole trough is at '{spell(Time(passed[-1], unit), state)}'" if passed else 'it reaches no trough'
    remedy = (
        ''
        if nearest is None
        else f"; the nearest max_duration that ends on a trough is '{spell(Time(nearest, unit), state)}'"
    )
    where = 'in the middle of a cycle' if cycles.next_trough(until) is not None else 'after the last cycle'
    warnings.warn(f"max_duration='{spelled_max}' stops {where}: {last}{remedy}", UserWarning, stacklevel=2)
