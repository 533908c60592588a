"""The page of a study: what it says is what ``compare`` prints, whatever the runs are and whatever they are called."""

import json
import os
import re
import subprocess
import sys
from base64 import b64encode
from dataclasses import replace
from hashlib import sha384
from pathlib import Path

import pytest
from plotly.offline import get_plotlyjs, get_plotlyjs_version

from composer_clr.curves.curve import Run, TradeoffCurve
from tests.helpers.pages import Page
from tests.helpers.runs_and_lines import point, run, standard_runs

SCRIPT = '</script><script>alert(1)</script>'
HOSTILE = [SCRIPT, '<img src=x onerror=alert(1)>', '"><b>&lt;&amp;', "a'b`${1}<!--"]


def page(path: str = 'page.html') -> Page:
    return Page(Path(path).read_text())


def write(*curves: TradeoffCurve) -> None:
    for i, curve in enumerate(curves):
        Path(f'run{i}').mkdir()
        curve.write(f'run{i}/curve.json')


@pytest.fixture(autouse=True)
def in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def digest(script: str) -> str:
    return f'sha384-{b64encode(sha384(script.encode()).digest()).decode()}'


def policy(found: Page) -> dict[str, list[str]]:
    of = {at.get('http-equiv'): at.get('content') for tag, at in found.elements if tag == 'meta'}
    rules = [rule.split() for rule in (of['Content-Security-Policy'] or '').split(';')]
    return {name: values for name, *values in rules}


def test_the_verdicts_come_first_and_every_figure_of_compare_follows(call, three_seeds, capsys):
    assert call('report', 'study.csv') == 0
    assert capsys.readouterr().out == 'page.html: 72 points of 45 runs\n'
    assert call('compare', 'study.csv', '--points', '--format', 'markdown') == 0
    printed = [re.sub(r'\\(.)', r'\1', line) for line in capsys.readouterr().out.splitlines()]
    found = page()
    verdicts = [line.removeprefix('- ') for line in printed if re.match(r'- (\w+, \d+ ep: |improvement over )', line)]
    assert len(verdicts) == 9
    assert found.all('li')[:9] == verdicts
    assert next(tag for tag, _ in found.elements if tag in ('li', 'figure', 'table')) == 'li'
    compared = [[cell.strip() for cell in line.split('|')[1:-1]] for line in printed if line.startswith('|')]
    compared = [row for row in compared if not row[0].startswith(':-')]
    rows = [row for table in found.tables.values() for row in table]
    assert len(compared) == 39
    assert [row for row in compared if row not in rows] == []
    notes = [line.removeprefix('- ') for line in printed if line.startswith('- ')]
    assert set(notes) <= set(found.all('li'))


def test_the_figures_have_the_values_and_intervals_of_the_study(call):
    values = {1: (0.5, 0.6), 2: (0.52, 0.64), 3: (0.54, 0.62)}
    write(*(run('baseline', 'cyclic', [(4, a, 10.0 + seed), (8, b, 20.0)], seed) for seed, (a, b) in values.items()))
    assert call('report', '.') == 0
    (figure,) = page().figures.values()
    assert list(figure['axes']) == ['time', 'epoch']
    (line,) = figure['axes']['time']['lines']
    assert line['x'] == pytest.approx([12.0, 20.0])
    assert line['y'] == pytest.approx([52.0, 62.0])
    # Student's t with 2 degrees of freedom: 4.302653 of a standard error of 2 over the root of 3.
    assert line['below'] == line['above'] == pytest.approx([4.302653 * 2 / 3**0.5] * 2)
    assert line['said'][0] == 'one cyclic run<br>4 epochs: 52.00% [47.03%, 56.97%], 3 seeds'
    (by_epoch,) = figure['axes']['epoch']['lines']
    assert by_epoch['x'] == [4.0, 8.0]
    assert figure['axes']['epoch']['ticks'] == [4.0, 8.0]
    rows = page().tables['eval/MulticlassAccuracy (more is better) [95% interval]']
    assert rows[1] == ['baseline', 'cyclic', '4', '12 s', '52.00% [47.03%, 56.97%]', '3']


def test_gaps_and_improvements_are_drawn_around_the_line_of_none(call):
    write(
        run('baseline', 'cyclic', [(4, 0.5), (8, 0.6)]),
        *standard_runs('baseline', [(4, 0.5), (8, 0.62)]),
        run('MX', 'cyclic', [(4, 0.49), (8, 0.63)]),
    )
    assert call('report', '.') == 0
    figures = page().figures
    assert [figure['zero'] for figure in figures.values()] == [None, 0.0, 0.0]
    assert list(figures['improvements']['axes']) == ['epoch', 'time']
    (improved,) = figures['improvements']['axes']['epoch']['lines']
    assert (improved['x'], improved['y']) == ([4.0, 8.0], pytest.approx([-1.0, 3.0]))
    (gap,) = figures['gaps']['axes']['epoch']['lines']
    assert (gap['x'], gap['y']) == ([4.0, 8.0], pytest.approx([0.0, -2.0]))
    # Of one seed there are no intervals to hide.
    assert page().buttons('gaps') == ['log', 'linear']
    assert page().buttons('improvements') == ['at equal epochs', 'at equal time', 'log', 'linear']


def test_one_run_of_one_point_is_drawn_and_the_page_says_why_no_more(call):
    write(run('MX', 'cyclic', [(4, 0.5)], 17))
    assert call('report', '.') == 0
    found = page()
    assert found.all('li')[0] == '4 epochs: 50.00%, 1 seed'
    assert found.all('li')[1].startswith("no comparison: nothing to compare: 'MX' has cyclic runs and no other method")
    (line,) = found.figures['curves']['axes']['time']['lines']
    assert (line['x'], line['y'], line['above']) == ([400 / 60], [50.0], [None])
    assert list(found.figures) == ['curves']
    assert found.all('h2') == ['Curves', 'What made the curves', 'Commands']


def test_a_method_without_the_baseline_is_drawn_too(call):
    write(run('LS', 'cyclic', [(4, 0.5), (8, 0.6)]), run('MX', 'cyclic', [(4, 0.49), (8, 0.63)]))
    assert call('report', '.') == 0
    assert page().all('li')[0].startswith("no comparison: no run is of the baseline 'baseline': choose one of LS, MX")
    assert len(page().figures['curves']['looks']) == 2


def test_of_one_method_the_gap_and_the_cost_are_the_answer(call):
    write(run('baseline', 'cyclic', [(4, 0.5), (8, 0.6)]), *standard_runs('baseline', [(4, 0.5), (8, 0.62)]))
    assert call('report', '.') == 0
    assert page().all('li')[:2] == [
        'cyclic: mean gap to standard runs -2.00 points',
        'cyclic: separate runs take 1.50 times as long as one run',
    ]
    assert page().all('h2') == ['Curves', 'Gaps to standard runs', 'Cost', 'What made the curves', 'Commands']


def test_forecasts_and_equivalent_lengths_are_those_of_their_commands(call, capsys):
    cyclic = [(4, 0.6), (8, 0.66), (16, 0.69), (32, 0.705)]
    write(
        *(run('baseline', 'cyclic', [(e, v + 0.001 * seed) for e, v in cyclic], seed, f'c{seed}') for seed in (1, 2)),
        *standard_runs('baseline', [(4, 0.6), (8, 0.67), (16, 0.7)]),
    )
    assert call('report', '.') == 0
    assert not {'One more doubling', 'Equivalent lengths'} & set(page().all('h2'))
    assert call('report', '.', '--forecast', '--sigma', '0.1', '--equivalent') == 0
    capsys.readouterr()
    assert call('forecast', '.', '--sigma', '0.1', '--json', 'forecast.json') == 0
    forecasts = capsys.readouterr().out.splitlines()[1:-1]
    assert [line for line in forecasts if line not in page().all('li')] == []
    assert any('at most' in line for line in forecasts)
    assert call('compare', '.', '--equivalent') == 0
    (kappa,) = [line for line in capsys.readouterr().out.splitlines() if 'kappa' in line]
    assert kappa in page().all('li')
    (record,) = [one for one in json.loads(Path('forecast.json').read_text())['curves'] if one['kind'] == 'cyclic']
    looks, axes = (page().figures['curves'][name] for name in ('looks', 'axes'))
    names = [look['name'] for look in looks]
    assert names == ['separate standard runs', 'one cyclic run', 'one cyclic run at equivalent lengths']
    area = axes['epoch']['lines'][1]['forecast']
    assert area['x'] == [32.0, 64.0, 64.0, 32.0]
    assert area['y'] == pytest.approx([100 * record[name] for name in ('last', 'high', 'low', 'last')])
    assert axes['time']['lines'][1]['forecast']['x'] == pytest.approx([at * 100 / 60 for at in area['x']])


def test_losses_and_perplexities(call):
    write(
        run('baseline', 'cyclic', [(4, 8.0), (8, 4.0)], metric='eval/LanguagePerplexity'),
        run('MX', 'cyclic', [(4, 7.0), (8, 4.5)], metric='eval/LanguagePerplexity'),
        *standard_runs('MX', [(4, 7.0), (8, 4.0)], metric='eval/LanguagePerplexity'),
        *standard_runs('baseline', [(4, 8.0), (8, 4.0)], metric='eval/LanguagePerplexity'),
    )
    assert call('report', '.') == 0
    figures = page().figures
    assert sorted(figures['curves']['axes']['epoch']['lines'][0]['y']) == pytest.approx([4.0, 8.0])
    names = [look['name'] for look in figures['gaps']['looks']]
    line = figures['gaps']['axes']['epoch']['lines'][names.index('MX, cyclic')]
    assert line['y'] == pytest.approx([1.0, 4.5 / 4.0])
    assert figures['gaps']['zero'] == 1.0


def test_tokens_are_an_axis_of_their_own_where_they_are_counted(call):
    curve = run('baseline', 'cyclic', [(0.5, 3.2), (1, 2.9), (2, 2.8)], metric='eval/LanguageCrossEntropy')
    write(curve.of_points(replace(point, token=65536 * 2**i) for i, point in enumerate(curve.points)))
    assert call('report', '.') == 0
    axes = page().figures['curves']['axes']
    assert set(axes) == {'time', 'epoch', 'token'}
    assert axes['token']['labels'] == ['65.5k', '131k', '262k']
    assert axes['token']['lines'][0]['x'] == [65536.0, 131072.0, 262144.0]
    assert axes['token']['lines'][0]['y'] == axes['epoch']['lines'][0]['y'] == [3.2, 2.9, 2.8]


def test_names_from_files_are_text_everywhere(call):
    write(
        run('baseline', 'cyclic', [(4, 0.5), (8, 0.6)], name=SCRIPT),
        *(run(name, 'cyclic', [(4, 0.5), (8, 0.7)], name=name, metric='eval/MulticlassAccuracy') for name in HOSTILE),
    )
    assert call('report', '.', '--title', f'{SCRIPT} & more') == 0
    found = page()
    assert [tag for tag, _ in found.elements if tag in ('script', 'img', 'b')] == ['script'] * 3
    assert found.all('h1') == found.all('title') == [f'{SCRIPT} & more']
    assert {row[0] for row in found.tables['eval/MulticlassAccuracy (more is better) [95% interval]'][1:]} == {
        'baseline',
        *HOSTILE,
    }
    # In figures each < is an entity, since plotly reads HTML; as JSON it ends no script.
    texts = [look['name'] for figure in found.figures.values() for look in figure['looks']]
    texts += [
        said
        for figure in found.figures.values()
        for axis in figure['axes'].values()
        for line in axis['lines']
        for said in line['said']
    ]
    assert '&lt;img src=x onerror=alert(1)&gt;, cyclic' in texts
    assert not any('<' in text.replace('<br>', '', 1) for text in texts)
    # No script runs but the two of the page.
    scripts = [text for text in found.all('script') if not text.startswith('[')]
    assert policy(found)['script-src'] == [f"'{digest(script)}'" for script in reversed(scripts)]
    assert policy(found)['default-src'] == ["'none'"]


def test_a_page_without_plotly_is_a_tenth_of_a_megabyte_and_loads_that_version_alone(call, study):
    assert call('report', '.', '--cdn') == 0
    assert Path('page.html').stat().st_size < 100_000
    sources = [at for tag, at in page().elements if tag == 'script' and 'src' in at]
    source = f'https://cdn.plot.ly/plotly-{get_plotlyjs_version()}.min.js'
    assert sources == [{'src': source, 'integrity': digest(get_plotlyjs()), 'crossorigin': 'anonymous'}]
    assert policy(page())['script-src'][1:] == [source]


def test_the_same_runs_make_the_same_page(call, study):
    assert call('report', '.', '-o', 'one.html') == call('report', '.', '-o', 'other.html') == 0
    texts = [Path(name).read_text().replace(name, '') for name in ('one.html', 'other.html')]
    assert texts[0] == texts[1]


@pytest.mark.slow
def test_the_page_does_not_depend_on_the_order_of_sets(call, study):
    program = 'from composer_clr.cli.app import main; main()'
    texts = []
    for seed in ('1', '2'):
        environment = {**os.environ, 'PYTHONHASHSEED': seed}
        words = [sys.executable, '-c', program, 'report', '.', '-o', '-']
        texts.append(subprocess.run(words, env=environment, check=True, capture_output=True).stdout)
    assert texts[0] == texts[1]


def test_many_points_are_drawn_with_some_intervals_and_listed_in_part(call, monkeypatch):
    monkeypatch.setattr('composer_clr.report.page._MOST_ROWS', 200)
    head = 'kind,method,seed,epoch,wall_clock_train_s,top1'
    rows = [
        f'log,{method},{seed},{i},{i},{0.5 + seed / 1000 + i / 500}'
        for method in ('baseline', 'A', 'B')
        for seed in (1, 2)
        for i in range(1, 101)
    ]
    Path('log.csv').write_text('\n'.join([head, *rows]) + '\n')
    assert call('report', 'log.csv') == 0
    line = page().figures['curves']['axes']['epoch']['lines'][0]
    assert (len(line['y']), sum(one is not None for one in line['above'])) == (100, 34)
    assert len(page().figures['curves']['axes']['epoch']['ticks']) == 7
    caption = 'top1 (more is better) [95% interval]; the first 200 of 300 rows'
    assert len(page().tables[caption]) == 201


def test_what_is_left_out_and_the_commands_are_in_the_page(call, study):
    Path('run9').mkdir()
    Path('run9/curve.json').write_text('{}')
    assert call('report', '.', '--metric', 'Accuracy', '--all-seeds', '-o', 'p.html') == 0
    found = page('p.html')
    assert [text for text in found.all('li') if text.startswith('left out: run9/curve.json: not a curve')]
    assert found.all('pre') == [
        'composer-clr report . --output p.html --metric Accuracy --all-seeds\n'
        'composer-clr compare . --metric Accuracy --all-seeds'
    ]


def test_settings_that_differ_between_curves_are_named_with_the_curves(call):
    of_all = {'optimizer': 'SGD', 'optimizer.lr': 0.1, 'device': 'cpu', 'versions.torch': '2.7.0'}
    settings = {
        'baseline': of_all,
        'MX': {**of_all, 'optimizer.lr': 0.3, 'algorithms': ['MixUp'], 'versions.torch': '2.6.0'},
    }
    for method, its in settings.items():
        record = Run(method, 'cyclic', method, 17, settings=its, started_at='2026-11-30T10:00:00+00:00')
        Path(method).mkdir()
        TradeoffCurve(record, [point(4, 0.5), point(8, 0.6)]).write(f'{method}/curve.json')
    # A record without settings is named with none.
    write(run('LS', 'cyclic', [(4, 0.5), (8, 0.6)], 17))
    assert call('report', '.') == 0
    tables = page().tables
    assert tables['settings that differ between curves'][1:] == [
        ['optimizer.lr', '0.1', 'baseline, cyclic'],
        ['optimizer.lr', '0.3', 'MX, cyclic'],
        ['versions.torch', '2.7.0', 'baseline, cyclic'],
        ['versions.torch', '2.6.0', 'MX, cyclic'],
    ]
    assert ['torch', '2.7.0, 2.6.0'] in tables['devices and versions']
    assert ['optimizer', 'SGD'] in tables['settings of baseline/curve.json']
    assert tables['runs'][1] == ['MX', 'cyclic', '17', '2', '2026-11-30 10:00:00', 'MX/curve.json']


def test_standard_output_has_the_page_alone(call, study, capsysbinary):
    assert call('report', '.', '--cdn', '-o', '-') == 0
    said = capsysbinary.readouterr()
    assert said.out.startswith(b'<!doctype html>')
    assert said.err == b'-: 6 points of 4 runs\n'


def test_a_curve_is_never_overwritten(call, study, capsys):
    before = Path('run0/curve.json').read_text()
    assert call('report', '.', '-o', 'run0/curve.json') == 2
    assert 'holds the points of the run' in capsys.readouterr().err
    assert Path('run0/curve.json').read_text() == before


def test_without_plotly_one_line_says_how_to_install_it(call, study, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, 'plotly.offline', None)
    assert call('report', '.') == 2
    assert capsys.readouterr().err == "composer-clr: a page needs plotly: pip install 'composer_clr[report]'\n"
    assert not Path('page.html').exists()
