"""Compares every kind of curve on photographs: ``python -m tests.benchmarks.cifar_study FOLDER``.

A ResNet-8 is trained on 5,000 images of CIFAR-10 and evaluated on 2,000 others, for 4 to 64 epochs, in every kind of
run, with three seeds, as the baseline and with label smoothing and MixUp. ``COMPOSER_CLR_CIFAR10`` names the folder of
the images. Printed is a Markdown table: each kind's gap to the standard cosine curve (mean over its points, and at the
last) with its 95% interval over seeds, and the cost of the curve, in training batches over those of the standard
curve's runs. The folder holds every run's ``curve.json``, the table, and per method the whole comparison (``.json``),
a figure (``.png``) and one of the gaps (``-gap.png``).

Complete runs are skipped, so that an interrupted study continues with the next run. The whole study takes about 3.5
hours on one core. ``--help`` lists options for a smaller one; ``nice -n 19`` and ``--workers 1`` leave the machine to
other work. ``FOLDER2 optimizer.lr=0.2 --methods CL --lines standard cyclic wsd-s anytime`` repeats a part of it at
another learning rate. ``--full`` runs the study at full size, for a GPU: ResNet-18, all images, 10 to 160 epochs, bf16.
"""

from __future__ import annotations

import os
import sys

from tests.benchmarks.one_run_curves import HOLD_AND_DECAY, Study, run_study

LINES: dict[str, tuple[str, list[str]]] = {
    'standard': ('standard', ['callbacks.TroughAverage={window: 0.25}']),
    'cyclic': ('cyclic', ['callbacks.TroughAverage={window: 0.25}']),
    'wsd-s': ('cyclic', HOLD_AND_DECAY),
    'branch': ('branch', HOLD_AND_DECAY),
    'anytime': ('anytime', []),
    'anytime-1-sqrt': ('anytime', ['schedule.average={window: 0.25, decay: 1-sqrt}']),
    'anytime-falling': ('anytime', ['schedule.rate=1/sqrt', 'schedule.a=8ep']),
    'schedule-free': ('schedule-free', []),
}
LABELS = {
    'cyclic': 'cyclic, as in the paper',
    'cyclic-averaged': 'cyclic, weights averaged over the last quarter of each cycle',
    'standard-averaged': 'standard, weights averaged over the last quarter of each run',
    'wsd-s': 'WSD-S, decays over the last fifth of each cycle',
    'branch': 'cooldown branches over the last fifth',
    'anytime': 'anytime: constant rate, averaged over the last quarter so far',
    'anytime-plain': 'anytime, the weights in training',
    'anytime-1-sqrt': 'anytime, merged as a 1-sqrt decay over the last quarter',
    'anytime-falling': 'anytime: rate 1/sqrt, averaged over the last quarter so far',
    'schedule-free': 'schedule-free SGD',
}
DRAWN = ('standard', 'cyclic', 'wsd-s', 'branch', 'anytime', 'schedule-free')
COMMON = (
    'checkpoint.folder=null',
    'checkpoint.autoresume=false',
    'callbacks.SpeedMonitor=false',
    'snapshot.overwrite=true',
)
SMALL = Study(
    'resnet18_cifar10/baseline',
    LINES,
    LABELS,
    DRAWN,
    (
        *COMMON,
        'model.name=small_resnet',
        'data.arguments={train_images: 5000, eval_images: 2000}',
        'schedule.t_warmup=2ep',
        'schedule.t_0=2ep',
    ),
    # Trains 1.4 times as fast on a CPU, and computes the same.
    methods=('CL', 'CL+LS+MX'),
)
FULL = Study('resnet18_cifar10/baseline', LINES, LABELS, DRAWN, (*COMMON, 'precision=amp_bf16'))


def main() -> None:
    if not os.environ.get('COMPOSER_CLR_CIFAR10') and not {'-h', '--help'} & set(sys.argv):
        sys.exit(
            'COMPOSER_CLR_CIFAR10 is not set: set it to the folder of train.zip and val.zip, or of cifar-10-batches-py'
        )
    full = '--full' in sys.argv
    if full:
        sys.argv.remove('--full')
    run_study(FULL if full else SMALL, __doc__, seeds=3, confidence=True)


if __name__ == '__main__':
    main()
