"""A command given again, with the same settings or others: what goes on, what is complete, and what is refused."""

from __future__ import annotations

import json
import platform
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from composer_clr.cli.app import app
from composer_clr.curves.curve import TradeoffCurve
from composer_clr.recipes.schema import RecipeError
from composer_clr.train import main

SMALL = 'data={arguments: {train_images: 100, eval_images: 90}, eval_batch_size: 90}'
DIGITS = ['quickstart/digits', 'progress_bar=false', SMALL]
NAMED = [*DIGITS, 'run_name=r', 'snapshot.folder=out']
RESUMED = [*NAMED, 'checkpoint.folder=ck', 'checkpoint.autoresume=true']
REMEDY = ': choose another folder, or a method name (snapshot.method=...)'

pytestmark = pytest.mark.filterwarnings(
    'ignore:resumed with the settings of the checkpoint:UserWarning',
    'ignore:.*the run starts over. it is kept as curve-1.json:UserWarning',
    'ignore:.*the run continues at batch .* under other settings:UserWarning',
    # With another batch size an epoch has other batches, and the last trough comes after the last epoch.
    "ignore:training ended at batch 48, before the trough at '16ep':UserWarning",
    'ignore:No batches were trained for global rank 0:UserWarning',
)


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def files() -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in Path().rglob('*') if path.is_file()}


def test_a_run_that_resumes_says_where_it_is_and_keeps_to_its_settings(capsys, monkeypatch, tmp_path):
    def trained(*overrides: str) -> list[str]:
        assert main([*RESUMED, *overrides]) == 0
        return capsys.readouterr().out.splitlines()

    def refused(*overrides: str) -> str:
        before = files()
        assert main([*RESUMED, *overrides]) == 2
        assert files() == before
        message = capsys.readouterr().err.splitlines()[-1].removeprefix('composer_clr.train: ')
        assert ': choose another folder, or ' in message
        return message.partition(': choose')[0]

    def recorded() -> dict:
        return (TradeoffCurve.read(Path('out')).run.settings or {})['recipe']

    assert trained('max_duration=4ep') == ['r: 1 point in out/curve.json']
    assert trained('max_duration=4ep') == ['r is complete: 1 point in out/curve.json']
    for same in ('max_duration=4ep', 'max_duration=8ep'):
        assert refused(same, 'optimizer.lr=0.05') == 'out: complete under optimizer.lr=0.2, asked for 0.05'
    assert trained('max_duration=8ep') == ['r goes on from batch 8', 'r: 2 points in out/curve.json']
    # A checkpoint at the end of a run whose curve is elsewhere: the same comparison, and the curve is written.
    elsewhere = ('max_duration=8ep', 'snapshot.folder=elsewhere')
    assert refused(*elsewhere, 'seed=18') == 'ck: trained to batch 16 under seed=17, asked for 18'
    monkeypatch.setattr(platform, 'node', lambda: 'another-host')
    assert trained(*elsewhere) == ['r goes on from batch 16', 'r is complete: 2 points in elsewhere/curve.json']
    # Nothing was trained there: the record is that of the run.
    first, second = (TradeoffCurve.read(Path(folder)).run for folder in ('out', 'elsewhere'))
    assert (second.settings, second.changes) == (first.settings, first.changes)
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    # Composer goes on with the rate of the checkpoint, and so does the recipe that is recorded.
    on = ('max_duration=16ep', 'snapshot.on_change=continue', 'optimizer.lr=0.05', 'data.batch_size=25')
    assert trained(*on) == ['r goes on from batch 16', 'r: 3 points in out/curve.json']
    assert (recorded()['optimizer']['lr'], recorded()['data']['batch_size']) == (0.2, 25)
    shutil.rmtree('ck')
    assert trained('max_duration=32ep', 'data.batch_size=25') == [
        'r starts over, since ck has no checkpoint',
        'r: 4 points in out/curve.json',
    ]
    assert len(json.loads(Path('out/curve-1.json').read_text())['points']) == 3


def test_a_whole_curve_of_other_settings_is_not_overwritten(capsys):
    assert main([*NAMED, 'max_duration=4ep', 'snapshot.overwrite=true']) == 0
    before = files()
    for override, described in (
        ('optimizer.lr=0.05', 'optimizer.lr=0.2, asked for 0.05'),
        ('schedule.cycle_ends=[3ep]', "schedule.cycle_ends=None, asked for ['3ep']"),
        ('max_duration=8ep', "max_duration='4ep', asked for '8ep'"),
    ):
        overrides = ['schedule.t_0=null', override] if 'cycle_ends' in override else [override]
        assert main([*NAMED, 'max_duration=4ep', 'snapshot.overwrite=true', *overrides]) == 2
        assert described in capsys.readouterr().err
    assert files() == before
    # The same settings again are.
    assert main([*NAMED, 'max_duration=4ep', 'snapshot.overwrite=true']) == 0


def test_a_run_that_was_stopped_is_not_complete_and_goes_on_to_its_trough(capsys):
    standard = [*RESUMED, 'schedule.kind=standard', 'max_duration=4ep']
    stopper = 'callbacks.ThresholdStopper={monitor: MulticlassAccuracy, dataloader_label: eval, threshold: 0.0}'
    with pytest.warns(UserWarning, match='its point is marked stopped'):
        assert main([*standard, stopper, 'evaluation.interval=1ep']) == 0
    assert [p.stopped for p in TradeoffCurve.read(Path('out')).points] == [True]
    capsys.readouterr()
    assert main(standard) == 0
    assert capsys.readouterr().out.splitlines() == ['r goes on from batch 2', 'r: 1 point in out/curve.json']
    assert [(p.batch, p.stopped) for p in TradeoffCurve.read(Path('out')).points] == [(8, False)]
    # A longer run is not the shorter one that is asked for.
    assert main([*standard, 'max_duration=2ep']) == 2
    assert "max_duration='4ep', now '2ep'" in capsys.readouterr().err


def test_a_run_goes_on_from_a_checkpoint_that_is_named(capsys):
    named = [*NAMED, 'checkpoint.folder=ck']
    assert main([*named, 'max_duration=4ep']) == 0
    capsys.readouterr()
    assert main([*named, 'max_duration=8ep', 'checkpoint.load_path=ck/latest-rank0.pt']) == 0
    assert capsys.readouterr().out.splitlines() == ['r goes on from batch 8', 'r: 2 points in out/curve.json']


def test_a_study_under_other_settings_is_refused_before_anything_is_trained(capsys):
    words = [*DIGITS[:1], SMALL, 'max_duration=4ep', '--kinds', 'cyclic']

    def run(*more: str, command: str = 'run'):
        return CliRunner().invoke(app, [command, *words, *more])

    assert main([*DIGITS, 'max_duration=4ep']) == 0
    before = files()
    folder = 'runs/quickstart/digits-baseline-cyclic-4ep-seed17'
    assert run('--no-page').output.splitlines()[0] == '1 run, 1 of them complete'
    for command in ('run', 'sweep'):
        refused = run('optimizer.lr=0.05', command=command)
        assert isinstance(refused.exception, RecipeError)
        assert str(refused.exception) == f'{folder}: complete under optimizer.lr=0.2, asked for 0.05{REMEDY}'
    one_name = ['run_name=digits-baseline-cyclic-4ep-seed17', '--seeds', '18']
    assert 'complete under seed=17, asked for 18' in str(run(*one_name).exception)
    assert "checkpoint.load_path=None, asked for 'other.pt'" in str(run('checkpoint.load_path=other.pt').exception)
    assert run('optimizer.lr=0.05', 'snapshot.method=slow', command='sweep').output.count('\n') == 1
    # What changes no curve is complete, and so is a recipe with a key of today that its record lacks.
    assert run('data.timeout_s=5', 'checkpoint.keep=2', command='sweep').output == ''
    curve = json.loads(Path(folder, 'curve.json').read_text())
    del curve['run']['settings']['recipe']['data']['num_workers'], curve['run']['settings']['recipe']['compile']
    Path(folder, 'curve.json').write_text(json.dumps(curve))
    assert run(command='sweep').output == ''
    # Half of a run is not gone on with under other settings, unless that is asked for.
    Path(folder, 'curve.json').write_text(json.dumps({**curve, 'points': []}))
    assert f'{folder}: begun under optimizer.lr=0.2' in str(run('optimizer.lr=0.05').exception)
    continued = run('optimizer.lr=0.05', 'snapshot.on_change=continue', command='sweep')
    assert continued.output.count('\n') == 1
    # Records from before there were settings tell nothing of them.
    del curve['run']['settings']
    Path(folder, 'curve.json').write_text(json.dumps(curve))
    assert run('optimizer.lr=0.05', command='sweep').output == ''
    assert {path: text for path, text in files().items() if path.name != 'curve.json'} == {
        path: text for path, text in before.items() if path.name != 'curve.json'
    }


def test_checkpoints_of_a_run_of_another_name_are_not_gone_on_from_without_its_points(capsys):
    shared = [*DIGITS, 'snapshot.folder=out', 'checkpoint.folder=ck', 'checkpoint.autoresume=true']
    assert main([*shared, 'max_duration=4ep']) == 0
    before, name = files(), 'digits-baseline-cyclic-4ep-seed17'
    # Its name has the duration.
    assert main([*shared, 'max_duration=8ep']) == 2
    assert f'ck: has the checkpoints of run {name!r}: pass run_name={name} too' in capsys.readouterr().err
    assert files() == before
    assert main([*shared, 'max_duration=8ep', f'run_name={name}']) == 0
    assert [point.epoch for point in TradeoffCurve.read(Path('out')).points] == [4.0, 8.0]
