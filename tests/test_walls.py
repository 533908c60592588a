"""The architecture, read from the imports: which folder may import which, without circles."""

from __future__ import annotations

import ast
from pathlib import Path

TESTS = Path(__file__).parent


def imported_modules(path: Path) -> set[str]:
    """Every module that a file imports anywhere in it, and every name that may be one (``from a import b``)."""
    modules = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            modules |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f'{path}:{node.lineno}: import by the full name'
            modules |= {node.module or '', *(f'{node.module}.{name.name}' for name in node.names)}
    return modules


def test_no_test_module_imports_another_test_module():
    imports = {
        (path.relative_to(TESTS).as_posix(), module)
        for path in TESTS.rglob('*.py')
        for module in imported_modules(path)
        if module.startswith('tests.') and any(part.startswith('test_') for part in module.split('.'))
    }
    assert not imports
