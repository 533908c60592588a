"""How a line looks: one rule for colours, markers and dashes.

===================  ==============  ======================================  ===============
lines of             colour          marker                                  dashes, filling
===================  ==============  ======================================  ===============
several methods      of the method   of the method; of the kind, where       of the kind
                                     there are more than two kinds
one method           of the kind     of the kind                             of the kind
one method and kind  of the method   of the method                           of the kind
===================  ==============  ======================================  ===============

Colours are Okabe and Ito's palette, which colour-blind readers can distinguish, without its yellow, which is too light
in print. Markers and dashes distinguish the lines without colours.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from composer_clr.curves.names import kind_order, kind_without_shape

__all__ = [
    'GREY',
    'MOST_METHODS',
    'are_of_one_method',
    'drawing_order',
    'filling',
    'kind_dashes',
    'kinds_have_markers',
    'line_colour',
    'line_look',
    'method_colour',
    'method_marker',
]

GREY = '#4D4D4D'
# The methods of the paper have the same colour and marker in every figure of methods.
_METHODS = {
    'baseline': ('#000000', 'o'),
    'BP': ('#0072B2', 's'),
    'CL': ('#56B4E9', '^'),
    'LS': ('#009E73', 'D'),
    'MX': ('#E69F00', 'v'),
    'BP+CL': ('#CC79A7', 'P'),
    'LS+MX': ('#D55E00', 'X'),
    'BP+CL+LS+MX': ('#7F4FC9', '*'),
}
_SPARE = (
    ('#8C564B', '<'),
    ('#5F7F1F', '>'),
    ('#4D4D4D', 'p'),
    ('#B0006D', 'h'),
    ('#00798C', 'd'),
    ('#A0522D', 'H'),
)
# A kind, or the first one of its shapes in a figure, has the same look in every figure of one method.
_KINDS: dict[str, tuple[str, str, Any]] = {
    'standard': ('#000000', 'o', '-'),
    'cyclic': ('#D55E00', 'o', '--'),
    'wsd-s': ('#009E73', 'D', '-.'),
    'branch': ('#CC79A7', 'P', ':'),
    'anytime': ('#0072B2', 's', (0, (8, 2))),
    'schedule-free': ('#56B4E9', '^', (0, (5, 1, 1, 1, 1, 1))),
    'cyclic-averaged': ('#E69F00', 'v', (0, (3, 1, 1, 4))),
    'anytime-plain': ('#8C564B', 'X', (0, (1, 3))),
}
_SPARE_DASHES = ((0, (8, 2, 2, 2)), (0, (5, 1, 1, 1, 1, 1)), (0, (1, 3)), (0, (3, 1, 1, 4)))
# The most methods that one figure can distinguish and name.
MOST_METHODS = 24


def method_colour(method: str, among: Iterable[str] = ()) -> str:
    """Returns the colour of a method: fixed for the paper's methods, else by its place ``among`` the others.

    Example:
        >>> method_colour('baseline')
        '#000000'
    """
    return _method_look(method, among)[0]


def method_marker(method: str, among: Iterable[str] = ()) -> str:
    """Returns the marker of a method, chosen as :func:`method_colour` chooses its colour."""
    return _method_look(method, among)[1]


def kind_dashes(kind: str, among: Iterable[str] = ()) -> Any:
    """Returns the dashes of a kind of curve: standard solid, cyclic dashed, others by the kinds ``among`` them."""
    return _kind_look(kind, among)[2]


def line_colour(key: tuple[str, str], keys: Collection[tuple[str, str]]) -> str:
    """Returns the colour of the line of a method and kind in a figure of ``keys``."""
    return line_look(*key, keys)[0]


def line_look(method: str, kind: str, keys: Collection[tuple[str, str]]) -> tuple[str, str]:
    """Returns the colour and marker of the line of a method and kind in a figure of ``keys``.

    Example:
        >>> kinds = ('standard', 'cyclic', 'wsd-s')
        >>> [line_look('LS', kind, [('LS', kind) for kind in kinds]) for kind in kinds]
        [('#000000', 'o'), ('#D55E00', 'o'), ('#009E73', 'D')]
        >>> [line_look(method, 'cyclic', [('LS', 'cyclic'), ('MX', 'cyclic')]) for method in ('LS', 'MX')]
        [('#009E73', 'D'), ('#E69F00', 'v')]
    """
    own = _method_look(method, {name for name, _ in keys})
    if not kinds_have_markers(keys):
        return own
    of_kind = _kind_look(kind, {name for _, name in keys})
    return of_kind[0] if are_of_one_method(keys) else own[0], of_kind[1]


def are_of_one_method(keys: Iterable[tuple[str, str]]) -> bool:
    """Returns whether a figure is of one method, so that colours are those of kinds."""
    return len({method for method, _ in keys}) == 1


def kinds_have_markers(keys: Collection[tuple[str, str]]) -> bool:
    """Returns whether markers are those of kinds, and not of methods: where colours distinguish the methods."""
    methods, kinds = {method for method, _ in keys}, {kind for _, kind in keys}
    colours = {method_colour(method, methods) for method in methods}
    return len(kinds) > (1 if len(methods) == 1 else 2) and len(colours) == len(methods)


def filling(kind: str) -> str | None:
    """Returns the colour inside the markers of a kind; ``None``, that of the line, for standard runs."""
    return None if kind == 'standard' else 'white'


def drawing_order(key: tuple[str, str]) -> tuple[int, str, tuple[bool, bool, str]]:
    """Returns the key that sorts (method, kind): methods by palette, kinds by :func:`kind_order`."""
    method, kind = key
    order = list(_METHODS)
    return (order.index(method) if method in order else len(order), method, kind_order(kind))


def _method_look(method: str, among: Iterable[str]) -> tuple[str, str]:
    others = sorted({name for name in (*among, method) if name not in _METHODS})
    if method in _METHODS:
        return _METHODS[method]
    return _spare(others.index(method))


def _kind_look(kind: str, among: Iterable[str]) -> tuple[str, str, Any]:
    kinds = sorted({kind, *among}, key=kind_order)
    looks = {name: _KINDS[name] for name in kinds if name in _KINDS}
    for name in kinds:
        plain = kind_without_shape(name)
        if name not in looks and plain in _KINDS and _KINDS[plain] not in looks.values():
            looks[name] = _KINDS[plain]
    free = [look for look in _KINDS.values() if look not in looks.values()]
    for place, name in enumerate(name for name in kinds if name not in looks):
        spare = place - len(free)
        looks[name] = free[place] if spare < 0 else (*_spare(spare), _SPARE_DASHES[spare % len(_SPARE_DASHES)])
    return looks[kind]


def _spare(place: int) -> tuple[str, str]:
    count = len(_SPARE)
    # In each round of the colours the markers move by one, so that no pair repeats.
    return _SPARE[place % count][0], _SPARE[(place + place // count) % count][1]
