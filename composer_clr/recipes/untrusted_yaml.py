"""The YAML of recipes, read as data from anybody: no code, no environment, and no more of it than a recipe needs."""

from __future__ import annotations

from typing import Any

import yaml

__all__ = ['MAX_BYTES', 'check_plain', 'check_references']

MAX_BYTES = 64 * 2**10
_MAX_NODES = 5000
_MAX_DEPTH = 40
# PyYAML takes seconds over some thousands that are nested.
_MAX_BRACKETS = 500
_MAX_REFERENCES = 20


def check_plain(text: str, mapping: bool = False) -> None:
    """Refuse YAML that is broken, that names Python objects, or that unfolds to more than a recipe's size.

    Aliases (``*name``) count with all that they stand for, so that some lines of aliases of aliases cannot become
    gigabytes.

    Args:
        text (str): The YAML.
        mapping (bool): Whether it must be a mapping of keys. Default: ``False``, any value.

    Raises:
        ValueError: If it is one of those; one line.

    Example:
        >>> check_plain('optimizer: {lr: 0.1}')
        >>> check_plain('run_name: !!python/name:os.system')  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ValueError: not valid YAML (could not determine a constructor for the tag ...
    """
    try:
        if text.count('[') + text.count('{') > _MAX_BRACKETS:
            raise _NoRecipe(f'more than {_MAX_BRACKETS} brackets, which no recipe has')
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        if root is not None:
            _count(root, {}, 0)
            plain = yaml.safe_load(text)
            if mapping and not isinstance(plain, dict):
                raise _NoRecipe("not a mapping of the recipe's keys")
    except _NoRecipe as error:
        raise ValueError(str(error)) from error
    except RecursionError as error:
        raise ValueError(f'nested deeper than {_MAX_DEPTH} levels') from error
    # Of a scalar whose tag does not fit it, PyYAML's constructors raise these.
    except (yaml.YAMLError, ValueError, LookupError, AttributeError, TypeError, OverflowError) as error:
        raise ValueError(f'not valid YAML ({" ".join(str(error).split()) or type(error).__name__})') from error


class _NoRecipe(Exception):
    """YAML that may well be valid, but is no recipe's."""


def _count(node: yaml.Node, counted: dict[yaml.Node, int], depth: int) -> int:
    """Nodes below and with this one, aliases unfolded."""
    if depth > _MAX_DEPTH:
        raise _NoRecipe(f'nested deeper than {_MAX_DEPTH} levels')
    if node not in counted:
        children = node.value if isinstance(node, yaml.CollectionNode) else []
        if isinstance(node, yaml.MappingNode):
            children = [part for pair in children for part in pair]
        counted[node] = 1 + sum(_count(child, counted, depth + 1) for child in children)
    if counted[node] > _MAX_NODES:
        raise _NoRecipe(f'more than {_MAX_NODES} values, which no recipe has')
    return counted[node]


def check_references(values: Any) -> None:
    """Refuse references that read anything but the recipe's own keys, or that could multiply without end.

    Args:
        values: The recipe as plain dicts, lists and values, its ``${...}`` not filled in yet.

    Raises:
        ValueError: If one calls a resolver, such as ``${oc.env:HOME}``, or there are too many.

    Example:
        >>> check_references({'run_name': 'lr${optimizer.lr}'})
        >>> check_references({'run_name': '${oc.env:AWS_SECRET_ACCESS_KEY}'})
        Traceback (most recent call last):
        ValueError: '${oc.env:AWS_SECRET_ACCESS_KEY}' reads more than the recipe: give key=value on the command line
    """
    texts = list(_texts(values))
    for text in texts:
        depth = 0
        for place, character in enumerate(text):
            depth += text.startswith('${', place) - (character == '}' and depth > 0)
            if character == ':' and depth:
                raise ValueError(f'{text!r} reads more than the recipe: give key=value on the command line')
    if sum(text.count('${') for text in texts) > _MAX_REFERENCES:
        raise ValueError(f'more than {_MAX_REFERENCES} references ${{...}}, which no recipe needs')


def _texts(values: Any) -> list[str]:
    if isinstance(values, str):
        return [values]
    if isinstance(values, dict):
        values = [part for pair in values.items() for part in pair]
    return [text for value in values for text in _texts(value)] if isinstance(values, list) else []
