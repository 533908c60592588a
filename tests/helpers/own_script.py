"""Scripts of one's own for ``run --command``: a real one, and one that writes its curve at once, without Composer."""

REAL = """
import argparse

import torch
from composer import Trainer
from composer.models import ComposerClassifier
from composer.utils import reproducibility
from composer_clr import ParetoSnapshot, study_scheduler
from torch.utils.data import DataLoader, TensorDataset

parser = argparse.ArgumentParser()
for name, kind in dict(kind=str, seed=int, duration=str, folder=str, lr=float).items():
    parser.add_argument(f'--{name}', type=kind)
given = parser.parse_args()
reproducibility.seed_all(given.seed)
x = torch.randn(64, 4, generator=torch.Generator().manual_seed(0))
loader = DataLoader(TensorDataset(x, (x.sum(1) > 0).long()), batch_size=16)
model = ComposerClassifier(torch.nn.Linear(4, 2), num_classes=2)
Trainer(
    model=model,
    optimizers=torch.optim.SGD(model.parameters(), lr=given.lr),
    train_dataloader=loader,
    eval_dataloader=loader,
    schedulers=study_scheduler(given.kind, t_0='1ep', t_warmup='1ep'),
    callbacks=ParetoSnapshot(folder=given.folder, save_weights=False, autoresume=True),
    max_duration=given.duration,
    seed=given.seed,
    save_folder=f'{given.folder}/checkpoints',
    save_overwrite=True,
    autoresume=True,
    run_name=given.folder.replace('/', '-'),
    progress_bar=False,
).fit()
"""
REAL_COMMAND = 'python train.py --kind {kind} --seed {seed} --duration {max_duration} --folder {folder} --lr 0.1'

# Its arguments are a kind, a seed, a length in epochs and a folder, then changes to the record.
FAKE = """
import json, os, sys
from pathlib import Path
from composer_clr.curves.curve import Run, TradeoffCurve, TradeoffPoint

kind, seed, duration, folder, *changes = sys.argv[1:]
last = int(duration.removesuffix('ep'))
settings = {'schedule.warmup': '10ba', 'command': os.environ.get('COMPOSER_CLR_COMMAND')}
record = {'kind': kind, 'method': 'baseline', 'seed': int(seed), 'settings': settings}
record['training'] = {'loader_length': 10}
record |= json.loads(changes[0]) if changes else {}
epochs = record.pop('epochs', [last] if kind == 'standard' else [end for end in (2, 4, 8) if end <= last])
points = [TradeoffPoint(n, end, 10 * end, 1, 0, end, end, 0.0, {'a/A': 0.5}, {}) for n, end in enumerate(epochs)]
Path(folder).mkdir(parents=True, exist_ok=True)
TradeoffCurve(Run('fake', **record), points).write(Path(folder, 'curve.json'))
"""
FAKE_COMMAND = 'python fake.py {kind} {seed} {max_duration} {folder}'
