"""Every shipped recipe, run: shrunk by overrides alone."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from composer.metrics import CrossEntropy, LanguageCrossEntropy
from torchvision.datasets import cifar

from composer_clr import TradeoffCurve
from composer_clr.recipes.families import samples_per_batch
from composer_clr.recipes.load import load_recipe, shipped_recipes
from composer_clr.recipes.planned_cycles import recipe_cycles
from composer_clr.train import main
from tests.helpers.launcher import launch
from tests.helpers.photographs import write_folder

QUICK = ['progress_bar=false', 'precision=fp32', 'data.num_workers=0']
IMAGENET = [
    *QUICK,
    'model.name=resnet18',
    'model.num_classes=3',
    'data.batch_size=6',
    'data.eval_batch_size=6',
    'data.arguments.train_size=32',
    'data.arguments.eval_resize=36',
    'data.arguments.eval_size=32',
    'device_train_microbatch_size=3',
    'optimizer.lr=0.01',
    'schedule.t_warmup=1ep',
    'max_duration=4ep',
    'callbacks.MemoryMonitor=false',  # it warns that there is no GPU
]
SHRUNK = {
    'quickstart/digits': ['max_duration=8ep', 'data.arguments.train_images=100', 'progress_bar=false'],
    'quickstart/text': [
        *QUICK,
        'model.arguments.width=16',
        'data.arguments.eval_sequences=64',
        'schedule.t_warmup=1024tok',
        'schedule.t_0=1024tok',
        'max_duration=4096tok',
    ],
    'resnet50_imagenet': IMAGENET,
    'resnet101_imagenet': IMAGENET,
    'resnet18_cifar10': [
        *QUICK,
        'model.name=small_resnet',
        'data.batch_size=10',
        'data.eval_batch_size=20',
        'schedule.t_warmup=1ep',
        'schedule.marks=null',
        'max_duration=4ep',
    ],
    'resnet56_cifar10': [
        *QUICK,
        'model.arguments.depth=8',
        'data.batch_size=10',
        'data.eval_batch_size=20',
        'schedule.t_warmup=1ep',
        'max_duration=4ep',
    ],
}
SEVERAL_POINTS = ('cyclic', 'anytime', 'schedule-free')
IN_SECONDS = {
    'quickstart/text',
    'resnet18_cifar10/baseline_schedule_free',
    'resnet56_cifar10/baseline',
}


@pytest.fixture(scope='module')
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Writes photographs in folders, and 50 and 20 random images in the files of CIFAR-10."""
    folder = tmp_path_factory.mktemp('data')
    for split, images in (('train', 6), ('val', 3)):
        write_folder(folder / split, classes=3, images=images, size=(50, 40))
    batches = folder / 'cifar-10-batches-py'
    batches.mkdir()
    numbers = np.random.default_rng(0)
    names = [*(f'data_batch_{i}' for i in range(1, 6)), 'test_batch']
    for name, images in zip(names, [10] * 5 + [20], strict=True):
        pixels = numbers.integers(256, size=(images, 3072), dtype=np.uint8)
        labels = numbers.integers(10, size=images).tolist()
        (batches / name).write_bytes(pickle.dumps({'data': pixels, 'labels': labels}))
    (batches / 'batches.meta').write_bytes(pickle.dumps({'label_names': [str(i) for i in range(10)]}))
    return folder


def shrunk(name: str, data: Path) -> list[str]:
    study = name.partition('/')[0]
    overrides = list(SHRUNK[name if study == 'quickstart' else study])
    if study != 'quickstart':
        overrides.append(f'data.path={data}')
        if load_recipe(name, overrides).schedule.kind in SEVERAL_POINTS:
            overrides.append('schedule.t_0=1ep')
    return overrides


def test_the_papers_run():
    recipe = load_recipe('resnet50_imagenet/baseline', ['data.path=/data'])
    assert recipe_cycles(recipe).troughs == [16, 32, 64, 128, 256, 512]
    assert (recipe.optimizer.name, recipe.optimizer.lr, recipe.optimizer.weight_decay) == ('DecoupledSGDW', 2.048, 5e-4)
    assert (recipe.optimizer.arguments, recipe.data.batch_size) == ({'momentum': 0.875}, 2048)
    assert (recipe.precision, recipe.device_train_microbatch_size) == ('amp_fp16', 64)


# Images that a data set has for evaluation.
EVALUATED = {'digits': 900, 'cifar10': 10_000, 'imagefolder': 50_000}


@pytest.mark.parametrize('name', shipped_recipes())
def test_a_recipe_ends_on_a_trough_and_no_recorded_loss_depends_on_the_evaluation_batch(name):
    recipe = load_recipe(name, [] if name.startswith('quickstart/') else ['data.path=/data'])
    if recipe.schedule.kind == 'cyclic':
        assert recipe_cycles(recipe).cut is None
    assert recipe.snapshot.metrics
    if any(metric.endswith('/CrossEntropy') for metric in recipe.snapshot.metrics):
        images = recipe.data.arguments.get('eval_images') or EVALUATED[recipe.data.name]
        assert images % samples_per_batch(recipe, 'eval_batch_size') == 0


def test_composers_cross_entropy_is_a_mean_of_batch_means_and_that_of_language_models_is_not():
    logits, labels = torch.randn(11, 5, generator=torch.Generator().manual_seed(0)), torch.arange(11) % 5

    def recorded(metric: CrossEntropy | LanguageCrossEntropy, size: int) -> float:
        for batch in range(0, 11, size):
            metric.update(logits[batch : batch + size], labels[batch : batch + size])
        return float(metric.compute())

    mean = float(torch.nn.functional.cross_entropy(logits, labels))
    assert recorded(CrossEntropy(), 11) == pytest.approx(mean, abs=1e-6)
    assert recorded(CrossEntropy(), 4) != pytest.approx(mean, abs=1e-2)
    assert recorded(LanguageCrossEntropy(), 4) == pytest.approx(mean, abs=1e-6)


@pytest.mark.parametrize(
    ('name', 'algorithms'),
    [
        ('baseline', {}),
        ('bp', {'BlurPool': {}}),
        ('cl', {'ChannelsLast': {}}),
        ('ls', {'LabelSmoothing': {'smoothing': 0.1}}),
        ('mx', {'MixUp': {'alpha': 0.2}}),
        ('bp_cl', {'BlurPool': {}, 'ChannelsLast': {}}),
        ('ls_mx', {'MixUp': {'alpha': 0.2}, 'LabelSmoothing': {'smoothing': 0.1}}),
        (
            'bp_cl_ls_mx',
            {'BlurPool': {}, 'ChannelsLast': {}, 'MixUp': {'alpha': 0.2}, 'LabelSmoothing': {'smoothing': 0.1}},
        ),
    ],
)
def test_the_eight_methods_differ_in_their_algorithms_and_kinds_in_their_schedule(name, algorithms):
    cyclic = load_recipe(f'resnet50_imagenet/{name}', ['data.path=/data'])
    assert list(cyclic.algorithms.items()) == list(algorithms.items())
    method = name.upper().replace('_', '+') if algorithms else 'baseline'
    assert cyclic.run_name == f'resnet50-{method}-cyclic-512ep-seed17'
    standard = load_recipe(f'resnet50_imagenet/{name}_standard', ['data.path=/data'])
    assert standard.run_name == f'resnet50-{method}-standard-16ep-seed17'
    same = load_recipe(f'resnet50_imagenet/{name}', ['data.path=/data', 'schedule.kind=standard', 'max_duration=16ep'])
    same.base = standard.base
    assert standard == same
    baseline = load_recipe('resnet50_imagenet/baseline', ['data.path=/data'])
    baseline.algorithms, baseline.snapshot.method = cyclic.algorithms, cyclic.snapshot.method
    baseline.run_name, baseline.base = cyclic.run_name, cyclic.base
    assert cyclic == baseline


@pytest.mark.parametrize(
    'name', [name if name in IN_SECONDS else pytest.param(name, marks=pytest.mark.slow) for name in shipped_recipes()]
)
def test_every_recipe_runs(name, data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # The files are not those whose checksums torchvision knows.
    monkeypatch.setattr(cifar, 'check_integrity', lambda *checksum: True)
    overrides = shrunk(name, data)
    assert main([name, '--check', *overrides]) == 0
    assert not any(tmp_path.iterdir())
    assert main([name, *overrides]) == 0
    recipe = load_recipe(name, overrides)
    curve = TradeoffCurve.read(Path(recipe.snapshot.folder.format(run_name=recipe.run_name)))
    assert (curve.run.kind, curve.run.method) == (recipe.curve_kind, recipe.snapshot.method)
    if name == 'quickstart/text':
        assert [point.token for point in curve.points] == [2048, 4096]
        return
    last = 8.0 if name == 'quickstart/digits' else 4.0
    expected = [last]
    if recipe.schedule.kind in SEVERAL_POINTS:
        expected = [2.0, 3.0, 4.0] if recipe.schedule.t_mult == 1 else [last / 2, last]
    assert [point.epoch for point in curve.points] == expected


@pytest.mark.slow
@pytest.mark.parametrize('name', ['resnet50_imagenet/bp_cl_ls_mx', 'resnet56_cifar10/baseline'])
def test_a_recipe_of_each_family_on_two_ranks(name, data, tmp_path):
    (tmp_path / 'run.py').write_text(
        'import sys\n'
        'from torchvision.datasets import cifar\n'
        'from composer_clr.train import main\n'
        'cifar.check_integrity = lambda *checksum: True\n'
        'sys.exit(main())\n'
    )
    overrides = [*shrunk(name, data), 'run_name=two']
    done = launch(2, 'run.py', name, *overrides, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    curve = TradeoffCurve.read(next(tmp_path.rglob('curve.json')).parent)
    assert (curve.run.world_size, [point.epoch for point in curve.points]) == (2, [2.0, 4.0])
