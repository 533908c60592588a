"""One's own modules, which ``--code`` names: found and told apart by their source, of which nothing is executed here.

A recipe names what they define as ``module:name``, the module by the last part of its name. No recipe names a module by
itself: without ``--code`` a recipe can execute none.
"""

from __future__ import annotations

import ast
import importlib.util
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

from composer_clr.recipes.schema import Recipe, RecipeError

__all__ = ['OWN_KEYS', 'Code', 'check_own_names', 'is_own', 'read_code']

# The keys that may name what is one's own.
OWN_KEYS = ('model.name', 'data.name', 'optimizer.name', 'algorithms', 'callbacks')


@dataclass(frozen=True)
class Code:
    """A module of one's own: as ``--code`` names it, how it is imported and from which folder, its file, its digest."""

    source: str
    module: str
    folder: Path
    file: Path
    digest: str


def read_code(sources: Sequence[str]) -> dict[str, Code]:
    """Finds the modules that ``--code`` names, by the last part of their names, by which recipes know them.

    The digest of a module is that of its source and of all that it imports from its folder, or, if it is installed,
    from its package, without comments, docstrings and layout.

    Args:
        sources (Sequence[str]): Files that end in ``.py``, or names of modules that are installed or in the present
            folder.

    Raises:
        RecipeError: If one is not there, is not Python, or has the last name of another.
    """
    found: dict[str, Code] = {}
    for source in sources:
        code = _found(source)
        name = code.module.rpartition('.')[2]
        if found.setdefault(name, code).file != code.file:
            raise RecipeError(f'--code {source}: {found[name].source} has the same last name, {name}: rename one')
    return found


def is_own(name: str) -> bool:
    """Returns whether a recipe's name is that of something of one's own, ``module:name``."""
    return ':' in name


def check_own_names(recipe: Recipe) -> None:
    """Refuses names of one's own in modules that ``--code`` does not name."""
    optimizers = [recipe.optimizer.name, recipe.schedule.schedule_free.get('name', '')]
    named = zip(
        OWN_KEYS,
        ([recipe.model.name], [recipe.data.name], optimizers, recipe.algorithms, recipe.callbacks),
        strict=True,
    )
    for key, name in ((key, name) for key, names in named for name in names if is_own(name)):
        module = name.partition(':')[0]
        if module not in recipe.code:
            given = f'--code names {", ".join(recipe.code)}' if recipe.code else 'no --code is given'
            raise RecipeError(f'{key}={name!r}: unknown name: {given}: pass --code {module}.py, if you trust that file')


def _found(source: str) -> Code:
    is_file, package, folder = source.endswith('.py'), '', Path.cwd()
    if is_file:
        folder = Path(source).absolute().parent
    module = Path(source).stem if is_file else source
    if not all(part.isidentifier() for part in ([module] if is_file else module.split('.'))):
        raise RecipeError(f'--code {source}: must be a file such as mine.py, or a module such as package.module')
    installed = None if is_file else _installed_in(module.partition('.')[0])
    if installed is not None:
        package, folder = module.partition('.')[0], installed
    file = _file(folder, module)
    if file is None:
        raise RecipeError(f'--code {source}: no such {"file" if is_file else "module in this folder or installed"}')
    try:
        return Code(source, module, folder, file, _digest(folder, module, package))
    except SyntaxError as error:
        raise RecipeError(f'--code {source}: {error.filename}, line {error.lineno}: {error.msg}') from error
    except (OSError, ValueError) as error:
        raise RecipeError(f'--code {source}: cannot be read: {error}') from error


def _installed_in(package: str) -> Path | None:
    """Returns the folder that a package or module is installed in, which the present folder wins over."""
    if PathFinder.find_spec(package, [str(Path.cwd())]) is not None:
        return None
    try:
        spec = importlib.util.find_spec(package)
    except ValueError:  # of a module without a specification
        return None
    if spec is None or not (spec.has_location or spec.submodule_search_locations):
        return None
    return Path(next(iter(spec.submodule_search_locations or [str(spec.origin)]))).parent


def _file(folder: Path, module: str) -> Path | None:
    """Returns the file of a module in a folder, if there is one."""
    path = folder.joinpath(*module.split('.'))
    return next((file for file in (path / '__init__.py', path.with_suffix('.py')) if file.is_file()), None)


def _digest(folder: Path, module: str, package: str) -> str:
    """Returns the digest of a module and of what it imports from its folder, or from one package of it."""
    read: dict[str, Any] = {}
    left = [module]
    while left:
        name = left.pop()
        file = _file(folder, name) if name else None
        if file is None or name in read or package not in ('', name.partition('.')[0]):
            continue
        tree = ast.parse(file.read_bytes(), str(file))
        read[name] = _content(tree)
        left += _imported(tree, name if file.name == '__init__.py' else name.rpartition('.')[0])
        left += [name.rpartition('.')[0]] if '.' in name else []
    return sha256(json.dumps(read, sort_keys=True).encode()).hexdigest()[:12]


def _imported(tree: ast.AST, package: str) -> Iterator[str]:
    """Yields every module that a module of a package imports, and every ``a.b`` of ``from a import b``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = '.'.join(package.split('.')[: len(package.split('.')) - node.level + 1]) if node.level else ''
            base = '.'.join(filter(None, [start, node.module]))
            yield from (base, *(f'{base}.{alias.name}'.lstrip('.') for alias in node.names))


def _content(node: object) -> Any:
    """Returns a syntax tree as plain values, without docstrings, and alike in all versions of Python."""
    if isinstance(node, list):
        return [_content(one) for one in node if not _is_text(one)]
    if isinstance(node, ast.AST):
        # A version may add fields, which are empty where its new syntax is not used.
        parts = {name: _content(value) for name, value in ast.iter_fields(node) if value not in (None, [])}
        return {type(node).__name__: parts}
    return repr(node)


def _is_text(node: object) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
