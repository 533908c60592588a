"""The small transformer: causal, and its loss the mean cross entropy per token."""

import math

import pytest
import torch

from composer_clr.training.models import LanguageModel, SmallTransformer


def batch(tokens: torch.Tensor) -> dict[str, torch.Tensor]:
    return {'input_ids': tokens[:, :-1], 'labels': tokens[:, 1:].clone()}


def test_no_logit_depends_on_a_later_token():
    torch.manual_seed(0)
    network = SmallTransformer(sequence_length=12, vocabulary=20, width=16, depth=2, heads=2).eval()
    tokens = torch.randint(20, (3, 12))
    before = network(tokens)
    for position in range(1, 12):
        changed = tokens.clone()
        changed[:, position] = (changed[:, position] + 1) % 20
        after = network(changed)
        assert torch.allclose(before[:, :position], after[:, :position], atol=1e-6)
        assert not torch.allclose(before[:, position:], after[:, position:], atol=1e-3)


def test_loss_and_metric_are_the_mean_negative_log_probability_per_token():
    torch.manual_seed(0)
    model = LanguageModel(SmallTransformer(sequence_length=6, vocabulary=7, width=8))
    data = batch(torch.randint(7, (4, 7)))
    data['labels'][0, :3] = -100
    logits = model(data)
    total = [
        -math.log(float(logits[row, at].softmax(0)[label]))
        for row, labels in enumerate(data['labels'].tolist())
        for at, label in enumerate(labels)
        if label != -100
    ]
    assert len(total) == 21
    assert float(model.loss(logits, data)) == pytest.approx(sum(total) / 21, abs=1e-5)
    metric = model.get_metrics()['LanguageCrossEntropy']
    model.update_metric(data, model.eval_forward(data, logits), metric)
    assert float(metric.compute()) == pytest.approx(sum(total) / 21, abs=1e-5)


def test_at_the_start_every_byte_is_about_as_likely():
    torch.manual_seed(0)
    model = LanguageModel(SmallTransformer(sequence_length=32))
    data = batch(torch.randint(256, (8, 33)))
    assert float(model.loss(model(data), data)) == pytest.approx(math.log(256), abs=0.1)


def test_heads_that_do_not_divide_the_width_are_refused():
    with pytest.raises(ValueError, match='width=10: must be a multiple of heads=4'):
        SmallTransformer(sequence_length=4, width=10)
