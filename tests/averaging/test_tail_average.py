"""Averages of any tail, against every iterate kept and added up."""

import math
from collections.abc import Mapping

import pytest
import torch

from composer_clr.averaging.averages import DecayingAverage, TailAverages
from composer_clr.schedule.averages import DECAYS, Window, most_open, tail


def iterates(count: int) -> list[dict[str, torch.Tensor]]:
    generator = torch.Generator().manual_seed(0)
    return [
        {'w': torch.randn(5, 3, generator=generator), 'b': torch.randn(3, generator=generator)} for _ in range(count)
    ]


def slow(weights: list[dict], shares: Mapping[int, float]) -> dict[str, torch.Tensor]:
    """The formula, term by term, in 64 bits; the weights after step t are at index t - 1."""
    total = math.fsum(shares.values())
    return {
        name: torch.stack([part / total * weights[t - 1][name].double() for t, part in shares.items()]).sum(0)
        for name in weights[0]
    }


def log_spaced(first: int, last: int, count: int) -> list[int]:
    return sorted({round(first * (last / first) ** (i / (count - 1))) for i in range(count)})


@pytest.mark.parametrize('decay', DECAYS)
@pytest.mark.parametrize('fraction', [0.1, 0.25, 1.0])
def test_equal_to_averages_of_every_iterate(decay, fraction):
    weights, marks = iterates(200), log_spaced(10, 200, 20)
    averages = TailAverages([tail(mark, fraction) for mark in marks], decay)
    for t, w in enumerate(weights):
        averages.add(w, t, t + 1)
        if t + 1 in marks:
            count = max(1, round(fraction * (t + 1)))
            d = DECAYS[decay]
            shares = {t + 1 - count + j: d((j - 1) / count) - d(j / count) for j in range(1, count + 1)}
            for name, wanted in slow(weights, shares).items():
                assert torch.allclose(averages.mean(t + 1)[name].double(), wanted, atol=1e-6)
            averages.close(t + 1)
    assert averages.state_dict() == {}


def test_fifty_marks_need_five_copies_and_change_no_average():
    many = log_spaced(64, 2048, 50)
    few = many[::7]
    averages = {tuple(marks): TailAverages([tail(m, 0.25) for m in marks]) for marks in (few, many)}
    most = dict.fromkeys(averages, 0)
    for t, w in enumerate(iterates(2048)):
        for marks, one in averages.items():
            one.add(w, t, t + 1)
            most[marks] = max(most[marks], len(one.state_dict()))
        if t + 1 in few:
            a, b = (one.mean(t + 1) for one in averages.values())
            assert all(torch.equal(a[name], b[name]) for name in a)
        for one in averages.values():
            one.close(t + 1)
    assert list(most.values()) == [1, 5]
    assert [most_open(tail(m, 0.25) for m in marks) for marks in (few, many)] == [1, 5]


def test_steps_of_uneven_length_count_by_it():
    weights = iterates(4)
    averages = TailAverages([Window(10, 20)])
    steps = [(0, 11), (11, 12), (12, 17), (17, 23)]
    for w, step in zip(weights, steps, strict=True):
        averages.add(w, *step)
    for name, wanted in slow(weights, {1: 1, 2: 1, 3: 5, 4: 3}).items():
        assert torch.allclose(averages.mean(20)[name].double(), wanted, atol=1e-6)


@pytest.mark.parametrize('fraction', [0.05, 0.25, 2.0])
def test_the_half_life_grows_with_the_time(fraction):
    weights, average = iterates(60), DecayingAverage(fraction)
    for t, w in enumerate(weights, start=1):
        average.add(w, t - 1, t)
        # Every step since has taken its own part of the weights of step s.
        shares = {s: math.prod(0.5 ** (1 / (fraction * u)) for u in range(s + 1, t + 1)) for s in range(1, t + 1)}
        for name, wanted in slow(weights, shares).items():
            assert torch.allclose(average.mean(t)[name].double(), wanted, atol=1e-6)


@pytest.mark.parametrize('make', [lambda: TailAverages([Window(1, 8), Window(4, 9)]), lambda: DecayingAverage(0.25)])
def test_stopped_and_taken_up_again_bit_for_bit(make, tmp_path):
    weights = iterates(9)
    whole, first, second = make(), make(), make()
    for t, w in enumerate(weights):
        whole.add(w, t, t + 1)
        (first if t < 6 else second).add(w, t, t + 1)
        if t == 5:
            torch.save(first.state_dict(), tmp_path / 'state.pt')
            assert second.missing(6)
            devices = {name: tensor.device for name, tensor in w.items()}
            second.load_state_dict(torch.load(tmp_path / 'state.pt', weights_only=True), devices)
            assert not second.missing(6)
    assert all(torch.equal(tensor, second.mean(9)[name]) for name, tensor in whole.mean(9).items())


@pytest.mark.parametrize(
    'make', [lambda on: TailAverages([Window(0, 9)], device=on), lambda on: DecayingAverage(1, on)]
)
@pytest.mark.parametrize(('device', 'where'), [('cpu', 'cpu'), (None, 'meta')])
def test_copies_are_loaded_to_where_they_are_kept(make, device, where):
    first, second = make(None), make(device)
    first.add({'w': torch.ones(2)}, 0, 1)
    second.load_state_dict(first.state_dict(), {'w': torch.device('meta')})
    assert second.mean(9)['w'].device.type == where


def test_an_average_of_another_window_is_not_taken_over():
    first, second = TailAverages([Window(2, 9)]), TailAverages([Window(4, 9)])
    for t, w in enumerate(iterates(6)):
        first.add(w, t, t + 1)
    second.load_state_dict(first.state_dict(), {})
    assert second.missing(6) == [Window(4, 9)]


def test_weights_of_few_bits_are_averaged_in_32_and_whole_numbers_left_out():
    averages = TailAverages([Window(0, 3000)])
    for t in range(3000):
        value = torch.tensor(1.0 + t % 2, dtype=torch.bfloat16)
        averages.add({'w': value, 'n': torch.tensor(t)}, t, t + 1)
    mean = averages.mean(3000)
    assert set(mean) == {'w'}
    assert mean['w'].dtype == torch.float32
    assert float(mean['w']) == pytest.approx(1.5, abs=1e-4)


def test_complex_weights_are_averaged_too():
    averages = TailAverages([Window(0, 2)])
    for t, value in enumerate([1 + 2j, 3 - 4j]):
        averages.add({'w': torch.tensor(value)}, t, t + 1)
    assert averages.mean(2)['w'] == torch.tensor(2 - 1j)


def test_the_weights_are_copied():
    averages, weights = TailAverages([Window(0, 2)], device='cpu'), {'w': torch.ones(2)}
    averages.add(weights, 0, 1)
    weights['w'] += 2
    averages.add(weights, 1, 2)
    assert averages.mean(2)['w'].tolist() == [2.0, 2.0]
    assert weights['w'].tolist() == [3.0, 3.0]
