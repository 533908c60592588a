"""Images per second with this package's parts over plain Composer: ``python -m tests.benchmarks.gpu_throughput``.

ResNet-50 is trained at 224 pixels in bf16 on tensors that are already on the GPU, so that only the training loop is
measured: alternately with the cyclic schedule, the snapshot callback and the progress to the next trough, and with a
plain cosine and no callback; with and without ChannelsLast and ``torch.compile``. Printed are both rates and the ratio,
medians over the rounds with their range. ``--tiny`` tries the script on a machine without a GPU.
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
from composer_clr.recording.progress import TroughProgress


class SameBatch(Dataset):
    """Returns the same batch on the device a number of times."""

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
    """Measures batches per second from the end of one batch to the end of a later one."""

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


def images_per_s(options: argparse.Namespace, *, with_parts: bool, channels_last: bool, compiled: bool) -> float:
    """Trains once, and returns the images per second."""
    torch.manual_seed(0)
    torch.compiler.reset()
    network = getattr(torchvision.models, options.network)(num_classes=1000)
    model = ComposerClassifier(network, num_classes=1000)
    total = options.warmup + options.batches
    device = 'cuda' if torch.cuda.is_available() else 'cpu'

    def data(times: int) -> DataSpec:
        batches = SameBatch(options.images, options.size, 1000, times, device)
        return DataSpec(DataLoader(batches, batch_size=None), get_num_samples_in_batch=lambda batch: len(batch[0]))

    rate = Rate(options.warmup, total)
    with tempfile.TemporaryDirectory() as folder:
        parts = [ParetoSnapshot(folder=folder, save_weights=False), TroughProgress()] if with_parts else []
        trainer = Trainer(
            model=model,
            train_dataloader=data(total),
            eval_dataloader=Evaluator(label='eval', dataloader=data(1), device_eval_microbatch_size=options.images),
            optimizers=DecoupledSGDW(model.parameters(), lr=0.01, momentum=0.875, weight_decay=5e-4),
            schedulers=CyclicCosineScheduler(f'{total}ba') if with_parts else CosineAnnealingScheduler(),
            callbacks=[rate, *parts],
            algorithms=ChannelsLast() if channels_last else None,
            eval_interval=0,
            device_train_microbatch_size=options.images,
            max_duration=f'{total}ba',
            precision='amp_bf16' if device == 'cuda' else 'fp32',
            compile_config={} if compiled else None,
            progress_bar=False,
        )
        trainer.fit()
        trainer.close()
    return rate.batches_per_s * options.images


def main() -> None:
    """Measures, and prints a line per setting."""
    parser = argparse.ArgumentParser(description="Images per second with this package's parts over plain Composer.")
    parser.add_argument('--network', default='resnet50')
    parser.add_argument('--images', type=int, default=256, help='images per batch')
    parser.add_argument('--size', type=int, default=224, help='side of an image, in pixels')
    parser.add_argument('--warmup', type=int, default=20, help='batches before the clock starts')
    parser.add_argument('--batches', type=int, default=60, help='batches that are timed')
    parser.add_argument('--rounds', type=int, default=7)
    parser.add_argument('--tiny', action='store_true', help='resnet18 on a few batches of 8 images of 32 pixels')
    options = parser.parse_args()
    if options.tiny:
        vars(options).update(network='resnet18', images=8, size=32, warmup=1, batches=3, rounds=2)
    where = torch.cuda.get_device_name() if torch.cuda.is_available() else 'CPU'
    print(f'{options.network}, {options.images} images of {options.size} pixels per batch, {where}')
    for compiled in (False,) if options.tiny else (False, True):
        for channels_last in (False, True):
            setting = {'channels_last': channels_last, 'compiled': compiled}
            pairs = [
                (images_per_s(options, with_parts=True, **setting), images_per_s(options, with_parts=False, **setting))
                for _ in range(options.rounds)
            ]
            ratios = [with_parts / plain for with_parts, plain in pairs]
            print(
                f'{"channels last" if channels_last else "channels first"}, {"compiled" if compiled else "eager"}: '
                f'{median(with_parts for with_parts, _ in pairs):.0f} images/s with the parts, '
                f'{median(plain for _, plain in pairs):.0f} without, '
                f'ratio {median(ratios):.3f} ({min(ratios):.3f}-{max(ratios):.3f})',
                flush=True,
            )


if __name__ == '__main__':
    main()
