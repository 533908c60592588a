"""How images are converted, and what can be wrong with it: without torch, for the command line to know."""

from __future__ import annotations

from dataclasses import dataclass

from composer_clr.utils.errors import UserError

__all__ = ['Conversion', 'ConversionError']

FORMATS = ('mds', 'folder')


class ConversionError(UserError):
    """A conversion that cannot be made: the message names the file or the option."""


@dataclass(frozen=True)
class Conversion:
    """How images are converted.

    Attributes:
        short_side (int): What a longer short side is resized to, in pixels.
        quality (int): JPEG quality of the resized images, from 1 to 95.
        format (str): ``mds`` or ``folder``.
        shard_images (int): Images of a shard.
        skip_unreadable (bool): Whether to leave out files that are no readable images.
    """

    short_side: int = 400
    quality: int = 90
    format: str = 'mds'
    shard_images: int = 1000
    skip_unreadable: bool = False

    def __post_init__(self) -> None:
        if self.short_side < 1 or not 1 <= self.quality <= 95 or self.shard_images < 1:
            raise ConversionError('--short-side and --shard-images are 1 or more, --quality is from 1 to 95')
        if self.format not in FORMATS:
            raise ConversionError(f'--format {self.format}: choose one of {", ".join(FORMATS)}')
