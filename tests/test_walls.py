"""Tests the architecture from the imports: which folder may import which, and no circles."""

from __future__ import annotations

import ast
import configparser
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
PACKAGE = TESTS.parent / 'composer_clr'
MOST_LINES = 450

FOUNDATIONS = {'curves', 'schedule', 'utils'}
# Each folder, and the folders that its modules may import beside its own.
MAY_IMPORT: dict[str, set[str]] = {
    'utils': set(),
    'schedule': {'utils'},
    'curves': {'utils'},
    'data': {'utils'},
    'algorithms': {'schedule', 'utils'},
    'study': FOUNDATIONS,
    'recipes': FOUNDATIONS,
    'loggers': FOUNDATIONS,
    'figures': {'study', *FOUNDATIONS},
    'report': {'figures', 'study', *FOUNDATIONS},
    'recording': {'algorithms', 'loggers', *FOUNDATIONS},
    'averaging': {'recording', *FOUNDATIONS},
    'training': {'algorithms', 'averaging', 'data', 'loggers', 'recipes', 'recording', 'study', *FOUNDATIONS},
}
MAY_IMPORT['cli'] = set(MAY_IMPORT)
# `__init__.py` names what users import, `train.py` is a program.
FILES = {'__init__.py', 'py.typed', 'train.py'}

# When cycles end and what the multiplier is, to read or plot a schedule without training.
PLAIN_SCHEDULE = ('times', 'shapes', 'cycles', 'arguments', 'cycle_ends', 'run_schedule', 'averages')
WITHOUT_TORCH = ('curves', 'study', 'recipes', 'figures')

MODULES = {
    '.'.join(path.relative_to(PACKAGE.parent).with_suffix('').parts).removesuffix('.__init__'): path
    for path in sorted(PACKAGE.rglob('*.py'))
}


def imported_names(tree: ast.AST) -> set[str]:
    """Returns every module imported anywhere in a file, and every ``a.b`` of ``from a import b``, which may be one."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f'line {node.lineno}: imports are written with the full name'
            names |= {str(node.module), *(f'{node.module}.{name.name}' for name in node.names)}
    return names


def first_names(path: Path) -> set[str]:
    return {name.split('.')[0] for name in imported_names(ast.parse(path.read_text()))}


def own_imports(tree: ast.AST) -> set[str]:
    """Returns the modules of the package among a file's imports."""
    return imported_names(tree) & MODULES.keys()


def without_checkers_imports(tree: ast.Module) -> ast.Module:
    """Removes the imports that only type checkers see."""

    class Pruned(ast.NodeTransformer):
        def visit_If(self, node: ast.If) -> ast.AST:
            for_checkers = ast.unparse(node.test).endswith('TYPE_CHECKING')
            return ast.Module(node.orelse, []) if for_checkers else self.generic_visit(node)

    return Pruned().visit(tree)


def run_at_import(tree: ast.Module) -> ast.Module:
    """Removes the statements that do not run when the module is imported: function bodies, type checkers' imports."""

    class Pruned(ast.NodeTransformer):
        def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
            return None

        def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
            return None

    return Pruned().visit(without_checkers_imports(tree))


def folder(module: str) -> str:
    """Returns ``'schedule'`` for ``composer_clr.schedule.cycles``, ``''`` for a module outside the folders."""
    path = MODULES[module].relative_to(PACKAGE)
    return path.parts[0] if len(path.parts) > 1 else ''


def crossings() -> dict[str, set[str]]:
    """Returns the folders that each folder imports, by lazy imports and those of type checkers too."""
    crossed: dict[str, set[str]] = {name: set() for name in MAY_IMPORT}
    for module, path in MODULES.items():
        if folder(module):
            imports = own_imports(ast.parse(path.read_text())) - {'composer_clr'}
            crossed[folder(module)] |= {folder(other) for other in imports} - {folder(module)}
    return crossed


def assert_no_circle(graph: dict[str, set[str]]) -> None:
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as circle:
        pytest.fail(f'a circle of imports: {" <- ".join(circle.args[1])}')


def test_the_folders_are_those_of_the_table():
    present = {path.name for path in PACKAGE.iterdir() if path.name != '__pycache__'}
    assert present == {*MAY_IMPORT, *FILES}


def test_every_folder_with_modules_is_installed():
    metadata = configparser.ConfigParser(interpolation=None)
    metadata.read(TESTS.parent / 'setup.cfg')
    installed = set(metadata['options']['packages'].split()) - {'composer_clr.yamls'}
    assert installed == {'.'.join(path.relative_to(TESTS.parent).parts[:-1]) for path in MODULES.values()}


def test_a_module_imports_only_folders_that_its_own_may():
    forbidden = {
        (module, other)
        for module, path in MODULES.items()
        if folder(module)
        for other in own_imports(ast.parse(path.read_text())) - {'composer_clr'}
        if folder(other) not in {folder(module), *MAY_IMPORT[folder(module)]}
    }
    assert forbidden == set()


def test_the_package_itself_is_imported_for_its_version_only():
    imported = {
        (module, name.name)
        for module, path in MODULES.items()
        if folder(module)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module == 'composer_clr'
        for name in node.names
        if f'composer_clr.{name.name}' not in MODULES
    }
    assert {name for _, name in imported} == {'__version__'}, imported


def test_no_circle_between_folders():
    assert_no_circle(MAY_IMPORT | {'cli': set(MAY_IMPORT) - {'cli'}})
    assert_no_circle(crossings())


def test_no_circle_between_modules_when_they_are_imported():
    graph = {}
    for module, path in MODULES.items():
        imports = own_imports(run_at_import(ast.parse(path.read_text())))
        # A folder's `__init__` runs before its modules without depending on them, unless it imports them itself.
        graph[module] = imports - {module}
    assert_no_circle(graph)


@pytest.mark.parametrize('name', PLAIN_SCHEDULE)
def test_the_mathematics_of_the_schedule_needs_the_standard_library_only(name):
    tree = without_checkers_imports(ast.parse(MODULES[f'composer_clr.schedule.{name}'].read_text()))
    allowed = {'schedule', 'utils'}
    others = {module for module in own_imports(tree) if folder(module) not in allowed}
    assert others == set()
    assert {module.split('.')[0] for module in imported_names(tree)} <= {*sys.stdlib_module_names, 'composer_clr'}


def test_study_needs_numpy_and_scipy_only():
    paths = list((PACKAGE / 'study').glob('*.py'))
    imports = set().union(*map(first_names, paths))
    assert imports <= {*sys.stdlib_module_names, 'composer_clr', 'numpy', 'scipy'}


@pytest.mark.parametrize('logger', ['wandb', 'mlflow', 'tensorboard'])
def test_loggers_are_imported_in_one_folder_only(logger):
    assert {folder(module) for module, path in MODULES.items() if logger in first_names(path)} == {'loggers'}


def test_curves_recipes_study_and_figures_do_not_wait_for_torch():
    names = [module for module in MODULES if folder(module) in WITHOUT_TORCH]
    names += [f'composer_clr.schedule.{name}' for name in PLAIN_SCHEDULE]
    program = f'import sys, {", ".join(names)}; print(*sorted({{"torch", "composer"}} & sys.modules.keys()))'
    ended = subprocess.run([sys.executable, '-c', program], cwd=TESTS.parent, capture_output=True, text=True)
    assert (ended.stdout.strip(), ended.stderr) == ('', '')


@pytest.mark.parametrize('name', ['data', 'data.images', 'data.conversion.convert'])
def test_the_processes_of_a_conversion_do_not_wait_for_composer(name):
    names = imported_names(run_at_import(ast.parse(MODULES[f'composer_clr.{name}'].read_text())))
    assert 'composer' not in {module.split('.')[0] for module in names}


def test_no_module_is_long():
    lines = {module: len(path.read_text().splitlines()) for module, path in MODULES.items()}
    assert {module: number for module, number in lines.items() if number > MOST_LINES} == {}


def test_no_test_module_imports_another_test_module():
    imports = {
        (path.relative_to(TESTS).as_posix(), name)
        for path in TESTS.rglob('*.py')
        for name in imported_names(ast.parse(path.read_text()))
        if name.startswith('tests.') and any(part.startswith('test_') for part in name.split('.'))
    }
    assert not imports
