"""What ParetoSnapshot refuses before the first batch."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence

from composer.core import Callback, State, TimeUnit

from composer_clr.curves.curve import TradeoffPoint
from composer_clr.schedule.run_schedule import RunSchedule
from composer_clr.schedule.times import read_duration
from composer_clr.utils.errors import did_you_mean
from composer_clr.utils.models import is_schedule_free

__all__ = ['check_epoch_length', 'check_metric_names', 'check_not_diverged', 'check_schedule', 'check_trainer']


def check_trainer(callback: Callback, state: State, *, save_weights: bool) -> None:
    """Refuses a Trainer in which a curve cannot be recorded.

    Args:
        callback (Callback): The one that records it.
        state (State): The trainer's state.
        save_weights (bool): Whether the weights are saved at troughs.

    Raises:
        ValueError: If the Trainer has another such callback, no evaluation data, sharded weights to save, a
            schedule-free optimizer without ``ScheduleFree``, or would train on the data of an evaluation.
    """
    loaders = [evaluator.dataloader.dataloader for evaluator in state.evaluators]
    # On TPUs the two differ in every run.
    if state.dataloader is not state.train_dataloader and any(state.dataloader is loader for loader in loaders):
        raise ValueError(
            f"an evaluation was interrupted, and the data of '{state.dataloader_label}' would be trained on: pass "
            'train_dataloader to fit() again'
        )
    if any(type(other) is type(callback) and other is not callback for other in state.callbacks):
        raise ValueError(
            'the Trainer has several ParetoSnapshot callbacks, and its checkpoints keep the state of one only: '
            'give it one (it records every evaluator)'
        )
    if not state.evaluators:
        raise ValueError('ParetoSnapshot has nothing to evaluate: give eval_dataloader to the Trainer')
    check_evaluators(state)
    free = next(filter(is_schedule_free, state.optimizers), None)
    if free is not None and not any(getattr(one, 'schedule_free', False) for one in state.callbacks):
        raise ValueError(
            f'{type(free).__name__} evaluates other weights than those that it trains: give the Trainer the callback '
            'ScheduleFree() too'
        )
    if save_weights and state.fsdp_sharded_state_dict_enabled:
        raise ValueError(
            "save_weights=True needs whole state dicts, but FSDP's are sharded: "
            "set state_dict_type='full' in the FSDP config, or save_weights=False and use the Trainer's save_folder"
        )


def check_schedule(schedule: RunSchedule, state: State) -> None:
    """Warns of a run that is cut within a cycle, and refuses algorithms that do not go with its cycles or marks.

    Raises:
        ValueError: If ``max_duration`` is not above 0 or in ``iter``, or an algorithm does not go with the cycles.
    """
    if state.max_duration is not None and state.max_duration.unit != TimeUnit.SECOND:
        read_duration('max_duration', state.max_duration)
    schedule.warn_if_cut()
    if state.algorithms:
        # Imported for runs that use algorithms: Composer's take longer to import than the rest of this package.
        from composer_clr.algorithms.in_cycles import check_algorithms

        check_algorithms(state, schedule)


def check_epoch_length(state: State) -> None:
    """Warns, at the end of the first epoch, if it had fewer batches than the length of the train dataloader."""
    length, trained = state.dataloader_len, state.previous_timestamp
    if length is None or trained is None or trained.epoch.value > 0 or trained.batch_in_epoch == length:
        return
    batches, length = trained.batch_in_epoch.value, int(length)
    warnings.warn(
        f'the first epoch had {batches} batches, but the length of the train dataloader is {length}: schedule and '
        f"curve count an epoch as {length} batches, so a trough at '1ep' comes after {length / batches:.3g} epochs of "
        'data, and max_duration may end before the later troughs; pass '
        f"train_subset_num_batches={batches} to the Trainer, or count the schedule in 'ba'",
        UserWarning,
        stacklevel=2,
    )


def check_not_diverged(points: Sequence[TradeoffPoint]) -> None:
    """Refuses to resume a run that has diverged.

    Raises:
        ValueError: If it has.
    """
    if points and points[-1].diverged:
        raise ValueError(
            f'the checkpoint is of a run that had diverged by cycle {points[-1].cycle}, batch {points[-1].batch}: '
            "start from an earlier one with a lower learning rate, or continue with on_nan='continue'"
        )


def check_evaluators(state: State) -> None:
    """Refuses an evaluator without a sample, whose metrics would be zeros, and one whose loader is that of training."""
    for evaluator in state.evaluators:
        if evaluator.subset_num_batches == 0:
            raise ValueError(
                f"evaluator '{evaluator.label}': eval_subset_num_batches=0 evaluates on no sample: give a number above "
                '0, or -1 for all'
            )
        loader = evaluator.dataloader.dataloader
        try:
            empty = len(loader) == 0  # type: ignore[arg-type]
        except TypeError:  # a loader over an iterable has no length
            empty = False
        if empty:
            raise ValueError(f"evaluator '{evaluator.label}': its loader has no batch: give it data")
        if loader is state.train_dataloader and getattr(loader, 'persistent_workers', False):
            raise ValueError(
                f"evaluator '{evaluator.label}' has the train loader, whose workers persist: an evaluation within an "
                'epoch would start the epoch over: give it a loader of its own'
            )


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
