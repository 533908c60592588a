"""The arguments that an object was made with, and values as plain ones."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import deque
from functools import partial, wraps
from pathlib import Path

import numpy as np
import pytest
import torch
from composer.algorithms import EMA, BlurPool, LabelSmoothing, MixUp
from composer.core import Event, Time
from composer.loss import soft_cross_entropy
from composer.optim import ComposerScheduler
from torch.optim.lr_scheduler import ConstantLR, LambdaLR, SequentialLR

from composer_clr.schedule.times import ScheduleTime
from composer_clr.utils.arguments import arguments_of, defaults_of, plain
from tests.helpers.decorators import experimental


@experimental
class Decorated(ComposerScheduler):
    def __init__(self, t_warmup: str, alpha_f: float = 0.0, scale=1):
        self.t_warmup, self.alpha_f, self._scale = Time.from_timestring(t_warmup), alpha_f, scale

    def __call__(self, state, ssr=1.0):
        return 1.0


def logged(init):
    @wraps(init)
    def inner(*args, **kwargs):
        return init(*args, **kwargs)

    return inner


class Wrapped(Decorated):
    @logged
    def __init__(self, t_warmup, alpha_f=0.0, scale=1):
        super().__init__(t_warmup, alpha_f, scale)


class PassesOn(Decorated):
    def __init__(self, extra=3, **kwargs):
        super().__init__(**kwargs)
        self.extra = extra


class Hidden:
    """Its constructor shows no names at all."""

    def __init__(self, **kwargs):
        self.rate, self.counts, self._private, self.network = kwargs['rate'], [1, 2], 1, torch.nn.Linear(1, 1)


class Plain:
    def method(self):
        pass


@pytest.mark.parametrize(
    ('one', 'expected'),
    [
        (Decorated('1ep', 0.1), {'t_warmup': '1ep', 'alpha_f': 0.1, 'scale': 1}),
        (Wrapped('1ep', 0.1), {'t_warmup': '1ep', 'alpha_f': 0.1, 'scale': 1}),
        (PassesOn(t_warmup='1ep'), {'t_warmup': '1ep', 'alpha_f': 0.0, 'scale': 1, 'extra': 3}),
        (Hidden(rate=0.5), {'rate': 0.5, 'counts': [1, 2]}),
        (Plain(), {}),
        (LabelSmoothing(0.3), {'smoothing': 0.3, 'target_key': 1}),
        (MixUp(0.3), {'alpha': 0.3, 'interpolate_loss': False, 'input_key': 0, 'target_key': 1}),
        (torch.nn.L1Loss(), {'reduction': 'mean', 'size_average': None, 'reduce': None}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_arguments(one, expected):
    arguments = arguments_of(one)
    assert {name: arguments.get(name) for name in expected} == expected
    assert arguments.keys() <= expected.keys()
    assert json.loads(json.dumps(arguments)) == arguments


def test_arguments_that_are_times_and_defaults():
    assert arguments_of(EMA(half_life='5ba'))['half_life'] == '5ba'
    assert defaults_of(EMA())['half_life'] == '1000ba'
    assert defaults_of(BlurPool()) == arguments_of(BlurPool())
    assert defaults_of(Decorated('1ep')) == {'alpha_f': 0.0, 'scale': 1}


class NotThereYet:
    def __init__(self, rate, length=1):
        self._private = rate, length

    @property
    def rate(self):
        raise RuntimeError('not there yet')


class Slotted:
    __slots__ = ('rate',)

    def __init__(self, **kwargs):
        self.rate = kwargs['rate']


class Scaled(torch.nn.Module):
    """A loss that learns its scale."""

    def __init__(self, scale):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.tensor(scale))


def local(factor):
    return lambda outputs, targets: factor * outputs


def of_itself():
    def count(n):
        return count(n - 1) if n else 0

    return count


def of_what_is_not_there_yet():
    def read():
        return later  # type: ignore[reportUnboundVariable]

    if not read:
        later = 1
    return read


@pytest.mark.parametrize(
    ('value', 'expected'),
    [
        (1.5, 1.5),
        (float('nan'), 'nan'),
        (np.float32(0.5), 0.5),
        (Event.INIT, 'init'),
        ({3, 1, 2}, [1, 2, 3]),
        (Path('/data/images'), 'images'),
        ('/data/images', 'images'),
        ('data/images', 'data/images'),
        (soft_cross_entropy, 'soft_cross_entropy'),
        (partial(soft_cross_entropy, reduction='sum'), "soft_cross_entropy(reduction='sum')"),
        (torch.nn.ReLU, 'ReLU'),
        (torch.Generator(), 'Generator'),
        (torch.float16, 'torch.float16'),
        (torch.device('cpu'), 'device'),
        (ScheduleTime(5, 'ba'), '5ba'),
        (torch.Size([1]), [1]),
        (re.compile('a+'), "re.compile('a+')"),
        (range(3), 'range(0, 3)'),
        (b'ab', "b'ab'"),
        (deque([1]), 'deque([1])'),
        (np.random.default_rng(0), 'Generator'),
        (NotThereYet(1), 'NotThereYet'),
        (Slotted(rate=1), 'Slotted'),
        (torch.empty(2, 3, device='meta'), 'Tensor(2, 3)'),
        ({torch.nn.ReLU: 1}, {'ReLU': 1}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_plain_values(value, expected):
    assert plain(value) == expected


@pytest.mark.parametrize(
    ('one', 'other'),
    [
        (torch.ones(3), torch.zeros(3)),
        (torch.ones(3), torch.ones(4)),
        (torch.nn.CrossEntropyLoss(weight=torch.ones(2)), torch.nn.CrossEntropyLoss(weight=torch.zeros(2))),
        (local(1.0), local(2.0)),
        (lambda x: x + 1, lambda x: x + 2),
        (lambda x: [y + 1 for y in x], lambda x: [y * 2 for y in x]),
        (lambda x: (lambda y: y + 1)(x), lambda x: (lambda y: y - 1)(x)),
        (lambda x, *, a=1: x, lambda x, *, a=2: x),
        (local(torch.nn.L1Loss()), local(torch.nn.L1Loss(reduction='sum'))),
        (torch.tensor([1 + 1j]), torch.tensor([1 + 2j])),
        (torch.eye(2).to_sparse(), torch.zeros(2, 2).to_sparse()),
        ('x' * 200, 'y' * 200),
        (list(range(100)), list(range(101))),
        (partial(soft_cross_entropy, weight=torch.ones(2)), partial(soft_cross_entropy, weight=torch.zeros(2))),
    ],
)
def test_what_differs_has_another_digest(one, other):
    assert plain(one) != plain(other)
    assert len(str(plain(one))) < 200
    json.dumps(plain(one))


def test_what_is_learned_or_under_way_is_no_argument():
    assert plain(Scaled(1.0)) == plain(Scaled(2.0)) == "Scaled(scale='Parameter()')"
    assert plain(of_itself()) == plain(of_itself())
    assert plain(of_what_is_not_there_yet()) == plain(of_what_is_not_there_yet())


def test_schedulers_of_torch():
    def described(rate, count=0):
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=1.0)
        parts = [LambdaLR(optimizer, lambda t: rate * t), ConstantLR(optimizer, total_iters=4)]
        scheduler = SequentialLR(optimizer, parts, milestones=[4])
        for _ in range(count):
            optimizer.step()
            scheduler.step()
        return arguments_of(scheduler)

    assert described(1.0) == described(1.0, count=3)
    assert described(1.0) != described(2.0)
    assert described(1.0)['milestones'] == [4]


PROGRAM = """
import torch
from functools import partial
from composer_clr.utils.arguments import digest, plain
class Loss(torch.nn.Module):
    def __init__(self, inner, options): super().__init__(); self.inner, self.options = inner, options
def made(n): return lambda x: [Loss for _ in range(n) if _ in {0, 8, 'ab', 'bc'}]
print(plain([Loss(torch.nn.CrossEntropyLoss(torch.ones(3)), {0, 8, 'b', 'c'}), made(3), partial(made, object())]))
print(plain(Loss(made(2), object())), plain({Loss: 1, made: 2}), digest(f'Activation(by={object()})'))
"""


def told_by(program, capsys):
    exec(compile(program, 'elsewhere', 'exec'), {'__name__': 'elsewhere'})
    return capsys.readouterr().out


def test_digests_depend_on_no_address_and_no_order_of_a_set(capsys):
    assert list({0, 8}) != list({8, 0})
    told = told_by(PROGRAM, capsys)
    assert told_by(PROGRAM.replace('{0, 8', '{8, 0'), capsys) == told
    assert '0x' not in told


@pytest.mark.slow
def test_digests_are_the_same_in_every_process(capsys):
    elsewhere = subprocess.run([sys.executable, '-c', PROGRAM], capture_output=True, text=True, check=True)
    assert told_by(PROGRAM, capsys) == elsewhere.stdout
