"""The arguments that an object was made with, and any value as plain ones: the same in every process."""

from __future__ import annotations

import hashlib
import inspect
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from composer.core import Time

__all__ = ['arguments_of', 'defaults_of', 'digest', 'plain']

_LONGEST = 120
_DEEPEST = 3
_ADDRESS = re.compile(r' at 0x[0-9a-fA-F]+')


def arguments_of(one: object) -> dict[str, Any]:
    """Returns the arguments of an object's constructor as plain values, as far as it keeps them under their names.

    Names come from the constructors that pass keywords on to each other, also from under decorators that do not say
    what they decorate. Where none shows its names, public plain attributes stand for them.

    Example:
        >>> arguments_of(torch.nn.CrossEntropyLoss(label_smoothing=0.1))['label_smoothing']
        0.1
    """
    return _arguments(one, 0)


def defaults_of(one: object) -> dict[str, Any]:
    """Returns the defaults of the arguments of an object's constructor, as plain values.

    Example:
        >>> defaults_of(torch.nn.Linear(1, 2))['bias']
        True
    """
    parameters = _parameters(type(one))[0]
    return {name: plain(p.default) for name, p in parameters.items() if p.default is not p.empty}


def plain(value: object) -> Any:
    """Returns a value as what JSON can hold; what has no plain form as a name with its arguments, or as a digest.

    No memory address is in it, and of an absolute path only the last part, since files lie elsewhere on other hosts.

    Example:
        >>> plain({'betas': (0.9, 0.99), 'start': Time.from_timestring('1ep'), 'loss': torch.nn.MSELoss()})
        {'betas': [0.9, 0.99], 'start': '1ep', 'loss': "MSELoss(reduction='mean')"}
    """
    return _plain(value, 0)


def digest(value: bytes | str) -> str:
    """Returns twelve hexadecimal digits that stand for a text or bytes.

    Example:
        >>> digest('a long text')
        '3593f87b3ed8'
    """
    return hashlib.sha256(value.encode() if isinstance(value, str) else value).hexdigest()[:12]


def _plain(value: object, depth: int) -> Any:
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, (float, np.generic)):
        number = value.item() if isinstance(value, np.generic) else value
        return number if not isinstance(number, float) or math.isfinite(number) else repr(number)
    if isinstance(value, (str, Path)):
        text = Path(value).name if Path(value).is_absolute() else str(value)
        return text if len(text) <= _LONGEST else f'text:{digest(text)}'
    if isinstance(value, Time):
        return value.to_timestring()
    if isinstance(value, Enum):
        return _plain(value.value, depth)
    if isinstance(value, (Mapping, list, tuple, set, frozenset)):
        return _container(value, depth)
    if isinstance(value, (torch.Tensor, np.ndarray)):
        return _array(value)
    return _named(value, depth)


def _container(value: Any, depth: int) -> Any:
    if isinstance(value, Mapping):
        items: Any = {str(key): _plain(item, depth) for key, item in value.items()}
    else:
        items = [_plain(item, depth) for item in value]
        if isinstance(value, (set, frozenset)):
            items.sort(key=repr)
    text = json.dumps(items)
    return items if len(text) <= _LONGEST else f'{type(value).__name__}:{digest(text)}'


def _array(value: torch.Tensor | np.ndarray) -> str:
    array = value.detach().cpu().float().numpy() if isinstance(value, torch.Tensor) else value
    return f'array:{digest(f"{array.dtype}{array.shape}".encode() + np.ascontiguousarray(array).tobytes())}'


def _named(value: Any, depth: int) -> str:
    """Returns the name of a class, a function or an object's class, the latter two with what distinguishes them."""
    if isinstance(value, type):
        return value.__qualname__
    if isinstance(value, partial):
        return _call(_named(value.func, depth), [*value.args], value.keywords, depth)
    if inspect.ismethod(value):
        return f'{_named(value.__self__, depth)}.{value.__name__}'
    if inspect.isroutine(value):
        name = value.__qualname__
        return f'{name}:{_code(value)}' if '<' in name else name
    return _call(type(value).__qualname__, [], _arguments(value, depth + 1) if depth < _DEEPEST else {}, depth)


def _call(name: str, positional: list[Any], named: Mapping[str, Any], depth: int) -> str:
    values = [repr(_plain(item, depth)) for item in positional]
    values += [f'{key}={_plain(item, depth)!r}' for key, item in named.items()]
    if not values:
        return name
    text = f'{name}({", ".join(values)})'
    return text if len(text) <= _LONGEST else f'{name}:{digest(text)}'


def _code(function: Any) -> str:
    """Returns a digest of a function without a name of its own: of its code and of what it closes over."""
    code = getattr(function, '__code__', None)
    if code is None:
        return ''
    constants = [_ADDRESS.sub('', repr(constant)) for constant in code.co_consts if not inspect.iscode(constant)]
    closed = [_plain(cell.cell_contents, _DEEPEST) for cell in function.__closure__ or ()]
    return digest(repr((code.co_code, code.co_names, constants, closed, _plain(function.__defaults__, _DEEPEST))))


def _arguments(one: object, depth: int) -> dict[str, Any]:
    parameters, complete = _parameters(type(one))
    if not parameters and not complete:
        attributes = {name: value for name, value in vars(one).items() if not name.startswith('_')}
        return {name: _plain(value, depth) for name, value in attributes.items() if _is_plain(value)}
    arguments = {}
    for name in parameters:
        value = getattr(one, name, getattr(one, f'_{name}', _MISSING))
        # A method may have an argument's name.
        if value is not _MISSING and getattr(value, '__self__', None) is not one:
            arguments[name] = _plain(value, depth)
    return arguments


_MISSING = object()


def _is_plain(value: object) -> bool:
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, (bool, int, float, str, Time, Enum))


def _parameters(of: type) -> tuple[dict[str, inspect.Parameter], bool]:
    """Returns the named parameters of a class's constructors, and whether these are all that it takes."""
    found: dict[str, inspect.Parameter] = {}
    for constructor in _constructors(of):
        parameters = list(inspect.signature(constructor).parameters.values())[1:]
        named = {p.name: p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}
        found = {**named, **found}
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            return found, True
    return found, not any(True for _ in _constructors(of))


def _constructors(of: type) -> Iterator[Callable[..., Any]]:
    for base in of.__mro__[:-1]:
        if '__init__' in vars(base):
            yield _undecorated(vars(base)['__init__'])


def _undecorated(function: Callable[..., Any]) -> Callable[..., Any]:
    """Returns the function under decorators that take any arguments and keep it in ``__wrapped__`` or a closure."""
    function = inspect.unwrap(function)
    parameters = list(inspect.signature(function).parameters.values())
    if any(p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in parameters[1:]):
        return function
    cells = [cell.cell_contents for cell in getattr(function, '__closure__', None) or ()]
    inner = next((cell for cell in cells if inspect.isfunction(cell) and cell.__name__ == '__init__'), None)
    return function if inner is None else _undecorated(inner)
