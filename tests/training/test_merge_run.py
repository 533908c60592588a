"""Curves from checkpoints: the averages that an anytime run would have recorded, and what is refused."""

import pickle
from pathlib import Path

import pytest
import torch

from composer_clr import TradeoffCurve
from composer_clr.averaging.checkpoints import averages_at, read_checkpoints
from composer_clr.cli.app import app
from composer_clr.curves.curve import CurveError
from composer_clr.recipes.schema import RecipeError
from composer_clr.train import main
from composer_clr.training.merge_run import merged_curve
from tests.helpers.launcher import launch

RECIPE = 'quickstart/digits'
OVERRIDES = ['max_duration=4ep', 'schedule.t_warmup=1ep', 'schedule.t_0=1ep', 'progress_bar=false', 'run_name=run']


def anytime_run(folder: Path) -> list[str]:
    """Returns the arguments of an anytime run with a checkpoint after every batch."""
    saving = [f'checkpoint.folder={folder}/own', 'checkpoint.interval=1ba', 'checkpoint.keep=-1']
    curve = f'snapshot.folder={folder}/curve'
    return [RECIPE, *OVERRIDES, *saving, curve, 'schedule.kind=anytime', 'schedule.average={window: 0.5}']


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trains an anytime run with a checkpoint after every batch."""
    folder = tmp_path_factory.mktemp('run')
    assert main(anytime_run(folder)) == 0
    return folder


def after(folder: Path, batch: int) -> Path:
    return next((folder / 'own').glob(f'ep*-ba{batch}-rank0.pt'), folder / 'own' / f'{batch}.pt')


@pytest.mark.slow
def test_of_checkpoints_from_two_ranks(tmp_path):
    done = launch(2, '-m', 'composer_clr.train', *anytime_run(tmp_path), folder=tmp_path)
    assert done.returncode == 0, done.stderr
    # Batch norm's statistics are of the batches of one rank, which are half as large.
    assert_it_is_the_anytime_curve(tmp_path, within=0.05)


def test_of_every_batch_it_is_the_anytime_curve(folder):
    assert_it_is_the_anytime_curve(folder, within=1e-3)


def assert_it_is_the_anytime_curve(folder: Path, within: float) -> None:
    anytime = TradeoffCurve.read(folder / 'curve')
    merged = merged_curve(RECIPE, [folder / 'own'], OVERRIDES, window=0.5)
    assert (merged.run.kind, merged.run.run_name, merged.run.seed) == ('merged', 'run-merged', 17)
    assert [point.batch for point in merged.points] == [12, 24]
    for one, other in zip(merged.points, anytime.points, strict=True):
        assert (one.epoch, one.sample, one.lr) == (other.epoch, other.sample, other.lr)
        for name, value in one.metrics.items():
            assert value == pytest.approx(other.metrics[name], abs=within)
    checkpoints = read_checkpoints([folder / 'own'])
    for (_, average), point in zip(
        averages_at(checkpoints, [12, 24], 'batch', 0.5, 'linear'), anytime.points, strict=True
    ):
        weights = torch.load(folder / 'curve' / str(point.checkpoint), weights_only=True)['state']['model']
        for name in (name for name in average if 'running' not in name):
            assert torch.allclose(average[name], weights[name], atol=1e-6), name


def test_of_a_few_checkpoints_at_marks_of_choice(folder):
    files = [after(folder, batch) for batch in (6, 12, 18)]
    merged = merged_curve(RECIPE, files, OVERRIDES, marks=['3ep'], window=0.5)
    assert [point.epoch for point in merged.points] == [3.0]
    weights = [torch.load(file, weights_only=False)['state']['model'] for file in files]
    # The window from batch 9 to 18: 3 batches until 12, and 6 until 18.
    ((_, average),) = averages_at(read_checkpoints(files), [18], 'batch', 0.5, 'linear')
    name = 'module.fc.weight'
    assert torch.allclose(average[name], (3 * weights[1][name] + 6 * weights[2][name]) / 9, atol=1e-6)


def test_the_command(folder, tmp_path, capsys):
    out = tmp_path / 'merged' / 'curve.json'
    arguments = [
        'merge',
        RECIPE,
        str(folder / 'own'),
        *OVERRIDES,
        '--marks',
        '2ep,4ep',
        '--decay',
        '1-sqrt',
        '-o',
        str(out),
    ]
    app(arguments, standalone_mode=False)
    curve = TradeoffCurve.read(out)
    assert curve.run.schedule['decay'] == '1-sqrt'
    assert [point.epoch for point in curve.points] == [2.0, 4.0]


class Evil:
    def __reduce__(self):
        return print, ('unpickled',)


def test_nothing_is_unpickled(tmp_path, capsys):
    (tmp_path / 'a.pt').write_bytes(pickle.dumps(Evil()))
    torch.save({'state': Evil()}, tmp_path / 'b.pt')
    for name in 'ab':
        with pytest.raises(CurveError, match=rf'{name}.pt: not a checkpoint that can be read without pickle') as raised:
            read_checkpoints([tmp_path / f'{name}.pt'])
        assert '\n' not in str(raised.value)
    assert 'unpickled' not in capsys.readouterr().out


@pytest.mark.parametrize(
    ('batches', 'arguments', 'error', 'match'),
    [
        ([6], {'marks': ['2ep']}, CurveError, 'comes before the first mark'),
        ([11, 13], {'marks': ['12ba']}, CurveError, 'no checkpoint at the mark of batch 12'),
        ([12], {'marks': ['2ep']}, CurveError, 'from batch 9, and the first checkpoint is at 12'),
        ([12], {'window': 0.0}, RecipeError, 'window=0.0: must be a part'),
        ([12], {'marks': ['2xp']}, RecipeError, "marks: .*'2xp'"),
        ([99], {}, CurveError, 'cannot be read'),
    ],
)
def test_refused(folder, batches, arguments, error, match):
    paths = [after(folder, batch) for batch in batches]
    with pytest.raises(error, match=match) as raised:
        merged_curve(RECIPE, paths, OVERRIDES, **arguments)
    assert '\n' not in str(raised.value)


def test_a_file_of_weights_alone(folder):
    snapshot = next((folder / 'curve').glob('cycle0*.pt'))
    with pytest.raises(CurveError, match='holds weights alone, not when they were saved'):
        read_checkpoints([snapshot])


def test_a_schedule_free_run(folder, tmp_path):
    state = torch.load(after(folder, 12), weights_only=False)
    group = next(iter(state['state']['optimizers'].values()))['param_groups'][0]
    group['train_mode'] = False
    torch.save(state, tmp_path / 'a.pt')
    with pytest.raises(CurveError, match='of a schedule-free run, whose checkpoints hold averages'):
        read_checkpoints([tmp_path / 'a.pt'])


def test_another_network(folder):
    with pytest.raises(CurveError, match="does not fit the recipe's network"):
        merged_curve(RECIPE, [folder / 'own'], [*OVERRIDES, 'model.arguments.depth=14'])


def test_an_empty_folder(tmp_path):
    with pytest.raises(CurveError, match='no checkpoints'):
        read_checkpoints([tmp_path])
