"""Modules that --code names: which they are, what tells one source from another, and that nothing is executed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from composer_clr.cli.app import main
from composer_clr.curves.settings import differences
from composer_clr.recipes.code import read_code
from composer_clr.recipes.load import load_recipe
from composer_clr.recipes.schema import RecipeError
from composer_clr.recipes.study import planned_runs

FILES = {
    'mine.py': 'import torch\nimport helper\n\n\ndef network(width=8):\n    """A network."""\n    return width\n',
    'helper.py': 'from pkg.sub import leaf\n\nSIZE = 3\n',
    'unused.py': 'x = 1\n',
    'pkg/__init__.py': '',
    'pkg/nets.py': 'from . import sub\nfrom .sub.leaf import f\n',
    'pkg/sub/__init__.py': 'import colour\n',
    'pkg/sub/leaf.py': 'def f():\n    from ..late import g\n    return g()\n',
    'pkg/late.py': 'g = f"{1!r:>{2}}" f"b"\n',
    'colour.py': 'y = 1\n',
}
RECIPE = """
run_name: mine
max_duration: 6ep
model: {name: mine:network, num_classes: 10}
data: {name: digits, batch_size: 50, eval_batch_size: 900}
optimizer: {lr: 0.1}
schedule: {kind: cyclic, t_0: 2ep}
"""


@pytest.fixture(autouse=True)
def files(tmp_path, monkeypatch) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / 'mine.yaml').write_text(RECIPE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def digest(source: str) -> str:
    (code,) = read_code([source]).values()
    return code.digest


SOURCES = ('mine.py', 'mine', 'pkg.nets')


@pytest.mark.parametrize(
    ('file', 'text', 'changed'),
    [
        ('mine.py', '# A comment.\nimport torch\nimport helper\ndef network( width = 8 ):\n  return width\n', ''),
        (
            'mine.py',
            '\nimport torch\nimport helper\n\n\ndef network(width=8):\n    """Another."""\n    return 8\n',
            'mine',
        ),
        ('mine.py', FILES['mine.py'].replace('width=8', 'width=9'), 'mine'),
        ('mine.py', FILES['mine.py'] + 'network = None\n', 'mine'),
        ('helper.py', 'from pkg.sub import leaf\nSIZE = 4\n', 'mine'),
        ('pkg/__init__.py', 'x = 1\n', 'mine pkg'),
        ('pkg/sub/__init__.py', 'import colour\nx = 1\n', 'mine pkg'),
        ('pkg/sub/leaf.py', 'def f():\n    from ..late import g\n    return g\n', 'mine pkg'),
        ('pkg/late.py', 'g = f"{1!r:>{3}}" f"b"\n', 'mine pkg'),
        ('colour.py', 'y = 2\n', 'mine pkg'),
        ('unused.py', 'x = 2\n', ''),
    ],
)
def test_the_digest_is_that_of_all_that_can_change_a_result(files, file, text, changed):
    before = {source: digest(source) for source in SOURCES}
    (files / file).write_text(text)
    after = {source: digest(source) for source in SOURCES}
    assert {source.partition('.')[0] for source in SOURCES if before[source] != after[source]} == set(changed.split())
    assert after['mine.py'] == after['mine']


def test_the_digest_is_the_same_on_every_version_of_python(files):
    # Found with Python 3.11; a version that builds other trees of old syntax would change it.
    (files / 'syntax.py').write_text(
        'import torch as t\nfrom x import *\n@t.no_grad()\nasync def f(a, /, b=1, *c, d: int = 2, **e) -> None:\n'
        '    """D."""\n    x: list[int] = [y async for y in c if y not in (None, 1j, b"x", "é", ...)]\n'
        '    return await f"{x!r:>{b}} {{}} {d=}" % (lambda *, q: (yield q))\n'
        'class A(B, metaclass=C):\n    match 1:\n        case [1, {"a": _}, *z] | None: pass\n    del x[1:2, ::3]\n'
        'try: x = (a := 1.5e300) if not b else -c @ d\nexcept (E, F) as e: raise G from e\nelse: global h\n'
    )
    assert digest('syntax.py') == 'd90f7052f046'


def test_of_an_installed_package_its_own_modules_count(files, monkeypatch, tmp_path_factory):
    installed = tmp_path_factory.mktemp('installed')
    for name in ('pkg', 'colour.py', 'mine.py', 'helper.py'):
        (files / name).rename(installed / name)
    monkeypatch.syspath_prepend(installed)
    before = digest('pkg.nets'), digest('mine')
    (installed / 'colour.py').write_text('y = 2\n')
    (installed / 'helper.py').write_text('SIZE = 4\n')
    assert (digest('pkg.nets'), digest('mine')) == before
    (installed / 'pkg/late.py').write_text('g = 2\n')
    assert digest('pkg.nets') != before[0]


@pytest.mark.parametrize(
    ('sources', 'match'),
    [
        (['nowhere.py'], r'--code nowhere\.py: no such file'),
        (['nowhere'], '--code nowhere: no such module in this folder or installed'),
        (['pkg.nowhere'], r'--code pkg\.nowhere: no such module'),
        (['my-nets.py'], r'--code my-nets\.py: must be a file such as mine\.py, or a module such as package\.module'),
        (['mine.txt.py'], r'--code mine\.txt\.py: must be a file'),
        (['../mine'], r'--code \.\./mine: must be a file'),
        ([''], '--code : must be a file'),
        (['pkg'], None),
        (['mine.py', './mine.py'], None),
        (['mine.py', 'pkg/nets.py', 'pkg.nets'], None),
        (['mine.py', 'pkg/mine.py'], r'--code pkg/mine\.py: mine\.py has the same last name, mine: rename one'),
        (['wrong.py'], r'--code wrong\.py: /.*/wrong\.py, line 2: '),
        (['latin.py'], r'--code latin\.py: '),
        (['sys'], '--code sys: no such module'),
    ],
    ids=lambda value: ' '.join(value) if isinstance(value, list) else '',
)
def test_what_is_no_module_is_refused_in_one_line(files, sources, match):
    (files / 'pkg/mine.py').write_text('')
    (files / 'wrong.py').write_text('x = 1\ny = = 2\n')
    (files / 'latin.py').write_bytes(b'x = "\xe9"\n')
    if match is None:
        assert read_code(sources)
        return
    with pytest.raises(RecipeError, match=f'^{match}') as refused:
        read_code(sources)
    assert '\n' not in str(refused.value)


def test_nothing_is_executed_until_a_trainer_is_built(files, capsys):
    for name in ('mine.py', 'helper.py', 'pkg/__init__.py'):
        (files / name).write_text((files / name).read_text() + '\nraise SystemExit("executed")\n')
    planned_runs(['mine.yaml'], code=['mine.py', 'pkg.nets'], kinds=['cyclic'])
    assert main_status('schedule', 'mine.yaml', '--code', 'mine.py') == 0
    assert main_status('sweep', 'mine.yaml', '--code', 'mine.py', '--code', 'pkg.nets', '--kinds', 'cyclic') == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith('python -m composer_clr.train mine.yaml schedule.kind=cyclic seed=17 max_duration=6ep')
    assert last.endswith(' --code=mine.py --code=pkg.nets')


def main_status(*words: str) -> int:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('sys.argv', ['composer-clr', *words])
        try:
            main()
        except SystemExit as exit:
            return int(exit.code or 0)
    return 0


@pytest.mark.parametrize(
    ('override', 'key'),
    [
        ('model.name=os:system', 'model.name'),
        ('model.name="os:system"', 'model.name'),
        ('data.name=subprocess:run', 'data.name'),
        ('optimizer.name=builtins:exec', 'optimizer.name'),
        ('schedule.schedule_free.name=os:system', 'optimizer.name'),
        ('algorithms={os:system: {command: x}}', 'algorithms'),
        ('callbacks.os:system={command: x}', 'callbacks'),
        ('model.name=:system', 'model.name'),
        ('model.name=mine.py:network', 'model.name'),
        ('model.name=pkg.mine:network', 'model.name'),
    ],
)
@pytest.mark.parametrize('code', [[], ['mine.py']], ids=['', 'mine'])
def test_a_recipe_names_modules_of_code_alone(override, key, code):
    base = ['model.name=small_resnet', override]
    given = '--code names mine' if code else 'no --code is given'
    with pytest.raises(RecipeError, match=rf"^{key}='.*:.*': unknown name: {given}: pass --code .*, if you trust"):
        load_recipe('mine.yaml', base, code)


@pytest.mark.parametrize(
    'override', ['code.mine=x', 'code={mine: {source: mine.py}}', 'code=[mine.py]', 'code={}', 'code=mine.py']
)
def test_a_recipe_cannot_name_code(files, override):
    with pytest.raises(RecipeError, match=f'^{re.escape(override)}: code: is no key of a recipe: pass --code mine.py'):
        load_recipe('mine.yaml', [override], ['mine.py'])
    key, _, value = override.partition('=')
    (files / 'bad.yaml').write_text('base: mine.yaml\n' + (f'code: {value}' if key == 'code' else 'code: {mine: x}'))
    with pytest.raises(RecipeError, match='^bad.yaml: code: is no key of a recipe'):
        load_recipe('bad.yaml', [], ['mine.py'])


def test_the_settings_of_a_run_hold_the_digest(files):
    then = load_recipe('mine.yaml', [], ['mine.py']).plain()
    assert then['code'] == {'mine': digest('mine.py')}
    (files / 'helper.py').write_text('SIZE = 4\n')
    now = load_recipe('mine.yaml', [], ['mine.py']).plain()
    (found,) = differences({'recipe': then}, {'recipe': now})
    assert str(found) == f'code.mine={then["code"]["mine"]!r}, now {now["code"]["mine"]!r}'
    # Also where both Trainers' settings are known; and an own callback may do anything.
    known = {'optimizer': 'SGD'}
    assert len(differences({**known, 'recipe': then}, {**known, 'recipe': now})) == 1
    other = load_recipe('mine.yaml', ['callbacks.mine:Watch.every=2'], ['mine.py']).plain()
    names = [one.name for one in differences({**known, 'recipe': now}, {**known, 'recipe': other})]
    assert names == ['recipe.callbacks.mine:Watch']
    third = load_recipe('mine.yaml', ['callbacks.mine:Watch.every=3'], ['mine.py']).plain()
    names = [one.name for one in differences({**known, 'recipe': third}, {**known, 'recipe': other})]
    assert names == ['recipe.callbacks.mine:Watch.every']


def test_the_method_of_an_algorithm_of_ones_own_is_its_name():
    recipe = load_recipe('mine.yaml', ['algorithms={mine:Thing: {}, MixUp: {}}'], ['mine.py'])
    assert recipe.snapshot.method == 'MX+Thing'


@pytest.mark.parametrize(
    ('overrides', 'match'),
    [
        (['model.num_classes=null'], 'mine.yaml: model.num_classes is required'),
        (['data.name=mine:loaders', 'model.num_classes=null'], None),
        (['data.name=mine:loaders', 'model.num_classes=null', 'data.sequence_length=8'], None),
        (['data.name=mine:loaders', 'data.sequence_length=8'], "model.num_classes=10: belongs to 'image classifier'"),
        (['data.name=standard_library', 'data.sequence_length=8', 'model.num_classes=null'], None),
        (['data.name=standard_library', 'model.num_classes=null'], 'mine.yaml: data.sequence_length is required'),
        (
            ['data.name=mine:loaders', 'model.name=small_transformer'],
            "model.num_classes=10: belongs to 'image classifier'",
        ),
        (['data.name=mine:loaders', 'model.name=small_resnet', 'model.num_classes=null'], '.*num_classes is required'),
    ],
)
def test_the_family_of_ones_own_network_is_that_of_its_data(overrides, match):
    if match is None:
        load_recipe('mine.yaml', overrides, ['mine.py'])
        return
    with pytest.raises(RecipeError, match=f'^{match}'):
        load_recipe('mine.yaml', overrides, ['mine.py'])
