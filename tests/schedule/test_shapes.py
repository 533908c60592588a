"""Shapes of cycles other than the cosine: the scheduler, the recipe and the record of a run agree."""

import math
from fractions import Fraction
from itertools import pairwise

import pytest
from composer.core import Time

from composer_clr import CyclicCosineScheduler, ParetoSnapshot
from composer_clr.curves.names import shaped_kind
from composer_clr.recipes.load import load_recipe
from composer_clr.recipes.planned_cycles import recipe_cycles
from composer_clr.schedule.cycle_ends import ends_by_ratio, ends_log_spaced
from composer_clr.schedule.cycles import Cycles, geometric_ends, multiplier_line
from composer_clr.schedule.shapes import COSINE, SHAPES, CycleShape, Stretch, linear
from composer_clr.study.recorded_schedule import recorded_schedule
from composer_clr.training.build import _schedule
from tests.helpers.reference import shaped_multipliers
from tests.helpers.trainers import at

BOUNDS = [20, 40, 80, 160]
ONES = [1.0, 1.0, 1.0]

# Arguments of the scheduler, and of the reference.
CASES = [
    pytest.param({'shape': 'linear'}, {'decay': 'linear'}, id='linear'),
    pytest.param({'shape': '1-sqrt'}, {'decay': '1-sqrt'}, id='1-sqrt'),
    pytest.param({'shape': 'triangle'}, {'decay': 'triangle'}, id='triangle'),
    pytest.param({'peak_decay': 0.5}, {'peaks': [1.0, 0.5, 0.25]}, id='peaks-halve'),
    pytest.param({'peak_decay': [0.8, 0.5]}, {'peaks': [1.0, 0.8, 0.4]}, id='peaks-listed'),
    pytest.param({'peak_decay': 'sqrt'}, {'peaks': [1.0, math.sqrt(1 / 2), 0.5]}, id='peaks-sqrt'),
    pytest.param({'t_rewarmup': '6ba'}, {'rise': 6}, id='rewarmup'),
    pytest.param({'t_rewarmup': '1ep'}, {'rise': 10}, id='rewarmup-in-epochs'),
    pytest.param({'t_rewarmup': 0.25}, {'rise': Fraction(1, 4)}, id='rewarmup-a-part'),
    pytest.param({'t_hold': '16ba'}, {'hold': 16}, id='hold'),
    pytest.param({'t_hold': '0.0625dur'}, {'hold': 10}, id='hold-of-the-duration'),
    pytest.param({'t_hold': 0.9, 'shape': '1-sqrt'}, {'hold': Fraction(9, 10), 'decay': '1-sqrt'}, id='wsd-s'),
    pytest.param(
        {'shape': 'linear', 'peak_decay': 'sqrt', 't_rewarmup': 0.1, 't_hold': '7ba'},
        {'decay': 'linear', 'peaks': [1.0, math.sqrt(1 / 2), 0.5], 'rise': Fraction(1, 10), 'hold': 7},
        id='all-at-once',
    ),
]


@pytest.mark.parametrize('alpha_f', [0.0, 0.1])
@pytest.mark.parametrize(('arguments', 'reference'), CASES)
def test_equals_the_reference_at_every_batch(make_state, arguments, reference, alpha_f):
    state, reference = make_state('16ep'), {'decay': 'cosine', 'peaks': ONES, 'alpha_f': alpha_f, **reference}
    scheduler = CyclicCosineScheduler('2ep', 2, '2ep', alpha_f, **arguments)
    for batch, expected in shaped_multipliers(BOUNDS, **reference):
        assert scheduler(at(state, batch=batch)) == pytest.approx(expected, abs=1e-9)
    assert scheduler.troughs(state) == [Time(trough, 'ba') for trough in BOUNDS[1:]]
    # Without a warmup, and past the last of the troughs by name.
    scheduler = CyclicCosineScheduler(cycle_ends=['20ba', '60ba', '140ba'], alpha_f=alpha_f, **arguments)
    if arguments.get('peak_decay') == 'sqrt':
        reference = {**reference, 'peaks': [1.0, math.sqrt(20 / 40), math.sqrt(20 / 80)]}
    for batch, expected in shaped_multipliers([0, 20, 60, 140], **reference):
        assert scheduler(at(state, batch=batch)) == pytest.approx(expected, abs=1e-9)
    assert scheduler(at(state, batch=150)) == alpha_f


@pytest.mark.parametrize('name', SHAPES)
def test_every_shape_comes_down_to_alpha_f_and_never_rises_in_its_decay(make_state, name):
    scheduler = CyclicCosineScheduler(cycle_ends=['1000ba', '2000ba'], alpha_f=0.1, shape=name, peak_decay=0.9)
    cycles = scheduler.schedule(make_state('2000ba')).cycles
    values = [cycles.multiplier(1000 + t, 0.1) for t in range(1000)]
    fall = values[500:] if name == 'triangle' else values
    assert max(values) == fall[0] == 0.9
    assert all(later < earlier for earlier, later in pairwise(fall))
    # 1-sqrt is flat at its end, but not as flat as the cosine.
    assert fall[-1] == pytest.approx(0.1, abs=2e-3)


def test_the_defaults_are_the_plain_cosine_bit_for_bit(make_state):
    plain, state = Cycles(20, geometric_ends(20, 20, 2)), make_state('16ep')
    named = CyclicCosineScheduler('2ep', 2, '2ep', shape='cosine', peak_decay=None, t_rewarmup=None, t_hold=None)
    assert named.schedule(state).cycles.shape == COSINE
    for batch in range(160):
        assert named(at(state, batch=batch)) == plain.multiplier(batch)


@pytest.mark.parametrize('ssr', [0.5, 2.0])
@pytest.mark.parametrize('arguments', [{'t_hold': '1ep', 't_rewarmup': '2ba'}, {'t_hold': 0.5}], ids=['times', 'parts'])
def test_ssr_scales_the_lengths_too(make_state, ssr, arguments):
    plain, scaled = make_state('16ep', 20), make_state(f'{int(16 * ssr)}ep', 20)
    scheduler = CyclicCosineScheduler('2ep', 2, '2ep', **arguments)
    for batch in range(0, 320, 2):
        expected = scheduler(at(plain, batch=batch))
        assert scheduler(at(scaled, batch=int(batch * ssr)), ssr) == pytest.approx(expected, abs=1e-9)


STANDARD = [
    pytest.param(['schedule.shape=linear'], id='linear'),
    pytest.param(['schedule.shape=1-sqrt', 'schedule.t_hold=0.9'], id='wsd-s'),
    pytest.param(['schedule.t_hold=1ep'], id='hold'),
    pytest.param(['schedule.shape=triangle'], id='triangle'),
    pytest.param(['schedule.peak_decay=0.5', 'schedule.t_rewarmup=1ep'], id='what-comes-after-the-first-cycle'),
]


@pytest.mark.parametrize('overrides', STANDARD)
def test_the_first_cycle_is_the_standard_run_bit_for_bit(make_state, overrides):
    cyclic, standard = (
        _schedule(load_recipe('quickstart/digits', [f'schedule.kind={kind}', *overrides]).schedule)
        for kind in ('cyclic', 'standard')
    )
    long, short = make_state('64ep', 7), make_state('4ep', 7)
    assert [cyclic(at(long, batch=t)) for t in range(28)] == [standard(at(short, batch=t)) for t in range(28)]


@pytest.mark.parametrize(
    'arguments', [case.values[0] for case in CASES if case.id in ('triangle', 'hold', 'all-at-once')]
)
def test_recipe_and_record_have_the_schedulers_shape(make_trainer, arguments):
    scheduler = CyclicCosineScheduler('2ep', 2, '2ep', 0.1, **arguments)
    snapshot = ParetoSnapshot(folder='out', save_weights=False)
    trainer = make_trainer(schedulers=scheduler, callbacks=snapshot, max_duration='8ep')
    trainer.fit()
    assert snapshot.curve.run.kind == shaped_kind('cyclic', arguments)
    recorded = recorded_schedule(snapshot.curve).cycles
    overrides = [f'schedule.{name}={value}' for name, value in arguments.items()]
    if 'ba' in str(arguments):
        overrides += [f'schedule.{name}=20ba' for name in ('t_0', 't_warmup')]
    recipe = load_recipe(
        'quickstart/digits', [*overrides, f'max_duration={"80ba" if "ba" in str(arguments) else "8ep"}']
    )
    from_recipe, per = recipe_cycles(recipe).cycles, 1 if 'ba' in str(arguments) else 10
    state = trainer.state
    for batch in range(80):
        expected = scheduler(at(state, batch=batch))
        assert recorded.multiplier(batch, 0.1) == expected
        assert from_recipe.multiplier(batch / per, 0.1) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ('arguments', 'match'),
    [
        pytest.param({'shape': 'cosin'}, "shape='cosin'.*did you mean 'cosine'", id='shape'),
        pytest.param({'peak_decay': 0}, 'peak_decay=0: give a factor above 0', id='peak-0'),
        pytest.param({'peak_decay': 'squrt'}, "peak_decay='squrt': give a factor.*'sqrt'", id='peak-rule'),
        pytest.param({'peak_decay': [0.5, '1']}, r"peak_decay=\[0.5, '1'\]: give a factor", id='peak-list'),
        pytest.param({'t_hold': 1.0}, 't_hold=1.0: a part of each cycle', id='hold-all'),
        pytest.param({'t_hold': True}, 't_hold=True: a part of each cycle', id='hold-true'),
        pytest.param({'t_rewarmup': '-1ep'}, "t_rewarmup='-1ep': a length cannot be negative", id='rewarmup-negative'),
        pytest.param({'t_hold': 0.6, 't_rewarmup': 0.4}, 't_rewarmup=0.4 and t_hold=0.6 .*leave no decay', id='parts'),
        pytest.param({'shape': 'triangle', 't_hold': 0.5}, "t_hold with shape='triangle'", id='triangle-hold'),
        pytest.param({'shape': 'triangle', 't_rewarmup': '1ep'}, "t_rewarmup with shape='tri", id='triangle-rewarmed'),
    ],
)
def test_refused_on_construction(arguments, match):
    with pytest.raises(ValueError, match=match) as raised:
        CyclicCosineScheduler('2ep', **arguments)
    assert '\n' not in str(raised.value)


@pytest.mark.parametrize(
    ('arguments', 'max_duration', 'match'),
    [
        pytest.param({'t_hold': '2ep'}, '6ep', 'cycle 0 is 20 long, of which .* t_hold 20', id='hold'),
        pytest.param({'t_rewarmup': '4ep'}, '6ep', 'cycle 1 is 40 long, of which t_rewarmup takes 40', id='rewarmed'),
        pytest.param({'peak_decay': [0.5]}, '14ep', r'peak_decay=\[0.5\] has no factor for restart 2', id='short-list'),
        pytest.param({'peak_decay': 0.2, 'alpha_f': 0.1}, '14ep', 'peak_decay=0.2 .*cycle 2 .* 0.04', id='low-peak'),
        pytest.param({'t_hold': '5sp'}, '6ep', "t_hold='5sp' and t_0='2ep' cannot be converted", id='units'),
    ],
)  # fmt: skip
def test_refused_before_the_first_batch(make_trainer, arguments, max_duration, match):
    with pytest.raises(ValueError, match=match):
        make_trainer(schedulers=CyclicCosineScheduler('2ep', **arguments), max_duration=max_duration)


def test_a_scaled_run_is_checked_once_its_duration_is(make_trainer):
    scheduler = CyclicCosineScheduler('2ep', peak_decay=[0.5])
    snapshot = ParetoSnapshot(folder='out')
    trainer = make_trainer(schedulers=scheduler, callbacks=snapshot, max_duration='14ep', scale_schedule_ratio=2.0)
    with pytest.raises(ValueError, match='no factor for restart 2'):
        trainer.fit()
    assert trainer.state.timestamp.batch == 0


@pytest.mark.parametrize(('arguments', 'reference'), CASES)
def test_repr_makes_the_same_schedule_again(make_state, arguments, reference):
    scheduler, state = CyclicCosineScheduler('2ep', 2, '2ep', 0.1, **arguments), make_state('16ep')
    again = eval(repr(scheduler))
    assert repr(again) == repr(scheduler)
    assert [again(at(state, batch=t)) for t in range(160)] == [scheduler(at(state, batch=t)) for t in range(160)]


def test_a_line_to_draw_has_the_corners_and_both_sides_of_a_trough():
    cycles = Cycles(4, [12, 20], CycleShape(linear, 0.5, hold=Stretch(part=0.75)))
    times, values = multiplier_line(cycles, 18, 0.0, points_per_cycle=2)
    assert list(zip(times, values, strict=True)) == [
        (0, 0), (4, 1), (8, 1), (10, 1), (12, 0), (12, 0.5), (16, 0.5), (18, 0.5)
    ]  # fmt: skip
    assert multiplier_line(cycles, 2) == ([0, 2], [0, 0.5])


@pytest.mark.parametrize(
    ('make', 'match'),
    [
        (lambda: ends_by_ratio('16', '64ep'), "first='16' is not a duration: write a whole number"),
        (lambda: ends_by_ratio('16ep', '64ba'), "first='16ep' and last='64ba': give both in one unit"),
        (lambda: ends_by_ratio('64ep', '16ep'), "first='64ep' does not come before"),
        (lambda: ends_by_ratio('16ep', '64ep', 1), 'ratio=1: '),
        (lambda: ends_by_ratio('1ep', '64ep', 1.2), 'two troughs round to the same ep'),
        (lambda: ends_log_spaced('1ep', '8ep', 1), 'n=1: '),
        (lambda: ends_log_spaced('1ep', '8ep', 9), 'two troughs round to the same ep'),
        (lambda: ends_log_spaced('0ep', '8ep', 2), "first='0ep' is not above 0"),
    ],
)
def test_ends_refused(make, match):
    with pytest.raises(ValueError, match=match):
        make()


@pytest.mark.parametrize('n', [2, 3, 7, 20])
def test_log_spaced_ends_are_even_in_log_time(n):
    ends = [int(end.removesuffix('ba')) for end in ends_log_spaced('1000ba', '1000000ba', n)]
    assert (len(ends), ends[0], ends[-1]) == (n, 1000, 1000000)
    steps = [math.log(later / earlier) for earlier, later in pairwise(ends)]
    assert steps == pytest.approx([math.log(1000) / (n - 1)] * (n - 1), abs=1e-3)


def test_ends_by_a_ratio_are_rounded_once():
    # 10 x 1.5^k: 10, 15, 22.5, 33.75, 50.625; 22.5 goes to the even number.
    assert ends_by_ratio('10ba', '51ba', 1.5) == ['10ba', '15ba', '22ba', '34ba', '51ba']
    ends = ends_by_ratio('16ep', '512ep')
    assert CyclicCosineScheduler(cycle_ends=ends, t_warmup='8ep').describe()['cycle_ends'] == ends
