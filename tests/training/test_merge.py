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
from composer_clr.training.saved_weights import merged_curve
from tests.helpers.launcher import launch

RECIPE = 'quickstart/digits'
OVERRIDES = ['max_duration=4ep', 'schedule.t_warmup=1ep', 'schedule.t_0=1ep', 'progress_bar=false', 'run_name=run']
OVERRIDES += ['data.arguments.eval_images=90', 'data.eval_batch_size=90']


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


def after(folder: Path, *batches: int) -> list[Path]:
    """Returns the checkpoint of each batch, or the name of none."""
    own = folder / 'own'
    return [next(own.glob(f'ep*-ba{batch}-rank0.pt'), own / f'{batch}.pt') for batch in batches]


# Enough for an average at each trough.
SOME = range(6, 25, 2)


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
    kind = 'merged-window-0.5'
    assert (merged.run.kind, merged.run.run_name, merged.run.seed) == (kind, f'run-{kind}', 17)
    assert merged.run.schedule['averaged'] == [6, 12]
    assert [point.batch for point in merged.points] == [12, 24]
    for one, other in zip(merged.points, anytime.points, strict=True):
        assert (one.epoch, one.sample, one.lr) == (other.epoch, other.sample, other.lr)
        for name, value in one.metrics.items():
            assert value == pytest.approx(other.metrics[name], abs=within)
    # It knows what made the weights, and of their averages no more than itself.
    own = ('averages', 'schedule.', 'recipe', 'step_schedulers_every_batch')
    settings, trained = (
        {k: v for k, v in (of.run.settings or {}).items() if not k.startswith(own)} for of in (merged, anytime)
    )
    assert settings == trained
    checkpoints = read_checkpoints([folder / 'own'])
    for (_, average, _), point in zip(
        averages_at(checkpoints, [12, 24], 'batch', 0.5, 'linear'), anytime.points, strict=True
    ):
        weights = torch.load(folder / 'curve' / str(point.checkpoint), weights_only=True)['state']['model']
        for name in (name for name in average if 'running' not in name):
            assert torch.allclose(average[name], weights[name], atol=1e-6), name


def test_of_a_few_checkpoints_at_marks_of_choice(folder):
    files = after(folder, 6, 12, 18)
    merged = merged_curve(RECIPE, files, OVERRIDES, marks=['3ep'], window=0.5)
    assert [point.epoch for point in merged.points] == [3.0]
    weights = [torch.load(file, weights_only=False)['state']['model'] for file in files]
    # The window from batch 9 to 18: 3 batches until 12, and 6 until 18.
    ((_, average, count),) = averages_at(read_checkpoints(files), [18], 'batch', 0.5, 'linear')
    assert count == 2
    name = 'module.fc.weight'
    assert torch.allclose(average[name], (3 * weights[1][name] + 6 * weights[2][name]) / 9, atol=1e-6)


def test_the_command(folder, tmp_path, capsys):
    out = tmp_path / 'merged' / 'curve.json'
    files = map(str, after(folder, *SOME))
    arguments = ['merge', RECIPE, *files, *OVERRIDES, '--marks', '2ep,4ep', '--decay', '1-sqrt', '-o', str(out)]
    app(arguments, standalone_mode=False)
    curve = TradeoffCurve.read(out)
    assert (curve.run.kind, curve.run.schedule['decay']) == ('merged-1-sqrt', '1-sqrt')
    assert [point.epoch for point in curve.points] == [2.0, 4.0]
    assert capsys.readouterr().out == f'{out}: 2 points of run-merged-1-sqrt, from 2, 3 checkpoints\n'
    app(arguments, standalone_mode=False)  # made again


def test_the_curve_of_a_run_is_not_replaced(folder):
    out, before = folder / 'curve' / 'curve.json', (folder / 'curve' / 'curve.json').read_bytes()
    for command in (['merge', RECIPE, str(folder / 'own'), *OVERRIDES], ['export', str(folder / 'curve')]):
        with pytest.raises(CurveError, match=r'holds the points of the run run \(anytime-window-0.5\): choose another'):
            app([*command, '-o', str(out)], standalone_mode=False)
    assert out.read_bytes() == before


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
        ([12], {'decay': 'sqrt'}, RecipeError, "decay='sqrt': unknown decay, did you mean '1-sqrt'"),
        ([9, 12], {'marks': ['2ep', '4ep']}, CurveError, 'no checkpoint at the mark of batch 24: the last, .* at 12'),
        (
            [12],
            {'overrides': ['data.batch_size=100']},
            CurveError,
            "of a run with 6 batches per epoch, and the recipe's data have 3: pass",
        ),
        (
            [12],
            {'overrides': ['algorithms.LabelSmoothing.smoothing=0.1']},
            CurveError,
            "of a run with the algorithms none, and the recipe has LabelSmoothing: pass the run's recipe",
        ),
        (
            [12],
            {'overrides': ['model.arguments.depth=14']},
            CurveError,
            'not weights of this network: give the recipe of the run',
        ),
        (
            range(6, 13),
            {'overrides': ['optimizer.lr=0.9'], 'marks': ['2ep']},
            CurveError,
            "trained with optimizer.lr=0.2, the recipe has 0.9: pass the run's recipe",
        ),
    ],
)
def test_refused(folder, batches, arguments, error, match):
    paths = after(folder, *batches)
    overrides = [*OVERRIDES, *arguments.get('overrides', ())]
    with pytest.raises(error, match=match) as raised:
        merged_curve(RECIPE, paths, **{**arguments, 'overrides': overrides})
    assert '\n' not in str(raised.value)


def test_the_marks_of_the_recipe_and_of_another_duration(folder):
    marks = ['schedule.kind=anytime', 'schedule.marks=[3ep,4ep,8ep]']
    merged = merged_curve(RECIPE, after(folder, *SOME), [*OVERRIDES, *marks])
    assert [point.epoch for point in merged.points] == [3.0, 4.0]
    shorter = [*OVERRIDES, 'max_duration=2ep']
    assert merged_curve(RECIPE, after(folder, *SOME[5:]), shorter, marks=['4ep']).points[0].epoch == 4.0


def test_marks_of_the_recipe_after_the_last_checkpoint_are_noted(folder):
    files = after(folder, *range(9, 13))
    with pytest.warns(UserWarning, match='last checkpoint is at batch 12: marks from batch 24 on are left out'):
        merged = merged_curve(RECIPE, files, OVERRIDES)
    assert [point.epoch for point in merged.points] == [2.0]


def test_an_average_of_one_checkpoint_is_noted(folder):
    files = after(folder, 6, 12)
    with pytest.warns(UserWarning, match='no average: one checkpoint alone lies in the window of the mark of batch 12'):
        merged = merged_curve(RECIPE, files, OVERRIDES, marks=['2ep'])
    assert merged.run.schedule['averaged'] == [1]


def changed(source: Path, file: Path, lr: float | None = None, seed: int | None = None) -> Path:
    """Writes a copy of a checkpoint with another learning rate or seed."""
    state = torch.load(source, weights_only=False)
    if lr is not None:
        next(iter(state['state']['optimizers'].values()))['param_groups'][0]['lr'] = lr
    if seed is not None:
        state['state']['rank_zero_seed'] = seed
    torch.save(state, file)
    return file


@pytest.mark.parametrize(
    ('rates', 'decays'),
    [
        ([0.0, 0.2, 0.2, 0.2, 0.2], False),
        ([0.1, 0.15, 0.2, 0.2, 0.2], False),
        ([0.2, 0.2, 0.1, 0.2, 0.2], True),
        ([0.2, 0.15, 0.1, 0.05, 0.0], True),
        ([0.2, 0.19, 0.18, 0.17, 0.16], True),
        ([0.2 * (4 / (4 + t)) ** 0.5 for t in (0, 2, 3, 4, 6)], False),
        ([0.1, *(0.2 * (4 / (4 + t)) ** 0.5 for t in (2, 3, 4, 6))], False),
    ],
    ids=['constant', 'warmup', 'dip', 'to-zero', 'linear', 'root', 'warmup-and-root'],
)
def test_only_a_rate_that_does_not_decay(folder, tmp_path, rates, decays):
    batches = (6, 8, 9, 10, 12)
    for file, batch, lr in zip(after(folder, *batches), batches, rates, strict=True):
        changed(file, tmp_path / f'{batch}.pt', lr=lr)
    read = read_checkpoints([tmp_path])
    if decays:
        with pytest.raises(CurveError, match=r'batch 12 is over the time from batch 6, in which the learning rate dec'):
            list(averages_at(read, [12], 'batch', 0.5, 'linear'))
    else:
        assert [averaged for _, _, averaged in averages_at(read, [12], 'batch', 0.5, 'linear')] == [4]


@pytest.mark.parametrize(('lr', 'decays'), [(0.15, False), (0.1, True)])
def test_of_two_rates_the_second_is_not_far_below(folder, tmp_path, lr, decays):
    first, last = after(folder, 6, 12)
    marks = averages_at(
        read_checkpoints([first, changed(last, tmp_path / 'a.pt', lr=lr)]), [12], 'batch', 0.5, 'linear'
    )
    if decays:
        with pytest.raises(CurveError, match=r'decays from 0.166667 to 0.1:'):
            list(marks)
    else:
        assert len(list(marks)) == 1


def test_of_two_seeds(folder, tmp_path):
    first, second = after(folder, 6, 8)
    other = changed(first, tmp_path / 'a.pt', seed=18)
    with pytest.raises(CurveError, match='are of 2 runs, .* with seed 17, .* with seed 18: name those of one'):
        read_checkpoints([second, other])


def test_statistics_are_recomputed_with_the_seed_of_the_run(folder):
    files = after(folder, *SOME)
    one, other = (merged_curve(RECIPE, files, [*OVERRIDES, f'seed={seed}']) for seed in (17, 18))
    assert [point.metrics for point in one.points] == [point.metrics for point in other.points]
    assert other.run.seed == 17


def test_a_file_of_weights_alone(folder):
    snapshot = next((folder / 'curve').glob('cycle0*.pt'))
    with pytest.raises(CurveError, match='holds weights alone, not when they were saved'):
        read_checkpoints([snapshot])


def test_a_schedule_free_run(folder, tmp_path):
    (file,) = after(folder, 12)
    state = torch.load(file, weights_only=False)
    group = next(iter(state['state']['optimizers'].values()))['param_groups'][0]
    group['train_mode'] = False
    torch.save(state, tmp_path / 'a.pt')
    with pytest.raises(CurveError, match='of a schedule-free run, whose checkpoints hold averages'):
        read_checkpoints([tmp_path / 'a.pt'])


def test_an_empty_folder(tmp_path):
    with pytest.raises(CurveError, match='no checkpoints'):
        read_checkpoints([tmp_path])
