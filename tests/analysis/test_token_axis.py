"""Studies of language models: points lie along tokens, whatever an epoch is."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from composer_clr.analysis.ask import answer
from composer_clr.analysis.compare import compare
from composer_clr.analysis.pairing import Alignment
from composer_clr.curves.axes import check_counts, default_axis
from composer_clr.curves.curve import CurveError, Run, TradeoffCurve, TradeoffPoint

LOSS = 'eval/LanguageCrossEntropy'
TOKENS = [65536 * 2**k for k in range(5)]
LOSSES = [6.39, 5.82, 5.36, 5.02, 4.59]


def curve(
    method: str,
    kind: str,
    counts: list[int],
    per_epoch: float | None,
    *,
    losses: list[float] | None = None,
    metric: str = LOSS,
    seed: int = 17,
    **schedule: object,
) -> TradeoffCurve:
    points = [
        TradeoffPoint(
            cycle=i,
            epoch=None if per_epoch is None else tokens / per_epoch,
            batch=tokens // 1024,
            sample=tokens // 128,
            token=tokens,
            wall_clock_train_s=tokens / 1e4,
            wall_clock_total_s=tokens / 1e4,
            lr=0.0,
            metrics={metric: value},
            peak_metrics={metric: value},
        )
        for i, (tokens, value) in enumerate(zip(counts, losses or LOSSES[-len(counts) :], strict=True))
    ]
    return TradeoffCurve(Run(f'{method}-{kind}-{counts[-1]}', kind, method, seed, schedule=schedule), points)


def study(method: str, per_epoch: float | None, **options) -> list[TradeoffCurve]:
    alone = [
        curve(method, 'standard', [t], per_epoch, losses=[v], **options) for t, v in zip(TOKENS, LOSSES, strict=True)
    ]
    return [curve(method, 'cyclic', TOKENS, per_epoch, losses=LOSSES, **options), *alone]


class TestDefaultAxis:
    @pytest.mark.parametrize(
        ('curves', 'axis'),
        [
            (study('baseline', 2.7e6), 'token'),  # every epoch is below 1
            (study('baseline', 2.7e5), 'epoch'),
            ([*study('baseline', 2.7e5), *study('B', 2.7e4)], 'token'),  # epochs of two lengths
            (study('baseline', 2.7e5, unit='tok'), 'token'),
            (study('baseline', 2.7e5, unit='sp'), 'sample'),
            (study('baseline', 2.7e5, unit='ba', max_duration='64ba'), 'batch'),
            (study('baseline', 2.7e5, unit='ba', max_duration='8ep'), 'epoch'),
            ([*study('baseline', 2.7e5, unit='sp'), *study('B', 2.7e5, unit='tok')], 'epoch'),
            (study('baseline', None), 'token'),
        ],
    )
    def test_is_what_the_schedules_were_counted_in(self, curves, axis):
        assert default_axis(curves) == axis

    def test_runs_without_epochs_and_batches_are_counted_in_samples(self):
        curves = study('baseline', None)
        for c in curves:
            c.points = [replace(p, batch=0, token=0) for p in c.points]
        assert default_axis(curves) == 'sample'

    def test_the_axis_that_runs_with_and_without_epochs_share_is_named(self):
        curves = [*study('A', 2.7e5), *study('B', None)]
        for c in curves:
            c.points = [replace(p, token=0) for p in c.points]
        with pytest.raises(CurveError, match="run 'B.* does not: --axis batch pairs equal numbers of batches"):
            default_axis(curves)
        assert compare(curves, baseline='A', alignment=Alignment(axis='batch')).axis == 'batch'

    def test_an_axis_that_was_not_counted_is_refused(self):
        with pytest.raises(CurveError, match="run 'baseline-cyclic-1048576' counts no epochs"):
            check_counts(study('baseline', None), 'epoch')
        with pytest.raises(CurveError, match='--axis step: choose one of epoch, batch, sample, token, time'):
            check_counts(study('baseline', None), 'step')


class TestCompare:
    def test_identical_losses_at_identical_tokens_are_no_improvement(self):
        """B's corpus is 8 times smaller: by epochs it would seem to lose more than a nat."""
        curves = [*study('baseline', 2.7e6), *study('B', 2.7e6 / 8)]
        found = compare(curves)
        assert found.axis == 'token'
        assert found.methods['B'].improvement.count.tolist() == TOKENS
        assert found.methods['B'].improvement.cyclic == pytest.approx(0, abs=1e-12)
        assert found.warnings == ()

    def test_epochs_of_two_lengths_are_paired_when_asked_for_and_said_to_differ(self):
        found = compare([*study('baseline', 2.7e6), *study('B', 2.7e6 / 8)], alignment=Alignment(axis='epoch'))
        assert found.methods['B'].improvement.standard.min() < -1
        assert found.warnings == (
            'epochs differ in length: B has 337500 tokens per epoch, baseline 2.7e+06: '
            '--axis token pairs equal numbers of tokens',
        )

    def test_epochs_of_two_lengths_are_found_where_one_method_has_the_shortest_and_the_longest(self):
        curves = [*study('baseline', 2.7e5), *study('A', 2.7e4)[:1], *study('A', 1.35e6)[1:]]
        (found,) = compare(curves, alignment=Alignment(axis='epoch'), strict=False).warnings
        assert found.startswith('epochs differ in length: A has 27000 tokens per epoch, baseline 270000: ')

    def test_far_below_an_epoch_points_stay_apart(self):
        found = compare(study('baseline', 15e12), alignment=Alignment(axis='epoch'))
        assert found.methods['baseline'].gap.how == ('exact',) * 5

    def test_with_one_method_that_one_is_the_baseline(self):
        assert compare(study('GC', 2.7e6)).baseline == 'GC'
        with pytest.raises(CurveError, match="the baseline 'other' has no cyclic and no standard runs"):
            compare(study('GC', 2.7e6), baseline='other')


class TestAsk:
    def test_tokens_can_be_asked_for_where_epochs_are_the_axis(self):
        answers = answer(study('baseline', 2.7e5), within=[(524288, 'token')])
        assert answers.axis == 'time'
        assert answers.curves[0].values[0].exact == 5.02


class TestMetric:
    def test_a_language_models_loss_comes_before_an_accuracy(self):
        from composer_clr.curves.metrics import default_metric

        both = {'eval/TokenAccuracy': 0.3, 'eval/LanguagePerplexity': 100.0, LOSS: 4.6}
        point = TradeoffPoint(0, 0.1, 1, 1, 1, 1.0, 1.0, 0.0, both, {})
        assert default_metric([TradeoffCurve(Run('r', 'cyclic', 'baseline'), [point])]) == LOSS

    def test_a_label_may_be_left_out_where_one_evaluator_has_the_metric(self):
        from composer_clr.curves.metrics import full_name

        metrics = {'eval/py/Loss': 1.0, 'eval/vim/Loss': 2.0, 'eval/py/Acc': 0.5, 'averaged/eval/py/Acc': 0.6}
        curves = [TradeoffCurve(Run('r', 'cyclic', 'b'), [TradeoffPoint(0, 1.0, 1, 1, 1, 1.0, 1.0, 0.0, metrics, {})])]
        assert full_name(curves, 'Acc') == 'eval/py/Acc'
        assert full_name(curves, 'averaged/eval/py/Acc') == 'averaged/eval/py/Acc'
        with pytest.raises(
            CurveError, match='Loss: several evaluators have it: name one of eval/py/Loss, eval/vim/Loss'
        ):
            full_name(curves, 'Loss')


def test_the_commands_take_the_axis(tmp_path: Path):
    for run in [*study('baseline', 2.7e6), *study('B', 2.7e6 / 8)]:
        (tmp_path / run.run.run_name).mkdir()
        run.write(tmp_path / run.run.run_name / 'curve.json')

    def call(*arguments: str) -> str:
        command = [sys.executable, '-c', 'from composer_clr.cli.app import main; main()', *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout

    call('compare', '.', '--metric', 'LanguageCrossEntropy', '--json', 'found.json')
    found = json.loads((tmp_path / 'found.json').read_text())
    assert found['axis'] == 'token'
    assert list(found['methods']['B']['gap']['by_token']) == [str(tokens) for tokens in TOKENS]
    assert 'epochs differ in length' in call('compare', '.', '--axis', 'epoch')
    assert 'within 300k tok' in call('ask', '.', '--within', '300ktok')
