"""The learning rate of a recipe over training, drawn before anything is trained."""

from __future__ import annotations

from itertools import pairwise

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from composer_clr.cycles import Cycles
from composer_clr.recipe_cycles import RecipeCycles

__all__ = ['learning_rate']

# Enough for a cosine to look smooth, few enough for a vector file to stay small.
_SAMPLES_A_CYCLE = 100


def learning_rate(
    told: RecipeCycles, lr: float, alpha_f: float = 0.0, *, ax: Axes | None = None
) -> tuple[Figure, Axes]:
    """Draw the learning rate over training, with a mark at each trough.

    Args:
        told (RecipeCycles): The cycles.
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
    times, multipliers = _sampled(told, alpha_f)
    ax.plot(times, [lr * multiplier for multiplier in multipliers], color='#0072B2')
    ax.plot(
        told.troughs,
        [lr * alpha_f] * len(told.troughs),
        'o',
        color='#D55E00',
        label='points of the curve',
        clip_on=False,
    )
    ax.set_xlabel(f'training time ({told.unit})')
    ax.set_ylabel('learning rate')
    ax.set_ylim(bottom=0)
    ax.grid(alpha=0.25)
    ax.legend(frameon=False)
    return figure, ax


def _sampled(told: RecipeCycles, alpha_f: float) -> tuple[list[float], list[float]]:
    """Times in the recipe's unit and multipliers: the same cycles, counted in hundredths of the unit."""
    coming = told.cycles.next_trough(told.until)
    ends = told.troughs if coming is None else [*told.troughs, coming]
    fine = Cycles(told.cycles.start * _SAMPLES_A_CYCLE, [end * _SAMPLES_A_CYCLE for end in ends])
    knots = [0, told.cycles.start, *ends]
    samples = [
        start * _SAMPLES_A_CYCLE + (end - start) * i
        for start, end in pairwise(knots)
        for i in range(_SAMPLES_A_CYCLE if end > start else 0)
    ]
    samples = [t for t in samples if t < told.until * _SAMPLES_A_CYCLE]
    return [t / _SAMPLES_A_CYCLE for t in samples], [fine.multiplier(t, alpha_f) for t in samples]
