"""Evaluation at troughs: when evaluators run, and what training goes on with after it."""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Literal

import torch
from composer.callbacks import EarlyStopper, ThresholdStopper
from composer.core import Evaluator, Event, State
from composer.utils import dist

from composer_clr.recording.random_state import RandomState

__all__ = [
    'AddedEvaluations',
    'AtTroughsToo',
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

    Composer calls it at the end of a batch, of an epoch and of training, which may all be the same moment.
    """

    def __init__(self, evaluator: Evaluator, trainer_state: State, added: AddedEvaluations):
        assert evaluator.eval_interval is not None, 'the Trainer has set every eval_interval by FIT_START'
        self.users: Callable[[State, Event], bool] = evaluator.eval_interval  # type: ignore[assignment]
        self.asked = False  # whether it asks for the evaluation at hand
        # What the last evaluation started from and left, if it was added.
        self.drawn: tuple[RandomState, RandomState] | None = None
        self.label = evaluator.label
        self._evaluator, self._added = evaluator, added
        self._trainer_state = weakref.ref(trainer_state)
        evaluator.eval_interval = self

    def __call__(self, state: State, event: Event) -> bool:
        # Called first and always, since it may keep count.
        self.asked = bool(self.users(state, event))
        if state is not self._trainer_state():  # another Trainer's, which shares the evaluator
            return self.asked
        if event == Event.FIT_END:
            self.give_back()
        return self._added.at_trough or (self.asked and not self._added.has_been_made(state, event, self))

    def give_back(self) -> None:
        """Restores the evaluator's own interval."""
        if self._evaluator.eval_interval is self:
            self._evaluator.eval_interval = self.users


class AddedEvaluations:
    """Makes every evaluator run at troughs too, and leaves training as it is without these evaluations.

    An evaluation draws random numbers: for the order and the workers of its loader, in transforms, or in a collator
    that masks tokens. What an added one has drawn is undone at its end. What the user's own interval asks for stays as
    the Trainer makes it, and draws what it draws; one that it asks for right after an added one, as at an epoch's end,
    would be the same again, so that only what it draws is made up for. Composer's ``EarlyStopper`` and
    ``ThresholdStopper`` see the evaluations that they see without this.
    """

    def __init__(self, state: State, recorded_at: int | None):
        give_evaluators_back(state)
        self.at_trough, self.recorded_at = False, recorded_at  # the batch of the last point
        self._intervals = {one.label: AtTroughsToo(one, state, self) for one in state.evaluators}
        # At a trough: what training goes on with, and the evaluator that runs.
        self._training: RandomState | None = None
        self._modes: dict[torch.nn.Module, bool] = {}
        self._running: tuple[AtTroughsToo | None, RandomState] | None = None
        self._hidden: list[tuple[EarlyStopper | ThresholdStopper, str]] = []

    def begin(self, state: State) -> None:
        """Keeps what training goes on with, before the evaluations at a trough."""
        self._training, self._running = RandomState.now(state), None
        self._modes = {module: module.training for module in state.model.modules()}
        for interval in self._intervals.values():
            interval.drawn = None

    def begin_one(self, state: State) -> None:
        """Starts an evaluator from the random state that it starts from without the added ones."""
        if self._training is None:
            return
        now, label = self._end_one(state), state.dataloader_label or ''
        interval = self._intervals.get(label)
        if interval is not None and interval.asked:
            self._training.load()
        elif interval is not None:
            for stopper in _stoppers(state, label):
                stopper.dataloader_label = ''
                self._hidden.append((stopper, label))
        self._running = interval, now

    def end(self, state: State) -> None:
        """Ends the last evaluation, before its point is recorded."""
        self._end_one(state)
        if not self._user_asked():
            for module, mode in self._modes.items():  # the Trainer puts all of them into one mode
                module.training = mode

    def leave(self, state: State, *, for_good: bool) -> None:
        """Leaves to training what it goes on with, ``for_good`` after other callbacks have had their turn too."""
        if self._training is None:
            return
        if for_good and not self._training.is_alike(RandomState.now(state)):
            for interval in self._intervals.values():  # others have drawn too: an evaluation asked for is another one
                interval.drawn = None
        self._training.load()
        if for_good or self._user_asked():
            self._training = None

    def has_been_made(self, state: State, event: Event, interval: AtTroughsToo) -> bool:
        """Returns whether an evaluation would repeat that of the last point; if so, what it would draw is drawn."""
        if self.recorded_at != state.timestamp.batch.value:
            return False
        if interval.drawn is None:
            return event == Event.FIT_END  # asked for at the trough, and training is over
        began, ended = interval.drawn
        if _stoppers(state, interval.label) or not began.is_alike(RandomState.now(state)):
            return False
        ended.load()
        state.model.train(state.model.training)
        return True

    def show_stoppers(self) -> None:
        """Lets early stopping see evaluations again, also after one that has failed."""
        while self._hidden:
            stopper, label = self._hidden.pop()
            stopper.dataloader_label = label

    def _user_asked(self) -> bool:
        return any(interval.asked for interval in self._intervals.values())

    def _end_one(self, state: State) -> RandomState:
        """Ends the evaluator that has run, if any, and returns the random state that it has left."""
        now = RandomState.now(state)
        if self._running is not None:
            interval, began = self._running
            if interval is not None and not interval.asked:
                interval.drawn = began, now
            elif interval is not None or not began.is_alike(now):  # or another callback's, which undoes its own
                self._training = now
        self.show_stoppers()
        self._running = None
        return now


def give_evaluators_back(state: State) -> None:
    """Restores every evaluator's own interval, also after training has failed."""
    for evaluator in state.evaluators:
        if isinstance(evaluator.eval_interval, AtTroughsToo):
            evaluator.eval_interval.give_back()


def _stoppers(state: State, label: str) -> list[EarlyStopper | ThresholdStopper]:
    stoppers = (one for one in state.callbacks if isinstance(one, (EarlyStopper, ThresholdStopper)))
    return [one for one in stoppers if one.dataloader_label == label]


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
    """Returns a metric's value as floats, one per entry; leaves out, with a warning, more than 1,000 and no numbers.

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
