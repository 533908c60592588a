"""Applies the user's choices to a complete figure: title, labels, limits."""

from __future__ import annotations

import textwrap
from itertools import pairwise

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from composer_clr.curves.curve import CurveError
from composer_clr.figures.point_labels import thin_labels
from composer_clr.figures.text import write_texts

__all__ = ['finish']


def finish(
    figure: Figure,
    *,
    title: str | None = None,
    xlabel: str | None = None,
    ylabel: str | None = None,
    xlim: tuple[float, float] | None = None,
    ylim: tuple[float, float] | None = None,
) -> None:
    """Applies what was chosen to a complete figure, and :func:`write_texts`.

    Labels replace those that are there. The y axis of a learning rate is not changed.

    Args:
        figure (Figure): The figure.
        title (str | None): Title, of one panel in place of its own. Default: ``None``, no change; so for the others.
        xlabel (str | None): Label of the x axes.
        ylabel (str | None): Label of the y axes.
        xlim (tuple[float, float] | None): Limits of the x axes, in their unit.
        ylim (tuple[float, float] | None): Limits of the y axes, in their unit.

    Raises:
        CurveError: If a limit of a logarithmic axis is not above 0.
    """
    panels = [ax for ax in figure.axes if ax.get_label() != 'learning rate']
    if title is not None and len(panels) == 1:
        panels[0].set_title(title)
    elif title is not None:
        figure.suptitle(title)
    if xlabel is not None and figure.get_supxlabel():
        figure.supxlabel(xlabel)
    if ylabel is not None and figure.get_supylabel():
        figure.supylabel(ylabel)
    for ax in figure.axes:
        if xlabel is not None and ax.get_xlabel():
            ax.set_xlabel(xlabel)
    for ax in panels:
        if ylabel is not None and ax.get_ylabel():
            ax.set_ylabel(ylabel)
        if xlim is not None:
            if ax.get_xscale() == 'log' and min(xlim) <= 0:
                raise CurveError(f'--xlim {xlim[0]:g},{xlim[1]:g}: the x axis is logarithmic: limits must be above 0')
            ax.set_xlim(*xlim)
        if ylim is not None:
            ax.set_ylim(*ylim)
    write_texts(figure)
    figure.draw_without_rendering()
    _wrap_labels(figure)
    _thin_ticks(figure)
    thin_labels(figure)


def _wrap_labels(figure: Figure) -> None:
    """Breaks labels that are higher than their y axis into more lines."""
    for ax in figure.axes:
        label, room = ax.yaxis.label, ax.get_window_extent().height
        height = label.get_window_extent().height
        if height > room > 0:
            text = label.get_text()
            longest = max(map(len, text.split('\n')))
            label.set_text('\n'.join(textwrap.wrap(text.replace('\n', ' '), max(10, int(longest * room / height)))))


def _thin_ticks(figure: Figure) -> None:
    """Removes numbers from logarithmic x axes where they would touch."""
    for subs in ((1, 3), (1,)):
        crowded = [ax for ax in figure.axes if ax.get_xscale() == 'log' and _touch(ax)]
        for ax in crowded:
            ax.xaxis.set_major_locator(LogLocator(subs=subs))


def _touch(ax: Axes) -> bool:
    low, high = ax.get_xlim()
    labels = ax.get_xticklabels()
    if not labels:  # those of a shared axis are beneath another panel
        return False
    shown = [label for x, label in zip(ax.get_xticks(), labels, strict=True) if low <= x <= high]
    boxes = sorted((label.get_window_extent() for label in shown), key=lambda box: box.x0)
    return any(after.x0 < before.x1 + 2 for before, after in pairwise(boxes))
