import copy
import math
import pickle
import warnings

import pytest
import torch
from composer.core import Time, Timestamp
from composer.optim import CosineAnnealingWarmRestartsScheduler, CosineAnnealingWithWarmupScheduler

from composer_clr import AnytimeScheduler, CyclicCosineScheduler
from tests.helpers.reference import multipliers
from tests.helpers.trainers import at, loader


def paper(**changes) -> CyclicCosineScheduler:
    return CyclicCosineScheduler(**{'t_0': '8ep', 't_mult': 2, 't_warmup': '8ep', **changes})


def spelled(times: list[Time]) -> list[str]:
    return [str(time) for time in times]


@pytest.mark.parametrize('t_mult', [1, 1.5, 2, 3, math.sqrt(2)], ids=['1', '1.5', '2', '3', 'sqrt2'])
def test_equals_the_reference_at_every_batch_of_six_cycles(make_state, t_mult):
    state, scheduler = make_state('1000ep'), CyclicCosineScheduler('2ep', t_mult, '1ep')
    for _, batch, expected in multipliers(10, 20, t_mult, 6):
        assert scheduler(at(state, batch=batch)) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize('t_mult', [1, 2, 3])
def test_equals_composers_restarts_where_those_are_exact(make_state, t_mult):
    state = make_state('1000ep')
    scheduler, reference = CyclicCosineScheduler('20ba', t_mult), CosineAnnealingWarmRestartsScheduler('20ba', t_mult)
    for batch in range(700):
        assert scheduler(at(state, batch=batch)) == pytest.approx(reference(state), abs=1e-6)


@pytest.mark.parametrize('t_mult', [1, 2, 3])
def test_equals_torchs_restarts(make_state, t_mult):
    state, scheduler = make_state('1000ep'), CyclicCosineScheduler('20ba', t_mult)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    reference = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0=20, T_mult=t_mult)
    for batch in range(700):
        assert scheduler(at(state, batch=batch)) == pytest.approx(reference.get_last_lr()[0], abs=1e-6)
        optimizer.step()
        reference.step()


def test_first_cycle_is_composers_cosine_with_warmup_bit_for_bit(make_state):
    scheduler = CyclicCosineScheduler('7ep', 2, '3ep', alpha_f=0.01)
    reference = CosineAnnealingWithWarmupScheduler('3ep', '10ep', alpha_f=0.01)
    cyclic, standard = make_state('24ep', batches=37), make_state('10ep', batches=37)
    for batch in range(370):
        assert scheduler(at(cyclic, batch=batch)) == reference(at(standard, batch=batch))


@pytest.mark.parametrize(
    ('max_duration', 'times', 'unit'),
    [
        ('120ba', {'t_0': '20ba', 't_warmup': '10ba'}, 'ba'),
        ('12ep', {'t_0': '2ep', 't_warmup': '1ep'}, 'ba'),
        ('12ep', {'t_0': '20ba', 't_warmup': '1ep'}, 'ba'),
        ('480sp', {'t_0': '80sp', 't_warmup': '40sp'}, 'sp'),
        ('8400tok', {'t_0': '1400tok', 't_warmup': '700tok'}, 'tok'),
        ('8ep', {'t_0': '0.25dur', 't_warmup': '0.125dur'}, 'ba'),
        ('80ba', {'t_0': '0.25dur', 't_warmup': '0.125dur'}, 'ba'),
        ('80ba', {'t_0': '0.25dur', 't_warmup': '10ba'}, 'ba'),
        ('320sp', {'t_0': '0.25dur', 't_warmup': '0.125dur'}, 'sp'),
        ('5600tok', {'t_0': '0.25dur', 't_warmup': '0.125dur'}, 'tok'),
    ],
    ids=lambda value: '-'.join(value.values()) if isinstance(value, dict) else value,
)
def test_units_agree(make_state, max_duration, times, unit):
    # 10 batches an epoch, 4 samples and 70 tokens a batch: each is a warmup of 10 and a first period of 20 batches.
    scheduler, state = CyclicCosineScheduler(t_mult=1.5, **times), make_state(max_duration)
    by_batch = CyclicCosineScheduler('20ba', 1.5, '10ba')
    for batch in range(75):
        timestamp = Timestamp(epoch=batch // 10, batch=batch, sample=4 * batch, token=70 * batch)
        state.timestamp = timestamp
        # Rounded once in its own unit, finer than a batch: the trough of 10 + 20 + 30 is whole in each.
        assert scheduler(state) == pytest.approx(by_batch(state), abs=1e-9)
    per_batch = {'ba': 1, 'sp': 4, 'tok': 70}[unit]
    assert spelled(scheduler.troughs(state)[:2]) == [str(Time(n * per_batch, unit)) for n in (30, 60)]


@pytest.mark.parametrize('ssr', [0.5, 2.0, 0.25, 3.0])
@pytest.mark.parametrize('times', [{'t_0': '8ep'}, {'cycle_ends': ['16ep', '20ep', '64ep']}], ids=['t_0', 'cycle_ends'])
def test_ssr_scales_every_time(make_state, ssr, times):
    plain, scaled = make_state('64ep', 40), make_state(f'{int(64 * ssr)}ep', 40)
    scheduler = CyclicCosineScheduler(t_warmup='8ep', **times)
    for batch in range(0, 64 * 40, 4):
        expected = scheduler(at(plain, batch=batch))
        assert scheduler(at(scaled, batch=int(batch * ssr)), ssr) == pytest.approx(expected, abs=1e-9)
    assert scheduler.troughs(scaled, ssr)[-1] == Time(int(64 * 40 * ssr), 'ba')


def test_ssr_leaves_dur_to_max_duration(make_state):
    scheduler = CyclicCosineScheduler('0.25dur', 2, '0.25dur')
    assert spelled(scheduler.troughs(make_state('32ep'), ssr=0.5)) == spelled(scheduler.troughs(make_state('32ep')))


def test_first_call_precedes_the_scaling_of_max_duration(make_state):
    # The Trainer's constructor asks with the ratio but max_duration unscaled; 4ep would pass the first trough then.
    scheduler = CyclicCosineScheduler(cycle_ends=['0.5dur', '1dur'], t_warmup='4ep')
    assert scheduler(make_state('4ep'), ssr=4.0) == 0.0
    assert spelled(scheduler.troughs(make_state('16ep'), ssr=1.0)) == ['80ba', '160ba']


def test_loader_without_length(make_state):
    state, scheduler = make_state('7000tok', batches=None), CyclicCosineScheduler('1000tok', 2, '0tok')
    state.timestamp = Timestamp(batch=1, token=500)
    assert scheduler(state) == pytest.approx(0.5)
    assert scheduler.troughs(state)[-1] == Time(7000, 'tok')


@pytest.mark.parametrize(
    ('max_duration', 'parts'),
    [
        (
            '60ep',
            ["max_duration='60ep'", 'middle of a cycle', "last whole trough is at '32ep'", "nearest .* is '64ep'"],
        ),
        ('40ep', ["last whole trough is at '32ep'", "nearest .* is '32ep'"]),
        ('10ep', ['it reaches no trough', "nearest .* is '16ep'"]),
        ('645ba', ["max_duration='645ba'", "nearest .* is '64ep'"]),
    ],
)
def test_warns_of_a_run_cut_in_the_middle_of_a_cycle(make_state, max_duration, parts):
    state = make_state(max_duration, scheduler=paper())
    state.optimizers[0].step()
    with pytest.warns(UserWarning, match='.*'.join(parts)):
        state.schedulers[0].step()


def test_warns_of_training_past_the_last_trough(make_trainer):
    trainer = make_trainer(schedulers=CyclicCosineScheduler(cycle_ends=['1ep', '2ep']), max_duration='3ep')
    with pytest.warns(UserWarning, match="stops after the last cycle.*last whole trough is at '2ep'.*is '2ep'"):
        trainer.fit()


@pytest.mark.parametrize('ssr', [0.5, 1.0, 1.5])
def test_a_run_that_ends_on_its_last_trough_raises_no_warning(make_trainer, ssr):
    scheduler = CyclicCosineScheduler('2ep', 1, '2ep')
    trainer = make_trainer(
        schedulers=scheduler, max_duration='4ep', scale_schedule_ratio=ssr, train_dataloader=loader(8)
    )
    with warnings.catch_warnings():
        warnings.simplefilter('error', UserWarning)
        trainer.fit()
    assert scheduler.troughs(trainer.state, ssr)[-1] == trainer.state.timestamp.batch


@pytest.mark.parametrize(
    ('arguments', 'match'),
    [
        pytest.param({'t_0': '0ep'}, "t_0='0ep'.*above 0", id='no-period'),
        pytest.param({'t_0': '-1ep'}, "t_0='-1ep'.*above 0", id='negative-period'),
        pytest.param({}, "t_0 is missing.*'8ep'", id='no-t_0'),
        pytest.param({'t_0': 8}, "t_0=8 has no unit.*'8ep'", id='unitless'),
        pytest.param({'t_0': '8ep', 't_mult': 0.5}, 't_mult=0.5.*>= 1', id='shrinking'),
        pytest.param({'t_0': '8ep', 't_mult': math.nan}, 't_mult=nan.*>= 1', id='nan'),
        pytest.param({'t_0': '8ep', 't_mult': '2'}, "t_mult='2'", id='t_mult-a-string'),
        pytest.param({'t_0': '8ep', 't_warmup': '-1ep'}, "t_warmup='-1ep'.*negative", id='negative-warmup'),
        pytest.param({'t_0': '8ep', 'alpha_f': 1.5}, 'alpha_f=1.5.*between 0 and 1', id='alpha_f'),
        pytest.param({'cycle_ends': []}, r'cycle_ends=\[\].*at least one', id='no-ends'),
        pytest.param({'cycle_ends': '16ep'}, "cycle_ends='16ep'.*a list", id='ends-a-string'),
        pytest.param({'cycle_ends': ['16ep', '16ep']}, 'cycle_ends=.*strictly increasing', id='twice'),
        pytest.param({'cycle_ends': ['0ep', '8ep']}, 'cycle_ends=.*after the start', id='end-at-zero'),
        pytest.param({'cycle_ends': ['8ep', 16]}, r'cycle_ends\[1\]=16 has no unit', id='unitless-end'),
        pytest.param({'t_0': '8ep', 'cycle_ends': ['16ep']}, "leave out t_0='8ep' or cycle_ends", id='both'),
        pytest.param({'t_mult': 3, 'cycle_ends': ['16ep']}, 'leave out t_mult=3 or cycle_ends', id='ends-and-ratio'),
        pytest.param(
            {'t_warmup': '16ep', 'cycle_ends': ['16ep']}, "t_warmup='16ep'.*before the first trough", id='long-warmup'
        ),
    ],
)
def test_refused_on_construction(arguments, match):
    with pytest.raises(ValueError, match=match):
        CyclicCosineScheduler(**arguments)


@pytest.mark.parametrize(
    ('arguments', 'state', 'match'),
    [
        pytest.param(
            {'t_0': '8ep', 't_warmup': '100sp'}, {}, "t_warmup='100sp' and t_0='8ep' cannot be converted", id='units'
        ),
        pytest.param({'cycle_ends': ['8ep', '90tok']}, {}, r"cycle_ends\[1\]='90tok'.*cannot be converted", id='ends'),
        pytest.param(
            {'t_0': '8ep'}, {'batches': None, 'max_duration': '9ba'}, "t_0='8ep' needs.*length", id='no-length'
        ),
        pytest.param({'t_0': '0.5dur'}, {'max_duration': None}, "t_0='0.5dur'.*not set", id='no-duration'),
        pytest.param({'t_0': '0.001dur'}, {'max_duration': '5ep'}, "t_0='0.001dur'.*at least 1ba", id='below-a-batch'),
        pytest.param(
            {'cycle_ends': ['80ba', '64ep'], 't_warmup': '8ep'},
            {},
            "t_warmup='8ep'.*before the first",
            id='long-warmup',
        ),
        pytest.param({'cycle_ends': ['16ep', '100ba']}, {}, r"come to \['160ba', '100ba'\]", id='unordered-in-batches'),
    ],
)
def test_refused_on_first_use(make_state, arguments, state, match):
    with pytest.raises(ValueError, match=match):
        CyclicCosineScheduler(**arguments)(make_state(**state))


def test_two_restart_schedulers_are_refused(make_trainer):
    trainer = make_trainer(schedulers=[paper(), CosineAnnealingWarmRestartsScheduler('1ep')])
    with pytest.raises(ValueError, match='2 schedulers, of which Composer applies only the last'):
        trainer.fit()


def test_tokens_where_batches_have_none_are_refused(make_trainer):
    trainer = make_trainer(schedulers=CyclicCosineScheduler('100tok'))
    with pytest.raises(ValueError, match="counted in 'tok', but the batches so far have none"):
        trainer.fit()


def test_troughs_need_a_duration_in_the_same_unit(make_state):
    with pytest.raises(ValueError, match="max_duration=.* cannot be counted in 'sp'"):
        CyclicCosineScheduler('8sp').troughs(make_state('8ep'))


@pytest.mark.parametrize(
    'scheduler',
    [paper(alpha_f=0.1), CyclicCosineScheduler(cycle_ends=['16ep', '24ep'], t_warmup='1ep')],
    ids=['t_0', 'cycle_ends'],
)
def test_repr_makes_the_same_schedule_again(make_state, scheduler):
    again = eval(repr(scheduler))
    assert again.troughs(make_state()) == scheduler.troughs(make_state())
    assert again.describe() == scheduler.describe()


def piped(scheduler: CyclicCosineScheduler) -> CyclicCosineScheduler:
    return pickle.loads(pickle.dumps(scheduler))


@pytest.mark.parametrize('copied', [copy.copy, copy.deepcopy, piped])
@pytest.mark.parametrize(
    'scheduler',
    [
        CyclicCosineScheduler('2ep', 1.5),
        CyclicCosineScheduler(cycle_ends=['3ep', '5ep', '9ep'], t_hold=0.5),
        AnytimeScheduler(['3ep', '5ep', '9ep'], rate='1/sqrt', a='2ep'),
    ],
    ids=['t_0', 'cycle_ends', 'marks'],
)
def test_a_used_scheduler_is_copied(make_state, copied, scheduler):
    state = make_state('64ep')
    scheduler(at(state, batch=21))
    other = copied(scheduler)
    assert [other(at(state, batch=t)) for t in range(600)] == [scheduler(at(state, batch=t)) for t in range(600)]
