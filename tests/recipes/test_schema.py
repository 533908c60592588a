"""Every key is documented with the type that it has, and ``--keys`` prints it."""

import re
from dataclasses import fields, is_dataclass

import pytest

from composer_clr.recipes import schema
from composer_clr.train import main

SECTIONS = [one for name, one in vars(schema).items() if name.endswith('Recipe') and is_dataclass(one)]
PLAIN = {'Whole': 'int', 'Number': 'float', 'Seed': 'int', 'Kind': 'str', 'dict[str, Any]': 'dict'}


@pytest.mark.parametrize('section', SECTIONS, ids=lambda section: section.__name__)
def test_documented_types_are_the_declared_ones(section):
    documented = re.findall(r'^        (\w+) \(([^)]+)\):', section.__doc__, re.MULTILINE)
    assert [name for name, _ in documented] == [field.name for field in fields(section)]
    for name, kind in documented:
        declared = re.sub(r'\bLiteral\[.*\]', 'str', section.__annotations__[name])
        for alias, plain in PLAIN.items():
            declared = declared.replace(alias, plain)
        assert declared in (kind, 'Any')


def test_the_command_prints_every_key_with_type_default_and_meaning(capsys):
    assert main(['--keys']) == 0
    told = capsys.readouterr().out
    assert set(re.findall(r'^([\w.]+) \(', told, re.MULTILINE)) == schema.recipe_keys().keys()
    for line in (
        'optimizer.lr (float, required)\n    Learning rate at the top of a cycle.\n',
        'data.timeout_s (float, default 600.0)\n    Longest wait for a batch',
        'schedule.t_0 (str | None, default null)\n',
        'checkpoint.autoresume (bool, default false)\n',
        'model.loss (str | None, default null)\n    Of an image classifier soft_cross_entropy or',
    ):
        assert line in told
    assert not re.search(r'``|:class:|Default:', told)
