"""Cooldown branches: each ends bit for bit as the run of that length alone, and names the trunk that it left."""

import shlex
from pathlib import Path

import pytest
import torch
from composer.optim import CosineAnnealingScheduler

from composer_clr import CyclicCosineScheduler, ParetoSnapshot, TradeoffCurve
from composer_clr.recipes.load import load_recipe
from composer_clr.recipes.preview import planned_branches
from composer_clr.recipes.schema import RecipeError
from composer_clr.recipes.study import planned_runs
from composer_clr.recording.branch_points import BranchPoints
from composer_clr.train import main

HELD = ['schedule.t_hold=0.8', 'schedule.shape=1-sqrt']
SHORT = ['max_duration=16ep', 'data.arguments.train_images=100', 'progress_bar=false', *HELD]


def weights(path: str) -> dict[str, torch.Tensor]:
    return torch.load(path, weights_only=True)['state']['model']


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """The quickstart's trunk and branches, and the runs that they stand for, each alone."""
    folder = tmp_path_factory.mktemp('branches')
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        runs = planned_runs(['quickstart/digits'], SHORT, kinds=['branch', 'standard'])
        for run in runs:
            assert main([run.name, *run.overrides]) == 0
        assert all(run.is_complete() for run in runs)
    return folder / 'runs/quickstart'


def test_the_commands_are_the_trunk_then_its_branches():
    runs = [shlex.join(run.overrides) for run in planned_runs(['quickstart/digits'], HELD, kinds=['branch'])]
    trunk = 'runs/quickstart/digits-baseline-branch-64ep-seed17'
    assert runs == [
        f'schedule.kind=branch seed=17 max_duration=64ep {" ".join(HELD)}',
        *(
            f'schedule.kind=branch seed=17 max_duration={n}ep {" ".join(HELD)} '
            f'checkpoint.load_path={trunk}/branch-to-{n}ep.pt'
            for n in (4, 8, 16, 32)
        ),
    ]


@pytest.mark.parametrize('epochs', [4, 8, 16])
def test_a_branch_is_bit_for_bit_the_run_alone(trained, epochs):
    branch, alone = (
        TradeoffCurve.read(trained / f'digits-baseline-{kind}-{epochs}ep-seed17') for kind in ('branch', 'standard')
    )
    assert (branch.run.kind, alone.run.kind) == ('branch', 'standard')
    assert [p.epoch for p in branch.points] == [p.epoch for p in alone.points] == [epochs]
    assert branch.points[0].metrics == alone.points[0].metrics
    assert branch.points[0].lr == alone.points[0].lr
    a, b = (weights(str(trained / c.run.run_name / str(c.points[0].checkpoint))) for c in (branch, alone))
    assert a.keys() == b.keys()
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_each_branch_names_where_it_left_the_trunk(trained):
    curves = {n: TradeoffCurve.read(trained / f'digits-baseline-branch-{n}ep-seed17') for n in (4, 8, 16)}
    assert curves[16].run.parent is None
    # Two batches per epoch, a warmup of two epochs, four fifths of the rest at the peak: 4 + 0.8 x 4 and 4 + 0.8 x 12.
    for epochs, batch in ((4, 7), (8, 13)):
        parent, point = curves[epochs].run.parent, curves[epochs].points[0]
        assert parent is not None
        assert (parent['run_name'], parent['batch']) == ('digits-baseline-branch-16ep-seed17', batch)
        assert 0 < parent['wall_clock_train_s'] < point.wall_clock_train_s
    left_s = {epochs: (curves[epochs].run.parent or {})['wall_clock_train_s'] for epochs in (4, 8)}
    assert left_s[4] < left_s[8]
    assert sorted(p.name for p in (trained / 'digits-baseline-branch-16ep-seed17').iterdir()) == [
        'branch-to-4ep.pt',
        'branch-to-8ep.pt',
        'curve.json',
        'cycle0-ba32.pt',
    ]


# Composer's, of the trunk, which wrote no checkpoints of its own.
@pytest.mark.filterwarnings('ignore:CheckpointSaver is not in the state_dict')
def test_a_branch_that_broke_off_goes_on_with_the_same_parent(trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    trunk = trained / 'digits-baseline-branch-16ep-seed17'
    own = ['checkpoint.folder=own', 'checkpoint.interval=1ba', 'checkpoint.keep=-1']
    run = ['schedule.kind=branch', 'seed=17', *SHORT, 'max_duration=8ep', *own]
    assert main(['quickstart/digits', *run, f'checkpoint.load_path={trunk}/branch-to-8ep.pt']) == 0
    first = TradeoffCurve.read('runs/quickstart/digits-baseline-branch-8ep-seed17')
    assert (
        main(['quickstart/digits', *run, 'checkpoint.folder=again', 'checkpoint.load_path=own/ep7-ba15-rank0.pt']) == 0
    )
    again = TradeoffCurve.read('runs/quickstart/digits-baseline-branch-8ep-seed17')
    assert again.run.parent == first.run.parent
    assert again.points[0].metrics == first.points[0].metrics


def test_a_schedule_without_a_hold_has_no_branches(make_trainer):
    with pytest.raises(RecipeError, match='schedule.kind=branch: .* pass schedule.t_hold=0.8'):
        planned_branches(load_recipe('quickstart/digits', ['schedule.kind=branch']))
    callbacks = [ParetoSnapshot(folder='out'), BranchPoints(['4ep'])]
    with pytest.raises(ValueError, match='does not hold its peak: give it t_hold'):
        make_trainer(callbacks=callbacks, schedulers=CosineAnnealingScheduler()).fit()


def test_branches_counted_in_samples_leave_after_the_last_batch_in_time(make_trainer):
    schedule = CyclicCosineScheduler(cycle_ends=['1dur'], t_hold=0.5)
    make_trainer(
        schedulers=schedule,
        callbacks=[ParetoSnapshot(folder='out'), BranchPoints(['50sp', '90sp', '400sp'])],
        max_duration='320sp',
    ).fit()
    # Batches of 4: 25 samples come after batch 6, 45 after batch 11; the third ends after this run.
    batches = {
        path.name: torch.load(path, weights_only=False)['state']['timestamp']['Timestamp']['batch']
        for path in Path('out').glob('branch-*')
    }
    assert batches == {'branch-to-50sp.pt': 6, 'branch-to-90sp.pt': 11}


def test_the_points_of_the_run_that_was_left_are_not_the_branchs(make_trainer):
    saving = {'save_folder': 'own', 'save_interval': '1ep', 'save_num_checkpoints_to_keep': -1}
    schedule = CyclicCosineScheduler('1ep', 2, '1ep')
    make_trainer(schedulers=schedule, callbacks=ParetoSnapshot(folder='trunk'), max_duration='4ep', **saving).fit()
    make_trainer(
        schedulers=CyclicCosineScheduler(cycle_ends=['5ep']),
        callbacks=ParetoSnapshot(folder='branch', kind='branch'),
        max_duration='5ep',
        run_name='branch',
        load_path='own/ep3-ba30-rank0.pt',
    ).fit()
    curve = TradeoffCurve.read('branch')
    assert [point.batch for point in curve.points] == [50]
    assert curve.run.parent is not None
    assert (curve.run.parent['run_name'], curve.run.parent['batch']) == ('run', 30)
