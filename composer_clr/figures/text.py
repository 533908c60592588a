"""The texts of a figure: metrics named for people, names of any length and script, drawn literally."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable

from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, fontManager, get_font
from matplotlib.text import Text
from matplotlib.ticker import FixedFormatter

from composer_clr.utils.errors import printable

__all__ = ['metric_label', 'write_texts']

_LABELS = (
    (r'(multiclass|top[-_ @]?1[-_ ]?|acc(uracy)?[-_ @]?1$)(acc(uracy)?)?', 'top-1 accuracy'),
    (r'(top[-_ @]?5[-_ ]?|acc(uracy)?[-_ @]?5$)(acc(uracy)?)?', 'top-5 accuracy'),
    (r'(binary)?acc(uracy)?', 'accuracy'),
    (r'(language)?cross[-_ ]?entropy([-_ ]?loss)?', 'cross entropy'),
    (r'(language)?(perplexity|ppl)', 'perplexity'),
    (r'(multiclass|binary)?f1([-_ ]?score)?', 'F1 score'),
    (r'wer|word[-_ ]?error[-_ ]?rate', 'word error rate'),
    (r'mse|mean[-_ ]?squared[-_ ]?error', 'mean squared error'),
)
_WORDS = re.compile(r'(?<=[a-z0-9])(?=[A-Z])|[_ ]+')
# A longer line of text loses its middle.
_MOST_CHARACTERS = 44
_MOST_IN_TICK = 24


def metric_label(metric: str) -> str:
    """Returns the name of a metric as people write it; that of an unknown metric has its words apart.

    Example:
        >>> metric_label('eval/MulticlassAccuracy'), metric_label('averaged/imagenet-v2/top5')
        ('top-1 accuracy', 'top-5 accuracy, averaged, imagenet-v2')
        >>> metric_label('val_loss'), metric_label('eval/MulticlassCalibrationError')
        ('val loss', 'multiclass calibration error')
    """
    *labels, name = metric.split('/')
    known = next((label for pattern, label in _LABELS if re.fullmatch(pattern, name, re.IGNORECASE)), None)
    words = [word if word.isupper() else word.lower() for word in _WORDS.split(name) if word]
    return ', '.join([known or ' '.join(words) or name, *(label for label in labels if label != 'eval')])


def write_texts(figure: Figure) -> None:
    """Makes a figure's texts literal, short and drawable.

    In a name from a file, dollar signs are not mathematics, and characters that do not print are not allowed in an SVG.
    A line loses its middle if it has more than 44 characters, in a tick label more than 24. Characters that the font
    does not have are taken from another installed font, and written as codes where none has them. Tick labels that are
    numbers are left to matplotlib. May be called again, for texts that were added since.

    Args:
        figure (Figure): The figure, complete.

    Warns:
        UserWarning: If no installed font has some characters.
    """
    texts = _texts(figure)
    ticks = [axis for ax in figure.axes for axis in (ax.xaxis, ax.yaxis) if _names(axis)]
    short = _short_lines(
        [(printable(line), most) for text, most in texts.items() for line in text.get_text().split('\n')]
        + [(printable(line), _MOST_IN_TICK) for axis in ticks for name in _names(axis) for line in name.split('\n')]
    )
    fonts, missing = _fonts_of({character for line in short.values() for character in line})
    if missing:
        warnings.warn(
            f'no installed font has {"".join(sorted(missing))[:40]!r}: written as codes; install a font for them, such '
            'as Noto Sans CJK',
            UserWarning,
            stacklevel=2,
        )

    def drawable(text: str, most: int) -> str:
        lines = [short[printable(line), most] for line in text.split('\n')]
        return '\n'.join(''.join(f'<{ord(c):X}>' if c in missing else c for c in line) for line in lines)

    for axis in ticks:
        axis.set_major_formatter(FixedFormatter([drawable(name, _MOST_IN_TICK) for name in _names(axis)]))
    for text, most in texts.items():
        text.set_text(drawable(text.get_text(), most))
    for text in [*texts, *(label for axis in ticks for label in axis.get_ticklabels())]:
        text.set_parse_math(False)
        if fonts:
            text.set_fontfamily([*text.get_fontfamily(), *fonts])


def _texts(figure: Figure) -> dict[Text, int]:
    """Returns all texts but tick labels, and how many characters a line of each may have: a title as its panel."""
    axes = [axis for ax in figure.axes for axis in (ax.xaxis, ax.yaxis)]
    of_ticks = {label for axis in axes for label in [*axis.get_ticklabels(which='both'), axis.get_offset_text()]}
    texts = [text for text in figure.findobj(Text) if isinstance(text, Text) and text not in of_ticks]
    most = dict.fromkeys(texts, _MOST_CHARACTERS)
    for ax in figure.axes:
        inches = ax.get_position().width * figure.get_figwidth()
        most[ax.title] = max(_MOST_IN_TICK, int(inches * 72 / (0.62 * float(ax.title.get_fontsize()))))
    return most


def _names(axis: Axis) -> list[str]:
    """Returns the tick labels of an axis that are names."""
    formatter = axis.get_major_formatter()
    return list(formatter.seq) if isinstance(formatter, FixedFormatter) else []


def _short_lines(lines: Iterable[tuple[str, int]]) -> dict[tuple[str, int], str]:
    """Returns lines, with the most characters of each, without the middle of long ones; no two become the same."""
    short: dict[tuple[str, int], str] = {}
    for line, most in sorted(lines):
        tail = most // 3
        cut, number = line, 2
        if len(line) > most:
            cut = f'{line[: most - tail - 1]}…{line[-tail:]}'
        while len(line) > most and cut in [other for key, other in short.items() if key != (line, most)]:
            cut = f'{line[: most - tail - 3]}…{number}…{line[-tail:]}'
            number += 1
        short[line, most] = cut
    return short


def _fonts_of(characters: set[str]) -> tuple[list[str], set[str]]:
    """Returns fonts for the characters that the default font does not have, and the characters that no font has."""
    missing = characters - _in_font(findfont(FontProperties()), characters)
    fonts: list[str] = []
    for entry in fontManager.ttflist if missing else []:
        if 'Last' in entry.name or entry.style != 'normal':  # of Last Resort, all characters are boxes
            continue
        found = _in_font(entry.fname, missing)
        if found:
            fonts.append(entry.name)
            missing -= found
    return fonts, missing


def _in_font(path: str, characters: set[str]) -> set[str]:
    try:
        font = get_font(path)
    except (OSError, RuntimeError):
        return set()
    return {character for character in characters if font.get_char_index(ord(character))}
