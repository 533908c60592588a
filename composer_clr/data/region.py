"""JPEG files of which only the crop is decoded, by nvImageCodec on the CPU: the extra ``region``."""

from __future__ import annotations

import os
from functools import cache, cached_property
from importlib import import_module
from typing import Any

import numpy as np
import torch

from composer_clr.data.transforms import Pixels, decode_rgb

try:
    nvimgcodec: Any = import_module('nvidia.nvimgcodec')
except ImportError as error:
    raise ValueError("decoder='region' needs nvImageCodec: pip install 'composer_clr[region]'") from error

__all__ = ['RegionImage', 'decode_region']

# What a whole JPEG file ends with. One that was cut off is read in full, which tells that it is broken.
_END_OF_IMAGE = b'\xff\xd9'


def decode_region(encoded: torch.Tensor, source: str) -> Pixels:
    """The image that a file's bytes hold, decoded when a part of it is asked for, and only that part.

    The pixels are those of :func:`decode_rgb`. Whatever is no complete JPEG of three colours is decoded by it at once.

    Args:
        encoded (torch.Tensor): The bytes, uint8 of (length,).
        source (str): Where they come from, for the error to name.

    Raises:
        OSError: If the bytes are no image, or not the whole of one.
    """
    content = encoded.numpy()
    try:
        stream = nvimgcodec.CodeStream(content)
        if stream.codec_name == 'jpeg' and stream.num_channels == 3 and bytes(content[-2:]) == _END_OF_IMAGE:
            return RegionImage(encoded, source, stream)
    except RuntimeError:  # no image that it knows: it is parsed when first asked about
        pass
    return decode_rgb(encoded, source)


class RegionImage:
    """An image of (3, height, width) that is indexed as a tensor is, and decodes what it is asked for.

    Args:
        encoded (torch.Tensor): The file's bytes, uint8 of (length,).
        source (str): Where they come from, for the error to name.
        stream (CodeStream): The same, parsed.
    """

    def __init__(self, encoded: torch.Tensor, source: str, stream: Any):
        self._encoded, self._source, self._stream = encoded, source, stream
        self.shape = torch.Size((3, stream.height, stream.width))

    @cached_property
    def _whole(self) -> torch.Tensor:
        return decode_rgb(self._encoded, self._source)

    def __getitem__(self, part: tuple[slice, slice, slice]) -> torch.Tensor:
        """The part, uint8 of (3, rows, columns), channels last."""
        _, rows, columns = part
        top, bottom, _ = rows.indices(self.shape[1])
        left, right, _ = columns.indices(self.shape[2])
        region = nvimgcodec.Region(top, left, bottom, right)
        decoded = _decoder(os.getpid()).decode(self._stream.get_sub_code_stream(0, region), params=_AS_STORED)
        if decoded is None:  # broken, or of a kind that is not known to it: the other decoder tells which
            return self._whole[part]
        return torch.from_numpy(np.asarray(decoded)).permute(2, 0, 1)


# As torchvision's usual pipeline, which does not turn images by their EXIF orientation either.
_AS_STORED = nvimgcodec.DecodeParams(apply_exif_orientation=False)


@cache
def _decoder(process: int) -> Any:
    """A decoder of this process alone: one with threads would not work in a loader process that was forked later."""
    del process
    return nvimgcodec.Decoder(
        device_id=nvimgcodec.NVIMGCODEC_DEVICE_CPU_ONLY,
        max_num_cpu_threads=1,
        backends=[nvimgcodec.Backend(nvimgcodec.BackendKind.CPU_ONLY)],
    )
