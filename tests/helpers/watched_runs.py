"""Runs with random numbers in every batch, trained with and without callbacks that only watch."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Sequence
from typing import Any

import torch
from composer import Trainer
from composer.algorithms import ProgressiveResizing
from composer.core import Callback, Evaluator, State
from composer.loggers import Logger
from composer.models import ComposerClassifier, ComposerModel, HuggingFaceModel
from composer.utils import dist, reproducibility
from torch.utils.data import DataLoader, Dataset, TensorDataset

from composer_clr import CyclicCosineScheduler, ParetoSnapshot
from composer_clr.training.models import LanguageModel, SmallResNet, SmallTransformer


class Hashes(Callback):
    """Keeps, as each batch starts and as training ends, a hash of the weights and of the optimizer's state."""

    def __init__(self):
        self.hashes: list[str] = []

    def batch_start(self, state: State, logger: Logger) -> None:
        self.hashes.append(hash_of(state))

    def fit_end(self, state: State, logger: Logger) -> None:
        self.hashes.append(hash_of(state))


def hash_of(state: State) -> str:
    optimizers = [optimizer.state_dict() for optimizer in state.optimizers]
    digest = hashlib.sha256()
    for tensor in _tensors([list(state.model.parameters()), optimizers]):
        digest.update(tensor.detach().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def _tensors(value: Any):
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _tensors(item)


class Noisy(Dataset):
    """Points of two classes, each moved by chance whenever it is read."""

    def __init__(self, images: int, seed: int = 0):
        self.inputs = torch.randn(images, 4, generator=torch.Generator().manual_seed(seed))

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, index: int):
        moved = self.inputs[index] + 0.1 * torch.randn(4)
        return moved, (moved.sum() > 0).long()


def shuffled(dataset: Dataset, batch_size: int, **arguments: Any) -> DataLoader:
    """Returns a loader in random order; on several ranks each has its part."""
    if dist.get_world_size() > 1:
        return DataLoader(dataset, batch_size, sampler=dist.get_sampler(dataset, shuffle=True), **arguments)
    return DataLoader(dataset, batch_size, shuffle=True, **arguments)


def dropout(eval_interval: Any = 0, evaluators: int = 1, images: int = 20) -> dict[str, Any]:
    """Returns the arguments of a Trainer whose network has dropout; 5 batches an epoch on one rank."""
    reproducibility.seed_all(3)
    network = torch.nn.Sequential(
        torch.nn.Linear(4, 6), torch.nn.BatchNorm1d(6), torch.nn.Dropout(0.4), torch.nn.Linear(6, 2)
    )
    model = ComposerClassifier(network, num_classes=2)
    return {
        'model': model,
        'optimizers': torch.optim.SGD(model.parameters(), lr=0.2, momentum=0.9),
        'train_dataloader': shuffled(Noisy(images), 4),
        'eval_dataloader': [
            Evaluator(
                label=f'eval{i}',
                dataloader=shuffled(Noisy(12, seed=1), 5),
                eval_interval=eval_interval if i % 2 == 0 else 0,
            )
            for i in range(evaluators)
        ],
    }


def masked(samples: Sequence[tuple[torch.Tensor]]) -> dict[str, torch.Tensor]:
    """Returns a batch in which tokens are masked by chance, of which the others are no labels."""
    tokens = torch.stack([sample for (sample,) in samples])
    chosen = torch.rand(tokens.shape) < 0.4
    return {
        'input_ids': torch.where(chosen, 1, tokens),
        'attention_mask': torch.ones_like(tokens),
        'labels': torch.where(chosen, tokens, -100),
    }


def of_masked_tokens(model: ComposerModel, eval_interval: Any) -> dict[str, Any]:
    data = TensorDataset(torch.randint(2, 30, (20, 8), generator=torch.Generator().manual_seed(0)))
    return {
        'model': model,
        'optimizers': torch.optim.AdamW(model.parameters(), lr=0.01),
        'train_dataloader': shuffled(data, 4, collate_fn=masked),
        'eval_dataloader': shuffled(data, 5, collate_fn=masked),
        'eval_interval': eval_interval,
    }


def transformer(eval_interval: Any = 0) -> dict[str, Any]:
    """Returns the arguments of a Trainer of the small transformer, whose collator masks tokens by chance."""
    reproducibility.seed_all(3)
    return of_masked_tokens(LanguageModel(SmallTransformer(8, vocabulary=30, width=8, depth=1, heads=2)), eval_interval)


def bert(eval_interval: Any = 0) -> dict[str, Any]:
    """Returns the same of a tiny BERT."""
    from transformers import BertConfig, BertForMaskedLM

    reproducibility.seed_all(3)
    config = BertConfig(
        vocab_size=30, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8,
        max_position_embeddings=8,
    )  # fmt: skip
    return of_masked_tokens(HuggingFaceModel(BertForMaskedLM(config), use_logits=True), eval_interval)


def resnet(eval_interval: Any = 0) -> dict[str, Any]:
    """Returns the arguments of a Trainer of a small ResNet with ProgressiveResizing by random crops."""
    reproducibility.seed_all(3)
    model = ComposerClassifier(SmallResNet(depth=8, num_classes=2), num_classes=2)
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(10, 3, 16, 16, generator=generator), torch.randint(2, (10,), generator=generator)
    return {
        'model': model,
        'optimizers': torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9),
        'algorithms': ProgressiveResizing(mode='crop', size_increment=1, delay_fraction=0.0),
        'train_dataloader': shuffled(TensorDataset(*images), 2),
        'eval_dataloader': shuffled(TensorDataset(*images), 5),
        'eval_interval': eval_interval,
    }


def hashes(arguments: Callable[[], dict[str, Any]], *callbacks: Callback, **changes: Any) -> list[str]:
    """Trains over troughs within an epoch and at its end, and returns the hashes."""
    kept = Hashes()
    trainer = Trainer(
        **{
            'schedulers': CyclicCosineScheduler(cycle_ends=['7ba', '10ba', '20ba'], t_warmup='2ba'),
            'max_duration': '20ba',
            'run_name': 'run',
            'seed': 17,
            'progress_bar': False,
            'callbacks': [*callbacks, kept],
            **arguments(),
            **changes,
        }
    )
    trainer.fit()
    trainer.close()
    return kept.hashes


CASES: dict[str, Callable[[], dict[str, Any]]] = {
    'dropout': dropout,
    'dropout-1ep': lambda: dropout('1ep'),
    'dropout-1ep-of-three': lambda: dropout('1ep', evaluators=3),
    'dropout-7ba-of-two': lambda: dropout('7ba', evaluators=2),
    'transformer': transformer,
    'transformer-1ep': lambda: transformer('1ep'),
    'bert-1ep': lambda: bert('1ep'),
    'resnet': resnet,
}


def both(case: str, folder: str) -> dict[str, list[str]]:
    """Returns a case's hashes without and with :class:`ParetoSnapshot`."""
    return {'without': hashes(CASES[case]), 'with': hashes(CASES[case], ParetoSnapshot(folder=f'{folder}/{case}'))}


if __name__ == '__main__':
    torch.set_num_threads(1)
    folder, *cases = sys.argv[1:]
    results = {case: both(case, folder) for case in cases}
    of_ranks = dist.all_gather_object(results)
    if dist.get_global_rank() == 0:
        print(json.dumps(of_ranks))
