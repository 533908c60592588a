"""YAML from untrusted sources: plain data, in time and memory that its size bounds, without code or environment.

Aliases, tags and dates are not read, and a reference ``${key}`` names a value of the same file, nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import yaml

from composer_clr.utils.errors import did_you_mean
from composer_clr.utils.files import bounded_text

__all__ = ['References', 'merged', 'nested', 'read_mapping', 'read_override', 'value_at']

_MAX_BYTES = 64 * 2**10
_MAX_DEPTH = 40
_MAX_DIGITS = 40
_MAX_REFERENCES = 50
_MISSING = object()
_PLAIN = ('bool', 'float', 'int', 'null')
# Keys within keys: none is empty, and no list is indexed.
_KEY = re.compile(r'[^.\[\]]+(\.[^.\[\]]+){0,9}')
_REFERENCE = re.compile(r'\$\{([^${}:]+)\}')


class _Loader(yaml.SafeLoader):
    """Reads texts, numbers, truth values, null, lists and mappings whose keys are texts, each named once."""

    yaml_implicit_resolvers: ClassVar = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag.rpartition(':')[2] in _PLAIN]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    _depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent) or getattr(event, 'tag', None) is not None:
            raise yaml.YAMLError('aliases (*name) and tags (!name) are not read')
        if self._depth == _MAX_DEPTH:
            raise yaml.YAMLError(f'nested deeper than {_MAX_DEPTH} levels')
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        if isinstance(node, yaml.ScalarNode) and not node.tag.endswith(':str') and len(node.value) > _MAX_DIGITS:
            raise yaml.YAMLError(f'a number of more than {_MAX_DIGITS} digits')
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if not key.tag.endswith(':str') or key.value in seen:
                fault = 'is there twice' if key.tag.endswith(':str') else 'must be a name'
                raise yaml.YAMLError(f'the key {str(key.value)[:_MAX_DIGITS]!r} {fault}')
            seen.add(key.value)
        return super().construct_mapping(node, deep)


# YAML 1.1 reads 1e-3 as a text.
_Loader.add_implicit_resolver(
    'tag:yaml.org,2002:float', re.compile(r'[-+]?(\d[\d_]*(\.[\d_]*)?|\.\d[\d_]*)[eE][-+]?\d+$'), list('-+.0123456789')
)


def read_mapping(path: Path) -> dict[str, Any]:
    """Returns the mapping that a file holds; raises ``OSError`` or ``ValueError`` with one line if it does not."""
    values = _parsed(bounded_text(path, _MAX_BYTES))
    if not isinstance(values, dict):
        raise ValueError("not a mapping of the recipe's keys")
    return values


def read_override(override: str) -> dict[str, Any]:
    """Returns ``key=value``, the value in YAML's notation, as a nested mapping.

    Example:
        >>> read_override('optimizer.lr=1e-3')
        {'optimizer': {'lr': 0.001}}
    """
    key, equals, value = override.partition('=')
    if not equals or not _KEY.fullmatch(key):
        raise ValueError('must be key=value, such as schedule.kind=standard')
    return nested(key, _parsed(value))


def nested(key: str, value: Any) -> dict[str, Any]:
    """Returns a value in the mapping that its dotted key stands for."""
    for part in reversed(key.split('.')):
        value = {part: value}
    return value


def merged(mappings: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Returns mappings on top of each other, later ones above; ``???`` stands for no value."""
    result: dict[str, Any] = {}
    for mapping in mappings:
        for key, value in mapping.items():
            if isinstance(value, Mapping):
                below = result.get(key)
                result[key] = merged([below if isinstance(below, Mapping) else {}, value])
            elif value != '???':
                result[key] = value
    return result


def value_at(values: object, key: str, default: Any = None) -> Any:
    """Returns the value of a dotted key, or the default."""
    for part in key.split('.'):
        if not isinstance(values, Mapping) or part not in values:
            return default
        values = values[part]
    return values


class References:
    """Fills in the references ``${key}`` of a mapping's values, from that mapping and from defaults by dotted key.

    Example:
        >>> References({'optimizer': {'lr': 0.1}}).filled('lr${optimizer.lr}')
        'lr0.1'
    """

    def __init__(self, values: Mapping[str, Any], defaults: Mapping[str, Any] | None = None):
        self._values, self._defaults, self._left = values, defaults or {}, _MAX_REFERENCES

    def filled(self, value: Any) -> Any:
        """Returns a value with every reference in it filled in; one that cannot be is a ``ValueError``."""
        if isinstance(value, Mapping):
            return {key: self.filled(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [self.filled(inner) for inner in value]
        if not isinstance(value, str) or '${' not in value:
            return value
        whole = _REFERENCE.fullmatch(value)
        if whole is not None:
            return self._value(whole[1])
        text = _REFERENCE.sub(lambda found: str(self._value(found[1])), value)
        if '${' in text or len(text) > _MAX_BYTES:
            raise ValueError(f'{value[:80]!r} reads more than the recipe: pass key=value on the command line')
        return text

    def _value(self, key: str) -> Any:
        self._left -= 1
        if self._left < 0:
            raise ValueError(f'more than {_MAX_REFERENCES} references ${{...}}, or some that lead back to themselves')
        value = value_at(self._values, key, self._defaults.get(key, _MISSING))
        if value is _MISSING:
            raise ValueError(f'${{{key}}} names no key{did_you_mean(key, [*self._values, *self._defaults])}')
        return self.filled(value)


def _parsed(text: str) -> Any:
    try:
        return yaml.load(text, Loader=_Loader)
    # PyYAML's constructors raise these for a scalar that does not fit.
    except (yaml.YAMLError, ValueError, LookupError, AttributeError, TypeError, OverflowError) as error:
        raise ValueError(f'not valid YAML ({" ".join(str(error).split()) or type(error).__name__})') from error
