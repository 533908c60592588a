"""What a study compares, beside the comparison by means and samples: the same numbers."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from composer_clr.analysis.comparison_record import record_study
from composer_clr.analysis.pairing import Alignment as OldAlignment
from composer_clr.analysis.study import compare_study
from composer_clr.curves.curve import CurveError, Run, TradeoffCurve
from composer_clr.curves.long_csv import read_long_csv
from composer_clr.study.alignment import Alignment
from composer_clr.study.compare import compare
from composer_clr.study.record import record
from composer_clr.study.screening import usable_curves
from composer_clr.study.table import Study
from tests.helpers.runs_and_lines import point

MODES = ('interpolate', 'exact', 'nearest', 'fit')


def leaves(value: Any, name: str = '') -> dict[str, Any]:
    """Returns every plain value of a record by its place."""
    if isinstance(value, dict):
        return {k: v for key, one in value.items() for k, v in leaves(one, f'{name}/{key}').items()} or {name: {}}
    if isinstance(value, (list, tuple)):
        return {k: v for i, one in enumerate(value) for k, v in leaves(one, f'{name}/{i}').items()} or {name: []}
    return {name: value}


def assert_alike(curves, metric=None, *, peak=False, **alignment) -> int:
    """Compares both records to 1e-9, but for the text of reasons; returns the number of numbers."""
    kept, metric, _ = usable_curves(curves, metric, axis=alignment.get('axis'), peak=peak)
    options = {'resolve': 0.1, 'price': 2.0}
    study = Study.of(kept, metric, axis=alignment.get('axis'), peak=peak)
    try:
        old = compare_study(kept, metric, alignment=OldAlignment(**alignment), peak=peak, strict=False)
    except CurveError:
        with pytest.raises(CurveError):
            compare(study, Alignment(**alignment), strict=False)
        return 0
    found: dict[str, Any] = leaves(record(compare(study, Alignment(**alignment), strict=False), **options))
    expected = leaves(record_study(old, **options))
    reasons = ('/skipped/', '/left_out/')
    # The random draws of runs without a seed are others: labels of runs do not depend on which kinds are compared.
    seeded = all(curve.run.seed is not None for curve in kept)
    drawn = () if seeded else ('/cosine_interval', '/cost/interval', '/ranking_agreement_intervals')
    found, expected = (
        {k: '' if k.startswith(reasons) or any(part in k for part in drawn) else v for k, v in one.items()}
        for one in (found, expected)
    )
    assert found.keys() == expected.keys()
    numbers = 0
    for place, value in expected.items():
        if isinstance(value, float):
            numbers += 1
            assert found[place] == pytest.approx(value, rel=1e-9, abs=1e-9), place
        else:
            assert found[place] == value, place
    return numbers


@pytest.fixture(scope='module')
def curves_of_the_paper(tmp_path_factory) -> list[TradeoffCurve]:
    named = os.environ.get('COMPOSER_CLR_REFERENCE')
    if named is None:
        pytest.skip("COMPOSER_CLR_REFERENCE names no copy of the paper's curves")
    text = Path(named, 'portes2022_resnet50_imagenet.csv').read_text()
    table = tmp_path_factory.mktemp('paper') / 'curves.csv'
    table.write_text(text.replace('epochs', 'epoch', 1).replace('top1_max,', 'peak:top1_end,', 1))
    return read_long_csv(table)


@pytest.mark.parametrize('mode', MODES)
@pytest.mark.parametrize('axis', [None, 'time'])
@pytest.mark.parametrize('peak', [False, True])
def test_the_curves_of_the_paper(curves_of_the_paper, mode, axis, peak):
    assert assert_alike(curves_of_the_paper, metric='top1_end', peak=peak, mode=mode, axis=axis) > 500


def random_curves(draw: int) -> list[TradeoffCurve]:
    """Returns a study of one to six seeds with missing points and ties, of an accuracy, a loss or a perplexity."""
    rng = np.random.default_rng(draw)
    metric, of_log = [
        ('eval/MulticlassAccuracy', lambda x: 0.5 + 0.05 * x),
        ('eval/CrossEntropy', lambda x: 4 - 0.3 * x),
        ('eval/LanguagePerplexity', lambda x: math.exp(4 - 0.3 * x)),
    ][draw % 3]
    found = []
    for method in ('baseline', 'A', 'B')[: int(rng.integers(1, 4))]:
        for kind in ('standard', 'cyclic', 'branch')[: int(rng.integers(2, 4))]:
            better = rng.normal(scale=0.1)
            for seed in range(int(rng.integers(1, 7))):
                pace = 100 * rng.uniform(0.9, 1.1)
                points = []
                for epoch in (16, 32, 64, 128):
                    if rng.random() < 0.1:
                        continue
                    noise = 0.0 if draw % 5 == 0 else rng.normal(scale=0.1)
                    points.append(point(epoch, of_log(math.log(epoch) + better + noise), pace * epoch, metric))
                runs = [[one] for one in points] if kind == 'standard' else [points]
                numbered = None if draw % 7 == 0 else seed
                found += [
                    TradeoffCurve(Run(f'{method}-{kind}-{seed}-{i}', kind, method, numbered), of_run)
                    for i, of_run in enumerate(runs)
                    if of_run
                ]
    return found


def check(draws: range) -> None:
    modes = [{'mode': mode, 'axis': axis} for mode in MODES for axis in (None, 'time')]
    numbers = [assert_alike(random_curves(draw), **modes[draw % 8]) for draw in draws]
    assert sum(number > 0 for number in numbers) > len(draws) / 2


def test_random_studies():
    check(range(16))


@pytest.mark.slow
def test_three_hundred_random_studies():
    check(range(300))
