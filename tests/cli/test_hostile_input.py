"""Files from anybody: whatever is in them, a reader gives what it is for or its one error, soon, on one line."""

from __future__ import annotations

import json
import os
import time
import warnings
import xml.etree.ElementTree
from functools import partial
from pathlib import Path

import pytest
from hypothesis import strategies as st

from composer_clr.cli.app import main
from composer_clr.curves.curve import CurveError, Run, TradeoffCurve
from composer_clr.curves.files import read_sources
from composer_clr.curves.long_csv import long_csv, read_long_csv
from composer_clr.curves.names import check_run_name
from composer_clr.recipes.load import load_recipe
from composer_clr.recipes.schema import RecipeError
from tests.helpers.curves import curve, point
from tests.helpers.fuzzing import LONGEST_S, NUMBERS, anything, check_each, refused_or
from tests.helpers.pages import Page
from tests.helpers.recipes import MINIMAL

# Cases that a reader once fell over, kept.
FOUND_YAML = [
    'a: ' + '[' * 5000,
    'a: &a [*a]',
    'a: &a [x]\nb0: &b0 [*a, *a]\n' + ''.join(f'b{i}: &b{i} [*b{i - 1}, *b{i - 1}]\n' for i in range(1, 60)),
    'model: {arguments: {a0: xx, ' + ', '.join(f"a{i}: '${{.a{i - 1}}}${{.a{i - 1}}}'" for i in range(1, 60)) + '}}',
    'run_name: !!bool foo',
    'run_name: !!int ""',
    'run_name: !!timestamp x',
    'seed: 1\nseed: 2',
    'seed: ' + '9' * 5000,
    'null: 3',
    '? [a]\n: b',
    '2',
    '!!set {a}',
    "run_name: '${oc.env:HOME}'",
    'run_name: "a\\0b"',
]
FOUND_OVERRIDES = [
    'seed=\n',
    'a.' * 1000 + 'b=1',
    '[=1',
    'model.arguments.=1',
    'seed[=1',
    'model=[]',
    '${a}=1',
    '\0=1',
    '=',
    '',
]
FOUND_JSON = [
    json.dumps(
        {'format': 1, 'run': {'run_name': 'r', 'kind': 'k', 'method': 'm', 'versions': {'a\nb': 3}}, 'points': []}
    ),
    '[' * 100_000,
    '{"format": 1, "run": {"run_name": "r", "kind": "k", "method": "m", "seed": 1e999}, "points": []}',
    '{"format": 1, "run": {"run_name": "\\ud800", "kind": "k", "method": "m"}, "points": []}',
    '{"format": 1, "run": {"run_name": "r", "kind": "k", "method": "m", "seed": ' + '9' * 5000 + '}, "points": []}',
]
FOUND_CSV = [
    'kind,method,seed,epoch,wall_clock_train_s,a\ncyclic,m,' + '9' * 5000 + ',1,1,1\n',
    'kind,method,seed,epoch,wall_clock_train_s,a\ncyclic,m,1,1e308,1e308,1\n',
    'kind,method,seed,epoch,wall_clock_train_s,a\ncyclic,m,1,1,1,"' + 'x' * 200_000 + '"\n',
    'kind,method,seed,epoch,wall_clock_train_s,a\n\0,m,1,1,1,1\n',
]


@st.composite
def odd_curves(draw: st.DrawFn) -> str:
    """The JSON of a curve with some of its values changed, or its text cut or garbled."""
    record = json.loads(curve(point(), point(1)).to_json())
    parts = [record, record['run'], *record['points'], record['points'][0]['metrics']]
    for _ in range(draw(st.integers(0, 3))):
        inner: dict = parts[draw(st.integers(0, len(parts) - 1))]
        inner[draw(st.sampled_from(sorted(inner)) | st.text(max_size=8))] = draw(anything)
    return garbled(draw, json.dumps(record))


@st.composite
def odd_tables(draw: st.DrawFn) -> str:
    """A long CSV with some odd cells, or garbled."""
    cell = st.sampled_from(['', '0', '1', '16', '-1', '1e999', 'nan', 'cyclic', 'standard', '"', '=1+1']) | st.text(
        max_size=8
    )
    header = [
        'kind',
        'method',
        'seed',
        'epoch',
        'wall_clock_train_s',
        'acc',
        'peak:acc',
        *draw(st.lists(cell, max_size=2)),
    ]
    good = ['cyclic', 'MX', '17', '16', '100.5', '0.5', '0.6', *['1'] * (len(header) - 7)]
    rows = [[draw(cell) if draw(st.integers(0, 9)) == 0 else value for value in good] for _ in range(3)]
    return garbled(draw, '\n'.join(map(','.join, [header, *rows])))


@st.composite
def odd_recipes(draw: st.DrawFn) -> str:
    """A recipe with lines exchanged for others, or garbled."""
    pieces = st.sampled_from(
        [
            '&a',
            '*a',
            '<<:',
            '!!int',
            '!!python/object:os.system',
            '${seed}',
            '${oc.env:HOME}',
            '${',
            '[',
            '{',
            '? ',
            ': ',
        ]
    )
    lines = [str(line) for line in MINIMAL.strip().splitlines()]
    for _ in range(draw(st.integers(0, 3))):
        odd = ''.join(draw(st.lists(pieces | st.text(max_size=6), max_size=5)))
        lines[draw(st.integers(0, len(lines) - 1))] = (
            f'{draw(st.sampled_from(["seed", "run_name", "model", "x"]))}: {odd}'
        )
    return garbled(draw, '\n'.join(lines))


def garbled(draw: st.DrawFn, text: str) -> str:
    how = draw(st.integers(0, 5))
    if how == 0:
        return text[: draw(st.integers(0, len(text)))]
    if how == 1:
        place = draw(st.integers(0, len(text)))
        return text[:place] + draw(st.text(max_size=10)) + text[place:]
    return draw(st.text(max_size=200)) if how == 2 else text


def write(path: Path, text: str) -> Path:
    path.write_bytes(text.encode('utf-8', 'surrogatepass'))
    return path


def check_curve(tmp_path: Path, text: str) -> None:
    path = write(tmp_path / 'curve.json', text)
    read = refused_or(lambda: TradeoffCurve.read(path), CurveError)
    if read is not None:
        assert isinstance(read, TradeoffCurve)
        again = tmp_path / 'again.json'
        read.write(again)
        assert TradeoffCurve.read(again).to_json() == read.to_json()


def check_table(tmp_path: Path, text: str) -> None:
    path = write(tmp_path / 'curves.csv', text)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', UserWarning)
        read = refused_or(lambda: read_long_csv(path), CurveError)
        text = None if read is None else refused_or(lambda: long_csv(read), CurveError)  # type: ignore[arg-type]
        if text is not None:
            # What is written can be read.
            read_long_csv(write(path, str(text)))


def check_folder(tmp_path: Path, texts: list[str]) -> None:
    for i, text in enumerate(texts):
        (tmp_path / str(i)).mkdir(exist_ok=True)
        write(tmp_path / str(i) / 'curve.json', text)
    before = sorted(tmp_path.rglob('*'))
    read = refused_or(lambda: read_sources([tmp_path]), CurveError)
    if read is not None:
        curves, errors = read  # type: ignore[misc]
        assert len(curves) + len(errors) == len(list(tmp_path.rglob('curve.json')))
    assert sorted(tmp_path.rglob('*')) == before


def check_recipe(tmp_path: Path, text: str) -> None:
    path = write(tmp_path / 'recipe.yaml', text)
    recipe = refused_or(lambda: load_recipe(str(path)), RecipeError)
    if recipe is not None:
        check_run_name(recipe.run_name)  # type: ignore[attr-defined]
        assert os.environ['HOME'] not in str(recipe)


def check_override(_: Path, override: str) -> None:
    refused_or(lambda: load_recipe('quickstart/digits', [override]), RecipeError)


keys = st.sampled_from(
    [
        'seed',
        'run_name',
        'model',
        'model.name',
        'schedule.cycle_ends',
        'snapshot.metrics',
        'algorithms.MixUp.alpha',
        'x',
    ]
)
overrides = st.tuples(
    keys | st.text(alphabet='ab.[]${}', max_size=8), st.sampled_from(['=', '==', '']), st.text(max_size=20)
).map(''.join)


READERS = {
    'curves': (check_curve, odd_curves(), FOUND_JSON),
    'long CSVs': (check_table, odd_tables(), FOUND_CSV),
    'folders': (check_folder, st.lists(odd_curves(), min_size=1, max_size=3), []),
    'recipes': (check_recipe, odd_recipes(), FOUND_YAML),
    'overrides': (check_override, overrides, FOUND_OVERRIDES),
}


@pytest.mark.parametrize('number', NUMBERS)
@pytest.mark.parametrize('reader', READERS)
def test_whatever_is_in_an_input(tmp_path, reader, number):
    check, inputs, found = READERS[reader]
    check_each(number, inputs, partial(check, tmp_path), found)


# What no generator comes upon.

EVIL = ['<script>alert(1)</script>%s{0}', '$\\frac{', '\x1b[2J\x1b]0;x\x07\u202eevil\nb', '[red]x[/red]']


@pytest.mark.parametrize('name', EVIL)
def test_names_reach_neither_terminal_nor_page_unescaped(tmp_path, monkeypatch, capsys, name):
    for kind in ('cyclic', name):
        (tmp_path / str(len(kind))).mkdir()
        points = [point(cycle, epoch=2.0**cycle, metrics={name: 0.5}) for cycle in (0, 1)]
        curve = TradeoffCurve(Run(name, kind, name), points)
        curve.write(tmp_path / str(len(kind)) / 'curve.json')
    for arguments in (
        ['plot', '-o', str(tmp_path / 'out.svg')],
        ['compare'],
        ['forecast', '--sigma', '0.1'],
        ['report', '-o', str(tmp_path / 'out.html')],
        ['export', '-o', str(tmp_path / 'o.csv')],
    ):
        monkeypatch.setattr('sys.argv', ['composer-clr', arguments[0], str(tmp_path), *arguments[1:]])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code in (0, 2)
    said = ''.join(capsys.readouterr())
    assert all(character.isprintable() or character == '\n' for character in said)
    parsed = xml.etree.ElementTree.parse(tmp_path / 'out.svg')
    assert not [element for element in parsed.iter() if element.tag.endswith('script')]
    page = Page((tmp_path / 'out.html').read_text())
    assert len(page.all('script')) == 3
    texts = ''.join(text for tag, text in page.texts if tag in ('td', 'li', 'figcaption', 'pre'))
    assert all(character.isprintable() or character == '\n' for character in texts)


@pytest.mark.parametrize('read', [TradeoffCurve.read, read_long_csv, lambda path: load_recipe(str(path))])
def test_an_endless_file_is_not_read(tmp_path, read):
    os.mkfifo(tmp_path / 'pipe.yaml')
    (tmp_path / 'zero.yaml').symlink_to('/dev/zero')
    with (tmp_path / 'large.yaml').open('wb') as file:
        file.truncate(2**30)
    begun = time.monotonic()
    for name, match in (('pipe', 'not a regular file'), ('zero', 'not a regular file'), ('large', 'it is larger than')):
        with pytest.raises((CurveError, RecipeError), match=match):
            read(tmp_path / f'{name}.yaml')
    assert time.monotonic() - begun < LONGEST_S


@pytest.mark.parametrize(
    'name', ['..', '../x', '/x', 'a/../../x', 'a//b', 's3://bucket/x', '..\\x', 'a\0b', '\x1b[2J', '']
)
def test_a_run_name_leads_out_of_no_folder(name):
    with pytest.raises(ValueError, match='run_name=.*cannot name a folder'):
        check_run_name(name)


def test_a_run_name_may_name_a_folder_in_the_folder():
    for name in ('a/b', 'lr=0.1, seed 3', '..a', 'größer', '.hidden'):
        check_run_name(name)
