import pytest
import torchmetrics
from torchmetrics import classification, clustering, detection, image, nominal, regression, retrieval, text

from composer_clr.curves.curve import CurveError, Run, TradeoffCurve, TradeoffPoint
from composer_clr.curves.metrics import default_metric, is_fraction, is_lower_better, study_direction
from tests.helpers.runs_and_lines import ACC

LESS = """eval/LanguageCrossEntropy eval/LanguagePerplexity WordErrorRate eval/loss eval/loss_by_class/0 loss/val
    val_loss/epoch eval/ppl eval/perplexity eval/nll eval/mse eval/MAE eval/rmse eval/wer eval/fid eval/bpb
    eval/top1_error error/top1 ErrorTop5 err_rate/val eval/NegativeLogLikelihood LogCoshError MSELoss accuracy/loss
    eval/BinaryEER eval/SpectralDistortionIndex"""
MORE = """eval/MulticlassAccuracy loss-study/MulticlassAccuracy eval/flossy eval/glossary/3 top1 eval/error_or_accuracy
    eval/F1 word_info_preserved eval/SignalDistortionRatio"""


@pytest.mark.parametrize(
    ('metric', 'is_less'),
    [(name, is_less) for names, is_less in ((LESS, True), (MORE, False)) for name in names.split()],
)
def test_the_direction_comes_from_the_words_of_all_parts_of_the_name(metric, is_less):
    assert is_lower_better(metric) is is_less


def test_the_direction_is_that_which_each_metric_of_torchmetrics_states():
    modules = (torchmetrics, classification, clustering, detection, image, nominal, regression, retrieval, text)
    stated = {
        name: metric.higher_is_better
        for module in modules
        for name, metric in vars(module).items()
        if isinstance(metric, type) and isinstance(getattr(metric, 'higher_is_better', None), bool)
    }
    assert len(stated) > 120
    wrong = {name for name, higher in stated.items() if is_lower_better(f'eval/{name}') is higher}
    # The first is a table of rates, of which none is best; of the others torchmetrics states the opposite.
    assert wrong == {'BinaryGroupStatRates', 'SpectralDistortionIndex', 'WordInfoPreserved'}


def test_a_stated_direction_comes_first():
    directions = {'eval/F1': 'min', 'eval/loss': 'max'}
    assert is_lower_better('eval/F1', directions)
    assert is_lower_better('eval/F1/0', directions)
    assert is_lower_better('averaged/eval/F1', directions)
    assert not is_lower_better('eval/loss', directions)
    assert not is_lower_better('eval/F11', directions)


def test_the_direction_of_a_study_is_as_asked_for_else_as_its_runs_record_it():
    def curve(name, **directions):
        return TradeoffCurve(Run(name, 'cyclic', 'baseline', directions=directions), [])

    assert study_direction([curve('a'), curve('b', F1='min')], 'eval/F1')
    assert not study_direction([curve('a')], 'eval/F1')
    assert study_direction([], 'eval/loss')
    assert not study_direction([curve('a', F1='min')], 'F1', lower_is_better=False)
    disagreeing = [curve('a', F1='max'), curve('b', F1='min')]
    with pytest.raises(CurveError, match="F1: more is better in run 'a', less in run 'b': give --lower-is-better"):
        study_direction(disagreeing, 'F1')
    assert study_direction(disagreeing, 'F1', lower_is_better=True)


@pytest.mark.parametrize(
    ('metric', 'values', 'expected'),
    [
        ('eval/MulticlassAccuracy', [0, 1], True),
        ('eval/MulticlassAccuracy', [71.0, 76.0], False),
        ('eval/CrossEntropy', [0.9, 0.4], False),
        ('eval/MeanSquaredError', [0.9, 0.4], False),
        ('eval/WordErrorRate', [0.9, 0.4], True),
        ('eval/wer', [0.9, 0.4], True),
        ('top1_error/val', [0.9, 0.4], True),
        ('loss/val', [0.9, 0.4], False),
        ('eval/reward', [-0.1, 0.4], False),
        ('eval/MulticlassAccuracy', [-0.01, 0.4], True),
        ('eval/MulticlassAccuracy', [0.9, 1.0000001], True),
    ],
)
def test_fractions_are_recognised_by_name_and_values(metric, values, expected):
    assert is_fraction(metric, values) is expected


def measuring(*names, points=1, peak=()):
    made = [
        TradeoffPoint(i, i + 1.0, 0, 0, 0, 1.0, 1.0, 0.0, dict.fromkeys(names, 0.5), dict.fromkeys(peak, 0.5))
        for i in range(points)
    ]
    return TradeoffCurve(Run('r', 'cyclic', 'MX'), made)


class TestDefaultMetric:
    @pytest.mark.parametrize(
        'names',
        [
            f'eval/loss *{ACC}',
            'lr batch_size val_loss *top1',
            'loss *acc',
            'val_loss *val_acc',
            'valLoss *valAcc',
            'loss top5 *top-1',
            'acc@5 *acc@1',
            'eval/top5_acc *eval/top1_acc',
            'train/accuracy *val/accuracy',
            f'averaged/{ACC} *{ACC}',
            'top1_error *accuracy',
            '*eval/MulticlassF1Score',
            'index lr step learning_rate *loss',
            '*eval/BinaryAccuracy eval/CrossEntropy',
            f'eval/LanguagePerplexity *eval/LanguageCrossEntropy {ACC}',
            'lr time/epoch *val_loss/epoch',
            'vacc account',
            'lr step',
            'loss f1',
        ],
    )
    def test_an_accuracy_else_the_only_metric(self, names):
        """The one that is taken has a star; without one, none can be."""
        measured = measuring(*names.replace('*', '').split())
        if '*' not in names:
            with pytest.raises(CurveError):
                default_metric([measured])
        else:
            assert default_metric([measured]) == names.partition('*')[2].split()[0]

    def test_an_empty_cell_does_not_change_it(self):
        assert default_metric([measuring('loss', 'top1', points=3), measuring('loss')]) == 'top1'
        assert default_metric([measuring('loss'), measuring('loss', 'top1')]) == 'top1'
        assert default_metric([measuring('top5'), measuring('top5', 'top1')]) == 'top1'
        assert default_metric([measuring('Unnamed: 0', 'loss')]) == 'loss'

    def test_of_several_the_one_that_most_runs_have(self):
        own = measuring(ACC, 'eval/CrossEntropy')
        assert default_metric([measuring('val_accuracy', points=9), own, own]) == ACC
        assert default_metric([measuring('val_accuracy'), own]) == 'val_accuracy'
        assert default_metric([measuring('top1'), *[measuring('train/accuracy')] * 2]) == 'top1'

    def test_the_candidates_are_named(self):
        with pytest.raises(CurveError, match=r'no metric is an accuracy: name one of them \(--metric\): loss, f1$'):
            default_metric([measuring('lr', 'loss', 'f1')])
        with pytest.raises(CurveError, match=r': m0, m1, .*, m10, \.\.\., m1999 \(2,000 in all\)$'):
            default_metric([measuring(*(f'm{i}' for i in range(2000)))])

    def test_peaks(self):
        assert default_metric([measuring('top1', 'loss', peak=['loss'])], peak=True) == 'loss'
        with pytest.raises(CurveError, match='the runs have no peak metric: name runs that were evaluated'):
            default_metric([measuring('top1')], peak=True)
        with pytest.raises(CurveError, match='no points to compare: name runs that have passed a trough'):
            default_metric([])
