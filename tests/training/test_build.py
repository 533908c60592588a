"""From a recipe to a Trainer, and from the command line to a curve."""

import re
import subprocess
import sys
from itertools import product
from pathlib import Path

import composer.optim
import pytest
import torch
from PIL import Image

from composer_clr import TradeoffCurve
from composer_clr.recipes.load import load_recipe
from composer_clr.recipes.schema import RecipeError
from composer_clr.train import main
from composer_clr.training.build import build_trainer
from composer_clr.training.models import build_model
from tests.helpers.launcher import launch, launch_by_composer
from tests.helpers.recipes import MINIMAL

SHRUNK = ['max_duration=8ep', 'data.arguments.train_images=100', 'progress_bar=false']


def test_the_first_point_of_the_quickstart_is_the_standard_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for overrides in (['schedule.kind=cyclic'], ['schedule.kind=standard', 'max_duration=4ep']):
        assert main(['quickstart/digits', *SHRUNK, *overrides]) == 0
    cyclic, standard = (
        torch.load(tmp_path / f'runs/quickstart/digits-baseline-{run}-seed17/cycle0-ba8.pt', weights_only=True)[
            'state'
        ]['model']
        for run in ('cyclic-8ep', 'standard-4ep')
    )
    assert cyclic.keys() == standard.keys()
    assert all(torch.equal(cyclic[name], standard[name]) for name in standard)


def test_cyclic_and_standard_differ_in_nothing_but_the_schedule():
    states = {}
    for kind in ('cyclic', 'standard'):
        overrides = [f'schedule.kind={kind}', 'schedule.alpha_f=0.1', 'progress_bar=false']
        trainer = build_trainer(load_recipe('quickstart/digits', overrides))
        states[kind] = trainer.state
        trainer.close()
    cyclic, standard = states['cyclic'], states['standard']
    assert all(torch.equal(a, b) for a, b in zip(cyclic.model.parameters(), standard.model.parameters(), strict=True))
    assert repr(cyclic.optimizers[0]) == repr(standard.optimizers[0])
    assert isinstance(cyclic.optimizers[0], composer.optim.DecoupledSGDW)


@pytest.mark.parametrize(
    ('override', 'match'),
    [
        ('model.name=resnet5', "model.name='resnet5': unknown name.*did you mean 'resnet50'"),
        ('model.arguments.depth=9', 'model.small_resnet: depth=9.*6n \\+ 2'),
        ('model.arguments.dept=9', "model.small_resnet: unknown argument 'dept', did you mean 'depth'"),
        ('data.name=digit', "data.name='digit': unknown name, did you mean 'digits'. .known: cifar10, .*your own"),
        ('model.num_classes=7', 'data.digits: num_classes=7: digits has 10 classes: pass model.num_classes=10'),
        (
            'data.name=imagefolder',
            "data.arguments: unknown argument 'train_images', did .*eval_images.*train_size, eval_",
        ),
        ('algorithms.MixUp.alfa=1', "algorithms.MixUp: unknown argument 'alfa', did you mean 'alpha'. .known: alpha, "),
        ('data.arguments.train_images=5000', 'data.digits: train_images=5000.*897'),
        ('data.batch_size=0', 'data.batch_size=0: must be a positive multiple of the number of ranks, 1'),
        ('optimizer.name=DecoupledSGD', "optimizer.name='DecoupledSGD': unknown name.*did you mean 'DecoupledSGDW'"),
        ('optimizer.name=Optimizer', "optimizer.name='Optimizer': unknown name"),
        ('precision=amp_fp16', 'precision=amp_fp16: needs a GPU, and this machine has none: pass precision=fp32'),
        ('precision=amp_fp17', 'precision=amp_fp17: .*amp_fp17 not found'),
        ('optimizer.arguments.betas=3', 'optimizer.name.DecoupledSGDW: .*betas'),
        ('algorithms.EveryN={}', "algorithms='EveryN'"),
        ('algorithms.BlurPol={}', "algorithms='BlurPol'.*did you mean 'BlurPool'"),
        ('algorithms.MixUp.alph=0.2', "algorithms.MixUp: .*'alph'"),
        ('loggers.WandbLogger={}', "loggers='WandbLogger'.*did you mean 'WandBLogger'"),
        ('loggers.MLFlowLogger={}', 'loggers.MLFlowLogger: .*mlflow'),
        ('seed=-1', 'seed=-1: must be greater than or equal to 0'),
        ('seed=4294967296', 'seed=4294967296: must be less than 4294967296'),
        ('optimizer.lr=1e300', 'optimizer.lr=1e[+]300: must be between 0 and 3.4e[+]38'),
        ('optimizer.lr=.nan', 'optimizer.lr=.nan: must be a finite number'),
        ('optimizer.lr=-1', 'optimizer.lr=-1.0: must be between 0 and'),
        ('optimizer.weight_decay=.inf', 'optimizer.weight_decay=.inf: must be a finite number'),
        ('data.timeout_s=-1', 'data.timeout_s=-1.0: must be a number of seconds, or 0'),
        (
            'callbacks.LoadCheckpoint={load_path: x.pt}',
            'callbacks.LoadCheckpoint: unpickles a file, .*pass checkpoint.load_path to start from a checkpoint',
        ),
        ('schedule.t_mult=0.5', 'schedule: t_mult=0.5'),
        ('schedule.t_0=null', 'schedule: t_0 is missing'),
    ],
)
def test_unknown_names_and_bad_values_are_refused_in_one_line(override, match, capsys, monkeypatch):
    # A package that is not installed.
    monkeypatch.setitem(sys.modules, 'mlflow', None)
    assert main(['quickstart/digits', override]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert re.match(f'composer_clr.train: {match}', line)


def test_another_optimizer_by_override():
    words = ['optimizer.name=Adam', 'optimizer.lr=0.001', 'progress_bar=false']
    with pytest.raises(RecipeError, match="optimizer.name.Adam: .*'momentum'"):
        build_trainer(load_recipe('quickstart/digits', words))
    recipe = load_recipe('quickstart/digits', [*words, 'optimizer.arguments.momentum=null'])
    assert recipe.plain()['optimizer']['arguments'] == {}
    trainer = build_trainer(recipe)
    assert type(trainer.state.optimizers[0]) is torch.optim.Adam
    trainer.close()


def test_arguments_of_the_optimizer_that_the_schedule_free_one_lacks():
    changes = ['schedule.kind=schedule-free', 'schedule.schedule_free.name=AdamWScheduleFree']
    with pytest.raises(
        RecipeError, match=r"'momentum' \(known: .*\) \(with optimizer.arguments, .*pass schedule.schedule_free.arg"
    ):
        build_trainer(load_recipe('quickstart/digits', changes))
    build_trainer(load_recipe('quickstart/digits', [*changes, 'schedule.schedule_free.arguments={}'])).close()


def test_help_names_the_recipes(capsys):
    assert main(['--help']) == 0
    assert 'quickstart/digits' in capsys.readouterr().out


def test_torchvisions_networks_by_name():
    recipe = load_recipe('quickstart/digits', ['model.name=resnet18', 'model.num_classes=7'])
    recipe.model.arguments = {}
    assert build_model(recipe)((torch.zeros(2, 3, 32, 32), torch.zeros(2))).shape == (2, 7)


def test_a_folder_of_ones_own_images(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for split, images in (('train', 24), ('val', 10)):
        for label in ('dark', 'bright'):
            folder = tmp_path / 'images' / split / label
            folder.mkdir(parents=True)
            for i in range(images // 2):
                colour = (i, 40, i) if label == 'dark' else (200, 220 - i, 200)
                Image.new('RGB', (40, 36), colour).save(folder / f'{i}.jpg')
    (tmp_path / 'own.yaml').write_text(MINIMAL.replace('name: digits', 'name: imagefolder, path: images'))
    sizes = {'train_size': 16, 'eval_resize': 18, 'eval_size': 16}
    overrides = [f'data.arguments.{name}={size}' for name, size in sizes.items()]
    overrides += ['data.batch_size=8', 'data.eval_batch_size=10', 'model.num_classes=2', 'max_duration=6ep']
    assert main(['own.yaml', 'progress_bar=false', *overrides]) == 0
    assert TradeoffCurve.read(Path('mine/pareto')).points[-1].metrics['eval/MulticlassAccuracy'] == 1.0


@pytest.mark.parametrize('start', [launch, pytest.param(launch_by_composer, marks=pytest.mark.slow)])
def test_two_ranks_write_one_curve_of_the_whole_evaluation_set(start, tmp_path):
    overrides = ['max_duration=8ep', 'progress_bar=false', 'data.eval_batch_size=200', 'data.arguments.eval_images=899']
    average = 'callbacks.TroughAverage={window: 0.5, save_weights: true}'
    done = start(2, '-m', 'composer_clr.train', 'quickstart/digits', *overrides, average, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    weights = ['cycle0-ba24-averaged.pt', 'cycle0-ba24.pt', 'cycle1-ba48-averaged.pt', 'cycle1-ba48.pt']
    assert sorted(p.name for p in tmp_path.rglob('*') if p.is_file()) == ['curve.json', *weights]
    curve = TradeoffCurve.read(next(tmp_path.rglob('curve.json')))
    assert curve.run.world_size == 2
    assert [(p.epoch, p.batch, p.sample) for p in curve.points] == [(4.0, 24, 1200), (8.0, 48, 2400)]
    # 899 images do not divide by two: the accuracy of the saved weights over each image once, counted by hand.
    trainer = build_trainer(load_recipe('quickstart/digits', ['progress_bar=false', 'data.arguments.eval_images=899']))
    network, images = trainer.state.model, trainer.state.evaluators[0].dataloader.dataloader
    for point, (label, suffix) in product(curve.points, (('eval', ''), ('averaged/eval', '-averaged'))):
        saved = next(tmp_path.rglob(f'cycle{point.cycle}-ba{point.batch}{suffix}.pt'))
        network.load_state_dict(torch.load(saved, weights_only=True)['state']['model'])
        network.eval()
        with torch.no_grad():
            right = sum(int((network((x, y)).argmax(1) == y).sum()) for x, y in images)  # type: ignore[union-attr]
        assert point.metrics[f'{label}/MulticlassAccuracy'] * 899 == pytest.approx(right, abs=1e-3)
    trainer.close()


def test_two_ranks_fail_together_when_the_curve_is_there_already(tmp_path):
    folder = tmp_path / 'runs/quickstart/digits-baseline-cyclic-8ep-seed17'
    folder.mkdir(parents=True)
    (folder / 'curve.json').write_text('{}')
    overrides = ['max_duration=8ep', 'progress_bar=false', 'snapshot.overwrite=false']
    done = launch(2, '-m', 'composer_clr.train', 'quickstart/digits', *overrides, folder=tmp_path)
    assert done.returncode != 0
    assert 'curve.json: not a curve of format 1' in done.stdout + done.stderr


@pytest.mark.slow
def test_only_what_the_recipe_uses_is_imported():
    script = (
        'import sys\n'
        'import composer\n'
        'from composer_clr import train\n'
        'from composer_clr.recipes.load import load_recipe\n'
        'from composer_clr.training.build import build_trainer\n'
        "recipe = load_recipe('quickstart/digits', ['progress_bar=false'])\n"
        # Composer's engine imports its algorithms at its first event.
        "print([name for name in ('composer.algorithms', 'sklearn.datasets') if name in sys.modules])\n"
        'build_trainer(recipe).close()\n'
        "unused = ('wandb', 'streaming', 'composer_clr.data.imagefolder', 'composer_clr.averaging.trough_average')\n"
        'print([name for name in unused if name in sys.modules])\n'
    )
    done = subprocess.run([sys.executable, '-c', script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ['[]', '[]']
