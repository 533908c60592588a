"""The ways to decode a training image, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch

from composer_clr.data.transforms import Pixels, decode_rgb

__all__ = ['Decode', 'decoder_named']

Decode: TypeAlias = Callable[[torch.Tensor, str], Pixels]


def decoder_named(name: str) -> Decode:
    """What makes of a file's bytes, and of its name for the error, an image.

    Args:
        name (str): ``whole``: torchvision's decoder, :func:`decode_rgb`. ``region``: nvImageCodec's, which decodes only
            the part of the image that is asked for, :func:`~composer_clr.data.region.decode_region`.

    Raises:
        ValueError: If there is none of this name, or its extra is not installed.
    """
    if name == 'whole':
        return decode_rgb
    if name == 'region':
        from composer_clr.data.region import decode_region

        return decode_region
    raise ValueError(f"decoder={name!r}: images are decoded 'whole', or by the crop's 'region'")
