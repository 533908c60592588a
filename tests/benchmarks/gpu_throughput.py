"""Images per second with our parts on over plain Composer: ``python -m tests.benchmarks.gpu_throughput``.

ResNet-50 is trained at 224 pixels in bf16 on tensors that lie on the GPU already, so that nothing but the training loop
is measured: with the cyclic schedule, the snapshot callback and the progress to the next trough on and, in turn, with a
plain cosine and no callback; with and without ChannelsLast and ``torch.compile``. Printed are both rates and the ratio,
medians over the rounds with their range. ``--tiny`` tries the script out on a machine without a GPU.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from statistics import median

import torch
import torchvision
from composer import Callback, DataSpec, Evaluator, State, Trainer
from composer.algorithms import ChannelsLast
from composer.loggers import Logger
from composer.models import ComposerClassifier
from composer.optim import CosineAnnealingScheduler, DecoupledSGDW
from torch.utils.data import DataLoader, Dataset

from composer_clr import CyclicCosineScheduler, ParetoSnapshot
from composer_clr.recording.trough_progress import TroughProgress


class SameBatch(Dataset):
    """One batch on the device, as often as asked for."""

    def __init__(self, images: int, size: int, classes: int, times: int, device: str):
        self.batch = (
            torch.randn(images, 3, size, size, device=device),
            torch.randint(classes, (images,), device=device),
        )
        self.times = times

    def __len__(self) -> int:
        return self.times

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        if index >= self.times:
            raise IndexError(index)
        return self.batch


class Rate(Callback):
    """Batches per second from the end of one batch to the end of a later one."""

    def __init__(self, first: int, last: int):
        self.first, self.last = first, last
        self.batches_per_s = 0.0
        self._began_s = 0.0

    def batch_end(self, state: State, logger: Logger) -> None:
        batch = state.timestamp.batch.value
        if batch not in (self.first, self.last):
            return
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        if batch == self.first:
            self._began_s = time.perf_counter()
        else:
            self.batches_per_s = (self.last - self.first) / (time.perf_counter() - self._began_s)


def images_per_s(given: argparse.Namespace, *, ours: bool, channels_last: bool, compiled: bool) -> float:
    """Train once."""
    torch.manual_seed(0)
    torch.compiler.reset()
    network = getattr(torchvision.models, given.network)(num_classes=1000)
    model = ComposerClassifier(network, num_classes=1000)
    total = given.warmup + given.batches
    device = 'cuda' if torch.cuda.is_available() else 'cpu'

    def data(times: int) -> DataSpec:
        batches = SameBatch(given.images, given.size, 1000, times, device)
        return DataSpec(DataLoader(batches, batch_size=None), get_num_samples_in_batch=lambda batch: len(batch[0]))

    rate = Rate(given.warmup, total)
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            model=model,
            train_dataloader=data(total),
            eval_dataloader=Evaluator(label='eval', dataloader=data(1), device_eval_microbatch_size=given.images),
            optimizers=DecoupledSGDW(model.parameters(), lr=0.01, momentum=0.875, weight_decay=5e-4),
            schedulers=CyclicCosineScheduler(f'{total}ba') if ours else CosineAnnealingScheduler(),
            callbacks=[rate, ParetoSnapshot(folder=folder, save_weights=False), TroughProgress()] if ours else [rate],
            algorithms=ChannelsLast() if channels_last else None,
            eval_interval=0,
            device_train_microbatch_size=given.images,
            max_duration=f'{total}ba',
            precision='amp_bf16' if device == 'cuda' else 'fp32',
            compile_config={} if compiled else None,
            progress_bar=False,
        )
        trainer.fit()
        trainer.close()
    return rate.batches_per_s * given.images


def main() -> None:
    """Measure, and print a line for each setting."""
    parser = argparse.ArgumentParser(description='Images per second with our parts on over plain Composer.')
    parser.add_argument('--network', default='resnet50')
    parser.add_argument('--images', type=int, default=256, help='images a batch')
    parser.add_argument('--size', type=int, default=224, help='side of an image, in pixels')
    parser.add_argument('--warmup', type=int, default=20, help='batches before the clock starts')
    parser.add_argument('--batches', type=int, default=60, help='batches that are timed')
    parser.add_argument('--rounds', type=int, default=7)
    parser.add_argument('--tiny', action='store_true', help='resnet18 on a few batches of 8 images of 32 pixels')
    given = parser.parse_args()
    if given.tiny:
        vars(given).update(network='resnet18', images=8, size=32, warmup=1, batches=3, rounds=2)
    where = torch.cuda.get_device_name() if torch.cuda.is_available() else 'CPU'
    print(f'{given.network}, {given.images} images of {given.size} pixels a batch, {where}')
    for compiled in (False,) if given.tiny else (False, True):
        for channels_last in (False, True):
            setting = {'channels_last': channels_last, 'compiled': compiled}
            pairs = [
                (images_per_s(given, ours=True, **setting), images_per_s(given, ours=False, **setting))
                for _ in range(given.rounds)
            ]
            ratios = [ours / plain for ours, plain in pairs]
            print(
                f'{"channels last" if channels_last else "channels first"}, {"compiled" if compiled else "eager"}: '
                f'{median(ours for ours, _ in pairs):.0f} images/s with our parts, '
                f'{median(plain for _, plain in pairs):.0f} without, '
                f'ratio {median(ratios):.3f} ({min(ratios):.3f}-{max(ratios):.3f})',
                flush=True,
            )


if __name__ == '__main__':
    main()
