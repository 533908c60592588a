"""How a line looks: one rule for colours, markers, dashes and fillings.

===================  ==============  ======================================  ===============
lines of             colour          marker                                  dashes, filling
===================  ==============  ======================================  ===============
several methods      of the method   of the method; of the kind, where       of the kind
                                     there are more than two kinds
one method           of the kind     of the kind                             of the kind
one method and kind  of the method   of the method                           of the kind
===================  ==============  ======================================  ===============

The colours are Okabe and Ito's, without their yellow, which is too light in print, and five that stay apart from them
for colour-blind readers. Markers and dashes distinguish the lines without colours.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

from composer_clr.curves.names import STANDARD, kind_order, kind_without_shape

__all__ = ['GREY', 'MOST_METHODS', 'Look', 'are_of_one_method', 'drawing_order', 'looks', 'method_colour']

GREY = '#4D4D4D'
# The most methods that one figure can name.
MOST_METHODS = 24
_COLOURS = (
    *('#000000', '#0072B2', '#56B4E9', '#009E73', '#E69F00', '#CC79A7', '#D55E00', '#4B0092'),
    *('#3F3FFF', '#8B0046', '#006B6B', '#5D2E00'),
)
_MARKERS = 'os^DvPX*<>ph'
# Cyclic curves have the circle of the standard ones, which is filled.
_KIND_MARKERS = 'os^DvPoX<>ph'
_DASHES: tuple[Any, ...] = (
    *('-', (0, (8, 2)), (0, (5, 1, 1, 1, 1, 1)), '-.', (0, (3, 1, 1, 4)), ':', '--', (0, (1, 3))),
    *((0, (8, 2, 2, 2)), (0, (2, 1)), (0, (6, 4)), (0, (4, 1, 1, 1))),
)
# The place of a look above. The methods of the paper and the usual kinds have the same one in every figure.
_METHODS = {'baseline': 0, 'BP': 1, 'CL': 2, 'LS': 3, 'MX': 4, 'BP+CL': 5, 'LS+MX': 6, 'BP+CL+LS+MX': 7}
_KINDS = {
    **{'standard': 0, 'anytime': 1, 'schedule-free': 2, 'wsd-s': 3, 'cyclic-averaged': 4, 'branch': 5, 'cyclic': 6},
    'anytime-plain': 7,
}


class Look(NamedTuple):
    """How a line looks; ``filling`` is the colour inside its markers."""

    colour: str
    marker: str
    dashes: Any
    filling: str


def looks(keys: Collection[tuple[str, str]]) -> dict[tuple[str, str], Look]:
    """Returns the look of each method and kind of a figure; no two are alike up to 144 methods or kinds.

    Example:
        >>> [look.colour for look in looks([('LS', 'standard'), ('LS', 'cyclic')]).values()]
        ['#000000', '#D55E00']
    """
    methods, kinds = {method for method, _ in keys}, {kind for _, kind in keys}
    method_at, kind_at = _method_places(methods), _kind_places(kinds)
    one_method = len(methods) == 1 < len(kinds)
    found = {}
    for method, kind in keys:
        of_method, of_kind = method_at[method], kind_at[kind]
        colour = (of_kind if one_method else of_method) % len(_COLOURS)
        # Where colours repeat, only the markers tell methods apart.
        by_kind = one_method or (len(kinds) > 2 and max(method_at.values()) < len(_COLOURS))
        marker = _marker(_KIND_MARKERS, of_kind) if by_kind else _marker(_MARKERS, of_method)
        filling = _COLOURS[colour] if kind == STANDARD else 'white'
        dashes = _DASHES[of_kind % len(_DASHES)]
        found[method, kind] = Look(_COLOURS[colour], marker, dashes, filling)
    return found


def method_colour(method: str, among: Iterable[str] = ()) -> str:
    """Returns the colour of a method: fixed for the paper's methods, else by its place ``among`` the others."""
    return _COLOURS[_method_places({method, *among})[method] % len(_COLOURS)]


def are_of_one_method(keys: Iterable[tuple[str, str]]) -> bool:
    """Returns whether a figure is of one method, so that colours are those of kinds."""
    return len({method for method, _ in keys}) == 1


def drawing_order(key: tuple[str, str]) -> tuple[int, str, tuple[bool, bool, str]]:
    """Returns the key that sorts (method, kind): the paper's methods first, kinds by :func:`kind_order`."""
    method, kind = key
    return _METHODS.get(method, len(_METHODS)), method, kind_order(kind)


def _marker(markers: str, place: int) -> str:
    # In each round of the colours the markers move by one, so that no pair repeats.
    return markers[(place + place // len(_COLOURS)) % len(markers)]


def _method_places(methods: Iterable[str]) -> dict[str, int]:
    return _places(sorted(methods), {method: _METHODS[method] for method in methods if method in _METHODS})


def _kind_places(kinds: Collection[str]) -> dict[str, int]:
    """Returns the place of each kind; the first shape of a kind that is not there has that of the plain one."""
    fixed = {kind: _KINDS[kind] for kind in kinds if kind in _KINDS}
    for kind in sorted(kinds, key=kind_order):
        plain = _KINDS.get(kind_without_shape(kind))
        if kind not in fixed and plain is not None and plain not in fixed.values():
            fixed[kind] = plain
    return _places(sorted(kinds, key=kind_order), fixed)


def _places(names: Iterable[str], fixed: Mapping[str, int]) -> dict[str, int]:
    """Returns a place for each name: its fixed one, else a free one, those that no name owns first."""
    names = list(names)
    owned = range(len(_METHODS))
    free = [place for place in (*range(len(owned), len(_COLOURS)), *owned) if place not in fixed.values()]
    free.extend(range(len(_COLOURS), len(_COLOURS) + len(names)))
    others = iter(free)
    return {name: fixed[name] if name in fixed else next(others) for name in names}
