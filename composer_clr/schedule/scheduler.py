"""The learning rate schedules: linear warmup, then cosine cycles of growing period, or a rate without decay."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from composer.core import State, Time
from composer.optim import ComposerScheduler

from composer_clr.schedule.arguments import ScheduleArguments, check_rate
from composer_clr.schedule.run_schedule import RunSchedule
from composer_clr.schedule.times import Lengths

__all__ = ['AnytimeScheduler', 'CyclicCosineScheduler', 'Troughs']


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

    Shapes other than the cosine, by ``shape``, ``peak_decay``, ``t_rewarmup`` and ``t_hold``, replace the second line;
    their formula is at :class:`~composer_clr.schedule.shapes.CycleShape`. Whatever the shape, the troughs
    are in the same places and the multiplier comes down to ``alpha_f`` at each. With ``t_hold`` the schedule is the
    WSD-S of the literature: from each trough it goes on at the constant rate, and decays only before the next.

    The warmup is part of the schedule because Composer applies only the last of several schedulers. The first cycle is,
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
            into each other, need the length of a dataloader without one, the warmup goes past the first trough, or the
            shape does not fit into every cycle of the run.

    Example:
        The paper's schedule: troughs at 16, 32, 64, 128, 256 and 512 epochs.

        >>> from composer_clr import CyclicCosineScheduler
        >>> CyclicCosineScheduler(t_0='8ep', t_mult=2, t_warmup='8ep')
        CyclicCosineScheduler(t_0='8ep', t_mult=2, t_warmup='8ep', alpha_f=0.0)

        Chosen troughs:

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
        self._follow(
            ScheduleArguments.read(
                t_0=t_0,
                t_mult=t_mult,
                t_warmup=t_warmup,
                alpha_f=alpha_f,
                cycle_ends=cycle_ends,
                shape=shape,
                peak_decay=peak_decay,
                t_rewarmup=t_rewarmup,
                t_hold=t_hold,
            )
        )

    @classmethod
    def of_arguments(cls, arguments: ScheduleArguments) -> CyclicCosineScheduler:
        """Returns the scheduler of arguments that have been read, such as a recipe's."""
        scheduler = cls.__new__(cls)
        scheduler._follow(arguments)
        return scheduler

    def _follow(self, arguments: ScheduleArguments) -> None:
        arguments.check_troughs()
        self.arguments = arguments
        self.alpha_f = arguments.alpha_f
        self._resolved: tuple[tuple, RunSchedule] | None = None
        self._checked: RunSchedule | None = None

    def __call__(self, state: State, ssr: float = 1.0) -> float:
        """Returns the multiplier alpha at ``state.timestamp``.

        Args:
            state (State): The trainer's state.
            ssr (float): Composer's scale schedule ratio, > 0. Default: ``1.0``.

        Returns:
            float: The learning rate multiplier, in [0, 1].
        """
        if ssr != 1.0 and not state.schedulers and self._mixes_dur():
            # The Trainer's constructor calls this before it scales max_duration, of which 'dur' is a fraction.
            return 0.0 if self.arguments.t_warmup.value else 1.0
        schedule = self.schedule(state, ssr)
        t = schedule.now(state)
        if state.schedulers:
            schedule.check_counted(state, t)
            if self._checked is not schedule:
                self._checked = schedule
                self._check_attached(state, schedule)
        return schedule.cycles.multiplier(t, self.alpha_f)

    def schedule(self, state: State, ssr: float = 1.0) -> RunSchedule:
        """Returns the schedule of this run: its cycles, and the unit that they are counted in.

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
            self._resolved = (under, self._resolve(state, ssr))
        return self._resolved[1]

    def troughs(self, state: State, ssr: float = 1.0) -> list[Time]:
        """Returns the troughs up to ``max_duration``, in the unit that they are counted in.

        Batches for times given in ``ep`` or ``ba``, and for ``dur`` of a duration in those; samples and tokens in
        their own.

        Raises:
            ValueError: If ``max_duration`` is not set or cannot be counted in the schedule's unit.
        """
        schedule = self.schedule(state, ssr)
        return [Time(trough, schedule.unit) for trough in schedule.troughs]

    def describe(self) -> dict[str, object]:
        """Returns the arguments as plain values, for the record of a run."""
        return self.arguments.describe()

    def __repr__(self) -> str:
        shown = {name: value for name, value in self.describe().items() if (name, value) != ('shape', 'cosine')}
        return f'{type(self).__name__}({", ".join(f"{name}={value!r}" for name, value in shown.items())})'

    def _mixes_dur(self) -> bool:
        units = {time.unit for time in self.arguments.times().values() if time.value}
        return 'dur' in units and len(units) > 1

    def _resolve(self, state: State, ssr: float) -> RunSchedule:
        if ssr <= 0:
            raise ValueError(f'scale_schedule_ratio={ssr}: give a ratio above 0')
        schedule = RunSchedule.of_arguments(self.arguments, Lengths.of_state(state), ssr)
        cycles, until = schedule.cycles, schedule.until
        if until is None:
            # The number of cycles is not known; most errors show by the first restart.
            until = (cycles.next_trough(cycles.start) or cycles.start) + 1
        elif ssr != 1.0 and not state.schedulers:
            # The Trainer's constructor calls this before it scales max_duration; the next call checks against that.
            until = cycles.start + 1
        cycles.check_shape(until, self.alpha_f)
        return schedule

    def _check_attached(self, state: State, schedule: RunSchedule) -> None:
        """Checks what is known only once the Trainer is set up, once per duration of the run."""
        if len(state.schedulers) > 1:
            raise ValueError(
                f'the Trainer has {len(state.schedulers)} schedulers, of which Composer applies only the last: '
                f'give {self!r} alone (its warmup is built in)'
            )
        schedule.warn_if_cut()


class AnytimeScheduler(CyclicCosineScheduler):
    r"""Linear warmup, then a constant rate or one over the square root of time, with marks at which to evaluate.

    .. math::
        \alpha(t) = \begin{cases}
            t / t_{warmup} & t < t_{warmup} \\
            1 \quad \text{or} \quad \sqrt{a / (t - t_{warmup} + a)} & \text{otherwise}
        \end{cases}

    At a constant rate the multiplier is, bit for bit, that of Composer's ``ConstantWithWarmupScheduler``. The marks do
    not change it; :class:`~composer_clr.AnytimeAverage` evaluates averaged weights at them.

    Args:
        marks (Sequence[str | Time] | None): The marks, in increasing order. Default: ``None``, those at which
            :class:`~composer_clr.CyclicCosineScheduler` with ``t_0`` and ``t_mult`` has its troughs. See
            :func:`~composer_clr.ends_by_ratio` and :func:`~composer_clr.ends_log_spaced`.
        t_warmup (str | Time): Length of the linear warmup, >= 0. Default: ``'0ba'``.
        rate (str): ``'constant'`` or ``'1/sqrt'``. Default: ``'constant'``.
        a (str | Time | None): With ``'1/sqrt'``, :math:`a` > 0: the time after the warmup in which the rate falls to
            0.71 of its peak. Default: ``None``.
        t_0 (str | Time | None): In place of ``marks``. Default: ``None``.
        t_mult (float | Fraction): With ``t_0``. Default: ``2.0``.

    Raises:
        ValueError: As :class:`~composer_clr.CyclicCosineScheduler`, or if ``rate`` is unknown or ``a`` does not go with
            it.

    Example:
        >>> from composer_clr import AnytimeScheduler
        >>> AnytimeScheduler(['4ep', '16ep', '64ep'], t_warmup='2ep')
        AnytimeScheduler(marks=['4ep', '16ep', '64ep'], t_warmup='2ep', rate='constant')

    Source:
        arXiv:2602.03702: the constant rate and the one over the square root of time, with averaged weights.
    """

    def __init__(
        self,
        marks: Sequence[str | Time] | None = None,
        t_warmup: str | Time = '0ba',
        *,
        rate: str = 'constant',
        a: str | Time | None = None,
        t_0: str | Time | None = None,
        t_mult: float | Fraction = 2.0,
    ):
        check_rate(rate, a)
        self._follow(ScheduleArguments.read(t_0=t_0, t_mult=t_mult, t_warmup=t_warmup, marks=marks, rate=rate, a=a))


# Troughs passed beside the Trainer's scheduler: a scheduler that has them, or the troughs themselves.
Troughs = CyclicCosineScheduler | Sequence[str | Time]
