"""Runs with random numbers in every batch, trained with and without callbacks that watch or evaluate other weights."""

from __future__ import annotations

import hashlib
import json
import random
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from composer import Trainer
from composer.algorithms import ProgressiveResizing
from composer.core import Callback, Evaluator, State
from composer.loggers import Logger
from composer.models import ComposerClassifier, ComposerModel, HuggingFaceModel
from composer.utils import dist, reproducibility
from torch.utils.data import DataLoader, Dataset, TensorDataset, WeightedRandomSampler

from composer_clr import (
    AnytimeAverage,
    AnytimeScheduler,
    CyclicCosineScheduler,
    FastCycles,
    ParetoSnapshot,
    ScheduleFree,
    TroughAverage,
)
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


class TrainingMode(Callback):
    """Puts a schedule-free optimizer into training mode, as a run without evaluations needs."""

    def fit_start(self, state: State, logger: Logger) -> None:
        for optimizer in state.optimizers:
            optimizer.train()  # type: ignore[attr-defined]


def schedule_free() -> dict[str, Any]:
    import schedulefree

    arguments = dropout()
    optimizer = schedulefree.SGDScheduleFree(arguments['model'].parameters(), lr=0.2)
    return {**arguments, 'optimizers': optimizer, **anytime()}


def anytime() -> dict[str, Any]:
    return {'schedulers': AnytimeScheduler(['7ba', '10ba', '20ba'], '2ba')}


class Drawing(Noisy):
    """Draws from generators of its own, one of them in a transform."""

    def __init__(self):
        super().__init__(20)
        self.generator, self.random = torch.Generator().manual_seed(1), random.Random(2)
        self.transforms = [partial(np.random.Generator.normal, np.random.default_rng(3))]
        self.scale = {'numpy': np.random.RandomState(4)}

    def __getitem__(self, index: int):
        inputs, label = super().__getitem__(index)
        drawn = self.random.random() + self.transforms[0]() + self.scale['numpy'].rand()
        return inputs + 0.1 * (torch.randn(4, generator=self.generator) + drawn), label


def own_generators() -> dict[str, Any]:
    """Returns arguments with such data, and a sampler that draws from torch's own generator."""
    arguments = dropout()
    if dist.get_world_size() == 1:
        arguments['train_dataloader'] = DataLoader(Drawing(), 4, sampler=WeightedRandomSampler([0.5] * 20, 20))
    return arguments


@dataclass(frozen=True)
class Case:
    """The arguments of a Trainer, the callbacks of one run beside ParetoSnapshot, and those of both runs."""

    arguments: Callable[[], dict[str, Any]]
    own: Callable[[], list[Callback]] = list
    common: Callable[[], list[Callback]] = list


CASES = {
    'dropout': Case(dropout),
    'dropout-1ep': Case(lambda: dropout('1ep')),
    'dropout-1ep-of-three': Case(lambda: dropout('1ep', evaluators=3)),
    'dropout-7ba-of-two': Case(lambda: dropout('7ba', evaluators=2)),
    'transformer': Case(transformer),
    'transformer-1ep': Case(lambda: transformer('1ep')),
    'bert-1ep': Case(lambda: bert('1ep')),
    'resnet': Case(resnet),
    'trough-average': Case(dropout, lambda: [TroughAverage(window='3ba')]),
    'trough-average-1ep': Case(lambda: dropout('1ep', evaluators=2), lambda: [TroughAverage(half_life=0.5)]),
    'trough-average-of-transformer': Case(lambda: transformer('1ep'), lambda: [TroughAverage(decay='cosine')]),
    'fast-cycles': Case(dropout, lambda: [FastCycles('3ba', 0.5, cycles=2)]),
    'both-1ep': Case(lambda: dropout('1ep'), lambda: [FastCycles('1ep', cycles=1), TroughAverage()]),
    'own-generators': Case(own_generators, lambda: [FastCycles('3ba'), TroughAverage(window='3ba')]),
    'anytime': Case(lambda: {**dropout(), **anytime()}, lambda: [AnytimeAverage(window=0.5)]),
    'anytime-1ep': Case(lambda: {**dropout('1ep'), **anytime()}, lambda: [AnytimeAverage(half_life=0.5)]),
    'schedule-free': Case(schedule_free, lambda: [ScheduleFree()], lambda: [TrainingMode()]),
}


def both(name: str, folder: str) -> dict[str, list[str]]:
    """Returns a case's hashes without and with :class:`ParetoSnapshot` and its callbacks."""
    case = CASES[name]
    with_callbacks = [*case.own(), ParetoSnapshot(folder=f'{folder}/{name}')]
    return {
        'without': hashes(case.arguments, *case.common()),
        'with': hashes(case.arguments, *with_callbacks, *case.common()),
    }


if __name__ == '__main__':
    torch.set_num_threads(1)
    folder, *names = sys.argv[1:]
    results = {name: both(name, folder) for name in names}
    of_ranks = dist.all_gather_object(results)
    if dist.get_global_rank() == 0:
        print(json.dumps(of_ranks))
