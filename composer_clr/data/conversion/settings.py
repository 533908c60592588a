"""Settings of a conversion, without torch, so that the command line starts quickly."""

from __future__ import annotations

from dataclasses import dataclass

from composer_clr.utils.errors import UserError

__all__ = ['Conversion', 'ConversionError']

FORMATS = ('mds', 'folder')


class ConversionError(UserError):
    """A conversion that cannot be done; the message names the file or the option."""


@dataclass(frozen=True)
class Conversion:
    """Settings of a conversion.

    Attributes:
        short_side (int): Largest length of the shorter side, in pixels; larger images are resized to it. Default:
            ``400``.
        quality (int): JPEG quality of the resized images, from 1 to 95. Default: ``90``.
        format (str): ``mds`` or ``folder``. Default: ``'mds'``.
        shard_images (int): Images per shard. Default: ``1000``.
        skip_unreadable (bool): Whether to leave out files that are not readable images. Default: ``False``.
    """

    short_side: int = 400
    quality: int = 90
    format: str = 'mds'
    shard_images: int = 1000
    skip_unreadable: bool = False

    def __post_init__(self) -> None:
        if self.short_side < 1 or not 1 <= self.quality <= 95 or self.shard_images < 1:
            raise ConversionError('--short-side and --shard-images must be 1 or more, --quality from 1 to 95')
        if self.format not in FORMATS:
            raise ConversionError(f'--format {self.format}: must be one of {", ".join(FORMATS)}')
