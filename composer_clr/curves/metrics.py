"""What a metric's name and values say: whether less is better, whether it is a fraction, and which one to take."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

from composer_clr.curves.curve import CurveError, TradeoffCurve, TradeoffPoint
from composer_clr.curves.names import METRIC_SETS
from composer_clr.utils.errors import listed

__all__ = [
    'default_metric',
    'difference_unit',
    'in_points',
    'is_fraction',
    'is_in_nats',
    'is_lower_better',
    'is_metric',
    'is_percentage',
    'is_perplexity',
    'measured',
    'study_direction',
    'study_is_fraction',
]

# Words of a metric's name: those of which less is better, and those that say that a metric is of the other kind even
# where it is logged under a label such as "loss-study".
_ERROR = re.compile('err|errors?')
_RATE = re.compile('[cw]er')
_LOWER = re.compile(
    'err|errors?|[cewt]er|loss|losses|(val|test|train)loss|nll|mse|rmse|s?mape|mae|ppl|perplexity|(cross)?entropy|'
    'xent|b?ce|bp[bcd]|bits|[fk]id|ece|brier|lpips|dists|lost|distance|divergence|deviance|regret|disparity|'
    'distortion|fairness|fallout'
)
_HIGHER = re.compile('accuracy|acc|precision|recall|auc|auroc|m?iou|dice|bleu|rouge|psnr|ssim|preserved')
# CamelCase, snake_case and acronyms; digits end a word: MSELoss, val_loss, top1, WordErrorRate.
_WORD = re.compile(r'[A-Z]+(?![a-z])|[A-Z]?[a-z]+')
# Accuracy within a word (MulticlassAccuracy), acc as a word (val_acc, valAcc, acc1), top-1 and top-5.
_ACCURACY = re.compile(
    r'(?i:accuracy)|(?<![A-Za-z])(?i:acc)(?![A-Za-z])|(?<=[a-z])Acc(?![a-z])|(?<![A-Za-z])(?i:top)[-_ @]?[15](?![0-9])'
)
_SECOND_CHOICE = (
    re.compile(f'^({"|".join(METRIC_SETS)})/'),
    re.compile(r'(?<![a-z])train(ing)?(?![a-z])', re.IGNORECASE),
    re.compile(r'(top|acc|accuracy)[-_ @]?5(?![0-9])', re.IGNORECASE),
)
# What a table holds beside its metrics, in the last part of a name.
_NO_METRIC = re.compile(
    r'(^|/)(lr|learning[-_ ]?rate|weight[-_ ]?decay|wd|momentum|(global[-_ ]?)?steps?|epochs?|iter(ation)?s?|'
    r'batch(es)?|batch[-_ ]?size|samples?|tokens?|cycles?|seeds?|index|id|level_[0-9]+|unnamed: ?[0-9]+|rank|'
    r'world[-_ ]?size|time|wall[-_ ]?(clock|time)?([-_ ].*)?|(.*[-_ ])?(seconds|minutes|hours))$',
    re.IGNORECASE,
)
_PERCENT = frozenset(('accuracy', 'acc', 'top', 'precision', 'recall', 'f', 'auc', 'auroc', 'iou', 'miou'))
# Names that say in several words what none of them says alone, and the word that says it.
_SPELLED_OUT = tuple(
    (re.compile(words.replace(' ', '.?'), re.IGNORECASE), word)
    for words, word in {
        'negative log likelihood': 'nll',
        'intersection over union': 'iou',
        'distortion ratio': 'psnr',
        'perceptual image patch similarity': 'lpips',
        'image structure and texture similarity': 'dists',
        'total variation': 'distortion',
        'spectral angle': 'distortion',
        'edit rate': 'ter',
        'fall out': 'fallout',
    }.items()
)
# A fraction of 1 that went through single precision.
_ONE = 1 + 1e-6


def is_lower_better(metric: str, directions: Mapping[str, str] | None = None) -> bool:
    """Returns whether less of a metric is better: as the directions have it, else by the words of its name.

    Of the parts of the name (``label/metric/index``) the last one with a known word decides, and in it the last known
    word: ``loss``, ``error``, ``perplexity``, ``ppl``, ``entropy``, ``nll``, ``mse``, ``rmse``, ``mae``, ``wer``,
    ``fid``, ``bpb`` and others mean that less is better. A name without a known word is of a metric of which more is
    better.

    Args:
        metric (str): ``label/metric``.
        directions (Mapping[str, str] | None): ``'max'`` or ``'min'``, by metric. That of a metric holds for each of its
            values (``eval/recall/0``) and for those of other weights (``averaged/eval/recall``). Default: ``None``.

    Example:
        >>> is_lower_better('eval/LanguagePerplexity'), is_lower_better('loss-study/MulticlassAccuracy')
        (True, False)
        >>> is_lower_better('loss/val'), is_lower_better('eval/F1', {'eval/F1': 'min'})
        (True, True)
    """
    if (stated := _stated(metric, directions or {})) is not None:
        return stated
    known = next(filter(None, map(_known_words, reversed(metric.split('/')))), [''])
    return _LOWER.fullmatch(known[-1]) is not None


def study_direction(curves: Iterable[TradeoffCurve], metric: str, lower_is_better: bool | None = None) -> bool:
    """Returns whether less of a metric is better in a study: as specified, as the runs record it, or by its name.

    Args:
        curves (Iterable[TradeoffCurve]): The runs; those that do not record it follow the others.
        metric (str): ``label/metric``.
        lower_is_better (bool | None): As specified. Default: ``None``, the runs decide.

    Raises:
        CurveError: If two runs disagree.
    """
    if lower_is_better is not None:
        return lower_is_better
    found = {_stated(metric, curve.run.directions): curve.place for curve in curves}
    if True in found and False in found:
        raise CurveError(
            f'{metric}: more is better in run {found[False]!r}, less in run {found[True]!r}: '
            'give --lower-is-better or --higher-is-better, or correct directions in one of the files'
        )
    return True in found or (False not in found and is_lower_better(metric))


def is_fraction(metric: str, values: Iterable[float]) -> bool:
    """Returns whether a metric is a fraction, so that its differences are percentage points.

    It is one when all its values lie in [0, 1] and its name is not that of a loss or an unbounded error: an error
    rate counts, a mean squared error does not, however small. An accuracy may be negative if it is adjusted for chance.

    Example:
        >>> is_fraction('eval/MulticlassAccuracy', [0.71, 0.76]), is_fraction('eval/accuracy', [71, 76])
        (True, False)
        >>> is_fraction('eval/CrossEntropy', [0.9, 0.5]), is_fraction('eval/WordErrorRate', [0.2, 0.1])
        (False, True)
    """
    if is_percentage(metric):
        return all(value <= _ONE for value in values)
    return not is_lower_better(metric) and all(0 <= value <= _ONE for value in values)


def study_is_fraction(curves: Iterable[TradeoffCurve], metric: str, *, peak: bool = False) -> bool:
    """Returns whether a metric is a fraction in all runs of a study, as :func:`is_fraction` has it.

    Raises:
        CurveError: If an accuracy or an error rate is in percent in some runs and a fraction in others.
    """
    # A short run may have less than 1 percent, so the runs of one seed are in one unit.
    by_seed: dict[tuple[str, str, int | None], list[tuple[float, str]]] = defaultdict(list)
    for curve in curves:
        values = [measured(point, peak).get(metric, math.nan) for point in curve.points]
        of_seed = by_seed[curve.run.method, curve.run.kind, curve.run.seed]
        of_seed.extend((value, curve.place) for value in values if math.isfinite(value))
    largest = [max(found) for found in by_seed.values() if found]
    units = {value <= _ONE: place for value, place in reversed(largest)}
    if len(units) == 2 and is_percentage(metric):
        raise CurveError(
            f'{metric} is in percent in run {units[False]!r} and a fraction in run {units[True]!r}: '
            'give all runs in one unit'
        )
    return is_fraction(metric, (value for found in by_seed.values() for value, _ in found))


def in_points(metric: str, scale: float) -> bool:
    """Returns whether differences of a metric are percentage points: of fractions times 100, and of percentages."""
    return scale == 100 or is_percentage(metric)


def difference_unit(metric: str, scale: float) -> str:
    """Returns the unit of a metric's differences: percentage points, nats for a cross entropy, else units.

    Example:
        >>> difference_unit('eval/MulticlassAccuracy', 100.0), difference_unit('eval/LanguageCrossEntropy', 1.0)
        ('points', 'nats')
    """
    return 'points' if in_points(metric, scale) else 'nats' if is_in_nats(metric) else 'units'


def is_in_nats(metric: str) -> bool:
    """Returns whether a metric is a cross entropy by its name, and so in nats; a ``loss`` may be anything."""
    words = _words(metric.rpartition('/')[2])
    return 'nll' in words or 'crossentropy' in ''.join(words)


def is_perplexity(metric: str) -> bool:
    """Returns whether a metric is a perplexity, of which differences are given as ratios."""
    return bool({'perplexity', 'ppl'} & set(_words(metric.rpartition('/')[2])))


def is_percentage(metric: str) -> bool:
    """Returns whether a metric is an accuracy or an error rate by its name, and so a fraction or in percent.

    Example:
        >>> is_percentage('top1'), is_percentage('eval/WordErrorRate'), is_percentage('eval/loss')
        (True, True, False)
    """
    words = {word for part in metric.split('/') for word in _words(part)}
    is_error_rate = any(map(_ERROR.fullmatch, words)) and bool(words & {'rate', 'top'})
    is_accuracy = not is_lower_better(metric) and bool(words & _PERCENT)
    return is_error_rate or is_accuracy or any(map(_RATE.fullmatch, words))


def is_metric(name: str) -> bool:
    """Returns whether a name is a metric's: ``val_loss/epoch`` is, ``lr``, ``step`` and ``time/epoch`` are not."""
    return not _NO_METRIC.search(name) or any(map(_known_words, name.split('/')))


def measured(point: TradeoffPoint, peak: bool) -> dict[str, float]:
    """Returns a point's metrics: those at the trough, or the best near it."""
    return point.peak_metrics if peak else point.metrics


def default_metric(curves: Iterable[TradeoffCurve], *, peak: bool = False) -> str:
    """Returns the metric to use by default: a language model's cross entropy, else an accuracy, else the only metric.

    Of several, top-1 is used before top-5, evaluation before training, and the trained weights before averaged ones;
    then the one that most runs have, and of these the first. That a point does not have it makes no difference: it is
    not replaced by another metric. A learning rate, step, epoch, time or index is not a metric.

    Args:
        curves (Iterable[TradeoffCurve]): The runs.
        peak (bool): Use the best values near the points. Default: ``False``.

    Raises:
        CurveError: If there are no points, or no metric, or several and none of them is an accuracy.
    """
    by_run = [[name for point in curve.points for name in measured(point, peak)] for curve in curves if curve.points]
    if not by_run:
        raise CurveError('there are no points to compare: name runs that have passed a trough')
    runs = Counter(name for of_run in by_run for name in dict.fromkeys(of_run))
    names = [name for name in runs if is_metric(name)]
    entropies = [name for name in names if {'language', 'entropy'} <= set(_words(name.rpartition('/')[2]))]
    accuracies = [name for name in names if _ACCURACY.search(name) and not is_lower_better(name)]
    if candidates := entropies or accuracies:
        return min(candidates, key=lambda name: (*(bool(sign.search(name)) for sign in _SECOND_CHOICE), -runs[name]))
    what = 'peak metric' if peak else 'metric'
    if not names:
        raise CurveError(f'the runs have no {what}: name runs that were evaluated')
    if len(names) > 1:
        raise CurveError(f'no {what} is an accuracy: name one of them (--metric): {listed(names)}')
    return names[0]


def _stated(metric: str, directions: Mapping[str, str]) -> bool | None:
    return next((stated == 'min' for name, stated in directions.items() if f'/{name}/' in f'/{metric}/'), None)


def _known_words(part: str) -> list[str]:
    return [word for word in _words(part) if _LOWER.fullmatch(word) or _HIGHER.fullmatch(word)]


def _words(part: str) -> list[str]:
    for phrase, word in _SPELLED_OUT:
        part = phrase.sub(f'_{word}_', part)
    return [word.lower() for word in _WORD.findall(part)]
