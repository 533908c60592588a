"""The arguments that an object was made with, and any value as plain ones: the same in every process."""

from __future__ import annotations

import hashlib
import inspect
import json
import math
import re
from collections.abc import Callable, Mapping
from enum import Enum
from functools import partial
from pathlib import Path
from types import CodeType
from typing import Any

import numpy as np
import torch
from composer.core import Time

__all__ = ['arguments_of', 'defaults_of', 'digest', 'plain']

_LONGEST = 120
_DEEPEST = 3
# Arguments of torch's schedulers that say nothing of the rate, or count on in training.
_OF_SCHEDULERS = ('optimizer', 'last_epoch')
_ADDRESS = re.compile(r' at 0x[0-9a-fA-F]+')
_MISSING = object()


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
    """Returns the defaults of the arguments of an object's constructor, as plain values."""
    return {name: plain(p.default) for name, p in _parameters(type(one))[0].items() if p.default is not p.empty}


def plain(value: object) -> Any:
    """Returns a value as what JSON can hold; what has no plain form as a name with its arguments, or as a digest.

    No memory address is in it, and of an absolute path only the last part, since files lie elsewhere on other hosts.

    Example:
        >>> plain({'betas': (0.9, 0.99), 'start': Time.from_timestring('1ep'), 'loss': torch.nn.MSELoss()})
        {'betas': [0.9, 0.99], 'start': '1ep', 'loss': "MSELoss(reduction='mean')"}
    """
    return _plain(value, 0)


def digest(value: bytes | str) -> str:
    """Returns twelve hexadecimal digits that stand for bytes, or for a text without the memory addresses in it."""
    content = _ADDRESS.sub('', value).encode() if isinstance(value, str) else value
    return hashlib.sha256(content).hexdigest()[:12]


def _short(text: str, name: str) -> str:
    return text if len(text) <= _LONGEST else f'{name}:{digest(text)}'


def _plain(value: Any, depth: int) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else repr(value)
    if isinstance(value, (str, Path)):
        return _short(Path(value).name if Path(value).is_absolute() else str(value), 'text')
    if isinstance(value, Time):
        return value.to_timestring()
    if isinstance(value, tuple) and type(value).__str__ is not tuple.__str__:
        return str(value)  # a named tuple that is written as a text, as this package's times are
    if isinstance(value, Enum):
        return _plain(value.value, depth)
    if isinstance(value, (Mapping, list, tuple, set, frozenset)):
        if isinstance(value, Mapping):
            items: Any = {str(_plain(key, depth)): _plain(item, depth) for key, item in value.items()}
        else:
            items = [_plain(item, depth) for item in value]
            items = sorted(items, key=repr) if isinstance(value, (set, frozenset)) else items
        text = json.dumps(items)
        return items if len(text) <= _LONGEST else _short(text, type(value).__name__)
    if isinstance(value, (torch.Tensor, np.ndarray)):
        return _array(value)
    return _named(value, depth)


def _array(value: torch.Tensor | np.ndarray) -> str:
    # What is learned is another value at each moment, and no argument.
    if isinstance(value, torch.Tensor) and (isinstance(value, torch.nn.Parameter) or value.is_meta):
        return f'{type(value).__name__}{tuple(value.shape)}'
    if isinstance(value, torch.Tensor):
        value = value.detach().to_dense() if value.layout is not torch.strided else value.detach()
        value = (torch.view_as_real(value.resolve_conj()) if value.is_complex() else value.float()).cpu().numpy()
    return f'array:{digest(f"{value.dtype}{value.shape}".encode() + np.ascontiguousarray(value).tobytes())}'


def _named(value: Any, depth: int) -> str:
    """Returns the name of a class, a function or an object's class, the latter two with what distinguishes them."""
    if isinstance(value, type):
        return value.__qualname__
    if isinstance(value, partial):
        return _call(_named(value.func, depth), value.args, value.keywords, depth)
    if inspect.ismethod(value):
        return f'{_named(value.__self__, depth)}.{value.__name__}'
    if inspect.isroutine(value):
        # A lambda or a local function is identified by its code; it may close over itself.
        is_told = '<' in value.__qualname__ and hasattr(value, '__code__') and depth < _DEEPEST
        return f'{value.__qualname__}:{digest(repr(_function(value, depth + 1)))}' if is_told else value.__qualname__
    name = type(value).__qualname__
    if not hasattr(value, '__dict__') and not isinstance(value, torch.device):
        # Of a type written in C, such as torch.dtype, which shows no arguments.
        return name if _ADDRESS.search(repr(value)) else _short(repr(value), name)
    return _call(name, (), _arguments(value, depth + 1) if depth < _DEEPEST else {}, depth)


def _call(name: str, positional: tuple[Any, ...], named: Mapping[str, Any], depth: int) -> str:
    values = [repr(_plain(item, depth)) for item in positional]
    values += [f'{key}={_plain(item, depth)!r}' for key, item in named.items()]
    return _short(f'{name}({", ".join(values)})', name) if values else name


def _function(function: Any, depth: int) -> list[Any]:
    """Returns what distinguishes a function without a name of its own: its code, its defaults, what it closes over."""
    closed = []
    for cell in function.__closure__ or ():
        try:
            closed.append(_plain(cell.cell_contents, depth))
        except ValueError:  # not assigned yet
            closed.append(None)
    return [_code(function.__code__), closed, _plain([function.__defaults__, function.__kwdefaults__], depth)]


def _code(code: CodeType) -> list[Any]:
    constants = [_code(one) if inspect.iscode(one) else _plain(one, _DEEPEST) for one in code.co_consts]
    return [code.co_code, code.co_names, constants]


def _arguments(one: object, depth: int) -> dict[str, Any]:
    parameters, complete = _parameters(type(one))
    if not parameters and not complete:
        attributes = {name: value for name, value in vars(one).items() if not name.startswith('_')}
        return {name: _plain(value, depth) for name, value in attributes.items() if _is_plain(value)}
    arguments = {}
    is_scheduler = isinstance(one, torch.optim.lr_scheduler.LRScheduler)
    for name in parameters:
        # torch's schedulers keep one for each group of parameters, such as lr_lambdas.
        keys = (name, f'_{name}', *([f'{name}s'] if is_scheduler else ()))
        value = next((found for found in (_kept(one, key) for key in keys) if found is not _MISSING), _MISSING)
        # A method may have an argument's name.
        is_method = getattr(value, '__self__', None) is one
        if value is not _MISSING and not is_method and not (is_scheduler and name in _OF_SCHEDULERS):
            arguments[name] = _plain(value, depth)
    return arguments


def _kept(one: object, name: str) -> Any:
    try:
        return getattr(one, name, _MISSING)
    except Exception:  # a property may not be there yet
        return _MISSING


def _is_plain(value: object) -> bool:
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, (bool, int, float, str, Time, Enum))


def _parameters(of: type) -> tuple[dict[str, inspect.Parameter], bool]:
    """Returns the named parameters of a class's constructors, and whether these are all that it takes."""
    found: dict[str, inspect.Parameter] = {}
    takes_none = True
    for base in of.__mro__[:-1]:
        if '__init__' not in vars(base):
            continue
        takes_none = False
        parameters = list(inspect.signature(_undecorated(vars(base)['__init__'])).parameters.values())[1:]
        found = {p.name: p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)} | found
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            return found, True
    return found, takes_none


def _undecorated(function: Callable[..., Any]) -> Callable[..., Any]:
    """Returns the function under decorators that take any arguments and keep it in ``__wrapped__`` or a closure."""
    function = inspect.unwrap(function)
    parameters = list(inspect.signature(function).parameters.values())
    if any(p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in parameters[1:]):
        return function
    cells = [cell.cell_contents for cell in getattr(function, '__closure__', None) or ()]
    inner = next((cell for cell in cells if inspect.isfunction(cell) and cell.__name__ == '__init__'), None)
    return function if inner is None else _undecorated(inner)
