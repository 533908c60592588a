"""The paper's eight methods on a hundred photographs: the loss falls, and each algorithm is seen to act."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from composer.algorithms.blurpool import BlurConv2d, BlurMaxPool2d
from composer.core import Callback, State
from composer.loggers import Logger

from composer_clr.recipes.load import load_recipe
from composer_clr.training.build import build_trainer
from tests.helpers.photographs import write_folder

CLASSES = 4
METHODS = ['baseline', 'bp', 'cl', 'ls', 'mx', 'bp_cl', 'ls_mx', 'bp_cl_ls_mx']
OVERRIDES = [
    'progress_bar=false',
    'precision=fp32',
    'data.num_workers=0',
    'model.name=shufflenet_v2_x0_5',
    f'model.num_classes={CLASSES}',
    'data.batch_size=20',
    'data.eval_batch_size=8',
    'data.arguments.train_size=32',
    'data.arguments.eval_resize=36',
    'data.arguments.eval_size=32',
    'device_train_microbatch_size=10',
    'optimizer.lr=0.005',
    'schedule.t_warmup=1ep',
    'schedule.t_0=7ep',
    'max_duration=8ep',
    'evaluation.interval=0ep',
    'snapshot.save_weights=false',
    'snapshot.peak_window=0ep',
    'callbacks.MemoryMonitor=false',
    'checkpoint.folder=null',
    'checkpoint.autoresume=false',
]


class Watch(Callback):
    """Records what the network is trained on: its inputs, the targets of the loss, and the loss."""

    def __init__(self) -> None:
        self.images: list[torch.Tensor] = []
        self.targets: list[torch.Tensor] = []
        self.losses: list[float] = []

    def before_forward(self, state: State, logger: Logger) -> None:
        self.images.append(state.batch[0].detach().clone())

    def before_loss(self, state: State, logger: Logger) -> None:
        # After the algorithms; LabelSmoothing takes its labels back once the loss has been computed.
        self.targets.append(state.batch[1].detach().clone())

    def batch_end(self, state: State, logger: Logger) -> None:
        assert isinstance(state.loss, torch.Tensor)
        self.losses.append(float(state.loss))


@pytest.fixture(scope='module')
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('photographs')
    write_folder(folder / 'train', CLASSES, images=25, size=(50, 40))
    write_folder(folder / 'val', CLASSES, images=2, size=(50, 40), seed=1)
    return folder


# All four algorithms at once; the other methods with the slow tests.
@pytest.mark.parametrize(
    'method', [pytest.param(method, marks=() if method == METHODS[-1] else pytest.mark.slow) for method in METHODS]
)
def test_it_learns_and_acts(method, photographs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    watch = Watch()
    recipe = load_recipe(f'resnet50_imagenet/{method}', [*OVERRIDES, f'data.path={photographs}'])
    trainer = build_trainer(recipe, callbacks=[watch])
    trainer.fit()
    state = trainer.state
    trainer.close()
    assert len(watch.losses) == 40
    assert sum(watch.losses[-5:]) < 0.8 * sum(watch.losses[:5])

    algorithms = set(method.split('_'))
    modules = list(state.model.modules())
    assert any(isinstance(module, BlurConv2d) for module in modules) == ('bp' in algorithms)
    assert any(isinstance(module, BlurMaxPool2d) for module in modules) == ('bp' in algorithms)
    kernels = [module.weight for module in modules if isinstance(module, torch.nn.Conv2d) and module.kernel_size[0] > 1]
    assert all(kernel.is_contiguous(memory_format=torch.channels_last) for kernel in kernels) == ('cl' in algorithms)

    targets = torch.cat(watch.targets)
    if not algorithms & {'ls', 'mx'}:
        assert targets.shape == (800,)
        assert not targets.is_floating_point()
        return
    assert targets.shape == (800, CLASSES)
    assert targets.sum(dim=1).numpy() == pytest.approx(1, abs=1e-6)
    # Smoothed or not, the targets are a floor under every class and, on top of it, one class or a blend of two.
    floor = 0.1 / CLASSES if 'ls' in algorithms else 0.0
    above, _ = (targets - floor).sort(dim=1, descending=True)
    assert above[:, 2:].numpy() == pytest.approx(0, abs=1e-6)
    assert above[:, :2].sum(dim=1).numpy() == pytest.approx(1 - CLASSES * floor, abs=1e-6)
    assert bool((above[:, 1] > 0.01).any()) == ('mx' in algorithms)


def test_mixup_blends_the_images_too(photographs, tmp_path, monkeypatch):
    """Compares the first microbatch of two runs: the same images, with MixUp each blended with another."""
    monkeypatch.chdir(tmp_path)
    seen = {}
    for method in ('baseline', 'mx'):
        watch = Watch()
        overrides = [*OVERRIDES, f'data.path={photographs}', 'max_duration=1ba', 'schedule.t_warmup=0ba']
        overrides += ['schedule.t_0=1ba', 'algorithms.MixUp.alpha=1.0'] if method == 'mx' else ['schedule.t_0=1ba']
        trainer = build_trainer(load_recipe(f'resnet50_imagenet/{method}', overrides), callbacks=[watch])
        trainer.fit()
        trainer.close()
        seen[method] = watch.images[0].flatten(1), watch.targets[0]
    (plain, labels), (mixed, targets) = seen['baseline'], seen['mx']
    share = targets.gather(1, labels[:, None]).clamp(max=1)
    blends = [
        any(torch.allclose(mixed[i], s * plain[i] + (1 - s) * other, atol=1e-4) for other in plain)
        for i, s in enumerate(share[:, 0])
        if s < 0.99
    ]
    assert len(blends) > 2
    assert all(blends)
