"""A small causal transformer, and the Composer model that trains it to predict the next token."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from composer.metrics import LanguageCrossEntropy
from composer.models import ComposerModel
from torch import nn
from torchmetrics import Metric

__all__ = ['LanguageModel', 'SmallTransformer', 'cross_entropy']


class SmallTransformer(nn.Module):
    r"""A decoder-only transformer: learned positions, layer norm before each part, GELU, output tied to the embedding.

    Each layer is :math:`x \leftarrow x + \mathrm{attention}(\mathrm{norm}(x))`, then
    :math:`x \leftarrow x + \mathrm{mlp}(\mathrm{norm}(x))`. Weights are drawn from a normal distribution of deviation
    0.02; those that write into the residual stream from :math:`0.02 / \sqrt{2 \, \mathrm{depth}}`.

    Args:
        sequence_length (int): Tokens of the longest sequence.
        vocabulary (int): Number of different tokens. Default: ``256``, bytes.
        width (int): Channels of the residual stream, a multiple of ``heads``. Default: ``64``.
        depth (int): Number of layers. Default: ``2``.
        heads (int): Attention heads per layer. Default: ``4``.

    Shape:
        Tokens of (batch, length) to logits of (batch, length, vocabulary), for length <= sequence_length.

    Raises:
        ValueError: If ``heads`` does not divide ``width``.

    Example:
        >>> SmallTransformer(sequence_length=8, width=16)(torch.zeros(2, 8, dtype=torch.long)).shape
        torch.Size([2, 8, 256])

    Source:
        Radford et al. 2019, Language Models are Unsupervised Multitask Learners, section 2.3.
    """

    def __init__(self, sequence_length: int, vocabulary: int = 256, width: int = 64, depth: int = 2, heads: int = 4):
        super().__init__()
        if heads < 1 or width % heads:
            raise ValueError(f'{width=}: must be a multiple of {heads=}')
        self.tokens = nn.Embedding(vocabulary, width)
        self.positions = nn.Embedding(sequence_length, width)
        self.layers = nn.ModuleList(_Layer(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                writes = name.endswith(('attention.out.weight', 'mlp.2.weight'))
                nn.init.normal_(parameter, std=0.02 / (2 * depth) ** 0.5 if writes else 0.02)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        stream = self.tokens(tokens) + self.positions.weight[: tokens.shape[1]]
        for layer in self.layers:
            stream = layer(stream)
        return F.linear(self.norm(stream), self.tokens.weight)


class _Layer(nn.Module):
    def __init__(self, width: int, heads: int):
        super().__init__()
        self.norm_1, self.attention = nn.LayerNorm(width), _CausalAttention(width, heads)
        self.norm_2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, stream: torch.Tensor) -> torch.Tensor:
        stream = stream + self.attention(self.norm_1(stream))
        return stream + self.mlp(self.norm_2(stream))


class _CausalAttention(nn.Module):
    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, stream: torch.Tensor) -> torch.Tensor:
        batch, length, width = stream.shape
        q, k, v = self.qkv(stream).view(batch, length, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out(mixed.transpose(1, 2).reshape(batch, length, width))


def cross_entropy(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Returns the mean cross entropy per token in nats; labels of -100 are left out.

    Shape:
        Logits of (batch, length, vocabulary) and labels of (batch, length) to a scalar.

    Example:
        >>> cross_entropy(torch.zeros(1, 3, 256), torch.tensor([[1, 2, -100]]))
        tensor(5.5452)
    """
    return F.cross_entropy(logits.flatten(0, 1), labels.flatten())


class LanguageModel(ComposerModel):
    """Trains a network to predict the next token, with the cross entropy per token in nats as metric.

    Batches are mappings with ``input_ids`` and ``labels``, as Hugging Face and LLM Foundry have them; labels of -100
    are left out.

    Args:
        network (Module): Maps tokens of (batch, length) to logits of (batch, length, vocabulary).
        loss (Callable): Computes the loss from logits and labels. Default: :func:`cross_entropy`.

    Example:
        >>> model = LanguageModel(SmallTransformer(sequence_length=4, width=16))
        >>> batch = {'input_ids': torch.tensor([[1, 2, 3, 4]]), 'labels': torch.tensor([[2, 3, 4, 5]])}
        >>> model.loss(model(batch), batch).ndim, list(model.get_metrics())
        (0, ['LanguageCrossEntropy'])
    """

    def __init__(self, network: nn.Module, loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] = cross_entropy):
        super().__init__()
        self.module = network
        self._loss = loss
        self._metrics = {'LanguageCrossEntropy': LanguageCrossEntropy()}

    def forward(self, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        return self.module(batch['input_ids'])

    def loss(self, outputs: torch.Tensor, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        return self._loss(outputs, batch['labels'])

    def eval_forward(self, batch: Mapping[str, torch.Tensor], outputs: torch.Tensor | None = None) -> torch.Tensor:
        return self(batch) if outputs is None else outputs

    def get_metrics(self, is_train: bool = False) -> dict[str, Metric]:
        # Training logs its loss, which is the same quantity.
        return {} if is_train else dict(self._metrics)

    def update_metric(self, batch: Any, outputs: torch.Tensor, metric: Metric) -> None:
        metric.update(outputs, batch['labels'])
