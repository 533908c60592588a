"""The texts of figures: metrics as people write them, units, and names of lines."""

from __future__ import annotations

import re
from collections.abc import Collection

from composer_clr.curves.metrics import difference_unit, is_in_nats
from composer_clr.curves.names import ANYTIME, BASELINE, SCHEDULE_FREE, STANDARD, has_cycles, kind_without_shape
from composer_clr.study.table import Study
from composer_clr.utils.errors import printable

__all__ = ['difference_label', 'gap_label', 'improvement_label', 'line_names', 'metric_label', 'shown', 'value_label']

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
# A longer name would leave no room for the axes.
_MOST_CHARACTERS = 44
_WORDS = re.compile(r'(?<=[a-z0-9])(?=[A-Z])|[_ ]+')


def shown(name: str) -> str:
    """Returns a name from a file as a figure shows it: on one line, without its middle if it is long."""
    name = printable(name)
    return name if len(name) <= _MOST_CHARACTERS else f'{name[:29]}…{name[-14:]}'


def metric_label(metric: str) -> str:
    """Returns the name of a metric as people write it; that of an unknown metric has its words apart.

    Example:
        >>> metric_label('eval/MulticlassAccuracy'), metric_label('averaged/imagenet-v2/top5')
        ('top-1 accuracy', 'top-5 accuracy, averaged, imagenet-v2')
        >>> metric_label('peak:eval/MulticlassCalibrationError')
        'best multiclass calibration error'
    """
    *labels, name = printable(metric.removeprefix('peak:')).split('/')
    known = next((label for pattern, label in _LABELS if re.fullmatch(pattern, name, re.IGNORECASE)), None)
    words = [word if word.isupper() else word.lower() for word in _WORDS.split(name) if word]
    best = 'best ' if metric.startswith('peak:') else ''
    return ', '.join([best + (known or ' '.join(words) or name), *(label for label in labels if label != 'eval')])


def value_label(study: Study) -> str:
    """Returns the label of an axis of the metric."""
    label = metric_label(study.metric)
    highest = max(float(curve.mean().max()) for curve in study.curves.values())
    if study.scale == 100 or ('accuracy' in label and 1 < highest <= 100):
        return f'{label} (%)'
    return f'{label} (nats)' if is_in_nats(study.metric) else label


def difference_label(study: Study) -> str:
    """Returns what differences of the metric are in: ``'points of accuracy'``, ``'nats of cross entropy'``."""
    label, unit = metric_label(study.metric), difference_unit(study.metric, study.scale)
    return label if unit == 'units' else f'{unit} of {label}'


def gap_label(study: Study) -> str:
    """Returns the label of an axis of gaps to standard runs."""
    better = ', less is better' if study.lower_is_better else ''
    if study.is_ratio:
        return f'{metric_label(study.metric)} over that of standard runs\n(ratio{better})'
    return f'gap to standard runs\n({difference_label(study)}{better})'


def improvement_label(study: Study) -> str:
    """Returns the label of an axis of improvements over the baseline."""
    what = f'logarithms of {metric_label(study.metric)}' if study.is_ratio else difference_label(study)
    return f'improvement over {shown(study.baseline)}\n({what})'


def line_names(keys: Collection[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """Returns the names of lines in a legend: method and kind, or in a figure of one method, what its runs are.

    Example:
        >>> list(line_names([('LS', 'standard'), ('LS', 'cyclic')]).values())
        ['LS: separate standard runs', 'LS: one cyclic run']
    """
    if len({method for method, _ in keys}) > 1:
        return {(method, kind): shown(f'{method}, {kind}') for method, kind in keys}
    names = {}
    for method, kind in keys:
        runs = {STANDARD: 'separate standard runs', 'branch': 'cooldown branches'}.get(kind, kind)
        if has_cycles(kind) or kind_without_shape(kind) in (ANYTIME, SCHEDULE_FREE):
            plain, at, lengths = kind.partition(' at ')
            runs = f'one {plain} run{at}{lengths}'
        names[method, kind] = shown(runs if method == BASELINE else f'{method}: {runs}')
    return names
