"""The learning rate of a recipe over training, drawn before anything is trained."""

from __future__ import annotations

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from composer_clr.schedule.cycles import Cycles
from composer_clr.schedule.multiplier_line import multiplier_line

__all__ = ['learning_rate']


def learning_rate(
    cycles: Cycles, until: int, unit: str, lr: float, alpha_f: float = 0.0, *, ax: Axes | None = None
) -> tuple[Figure, Axes]:
    """Draw the learning rate over training, with a mark at each trough.

    Args:
        cycles (Cycles): The cycles.
        until (int): End of training, in the unit of the cycles.
        unit (str): That unit: ``ep``, ``ba``, ``sp`` or ``tok``.
        lr (float): Learning rate at the top of a cycle.
        alpha_f (float): What each cycle decays to, as a part of ``lr``, in [0, 1]. Default: ``0.0``.
        ax (Axes | None): Where to draw. Default: ``None``, a new figure.

    Returns:
        tuple[Figure, Axes]: What was drawn on.
    """
    if ax is None:
        _, ax = plt.subplots(figsize=(6.4, 3.2), layout='constrained')
    figure = ax.get_figure()
    assert isinstance(figure, Figure)
    times, multipliers = multiplier_line(cycles, until, alpha_f)
    troughs = cycles.troughs(until)
    ax.plot(times, [lr * multiplier for multiplier in multipliers], color='#0072B2')
    ax.plot(
        troughs,
        [lr * alpha_f] * len(troughs),
        'o',
        color='#D55E00',
        label='points of the curve',
        clip_on=False,
    )
    ax.set_xlabel(f'training time ({unit})')
    ax.set_ylabel('learning rate')
    ax.set_ylim(bottom=0)
    ax.grid(alpha=0.25)
    # Above the axes: inside, some shape of schedule would run through it.
    ax.legend(frameon=False, loc='lower right', bbox_to_anchor=(1, 1), borderaxespad=0)
    return figure, ax
