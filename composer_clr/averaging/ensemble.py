"""Ensembles of a run's snapshots: the networks of its last troughs, asked together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from composer.core import DataSpec, State, get_precision_context

from composer_clr.curves.curve import CurveError, TradeoffCurve, TradeoffPoint

__all__ = ['EnsemblePoint', 'as_curves', 'ensemble_points', 'mean_probability_scores', 'snapshot_probabilities']

_ACCURACY, _LOSS = 'MulticlassAccuracy', 'CrossEntropy'
# How far the accuracy of a single snapshot may lie from the one recorded of it: other kernels, another precision.
_SAME_ACCURACY = 0.005


@dataclass(frozen=True)
class EnsemblePoint:
    """What the snapshots of the last troughs reach together.

    Attributes:
        members (int): How many snapshots, the last one that of the trough itself; 1 is the trough's own point.
        inference_cost (int): Forward passes an image: one for each member.
        cycle (int): The cycle that ended at the trough.
        epoch (float | None): As in the curve.
        wall_clock_train_s (float): As in the curve: ensembles take no further training.
        metrics (dict[str, float]): ``eval/MulticlassAccuracy`` and ``eval/CrossEntropy`` of the mean probabilities.
    """

    members: int
    inference_cost: int
    cycle: int
    epoch: float | None
    wall_clock_train_s: float
    metrics: dict[str, float]

    def as_record(self) -> dict[str, Any]:
        """As plain values, for JSON."""
        return {'kind': 'ensemble', **asdict(self)}


def mean_probability_scores(members: Sequence[torch.Tensor], labels: torch.Tensor) -> tuple[float, float]:
    r"""Accuracy and cross entropy of the mean of several networks' probabilities, :math:`\frac{1}{k} \sum_j p_j`.

    Args:
        members (Sequence[Tensor]): Probabilities of each network.
        labels (Tensor): The right classes.

    Shape:
        Each member (images, classes), labels (images,).

    Example:
        >>> sure, unsure = torch.tensor([[0.9, 0.1]]), torch.tensor([[0.3, 0.7]])
        >>> [mean_probability_scores(members, torch.tensor([0]))[0] for members in ([unsure], [sure, unsure])]
        [0.0, 1.0]

    Source:
        Huang et al. 2017, arXiv:1704.00109: snapshot ensembles.
    """
    mean = torch.stack(list(members)).double().mean(0)
    right = (mean.argmax(1) == labels).double().mean()
    told = mean.gather(1, labels[:, None]).clamp_min(torch.finfo(torch.float32).tiny)
    return float(right), float(-told.log().mean())


@torch.no_grad()
def snapshot_probabilities(
    state: State, data: DataSpec, snapshot: str | Path, *, network: torch.nn.Module | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """What a snapshot's network says of every evaluation image, and the right classes.

    Args:
        state (State): The state of a Trainer that was built as that of the run; its model's weights are replaced.
        data (DataSpec): The evaluation data: batches of images and class numbers.
        snapshot (str | Path): The snapshot; it is loaded with ``weights_only=True``.
        network (Module | None): What to load it into. Default: ``None``, the state's model.

    Returns:
        tuple[Tensor, Tensor]: Probabilities of (images, classes) and labels of (images,), on the CPU.

    Raises:
        CurveError: If the snapshot cannot be read, or is of another network.
    """
    model = state.model if network is None else network
    try:
        model.load_state_dict(torch.load(snapshot, map_location='cpu', weights_only=True)['state']['model'])
    except OSError as error:
        raise CurveError(f'{snapshot}: cannot be read ({error})') from error
    except (RuntimeError, KeyError) as error:
        what = ' '.join(str(error).split())
        raise CurveError(
            f'{snapshot}: no weights of this network: give the recipe that the run had ({what})'
        ) from error
    model.eval()
    told, right = [], []
    for batch in data.dataloader:
        batch = data.microbatch_transforms(state.device.batch_to_device(data.batch_transforms(batch)))
        with get_precision_context(state.precision, state.precision_config, fp8_autocast_enabled=False):
            logits = model(batch)
        told.append(logits.float().softmax(1).cpu())
        right.append(batch[1].cpu())
    return torch.cat(told), torch.cat(right)


def ensemble_points(
    curve: TradeoffCurve, folder: str | Path, state: State, *, label: str = 'eval', most: int | None = None
) -> list[EnsemblePoint]:
    """Ask the snapshots of the last ``k`` troughs together, at each trough, for every ``k``.

    Args:
        curve (TradeoffCurve): The run's curve, whose points name their snapshots.
        folder (str | Path): Where the snapshots lie.
        state (State): The state of a Trainer that was built as that of the run, in one process.
        label (str): The evaluator whose data to ask them of. Default: ``'eval'``.
        most (int | None): The largest ensemble. Default: ``None``, all troughs so far.

    Returns:
        list[EnsemblePoint]: By trough, then by the number of members.

    Raises:
        CurveError: If a point has no snapshot, or a snapshot's accuracy is not the one recorded of it.
    """
    data = next((one.dataloader for one in state.evaluators if one.label == label), None)
    if data is None:
        raise CurveError(f'there is no evaluator {label!r}: there are {[one.label for one in state.evaluators]}')
    told: list[torch.Tensor] = []
    found: list[EnsemblePoint] = []
    for point in curve.points:
        if point.checkpoint is None:
            raise CurveError(f'run {curve.run.run_name!r} saved no snapshots: train it with save_weights=True')
        probabilities, labels = snapshot_probabilities(state, data, Path(folder) / point.checkpoint)
        told = [*told, probabilities][-(most or len(curve.points)) :]
        for members in range(1, len(told) + 1):
            accuracy, loss = mean_probability_scores(told[-members:], labels)
            metrics = {f'{label}/{_ACCURACY}': accuracy, f'{label}/{_LOSS}': loss}
            if members == 1:
                _check_recorded(curve, point, f'{label}/{_ACCURACY}', accuracy)
            found.append(EnsemblePoint(members, members, point.cycle, point.epoch, point.wall_clock_train_s, metrics))
    return found


def as_curves(curve: TradeoffCurve, points: Sequence[EnsemblePoint]) -> list[TradeoffCurve]:
    """The ensembles as curves of kinds ``ensemble-2``, ``ensemble-3`` and so on, to be compared and drawn.

    ``inference_cost`` is one of their metrics.
    """
    by_cycle = {point.cycle: point for point in curve.points}
    made = []
    for members in sorted({point.members for point in points} - {1}):
        of_size = [
            replace(by_cycle[p.cycle], metrics={**p.metrics, 'inference_cost': float(members)}, peak_metrics={})
            for p in points
            if p.members == members
        ]
        made.append(TradeoffCurve(replace(curve.run, kind=f'ensemble-{members}'), of_size))
    return made


def _check_recorded(curve: TradeoffCurve, point: TradeoffPoint, name: str, accuracy: float) -> None:
    recorded = point.metrics.get(name, math.nan)
    if abs(recorded - accuracy) > _SAME_ACCURACY:
        raise CurveError(
            f'run {curve.run.run_name!r}: snapshot {point.checkpoint} has accuracy {accuracy:.4f}, and {recorded:.4f} '
            'was recorded of it: give the recipe that the run had, with the same overrides'
        )
