"""Reads Composer's checkpoints of a run without pickle, and averages their weights at marks."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

from composer_clr.averaging.averages import TailAverages
from composer_clr.averaging.state_file import read_state, weights_in
from composer_clr.curves.curve import CurveError, Run
from composer_clr.recording.run_state import RunState
from composer_clr.schedule.averages import Window, tail

__all__ = ['Checkpoint', 'averages_at', 'read_checkpoints']

# How far a rate may be from one over the square root of time, as a part of its fall.
_TOLERANCE = 0.01
# Of batches, samples or tokens.
_MOST_COUNTED = 10**18


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint of a run, when it was saved, and the run as ``ParetoSnapshot`` described it, if it was there."""

    path: Path
    run_name: str
    seed: int | None
    counts: dict[str, int]
    train_s: float
    lr: float
    algorithms: tuple[str, ...]
    run: Run | None


def read_checkpoints(paths: Sequence[Path]) -> list[Checkpoint]:
    """Returns the checkpoints of one run, sorted by batch."""
    files: list[Path] = []
    for path in paths:
        files += sorted(file for file in path.glob('*.pt') if not file.is_symlink()) if path.is_dir() else [path]
    if not files:
        raise CurveError(f'{", ".join(map(str, paths))}: no checkpoints: name files or folders of .pt files')
    read = [_read(file) for file in files]
    runs = sorted({f'{checkpoint.run_name} with seed {checkpoint.seed}' for checkpoint in read})
    if len(runs) > 1:
        raise CurveError(f'the checkpoints are of {len(runs)} runs, {", ".join(runs[:3])}: name those of one')
    by_batch = {checkpoint.counts['batch']: checkpoint for checkpoint in read}
    return [by_batch[batch] for batch in sorted(by_batch)]


def averages_at(
    checkpoints: Sequence[Checkpoint], marks: Sequence[int], count: str, window: float, decay: str
) -> Iterator[tuple[Checkpoint, dict[str, torch.Tensor], int]]:
    """Yields the checkpoint at each mark, the average over the window before it, and how many it is of."""
    times = [checkpoint.counts[count] for checkpoint in checkpoints]
    windows = [tail(mark, window) for mark in marks]
    for one in windows:
        if one.end not in times:
            nearest = min(times, key=lambda time: abs(time - one.end))
            raise CurveError(f'no checkpoint at the mark of {count} {one.end}: the nearest is at {nearest}')
        if one.start and times[0] > one.start:
            raise CurveError(
                f'the average at the mark of {count} {one.end} is over the time from {count} {one.start}, and the '
                f'first checkpoint is at {times[0]}: save earlier ones, pass a smaller window, or leave that mark out'
            )
        _check_rate(checkpoints, times, one, count)
    averages, before, first = TailAverages(windows, decay), 0, None
    for checkpoint, time in zip(checkpoints, times, strict=True):
        if any(one.start < time <= one.end for one in windows):
            weights = weights_in(checkpoint.path)
            signature = {name: (tensor.shape, tensor.dtype) for name, tensor in weights.items()}
            first = first or signature
            if signature != first:
                raise CurveError(
                    f'{checkpoint.path}: of another network than the checkpoints before: name checkpoints of one run'
                )
            averages.add(weights, before, time)
        if time in marks:
            inside = sum(averages.windows[time].start < other <= time for other in times)
            yield checkpoint, averages.mean(time), inside
        averages.close(time)
        before = time


def _check_rate(checkpoints: Sequence[Checkpoint], times: Sequence[int], window: Window, count: str) -> None:
    first = max((time for time in times if time <= window.start), default=0)
    rates = [(t, one.lr) for t, one in zip(times, checkpoints, strict=True) if first <= t <= window.end]
    peak = max(lr for _, lr in rates)
    top = next(place for place, (_, lr) in enumerate(rates) if lr == peak)
    rises = all(earlier <= later for (_, earlier), (_, later) in pairwise(rates[: top + 1]))
    if not (rises and _keeps_up(rates[top:])):
        after = min(lr for _, lr in rates[top:])
        raise CurveError(
            f'the average at the mark of {count} {window.end} is over the time from {count} {window.start}, in which '
            f'the learning rate decays from {peak:g} to {after:g}: name checkpoints of a run whose rate does not '
            'decay, or leave that mark out'
        )


def _keeps_up(rates: Sequence[tuple[int, float]]) -> bool:
    """Returns whether a rate is constant, or falls as one over the square root of time."""
    (start, peak), (end, last) = rates[0], rates[-1]
    if all(lr == peak for _, lr in rates):
        return True
    if not all(0 < lr <= peak for _, lr in rates):
        return False
    if len(rates) == 2:  # of which no more is known
        return last >= peak * math.sqrt(start / end)
    # sqrt(a / (t + a)) makes one over the square of the rate a line.
    squares = [(t, (peak / lr) ** 2 - 1) for t, lr in rates]
    slope = squares[-1][1] / (end - start)
    return all(abs(square - slope * (t - start)) <= _TOLERANCE * squares[-1][1] for t, square in squares)


def _read(path: Path) -> Checkpoint:
    state = read_state(path)
    if 'timestamp' not in state:
        raise CurveError(f'{path}: holds weights alone, not when they were saved: name checkpoints of the whole state')
    try:
        times = next(iter(state['timestamp'].values()))
        group = next(iter(state['optimizers'].values()))['param_groups'][0]
        checkpoint = Checkpoint(
            path,
            state['run_name'],
            state.get('rank_zero_seed'),
            {name: int(times[name]) for name in ('epoch', 'batch', 'sample', 'token', 'batch_in_epoch')},
            times['total_wct'].total_seconds(),
            float(group['lr']),
            tuple(sorted(name for name, _ in state['algorithms'])),
            _described(state),
        )
        has_names = all(isinstance(name, str) for name in (checkpoint.run_name, *checkpoint.algorithms))
        counts = all(0 <= count < _MOST_COUNTED for count in checkpoint.counts.values())
        if not (has_names and counts and isinstance(checkpoint.seed, int | None) and math.isfinite(checkpoint.lr)):
            raise ValueError('values that no run has')
    except (ArithmeticError, AttributeError, LookupError, StopIteration, TypeError, ValueError) as error:
        raise CurveError(f'{path}: not a checkpoint that Composer 0.32 saved ({type(error).__name__})') from error
    if 'train_mode' in group:
        raise CurveError(f'{path}: of a schedule-free run, whose checkpoints hold averages: evaluate its snapshots')
    return checkpoint


def _described(state: Mapping[str, Any]) -> Run | None:
    kept = dict(state.get('callbacks') or ()).get('ParetoSnapshot')
    return None if kept is None else RunState.from_plain(kept).run
