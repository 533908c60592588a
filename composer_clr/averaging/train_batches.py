"""Training batches read beside the run's own loader: the same samples, transforms and workers, in another order."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import torch
from composer.core import DataSpec, State
from torch.utils.data import DataLoader, Dataset, DistributedSampler, IterableDataset

from composer_clr.recording.run_record import trainer_of
from composer_clr.utils.errors import one_line

__all__ = ['TrainBatches']


class TrainBatches:
    """Reads batches of the samples that training sees, without a trace in the run's loader and sampler.

    Every rank reads the same samples of the whole set; with a sampler of the user's own, those of its share.
    """

    def __init__(self, state: State, what_for: str, data: DataSpec | None = None):
        trainer = trainer_of(state) if data is None else None
        data = data if trainer is None else trainer._train_data_spec
        assert data is not None, 'a Trainer with training data has an event under way'
        self.data = data
        self._loader = _readable(data.dataloader, what_for)
        # Whether batches are made of a sampler's indices, and not by a batch sampler of the user's own.
        self._plain = self._loader.batch_size is not None
        self._length = None if state.dataloader_len is None else int(state.dataloader_len)
        try:
            self._epoch(torch.Generator(), seed=0, epoch=0, count=1)
        except Exception as error:
            loader, sampler = self._loader, self._loader.sampler if self._plain else self._loader.batch_sampler
            raise ValueError(
                f'{what_for} reads training images through a second loader with a copy of the sampler, which a '
                f'{type(loader).__name__} with a {type(sampler).__name__} does not allow ({one_line(error)}): use a '
                'DataLoader with a sampler that can be copied'
            ) from error

    def read(self, state: State, seed: int, count: int, *, again: bool = True) -> Iterator[Sequence[Any]]:
        """Yields batches as their microbatches, on the device; with ``again``, samples come again after an epoch."""
        generator = torch.Generator().manual_seed(seed)
        epoch = state.timestamp.epoch.value
        while count > 0:
            read = 0
            for batch in islice(self._epoch(generator, seed, epoch, count), count):
                read += 1
                batch = self.data.batch_transforms(batch)
                size = state.device_train_microbatch_size
                parts = [batch] if size is None else self.data.split_batch(batch, size)
                parts = [state.device.batch_to_device(part) for part in parts]
                yield [self.data.microbatch_transforms(part) for part in parts]
            if not read:
                raise ValueError('the train loader has no batch')
            count, epoch = count - read if again else 0, epoch + 1

    def _epoch(self, generator: torch.Generator, seed: int, epoch: int, count: int) -> DataLoader:
        """Returns a loader of an epoch's samples in another order."""
        loader, dataset = self._loader, self._loader.dataset
        batches = self._length or count
        size = loader.batch_size
        if size is not None:
            indices = _shuffled(self._indices(seed, epoch, batches * size), generator)
            arguments: dict[str, Any] = {'sampler': indices, 'batch_size': size, 'drop_last': len(indices) >= size}
        else:
            arguments = {
                'batch_sampler': _shuffled(list(islice(self._copied_sampler(seed, epoch), batches)), generator)
            }
        if loader.num_workers:
            arguments['multiprocessing_context'] = loader.multiprocessing_context
            arguments['prefetch_factor'] = loader.prefetch_factor
        iterable = isinstance(dataset, IterableDataset)
        return (DataLoader if iterable else type(loader))(
            _Indexed(dataset) if iterable else dataset,
            collate_fn=loader.collate_fn,
            num_workers=loader.num_workers,
            worker_init_fn=loader.worker_init_fn,
            timeout=loader.timeout,
            pin_memory=loader.pin_memory,
            pin_memory_device=loader.pin_memory_device,
            generator=generator,
            **arguments,
        )

    def _indices(self, seed: int, epoch: int, most: int) -> Sequence[int]:
        """Returns the samples that an epoch of training sees over all ranks; all of them, where they are shuffled."""
        sampler, dataset = self._loader.sampler, self._loader.dataset
        if isinstance(dataset, IterableDataset):
            return range(len(_Indexed(dataset)))
        if type(sampler) is DistributedSampler:
            whole = range(len(sampler.dataset))  # type: ignore[arg-type]
            return whole if sampler.shuffle else whole[: most * sampler.num_replicas]
        return list(islice(self._copied_sampler(seed, epoch), most))

    def _copied_sampler(self, seed: int = 0, epoch: int = 0) -> Any:
        """Returns a copy of the sampler, or batch sampler, that draws random numbers of its own."""
        original: Any = self._loader.sampler if self._plain else self._loader.batch_sampler
        # The copy refers to the samples, which may be large, and not to a copy of them.
        copied = copy.deepcopy(original, {id(self._loader.dataset): self._loader.dataset})
        for one in (copied, getattr(copied, 'sampler', None)):
            if isinstance(getattr(one, 'generator', self), torch.Generator | None):
                one.generator = torch.Generator().manual_seed(seed)  # type: ignore[union-attr]
            if hasattr(one, 'set_epoch'):
                one.set_epoch(epoch)  # type: ignore[union-attr]
        return copied


class _Indexed(Dataset):
    """Presents an iterable dataset with items, such as a ``StreamingDataset``, as one that takes a sampler."""

    def __init__(self, dataset: Any):
        self.dataset = dataset

    def __len__(self) -> int:
        # The length of a StreamingDataset is one rank's share; its size is that of the whole.
        size = getattr(self.dataset, 'size', None)
        return size if isinstance(size, int) else len(self.dataset)

    def __getitem__(self, index: int) -> Any:
        return self.dataset[index]


def _readable(loader: object, what_for: str) -> DataLoader:
    """Returns the loader of training, if its samples can be read by index."""
    data = loader.dataset if isinstance(loader, DataLoader) else None
    read = getattr(type(data), '__getitem__', Dataset.__getitem__)
    if (
        not isinstance(loader, DataLoader)
        or loader.batch_sampler is None
        or not hasattr(data, '__len__')
        or read is Dataset.__getitem__
    ):
        raise ValueError(
            f'{what_for} reads training images by index, which a {type(data or loader).__name__} does not allow: '
            'train from a DataLoader with a batch_size, over a dataset with __len__ and __getitem__'
        )
    return loader


def _shuffled(values: Sequence, generator: torch.Generator) -> list:
    return [values[i] for i in torch.randperm(len(values), generator=generator).tolist()]
