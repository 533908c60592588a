"""The models that recipes name: image classifiers, torchvision's and small ones, and a small language model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
import torchvision
from composer.loss import binary_cross_entropy_with_logits, soft_cross_entropy
from composer.metrics import LanguageCrossEntropy
from composer.models import ComposerClassifier, ComposerModel
from torch import nn
from torchmetrics import Metric
from torchvision.models.resnet import BasicBlock

from composer_clr.recipes.code import is_own
from composer_clr.recipes.families import LANGUAGE_MODEL, family_of
from composer_clr.recipes.schema import Recipe, RecipeError
from composer_clr.training.registry import built, known_as, named, own_names, taken

__all__ = ['LanguageModel', 'SmallResNet', 'SmallTransformer', 'build_model', 'small_resnet18']


def build_model(recipe: Recipe) -> ComposerModel:
    """Builds the network of a recipe, with the loss and the metrics of its family; a ComposerModel has its own."""
    model, network = recipe.model, _network(recipe)
    if isinstance(network, ComposerModel):
        if model.loss is not None:
            raise RecipeError(f'model.loss={model.loss}: the ComposerModel of {model.name} has its own: leave it out')
        return network
    if family_of(recipe) == LANGUAGE_MODEL:
        return LanguageModel(network, loss=_loss(model.loss, cross_entropy))
    if model.num_classes is None:
        raise RecipeError(
            f'model.name={model.name}: makes a torch module, whose loss is not known: pass model.num_classes=10 for a '
            'classifier of 10 classes, data.sequence_length for a language model, or make a ComposerModel'
        )
    loss = _loss(model.loss, soft_cross_entropy, binary_cross_entropy_with_logits)
    return ComposerClassifier(network, num_classes=model.num_classes, loss_fn=loss)


def _network(recipe: Recipe) -> nn.Module:
    model, length = recipe.model, recipe.data.sequence_length
    sizes = {'num_classes': model.num_classes, 'sequence_length': length}
    if is_own(model.name):
        known = own_names(recipe.code)
        sizes = taken(known_as('model.name', known, model.name), sizes)
        return named('model.name', known, model.name, {**sizes, **model.arguments}, nn.Module)
    sizes = {name: size for name, size in sizes.items() if size is not None}
    builder = torchvision.models.get_model_builder
    known = {name: builder(name) for name in torchvision.models.list_models(torchvision.models)}
    make = known_as('model.name', _SMALL | known, model.name)
    return built(f'model.{model.name}', make, {**sizes, **model.arguments})


def _loss(name: str | None, *losses: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """Returns the loss of a family by name, or its first."""
    known = {loss.__name__: loss for loss in losses}
    return losses[0] if name is None else known_as('model.loss', known, name)


class SmallResNet(nn.Module):
    """A residual network for small images: a 3x3 stem and three stages of 16, 32 and 64 channels.

    Args:
        depth (int): Number of layers, 6n + 2 for n blocks per stage: 8, 14, 20, 32, 44, 56, ... Default: ``8``.
        num_classes (int): Number of classes. Default: ``10``.
        in_channels (int): Channels of the images, 1 for grey and 3 for colour. Default: ``3``.

    Shape:
        Images of (batch, in_channels, height, width) to logits of (batch, num_classes).

    Example:
        >>> SmallResNet(depth=8, in_channels=1)(torch.zeros(2, 1, 8, 8)).shape
        torch.Size([2, 10])

    Source:
        He et al. 2016, arXiv:1512.03385, section 4.2; with torchvision's blocks, whose shortcuts are projections.
    """

    def __init__(self, depth: int = 8, num_classes: int = 10, in_channels: int = 3):
        super().__init__()
        blocks_each, rest = divmod(depth - 2, 6)
        if rest or blocks_each < 1:
            raise ValueError(f'{depth=}: must be 6n + 2, such as 8, 20 or 56')
        layers: list[nn.Module] = [
            nn.Conv2d(in_channels, 16, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(16),
            nn.ReLU(inplace=True),
        ]
        channels = 16
        for width in (16, 32, 64):
            for block in range(blocks_each):
                stride = 2 if block == 0 and width > 16 else 1
                shortcut = None
                if stride != 1:
                    shortcut = nn.Sequential(
                        nn.Conv2d(channels, width, kernel_size=1, stride=stride, bias=False), nn.BatchNorm2d(width)
                    )
                layers.append(BasicBlock(channels, width, stride, shortcut))
                channels = width
        self.features = nn.Sequential(*layers)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(channels, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode='fan_out', nonlinearity='relu')

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.fc(self.pool(self.features(images)).flatten(1))


def small_resnet18(num_classes: int = 10, in_channels: int = 3, **arguments: Any) -> nn.Module:
    """Returns torchvision's ResNet-18 for images of 32x32 pixels: a 3x3 stem, and no pooling before the first stage.

    Args:
        num_classes (int): Number of classes. Default: ``10``.
        in_channels (int): Channels of the images. Default: ``3``.
        arguments (Any): Further arguments of torchvision's ``resnet18``.

    Shape:
        Images of (batch, in_channels, height, width) to logits of (batch, num_classes).

    Source:
        He et al. 2016, arXiv:1512.03385, for the network; the stem for small images as in section 4.2.
    """
    network = torchvision.models.resnet18(num_classes=num_classes, **arguments)
    network.conv1 = nn.Conv2d(in_channels, 64, kernel_size=3, padding=1, bias=False)
    nn.init.kaiming_normal_(network.conv1.weight, mode='fan_out', nonlinearity='relu')
    network.register_module('maxpool', nn.Identity())
    return network


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


_SMALL: dict[str, Callable[..., nn.Module]] = {
    'small_resnet': SmallResNet,
    'small_resnet18': small_resnet18,
    'small_transformer': SmallTransformer,
}


def cross_entropy(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Returns the mean cross entropy per token in nats; labels of -100 are left out."""
    return F.cross_entropy(logits.flatten(0, 1), labels.flatten())


class LanguageModel(ComposerModel):
    """Trains a network to predict the next token, with the cross entropy per token in nats as metric.

    Batches are mappings with ``input_ids`` and ``labels``, as Hugging Face and LLM Foundry have them; labels of -100
    are left out.

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
