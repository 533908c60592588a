"""Snapshot ensembles of a real run, beside a reference that asks one image after the other."""

import json
import os
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from composer_clr.averaging.ensemble import ensemble_curves
from composer_clr.cli.app import main as composer_clr
from composer_clr.curves.curve import CurveError, Run, TradeoffCurve
from composer_clr.curves.long_csv import read_long_csv
from composer_clr.recipes.load import load_recipe
from composer_clr.recipes.study import Ranks
from composer_clr.train import main
from composer_clr.training.build import build_trainer
from composer_clr.training.saved_weights import ensembles_of_recipe
from tests.helpers import curves

RUN = [
    'schedule.kind=cyclic',
    'max_duration=16ep',
    'data.arguments.train_images=100',
    'progress_bar=false',
    # Renames weights and changes the network.
    'algorithms.BlurPool={min_channels: 1}',
]


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp('ensemble')
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(made)
        assert main(['quickstart/digits', *RUN]) == 0
    return made


def test_the_folder_of_a_run_of_two_ranks_is_found(folder, monkeypatch):
    monkeypatch.chdir(folder)
    name = load_recipe('quickstart/digits', RUN).run_name
    Path(f'runs/quickstart/{name}-2').symlink_to(name)
    run = [*RUN, 'snapshot.folder=runs/quickstart/{run_name}-{world_size}']
    curve, _ = ensembles_of_recipe('quickstart/digits', run, most=1, ranks=Ranks(2, 2))
    assert curve.run.run_name == name
    with pytest.raises(CurveError, match='-1: cannot be read'):
        ensembles_of_recipe('quickstart/digits', run)


def test_each_ensemble_is_the_mean_of_its_members_probabilities(folder, monkeypatch):
    monkeypatch.chdir(folder)
    curve, ensembles = ensembles_of_recipe('quickstart/digits', RUN)
    points = [(int(p.metrics['inference_cost']), p) for ensemble in ensembles for p in ensemble.points]
    assert [(size, p.cycle) for size, p in points] == [(1, 0), (1, 1), (1, 2), (2, 1), (2, 2), (3, 2)]
    trainer = build_trainer(load_recipe('quickstart/digits', RUN))
    network, (images, labels) = trainer.state.model, next(iter(trainer.state.evaluators[0].dataloader.dataloader))
    probabilities = []
    for point in curve.points:
        path = f'runs/quickstart/{curve.run.run_name}/{point.checkpoint}'
        network.load_state_dict(torch.load(path, weights_only=True)['state']['model'])
        network.eval()
        with torch.no_grad():
            probabilities.append(network((images, labels)).softmax(1))
    trainer.close()
    for size, point in points:
        members = probabilities[point.cycle - size + 1 : point.cycle + 1]
        right, loss = 0, 0.0
        for i, label in enumerate(labels.tolist()):
            mean = [sum(float(m[i, c]) for m in members) / len(members) for c in range(10)]
            right += max(range(10), key=mean.__getitem__) == label
            loss -= float(torch.log(torch.tensor(mean[label], dtype=torch.float64)))
        assert point.metrics['eval/MulticlassAccuracy'] == pytest.approx(right / len(labels), abs=1e-9)
        assert point.metrics['eval/CrossEntropy'] == pytest.approx(loss / len(labels), abs=1e-5)
    alone = [p.metrics['eval/MulticlassAccuracy'] for p in ensembles[0].points]
    assert alone == pytest.approx([p.metrics['eval/MulticlassAccuracy'] for p in curve.points], abs=1e-6)


def call(monkeypatch, *arguments) -> int:
    monkeypatch.setattr('sys.argv', ['composer-clr', *map(str, arguments)])
    with pytest.raises(SystemExit) as left:
        composer_clr()
    return int(left.value.code or 0)


def test_on_the_command_line(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    files = ['--csv', 'ensembles.csv', '--json', 'ensembles.json', '--most', 2]
    assert call(monkeypatch, 'ensemble', 'quickstart/digits', *RUN, *files) == 0
    assert '16ep' in capsys.readouterr().out
    (curve,) = read_long_csv('ensembles.csv')
    assert (curve.run.kind, curve.run.method, curve.run.seed) == ('ensemble-2', 'BP', 17)
    assert [p.epoch for p in curve.points] == [8, 16]
    assert [p.metrics['inference_cost'] for p in curve.points] == [2, 2]
    written = json.loads((folder / 'ensembles.json').read_text())
    assert [(p['kind'], p['members'], p['inference_cost']) for p in written['points']] == [
        ('ensemble', k, k) for k in (1, 1, 2, 1, 2)
    ]
    # The long CSV goes beside the run's own curve.
    assert call(monkeypatch, 'plot', 'runs', 'ensembles.csv', '-o', 'ensembles.png') == 0


@pytest.mark.parametrize('name', ['../x.pt', '/tmp/x.pt', 'cycle0-ba20.pt'])
def test_a_strangers_checkpoint_is_not_read(tmp_path, name):
    os.mkfifo(tmp_path / 'cycle0-ba20.pt')
    state = SimpleNamespace(evaluators=[SimpleNamespace(label='eval', dataloader=())], eval_metrics={'eval': {}})
    with pytest.raises(CurveError, match=r'must name a snapshot|is not a regular file'):
        ensemble_curves(TradeoffCurve(Run('r', 'cyclic', 'm'), [curves.point(0, checkpoint=name)]), tmp_path, state)  # type: ignore


def test_another_recipe_is_refused(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    without = [override for override in RUN if 'BlurPool' not in override] + [
        f'run_name={next(iter((folder / "runs/quickstart").iterdir())).name}'
    ]
    with pytest.raises(CurveError, match='not weights of this network: give the recipe of the run'):
        ensembles_of_recipe('quickstart/digits', without)
    with pytest.raises(CurveError, match=r'was recorded: give the recipe'):
        ensembles_of_recipe('quickstart/digits', [*RUN, 'data.arguments.eval_images=100'])
    assert call(monkeypatch, 'ensemble', 'quickstart/digits', *RUN, 'run_name=nowhere') == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_a_run_without_snapshots_is_refused(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(folder)
    curve = TradeoffCurve.read(next(folder.rglob('curve.json')))
    from dataclasses import replace

    TradeoffCurve(curve.run, [replace(p, checkpoint=None) for p in curve.points]).write(tmp_path / 'curve.json')
    with pytest.raises(CurveError, match='saved no snapshots'):
        ensembles_of_recipe('quickstart/digits', [*RUN, f'snapshot.folder={tmp_path}'])
