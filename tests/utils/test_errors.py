"""Hints that are near in meaning, or none."""

import pytest

from composer_clr.utils.errors import did_you_mean

OPTIMIZERS = ['SGD', 'Adam', 'AdamW', 'RMSprop', 'DecoupledSGDW', 'DecoupledAdamW']


@pytest.mark.parametrize(
    ('name', 'known', 'expected'),
    [
        ('DecoupledSGD', OPTIMIZERS, 'DecoupledSGDW'),
        ('sgd', OPTIMIZERS, 'SGD'),
        ('SGDW', OPTIMIZERS, 'DecoupledSGDW'),
        ('Lion', OPTIMIZERS, None),
        ('eval/Acc', ['eval/MulticlassAccuracy', 'eval/CrossEntropy'], 'eval/MulticlassAccuracy'),
        ('quickstart/digit', ['quickstart/digits', 'resnet50_imagenet/baseline'], 'quickstart/digits'),
        ('M', ['LS', 'LS+MX', 'MX'], 'MX'),
        ('BlurPol', ['BlurPool', 'MixUp'], 'BlurPool'),
        ('tesnet50', ['resnet50', 'resnet101'], 'resnet50'),
        ('', [], None),
        ('?', ['seed'], None),
    ],
)
def test_the_nearest_name(name, known, expected):
    assert did_you_mean(name, known) == ('' if expected is None else f', did you mean {expected!r}?')
