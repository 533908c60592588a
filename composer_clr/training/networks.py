"""The networks that recipes name: torchvision's classifiers, and residual networks for small images."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torchvision
from torch import nn
from torchvision.models.resnet import BasicBlock

from composer_clr.utils.text import did_you_mean

__all__ = ['SmallResNet', 'network_named', 'small_resnet18']


def network_named(name: str) -> Callable[..., nn.Module]:
    """Returns the class or function that builds a network.

    Args:
        name (str): ``small_resnet``, ``small_resnet18``, or a classifier of ``torchvision.models``.

    Raises:
        ValueError: If the name is unknown.

    Example:
        >>> network_named('small_resnet').__name__, network_named('resnet50').__name__
        ('SmallResNet', 'resnet50')
    """
    if name in _SMALL:
        return _SMALL[name]
    classifiers = torchvision.models.list_models(torchvision.models)
    if name not in classifiers:
        raise ValueError(f'unknown name{did_you_mean(name, [*_SMALL, *classifiers])}')
    return torchvision.models.get_model_builder(name)


class SmallResNet(nn.Module):
    """A residual network for small images: a 3x3 stem and three stages of 16, 32 and 64 channels.

    Args:
        depth (int): Number of layers, 6n + 2 for n blocks per stage: 8, 14, 20, 32, 44, 56, ... Default: ``8``.
        num_classes (int): Number of classes. Default: ``10``.
        in_channels (int): Channels of the images, 1 for grey and 3 for colour. Default: ``3``.

    Shape:
        Images of (batch, in_channels, height, width) to logits of (batch, num_classes).

    Raises:
        ValueError: If ``depth`` is not 6n + 2 for a whole n of 1 or more.

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

    Example:
        >>> network = small_resnet18()
        >>> network(torch.zeros(2, 3, 32, 32)).shape, sum(p.numel() for p in network.parameters())
        (torch.Size([2, 10]), 11173962)

    Source:
        He et al. 2016, arXiv:1512.03385, for the network; the stem for small images as in section 4.2.
    """
    network = torchvision.models.resnet18(num_classes=num_classes, **arguments)
    network.conv1 = nn.Conv2d(in_channels, 64, kernel_size=3, padding=1, bias=False)
    nn.init.kaiming_normal_(network.conv1.weight, mode='fan_out', nonlinearity='relu')
    network.register_module('maxpool', nn.Identity())
    return network


_SMALL: dict[str, Callable[..., nn.Module]] = {'small_resnet': SmallResNet, 'small_resnet18': small_resnet18}
