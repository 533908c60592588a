"""The texts of a figure: metrics as people write them, and names of any length and script."""

import warnings

import matplotlib.pyplot as plt
import pytest

from composer_clr.figures.paper import draw
from composer_clr.figures.text import metric_label, write_texts
from tests.helpers.runs_and_lines import run, standard_runs


@pytest.mark.parametrize(
    ('metric', 'label'),
    [
        ('eval/MulticlassAccuracy', 'top-1 accuracy'),
        ('top1', 'top-1 accuracy'),
        ('top-1 acc', 'top-1 accuracy'),
        ('acc@5', 'top-5 accuracy'),
        ('eval/BinaryAccuracy', 'accuracy'),
        ('eval/LanguageCrossEntropy', 'cross entropy'),
        ('ppl', 'perplexity'),
        ('fast-cycles/eval/MulticlassAccuracy', 'top-1 accuracy, fast-cycles'),
        ('top1_end', 'top1 end'),
        ('eval/MulticlassCalibrationError', 'multiclass calibration error'),
        ('RMSE', 'RMSE'),
        ('', ''),
    ],
)
def test_a_metric_as_people_write_it(metric, label):
    assert metric_label(metric) == label


def legend(*names: str) -> list[str]:
    figure, ax = plt.subplots()
    texts = [ax.text(0, index, name) for index, name in enumerate(names)]
    write_texts(figure)
    return [text.get_text() for text in texts]


def test_long_names_lose_their_middle_and_stay_different():
    long = [f'{"x" * 40}{digit}{"y" * 40}' for digit in '123']
    short = legend(*long, 'short')
    assert [len(name) for name in short] == [44, 44, 44, 5]
    assert len(set(short)) == 4
    assert all(name.startswith('xxxx') and name.endswith('yyyy') for name in short[:3])


def test_a_script_that_no_font_has_is_written_as_codes():
    with pytest.warns(UserWarning, match='no installed font has .*: written as codes; install a font'):
        assert legend('\U0001f9ff a', 'größe') == ['<1F9FF> a', 'größe']


def test_dollars_and_control_characters_are_literal():
    figure, ax = plt.subplots()
    text = ax.text(0, 0, '$\\frac{\x1b[2J')
    write_texts(figure)
    assert text.get_text() == '$\\frac{ [2J'
    figure.draw_without_rendering()


@pytest.mark.parametrize('name', ['$\\frac{$', '\U0001f9ff'])
def test_a_figure_of_any_name_is_drawn_with_one_warning_at_most(name):
    points = [(4, 0.5), (8, 0.6), (16, 0.7)]
    curves = [run(name, 'cyclic', points), *standard_runs(name, points)]
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter('always')
        draw('1C', curves)
    expected = [] if name.startswith('$') else ["no installed font has '\U0001f9ff'"]
    assert [str(warning.message).split(':')[0] for warning in warned] == expected
