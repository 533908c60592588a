"""The scheduler of each kind of run, for a script of one's own that a study runs."""

from __future__ import annotations

from typing import Any

from composer.optim import ComposerScheduler

from composer_clr.schedule.arguments import ScheduleArguments
from composer_clr.schedule.scheduler import AnytimeScheduler, CyclicCosineScheduler
from composer_clr.utils.errors import did_you_mean

__all__ = ['StudyScheduler', 'study_scheduler']

_KINDS = ('cyclic', 'standard', 'anytime', 'schedule-free')


def study_scheduler(kind: str, **arguments: Any) -> CyclicCosineScheduler:
    r"""Returns the scheduler of a kind of run, all kinds from the same arguments, for ``composer-clr run --command``.

    ==============================  ====================================================================================
    kind                            scheduler
    ==============================  ====================================================================================
    ``cyclic``                      :class:`~composer_clr.CyclicCosineScheduler`: a point at each trough
    ``standard``                    one cycle from the end of the warmup to the end of training, a point at its end. As
                                    a cosine it is, bit for bit, Composer's ``CosineAnnealingWithWarmupScheduler``
    ``anytime``, ``schedule-free``  :class:`~composer_clr.AnytimeScheduler` at a constant rate after the warmup, with
                                    the troughs as marks: with :class:`~composer_clr.AnytimeAverage`, or a
                                    schedule-free optimizer and :class:`~composer_clr.ScheduleFree`
    ==============================  ====================================================================================

    Args:
        kind (str): The kind of run.
        **arguments: ``t_0``, ``t_mult``, ``t_warmup`` and the other arguments of
            :class:`~composer_clr.CyclicCosineScheduler`, of which each kind takes those that it has a use for.

    Raises:
        ValueError: If the kind is another one, or an argument is out of range.

    Example:
        >>> from composer_clr import study_scheduler
        >>> study_scheduler('cyclic', t_0='4ep', t_warmup='4ep')
        CyclicCosineScheduler(t_0='4ep', t_mult=2.0, t_warmup='4ep', alpha_f=0.0)
        >>> study_scheduler('standard', t_0='4ep', t_warmup='4ep')
        CyclicCosineScheduler(cycle_ends=['1.0dur'], t_warmup='4ep', alpha_f=0.0)

    Source:
        Portes et al. 2022, arXiv:2206.00832.
    """
    cyclic = CyclicCosineScheduler(**arguments)
    given = cyclic.arguments
    if kind == 'cyclic':
        return cyclic
    if kind == 'standard':
        one_cycle = ScheduleArguments.of(given, t_0=None, t_mult=2.0, cycle_ends=['1dur'])
        return CyclicCosineScheduler.of_arguments(one_cycle)
    if kind in _KINDS:
        steady = ScheduleArguments.read(
            t_0=given.t_0, t_mult=given.t_mult, t_warmup=given.t_warmup, marks=given.cycle_ends, rate='constant'
        )
        return AnytimeScheduler.of_arguments(steady)
    raise ValueError(f'{kind=}: must be one of {", ".join(_KINDS)}{did_you_mean(kind, _KINDS)}')


class StudyScheduler(ComposerScheduler):
    """Makes :func:`study_scheduler`, under a name in LLM Foundry's YAML, whose registry takes classes alone."""

    def __new__(cls, kind: str, **arguments: Any) -> CyclicCosineScheduler:  # type: ignore[misc]
        return study_scheduler(kind, **arguments)
