"""Recipes from untrusted sources: plain data of bounded size, without code or environment variables."""

from __future__ import annotations

from typing import Any

import yaml

__all__ = ['MAX_BYTES', 'check_plain', 'check_references']

MAX_BYTES = 64 * 2**10
_MAX_NODES = 5000
_MAX_DEPTH = 40
# PyYAML takes seconds for thousands of nested ones.
_MAX_BRACKETS = 500
_MAX_REFERENCES = 20


def check_plain(text: str, mapping: bool = False) -> None:
    """Refuses YAML that is invalid, that names Python objects, or that expands to more than a recipe's size.

    Aliases (``*name``) count with everything they expand to, so that a few lines of nested aliases cannot become
    gigabytes.

    Args:
        text (str): The YAML.
        mapping (bool): Whether it must be a mapping. Default: ``False``, any value.

    Raises:
        ValueError: If it is one of these; the message is one line.

    Example:
        >>> check_plain('optimizer: {lr: 0.1}')
        >>> check_plain('run_name: !!python/name:os.system')  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ValueError: not valid YAML (could not determine a constructor for the tag ...
    """
    try:
        if text.count('[') + text.count('{') > _MAX_BRACKETS:
            raise _NotARecipe(f'more than {_MAX_BRACKETS} brackets: not a recipe')
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        if root is not None:
            _count(root, {}, 0)
            plain = yaml.safe_load(text)
            if mapping and not isinstance(plain, dict):
                raise _NotARecipe("not a mapping of the recipe's keys")
    except _NotARecipe as error:
        raise ValueError(str(error)) from error
    except RecursionError as error:
        raise ValueError(f'nested deeper than {_MAX_DEPTH} levels') from error
    # PyYAML's constructors raise these for a scalar that its tag does not fit.
    except (yaml.YAMLError, ValueError, LookupError, AttributeError, TypeError, OverflowError) as error:
        raise ValueError(f'not valid YAML ({" ".join(str(error).split()) or type(error).__name__})') from error


class _NotARecipe(Exception):
    """Valid YAML that is not a recipe."""


def _count(node: yaml.Node, counted: dict[yaml.Node, int], depth: int) -> int:
    """Returns the number of nodes, this one included and aliases expanded."""
    if depth > _MAX_DEPTH:
        raise _NotARecipe(f'nested deeper than {_MAX_DEPTH} levels')
    if node not in counted:
        children = node.value if isinstance(node, yaml.CollectionNode) else []
        if isinstance(node, yaml.MappingNode):
            children = [part for pair in children for part in pair]
        counted[node] = 1 + sum(_count(child, counted, depth + 1) for child in children)
    if counted[node] > _MAX_NODES:
        raise _NotARecipe(f'more than {_MAX_NODES} values: not a recipe')
    return counted[node]


def check_references(values: Any) -> None:
    """Refuses references to anything but the recipe's own keys, and more of them than a recipe needs.

    Args:
        values (Any): The recipe as plain dicts, lists and values, with its ``${...}`` unresolved.

    Raises:
        ValueError: If one calls a resolver, such as ``${oc.env:HOME}``, or there are more than 20.

    Example:
        >>> check_references({'run_name': 'lr${optimizer.lr}'})
        >>> check_references({'run_name': '${oc.env:AWS_SECRET_ACCESS_KEY}'})
        Traceback (most recent call last):
        ValueError: '${oc.env:AWS_SECRET_ACCESS_KEY}' reads more than the recipe: pass key=value on the command line
    """
    texts = list(_texts(values))
    for text in texts:
        depth = 0
        for position, character in enumerate(text):
            depth += text.startswith('${', position) - (character == '}' and depth > 0)
            if character == ':' and depth:
                raise ValueError(f'{text!r} reads more than the recipe: pass key=value on the command line')
    if sum(text.count('${') for text in texts) > _MAX_REFERENCES:
        raise ValueError(f'more than {_MAX_REFERENCES} references ${{...}}: not a recipe')


def _texts(values: Any) -> list[str]:
    if isinstance(values, str):
        return [values]
    if isinstance(values, dict):
        values = [part for pair in values.items() for part in pair]
    return [text for value in values for text in _texts(value)] if isinstance(values, list) else []
