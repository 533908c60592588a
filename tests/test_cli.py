import subprocess
import sys
from pathlib import Path

import pytest

from composer_clr import cli
from tests.test_plots import STUDY


@pytest.fixture
def study(tmp_path: Path) -> Path:
    for i, curve in enumerate(STUDY):
        (tmp_path / f'run{i}').mkdir()
        curve.write(tmp_path / f'run{i}' / 'curve.json')
    return tmp_path


def call(monkeypatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, 'argv', ['composer-clr', *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return ended.value.code or 0  # type: ignore[return-value]


@pytest.mark.parametrize(('ending', 'magic'), [('png', b'\x89PNG'), ('svg', b'<?xml'), ('pdf', b'%PDF')])
def test_plot(monkeypatch, study, ending, magic, capsys):
    output = study / 'figures' / f'curve.{ending}'
    assert call(monkeypatch, 'plot', str(study), '-o', str(output)) == 0
    assert output.read_bytes().startswith(magic)
    assert capsys.readouterr().out == f'{output}: 6 points of 4 runs\n'


@pytest.mark.parametrize(
    ('arguments', 'told'),
    [
        (['plot', 'nowhere'], 'nowhere: cannot be read'),
        (['plot', '.', '--metric', 'eval/F1'], "has no metric 'eval/F1'"),
        (['plot', '.', '-o', 'curve.bmp'], 'must end in .png, .svg or .pdf'),
        (['sweep', 'quickstart/digit'], "did you mean 'quickstart/digits'"),
        (['sweep', 'quickstart/digits', '--seeds', 'a'], 'give whole numbers'),
    ],
)
def test_errors_are_told_without_a_traceback(monkeypatch, study, arguments, told, capsys):
    monkeypatch.chdir(study)
    assert call(monkeypatch, *arguments) == 2
    error = ' '.join(capsys.readouterr().err.replace('│', ' ').split())
    assert told in error
    assert 'Traceback' not in error


def test_sweep(monkeypatch, capsys):
    assert call(monkeypatch, 'sweep', 'quickstart/digits', 'max_duration=8ep', '--launcher', 'composer -n 2 -m') == 0
    assert capsys.readouterr().out.splitlines() == [
        f'composer -n 2 -m composer_clr.train quickstart/digits schedule.kind={kind} seed=17 max_duration={n}ep'
        for kind, n in (('cyclic', 8), ('standard', 4), ('standard', 8))
    ]


@pytest.mark.parametrize('arguments', [['--help'], ['plot', '.'], ['sweep', 'quickstart/digits']], ids=lambda a: a[0])
def test_torch_and_composer_are_not_waited_for(study, arguments):
    code = (
        'import sys; from composer_clr import cli\n'
        f'sys.argv = ["composer-clr", *{arguments!r}]\n'
        'try: cli.main()\n'
        'except SystemExit as ended: assert not ended.code, ended.code\n'
        'assert not {"torch", "composer"} & set(sys.modules)'
    )
    subprocess.run([sys.executable, '-c', code], cwd=study, check=True, timeout=60, capture_output=True)
