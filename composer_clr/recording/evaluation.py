"""Evaluation at troughs: when evaluators run, what they measure, and over which weights."""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Literal

import torch
from composer.core import Evaluator, Event, State
from composer.utils import dist

from composer_clr.utils.text import did_you_mean

__all__ = [
    'AtTroughsToo',
    'ask_at_troughs_too',
    'check_evaluators',
    'check_metric_names',
    'give_evaluators_back',
    'scalars',
    'share_buffers',
    'stated_directions',
]

# More values than this are no point of a curve: a confusion matrix of 300 classes has 90,000.
MOST_VALUES = 1_000
# torchmetrics 1.x states the opposite of their formulas.
_STATED_WRONGLY = ('SpectralDistortionIndex', 'WordInfoPreserved')


class AtTroughsToo:
    """An ``eval_interval`` that adds one evaluation at each trough to the user's own interval.

    Composer calls it at the end of a batch, of an epoch and of training, which may all be the same moment. At the end
    of training it gives the evaluator its own interval back. Another Trainer's calls get the user's own interval.

    Args:
        evaluator (Evaluator): The evaluator, whose interval this takes the place of.
        trainer_state (State): The state of the Trainer that the evaluator runs in.
        at_trough (Callable[[State], bool]): Whether the last batch reached a trough without a point.
        just_recorded (Callable[[State], bool]): Whether the last point was recorded at the present batch.
    """

    def __init__(
        self,
        evaluator: Evaluator,
        trainer_state: State,
        at_trough: Callable[[State], bool],
        just_recorded: Callable[[State], bool],
    ):
        assert evaluator.eval_interval is not None, 'the Trainer has set every eval_interval by FIT_START'
        self.users = evaluator.eval_interval
        self._evaluator = evaluator
        self._trainer_state = weakref.ref(trainer_state)
        self._at_trough = at_trough
        self._just_recorded = just_recorded
        evaluator.eval_interval = self

    def __call__(self, state: State, event: Event) -> bool:
        # Called first and always, since it may keep count.
        due = bool(self.users(state, event))
        if state is not self._trainer_state():
            return due
        if event == Event.FIT_END:
            self.give_back()
        if self._at_trough(state):
            return True
        return due and not self._just_recorded(state)

    def give_back(self) -> None:
        """Restores the evaluator's own interval."""
        if self._evaluator.eval_interval is self:
            self._evaluator.eval_interval = self.users


def ask_at_troughs_too(
    state: State, at_trough: Callable[[State], bool], just_recorded: Callable[[State], bool]
) -> None:
    """Makes every evaluator run at troughs too, until training ends."""
    give_evaluators_back(state)
    for evaluator in state.evaluators:
        AtTroughsToo(evaluator, state, at_trough, just_recorded)


def give_evaluators_back(state: State) -> None:
    """Restores every evaluator's own interval, also after training has failed."""
    for evaluator in state.evaluators:
        if isinstance(evaluator.eval_interval, AtTroughsToo):
            evaluator.eval_interval.give_back()


def check_evaluators(state: State) -> None:
    """Refuses an evaluator without a sample to evaluate, whose metrics would be zeros.

    Raises:
        ValueError: If an evaluator's loader is known to be empty, or to be cut to nothing.
    """
    for evaluator in state.evaluators:
        if evaluator.subset_num_batches == 0:
            raise ValueError(
                f"evaluator '{evaluator.label}': eval_subset_num_batches=0 evaluates on no sample: give a number above "
                '0, or -1 for all'
            )
        try:
            empty = len(evaluator.dataloader.dataloader) == 0  # type: ignore[arg-type]
        except TypeError:  # a loader over an iterable has no length
            continue
        if empty:
            raise ValueError(f"evaluator '{evaluator.label}': its loader has no batch: give it data")


def check_metric_names(argument: str, names: Iterable[str], state: State) -> None:
    """Refuses metrics that no evaluator has.

    Raises:
        ValueError: If a name is unknown; the message has the nearest known one.
    """
    present = [f'{label}/{name}' for label, metrics in state.eval_metrics.items() for name in metrics]
    for name in names:
        if name not in present:
            hint = did_you_mean(name, present)
            raise ValueError(f'{argument} names {name!r}, but the evaluators have {present}{hint}')


def stated_directions(state: State) -> dict[str, Literal['max', 'min']]:
    """Returns the directions that metrics state themselves, as ``higher_is_better``; wrappers state their metric's."""
    directions: dict[str, Literal['max', 'min']] = {}
    for label, metrics in state.eval_metrics.items():
        for name, metric in metrics.items():
            parts = [part for part in metric.modules() if type(part).__name__ not in _STATED_WRONGLY]
            found = (getattr(part, 'higher_is_better', None) for part in parts)
            stated = {higher for higher in found if isinstance(higher, bool)}
            if len(stated) == 1:
                directions[f'{label}/{name}'] = 'max' if stated.pop() else 'min'
    return directions


def scalars(key: str, value: object) -> dict[str, float]:
    """Returns a metric's value as floats: one, or one per entry of a metric with several values.

    A metric of more than 1,000 values is left out, with a warning, and so is what is not a number.

    Example:
        >>> scalars('eval/F1', torch.tensor(0.5))
        {'eval/F1': 0.5}
        >>> scalars('eval/recall', {'cat': torch.tensor([0.25, 0.75])})
        {'eval/recall/cat/0': 0.25, 'eval/recall/cat/1': 0.75}
    """
    values = dict(islice(_values(key, value), MOST_VALUES + 1))
    if len(values) > MOST_VALUES:
        warnings.warn(f'{key} has more than {MOST_VALUES:,} values: it is left out of the curve', stacklevel=2)
        return {}
    return values


def _values(key: str, value: object) -> Iterator[tuple[str, float]]:
    if isinstance(value, Mapping):
        entries = value.items()
    elif isinstance(value, torch.Tensor) and value.numel() != 1:
        entries = enumerate(value.flatten())
    elif isinstance(value, (list, tuple)):
        entries = enumerate(value)
    else:
        try:
            yield key, float(value)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            warnings.warn(f'{key} is {value!r}, not a number: it is left out of the curve', stacklevel=3)
        return
    for name, item in entries:
        yield from _values(f'{key}/{name}', item)


def share_buffers(model: torch.nn.Module) -> None:
    """Broadcasts rank 0's buffers, such as the running statistics of batch norm, which every rank keeps for itself.

    ``DistributedDataParallel`` does so before the next batch in any case. Done before the evaluation, it makes the
    metrics those of the saved weights on any number of ranks.
    """
    if isinstance(model, torch.nn.parallel.DistributedDataParallel) and model.broadcast_buffers:
        for buffer in model.buffers():
            dist.broadcast(buffer, src=0)
