"""Ensembles of a run's snapshots, as Huang et al. 2017, arXiv:1704.00109: mean probabilities of its last troughs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from composer.core import DataSpec, State, get_precision_context

from composer_clr.averaging.state_file import load_network, weights_in
from composer_clr.curves.curve import CurveError, TradeoffCurve, TradeoffPoint
from composer_clr.recording.run_folder import snapshot_path

__all__ = ['INFERENCE_COST', 'ensemble_curves', 'mean_probability_scores']

INFERENCE_COST = 'inference_cost'

_ACCURACY, _LOSS = 'MulticlassAccuracy', 'CrossEntropy'
_LANGUAGE_LOSS = 'LanguageCrossEntropy'
# How far an accuracy, or a language model's loss, may differ from the recorded one, by other kernels or precision.
_TOLERANCE = 0.005
# The label of a token that is not to be predicted, as torch's cross entropy has it.
_IGNORED = -100


def mean_probability_scores(members: Sequence[torch.Tensor], labels: torch.Tensor) -> tuple[float, float]:
    r"""Returns accuracy and cross entropy of several networks' mean probabilities, :math:`\frac{1}{k} \sum_j p_j`.

    Source:
        Huang et al. 2017, arXiv:1704.00109: snapshot ensembles.
    """
    mean = torch.stack(list(members)).double().mean(0)
    accuracy = (mean.argmax(1) == labels).double().mean()
    likelihood = mean.gather(1, labels[:, None]).clamp_min(torch.finfo(torch.float32).tiny)
    return float(accuracy), float(-likelihood.log().mean())


@torch.no_grad()
def _probabilities(state: State, data: DataSpec, snapshot: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns a snapshot's probabilities for every evaluation image or token, and the true classes."""
    load_network(state.model, weights_in(snapshot), snapshot)
    state.model.eval()
    probabilities, labels = [], []
    for batch in data.dataloader:
        batch = data.microbatch_transforms(state.device.batch_to_device(data.batch_transforms(batch)))
        with get_precision_context(state.precision, state.precision_config, fp8_autocast_enabled=False):
            logits = state.model(batch)
        of_batch = (batch['labels'] if isinstance(batch, Mapping) else batch[1]).flatten()
        probabilities.append(logits.flatten(0, -2)[of_batch != _IGNORED].float().softmax(-1).cpu())
        labels.append(of_batch[of_batch != _IGNORED].cpu())
    return torch.cat(probabilities), torch.cat(labels)


def ensemble_curves(
    curve: TradeoffCurve, folder: str | Path, state: State, *, most: int | None = None
) -> list[TradeoffCurve]:
    """Evaluates ensembles of the last ``k`` snapshots at each trough: for every ``k``, a curve of kind ``ensemble-k``.

    Its metric ``inference_cost`` is ``k``, the forward passes per input.
    """
    label, data = state.evaluators[0].label, state.evaluators[0].dataloader
    language = _LANGUAGE_LOSS in state.eval_metrics[label]
    members: list[torch.Tensor] = []
    of_size: dict[int, list[TradeoffPoint]] = {}
    for point in curve.points:
        if point.checkpoint is None:
            raise CurveError(f'run {curve.run.run_name!r} saved no snapshots: train it with save_weights=True')
        probabilities, labels = _probabilities(state, data, snapshot_path(Path(folder), point.checkpoint))
        members = [*members, probabilities][-(most or len(curve.points)) :]
        for size in range(1, len(members) + 1):
            accuracy, loss = mean_probability_scores(members[-size:], labels)
            scores = {_LANGUAGE_LOSS: loss} if language else {_ACCURACY: accuracy, _LOSS: loss}
            metrics = {f'{label}/{name}': score for name, score in scores.items()}
            if size == 1:
                _check_recorded(curve, point, *next(iter(metrics.items())))
            metrics[INFERENCE_COST] = float(size)
            of_size.setdefault(size, []).append(replace(point, metrics=metrics, peak_metrics={}))
    return [TradeoffCurve(replace(curve.run, kind=f'ensemble-{size}'), points) for size, points in of_size.items()]


def _check_recorded(curve: TradeoffCurve, point: TradeoffPoint, name: str, value: float) -> None:
    recorded = point.metrics.get(name, math.nan)
    if abs(recorded - value) > _TOLERANCE:
        raise CurveError(
            f'run {curve.run.run_name!r}: snapshot {point.checkpoint} has {name} {value:.4f}, and {recorded:.4f} was '
            'recorded: give the recipe of the run, with the same overrides'
        )
