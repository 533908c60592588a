"""The paper's figures: what their lines and bars hold is asserted here; the pictures are looked at by people."""

import inspect
import subprocess
import sys
from dataclasses import replace

import matplotlib.pyplot as plt
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.container import ErrorbarContainer

from composer_clr.analysis.pairing import Alignment
from composer_clr.analysis.recorded_schedule import recorded_schedule
from composer_clr.curves.curve import CurveError, Run, TradeoffCurve
from composer_clr.figures.cost import training_time
from composer_clr.figures.improvement import improvement_over_baseline
from composer_clr.figures.paper import FIGURES, draw
from composer_clr.figures.schedule import constant_periods, learning_rate_and_accuracy
from composer_clr.figures.style import MOST_METHODS, log_ticks, method_colour, method_marker
from composer_clr.figures.tradeoff import accuracy_against_time, methods_beside_baseline, standard_beside_cyclic
from composer_clr.schedule.cycles import Cycles, geometric_ends
from tests.helpers.runs_and_lines import point, run, standard_runs

# Two methods, times of 100 s an epoch but for MX's standard runs; improvements by hand: cyclic 3 and 6, standard 2, 1.
STUDY = [
    run('baseline', 'cyclic', [(16, 0.50), (32, 0.60)]),
    *standard_runs('baseline', [(16, 0.49), (32, 0.61)]),
    run('MX', 'cyclic', [(16, 0.53), (32, 0.66)]),
    *standard_runs('MX', [(16, 0.51, 1500.0), (32, 0.62, 3300.0)]),
]
SCHEDULE = {
    'scheduler': 'CyclicCosineScheduler',
    't_0': '2ep',
    't_mult': 2.0,
    't_warmup': '2ep',
    'alpha_f': 0.1,
    'ssr': 1.0,
    'max_duration': '8ep',
    'unit': 'ba',
    'troughs': [40, 80],
}


def recorded(seed=None, name='r', method='baseline', values=(0.5, 0.6), **schedule):
    """A cyclic run of 10 batches an epoch, with a point at each trough."""
    record = SCHEDULE | schedule
    points = [
        point(trough / 10, value, batch=trough)
        for trough, value in zip(record['troughs'] or (40, 80), values, strict=True)
    ]
    return TradeoffCurve(Run(name, 'cyclic', method, seed, schedule=record), points)


def lines(ax: Axes) -> dict[str, tuple[list[float], list[float]]]:
    bars = [c for c in ax.containers if isinstance(c, ErrorbarContainer)]
    return {str(c.get_label()): (list(c.lines[0].get_xdata()), list(c.lines[0].get_ydata())) for c in bars}  # type: ignore


def dashes(ax: Axes) -> dict[str, str]:
    return {str(c.get_label()): c.lines[0].get_linestyle() for c in ax.containers}  # type: ignore


def errors(ax: Axes, label: str) -> list[float]:
    (drawn,) = (c for c in ax.containers if c.get_label() == label)
    lower, upper = (cap.get_ydata() for cap in drawn.lines[1])  # type: ignore
    return [(high - low) / 2 for high, low in zip(upper, lower, strict=True)]


class TestLearningRateAndAccuracy:
    def test_the_learning_rate_is_that_of_the_cycles(self):
        figure, _ = learning_rate_and_accuracy([recorded()])
        x, alpha = (list(data) for data in figure.axes[-1].lines[0].get_data())  # type: ignore
        cycles = Cycles(20, geometric_ends(20, 20, 2))
        at = [(10 * epoch, a) for epoch, a in zip(x, alpha, strict=True)]
        assert at[:2] == [(0, 0), (20, 1)]
        assert [(t, a) for t, a in at if t in (40, 80)] == [(40, 0.1), (40, 1.0), (80, 0.1)]
        for t, a in at:
            assert a == pytest.approx(cycles.multiplier(t, 0.1)) or (t in (40, 80) and a == 0.1)
        assert len({t for t, _ in at}) > 60

    def test_the_points_are_the_troughs(self):
        _, ax = learning_rate_and_accuracy([recorded(seed=1), recorded(seed=2, values=(0.7, 0.6)), *STUDY[1:]])
        assert lines(ax) == {'baseline, cyclic': ([4, 8], pytest.approx([60, 60]))}
        assert errors(ax, 'baseline, cyclic') == pytest.approx([14.142135623730951, 0])
        assert ax.get_xlabel() == 'epochs'

    def test_another_method_keeps_its_colour(self):
        _, ax = learning_rate_and_accuracy([recorded(), recorded(method='MX')], method='MX')
        assert ax.containers[0].lines[0].get_color() == method_colour('MX')  # type: ignore

    @pytest.mark.parametrize(
        ('curves', 'match'),
        [
            (STUDY[:1], "run 'r': its record does not tell the learning rate .its scheduler is None.: give the curve"),
            (STUDY[1:], "no cyclic run of 'baseline' has points to draw: name one .the cyclic runs are of .'MX'"),
            (
                [recorded(name='a'), recorded(name='b', seed=1, alpha_f=0.0)],
                "runs 'a' and 'b' have different schedules",
            ),
        ],
        ids=['not-recorded', 'not-cyclic', 'two-schedules'],
    )
    def test_refused(self, curves, match):
        with pytest.raises(CurveError, match=match):
            learning_rate_and_accuracy(curves)


class TestRecordedSchedule:
    @pytest.mark.parametrize(
        ('record', 'start'),
        [
            ({'t_warmup': '2ep'}, 20),
            ({'t_warmup': '7ba'}, 7),
            ({'t_warmup': '0sp'}, 0),
            ({'t_warmup': '4ep', 'ssr': 0.5}, 20),
            ({'t_warmup': '0.25dur', 'ssr': 0.5}, 20),
            ({'scheduler': 'CosineAnnealingWarmRestartsScheduler', 't_warmup': '0ba'}, 0),
        ],
        ids=['epochs', 'batches', 'none', 'scaled', 'part-of-the-scaled-duration', 'restarts'],
    )
    def test_warmup(self, record, start):
        assert recorded_schedule(recorded(**record)).cycles.start == start

    def test_without_epochs_the_axis_is_in_batches(self):
        curve = recorded(t_warmup='20ba')
        curve = TradeoffCurve(curve.run, [replace(p, epoch=None) for p in curve.points])
        told = recorded_schedule(curve)
        assert (told.axis, told.per_epoch, told.period_label) == ('batches', 1, '20 to 40 batches')

    def test_counted_in_samples(self):
        curve = recorded(unit='sp', troughs=[400, 800], t_warmup='200sp')
        points = [replace(p, epoch=p.epoch / 10, batch=0, sample=p.batch) for p in curve.points]  # type: ignore[operator]
        assert recorded_schedule(TradeoffCurve(curve.run, points)).period_label == '2 to 4 epochs'

    @pytest.mark.parametrize(
        ('record', 'match'),
        [
            ({'scheduler': 'LinearScheduler'}, 'its scheduler is .LinearScheduler.'),
            ({'troughs': None}, 'its troughs are None'),
            ({'troughs': [80, 40]}, 'cycle 1 would run from 80 to 40'),
            ({'unit': 'ep'}, "its unit is 'ep'"),
            ({'unit': []}, 'its unit is'),
            ({'unit': 'tok'}, 'its last point has token 0'),
            ({'alpha_f': 'low'}, "alpha_f='low'"),
            ({'t_warmup': 'soon'}, "t_warmup='soon' is not a time"),
            ({'t_warmup': '1e999ep'}, "t_warmup='1e999ep' is not a time"),
            ({'t_warmup': '9sp'}, "its t_warmup is '9sp', its unit 'ba'"),
            ({'t_warmup': '0.1dur', 'max_duration': None}, 'max_duration=None is not a duration'),
            ({'ssr': '2'}, "its ssr is '2'"),
        ],
        ids=lambda value: '-'.join(value) if isinstance(value, dict) else '',
    )
    def test_refused(self, record, match):
        with pytest.raises(CurveError, match=f"run 'r': its record does not tell the learning rate .{match}"):
            recorded_schedule(recorded(**record))


class TestTrainingTime:
    def test_bars_by_hand(self):
        _, ax = training_time(STUDY)
        assert [(b.get_y(), b.get_height()) for b in ax.patches] == [  # type: ignore[attr-defined]
            (0, pytest.approx(1600 / 60)),
            (pytest.approx(1600 / 60), pytest.approx(3200 / 60)),
            (0, pytest.approx(3200 / 60)),
            (0, pytest.approx(1500 / 60)),
            (pytest.approx(1500 / 60), pytest.approx(3300 / 60)),
            (0, pytest.approx(3200 / 60)),
        ]
        assert [text.get_text() for text in ax.texts] == ['1.50×', '1.50×']
        assert [text.get_text() for text in ax.get_xticklabels()] == ['baseline', 'MX']
        assert ax.get_ylabel() == 'total training time (minutes)'
        assert to_hex(ax.patches[3].get_facecolor()).upper() == method_colour('MX')

    def test_a_point_without_a_run_is_interpolated_and_hatched_and_one_beyond_is_told(self):
        cyclic = run('baseline', 'cyclic', [(8, 0.4), (16, 0.5), (32, 0.6), (64, 0.7)])
        _, ax = training_time([cyclic, *standard_runs('baseline', [(16, 0.5), (64, 0.7)])])
        assert [(b.get_height(), b.get_hatch()) for b in ax.patches] == [  # type: ignore[attr-defined]
            (pytest.approx(1600 / 60), None),
            (pytest.approx(3200 / 60), '////'),
            (pytest.approx(6400 / 60), None),
            (pytest.approx(6400 / 60), None),
        ]
        assert [text.get_text() for text in ax.get_xticklabels()] == ['baseline\n3 of 4 points']

    def test_error_bars_over_seeds(self):
        curves = [
            replace(run('baseline', 'cyclic', [(16, 0.5, s * 10.0), (32, 0.6, s * 20.0)], seed=s)) for s in (1, 2, 3)
        ] + [c for s in (1, 2, 3) for c in standard_runs('baseline', [(16, 0.5, 11.0 * s), (32, 0.6, 22.0 * s)], s)]
        _, ax = training_time(curves)
        (bars,) = (c for c in ax.containers if isinstance(c, ErrorbarContainer))
        standard, cyclic = bars.lines[2][0].get_segments()
        assert standard[:, 1] == pytest.approx([33, 99])
        assert cyclic[:, 1] == pytest.approx([20, 60])

    def test_refused(self):
        with pytest.raises(CurveError, match='no method has both standard and cyclic runs'):
            training_time(STUDY[:1])


class TestImprovement:
    def test_by_hand(self):
        _, ax = improvement_over_baseline(STUDY)
        assert lines(ax) == {
            'MX, standard': ([16, 32], pytest.approx([2, 1])),
            'MX, cyclic': ([16, 32], pytest.approx([3, 6])),
        }
        assert dashes(ax) == {'MX, standard': '-', 'MX, cyclic': '--'}
        assert (ax.get_xlabel(), ax.get_xscale()) == ('epochs', 'log')

    def test_at_equal_times(self):
        curves = [*STUDY[:3], run('MX', 'cyclic', [(16, 0.53, 1600.0), (32, 0.66, 3201.0)])]
        _, ax = improvement_over_baseline(curves, alignment=Alignment(axis='time'))
        assert lines(ax) == {'MX, cyclic': ([pytest.approx(1600 / 60)], [pytest.approx(3)])}
        assert ax.get_xlabel() == 'training time (minutes)'

    def test_less_is_better(self):
        loss = [run(m, 'cyclic', [(16, v, None)], metric='eval/loss') for m, v in (('baseline', 2.0), ('MX', 1.5))]
        _, ax = improvement_over_baseline(loss)
        assert lines(ax) == {'MX, cyclic': ([16], [0.5])}
        _, ax = improvement_over_baseline(loss, lower_is_better=False)
        assert lines(ax) == {'MX, cyclic': ([16], [-0.5])}

    def test_error_bars_are_the_standard_error_of_the_difference(self):
        def seeds(method, *values):
            return [run(method, 'cyclic', [(16, v)], seed=s) for s, v in enumerate(values)]

        # By seed the differences are 0.1 and 0.2: their deviation 0.0707 over the root of 2.
        _, ax = improvement_over_baseline([*seeds('baseline', 0.5, 0.6), *seeds('MX', 0.6, 0.8)])
        assert lines(ax) == {'MX, cyclic': ([16], [pytest.approx(15)])}
        assert errors(ax, 'MX, cyclic') == [pytest.approx(5)]

    @pytest.mark.parametrize(
        ('curves', 'match'),
        [
            (STUDY[:3], "all runs are of the baseline 'baseline'"),
            (STUDY[1:], "MX, cyclic: the baseline 'baseline' has no cyclic runs: name them too"),
            (
                [STUDY[0], run('MX', 'cyclic', [(8, 0.5)])],
                'MX, cyclic: no point can be compared with the baseline: train',
            ),
            ([STUDY[0], run('MX', 'cyclic', [(16, float('nan'))])], 'is nan at epoch 16: leave the run out'),
        ],
        ids=['baseline-only', 'no-baseline', 'apart', 'nan'],
    )
    def test_refused(self, curves, match):
        with pytest.raises(CurveError, match=match):
            improvement_over_baseline(curves)


class TestPanels:
    def test_each_method_beside_the_baseline(self):
        curves = [*STUDY, run('LS', 'cyclic', [(16, 0.55), (32, 0.65)])]
        _, axes = methods_beside_baseline(curves)
        both = {'baseline, standard', 'baseline, cyclic'}
        assert [ax.get_title() for ax in axes] == ['LS', 'MX']
        assert [set(lines(ax)) for ax in axes] == [both | {'LS, cyclic'}, both | {'MX, standard', 'MX, cyclic'}]
        assert lines(axes[0])['LS, cyclic'] == (pytest.approx([1600 / 60, 3200 / 60]), pytest.approx([55, 65]))
        assert axes[0].get_ylim() == axes[1].get_ylim()
        assert [ax.get_ylabel() for ax in axes] == ['eval/MulticlassAccuracy (%)', '']

    def test_standard_beside_cyclic(self):
        _, axes = standard_beside_cyclic(STUDY)
        assert [ax.get_title() for ax in axes] == ['standard', 'cyclic']
        assert [list(lines(ax)) for ax in axes] == [
            [f'{m}, {k}' for m in ('baseline', 'MX')] for k in ('standard', 'cyclic')
        ]
        assert lines(axes[0])['MX, standard'] == (pytest.approx([25, 55]), pytest.approx([51, 62]))

    def test_on_axes_of_ones_own(self):
        figure, given = plt.subplots(1, 2)
        assert standard_beside_cyclic(STUDY, axes=given) == (figure, list(given))
        with pytest.raises(ValueError, match=r'2 axes for 1 panels \(MX\): pass one per panel'):
            methods_beside_baseline(STUDY, axes=given)

    @pytest.mark.parametrize(
        ('draw', 'curves', 'match'),
        [
            (
                methods_beside_baseline,
                STUDY[:3],
                "beside the baseline 'baseline', but the runs are of .'baseline'.: name",
            ),
            (methods_beside_baseline, STUDY[3:], "beside the baseline 'baseline', but the runs are of .'MX'.: name"),
            (standard_beside_cyclic, STUDY[:1], 'all runs are cyclic: name runs of both'),
        ],
        ids=['no-method', 'no-baseline', 'one-kind'],
    )
    def test_refused(self, draw, curves, match):
        with pytest.raises(CurveError, match=match):
            draw(curves)


class TestConstantPeriods:
    def test_runs_are_told_apart_by_their_periods(self):
        four = recorded(name='4', t_warmup='0ba', t_0='4ep', t_mult=1)
        two = recorded(name='2', troughs=[40, 60, 80], values=(0.5, 0.6, 0.7))
        _, ax = constant_periods([recorded(), four, two, *STUDY[1:]])
        assert list(lines(ax)) == [
            'standard',
            'cyclic, period 2 epochs',
            'cyclic, period 2 to 4 epochs',
            'cyclic, period 4 epochs',
        ]
        assert lines(ax)['cyclic, period 2 epochs'][1] == pytest.approx([50, 60, 70])
        assert set(dashes(ax).values()) == {'-', '--'}
        assert len({to_hex(c.lines[0].get_color()) for c in ax.containers}) == 4  # type: ignore

    def test_a_period_that_was_rounded_is_constant(self):
        assert recorded_schedule(recorded(t_warmup='7ba', troughs=[40, 74])).period_label == '3.35 epochs'

    def test_refused(self):
        with pytest.raises(CurveError, match='has a constant period: name some that were trained with t_mult=1'):
            constant_periods([recorded()])


class TestRegistry:
    def test_names(self):
        assert list(FIGURES) == ['1A', '1B', '1C', '2', '3', '3D', 'S1', 'S2']
        for make in FIGURES.values():
            assert list(inspect.signature(make).parameters)[:3] == ['curves', 'metric', 'peak']

    @pytest.mark.parametrize('name', FIGURES)
    def test_nothing_to_draw(self, name):
        with pytest.raises(CurveError):
            FIGURES[name]([])

    @pytest.mark.parametrize('name', FIGURES)
    def test_saved(self, name, tmp_path):
        constant = recorded(t_warmup='0ba', t_0='16ep', t_mult=1, troughs=[160, 320])
        figure, _ = FIGURES[name]([constant, *STUDY[1:]])
        figure.savefig(tmp_path / 'figure.png')
        assert (tmp_path / 'figure.png').stat().st_size > 1000
        assert figure.get_constrained_layout()

    def test_drawing_loads_neither_torch_nor_composer(self):
        code = (
            'import sys, composer_clr.figures.paper\n'
            "print(sorted({name.partition('.')[0] for name in sys.modules} & {'torch', 'composer', 'pandas', 'scipy'}))"
        )
        told = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
        assert told.stdout == '[]\n'


class TestDraw:
    def test_the_methods_that_are_named(self):
        curves = [*STUDY, *(replace_method(curve, 'LS') for curve in STUDY[3:])]
        (ax,) = draw('1C', curves, methods=['LS']).axes
        assert list(lines(ax)) == ['LS, standard', 'LS, cyclic']
        (ax,) = draw('3', curves, methods=['LS']).axes
        assert list(lines(ax)) == ['LS, standard', 'LS, cyclic']
        (ax,) = draw('3', curves, methods=['baseline'], baseline='LS').axes
        assert list(lines(ax)) == ['baseline, standard', 'baseline, cyclic']

    def test_one_method_where_the_figure_shows_one(self):
        curves = [recorded(), recorded(method='MX'), recorded(method='SWA'), recorded(method='EMA')]
        assert draw('1A', curves, methods=['MX']).axes[0].get_title() == 'MX, cyclic'
        assert draw('1A', curves).axes[0].get_title() == 'baseline, cyclic'
        (line,) = draw('1A', curves, methods=['SWA']).axes[0].containers
        assert line.lines[0].get_color() == method_colour('SWA', ['EMA', 'SWA'])  # type: ignore

    def test_options_of_the_figure(self):
        (ax,) = draw('3', STUDY[:1] + STUDY[3:4], alignment=Alignment(axis='time'), lower_is_better=True).axes
        assert ax.get_xlabel() == 'training time (minutes)'
        assert lines(ax)['MX, cyclic'][1] == pytest.approx([-3, -6])
        assert draw('1C', STUDY, baseline=None, alignment=None).axes[0].get_xlabel() == 'training time (minutes)'

    @pytest.mark.parametrize(
        ('name', 'options', 'match'),
        [
            ('4', {}, '--figure 4: choose one of 1A, 1B'),
            ('1C', {'baseline': 'MX'}, r'figure 1C does not take baseline: remove it \(it is for 2, 3\)'),
            ('2', {'alignment': Alignment()}, r'does not take alignment: remove it \(it is for 1B, 3, 3D\)'),
            ('1C', {'methods': ['M']}, "no run of the method 'M', did you mean 'MX'"),
            ('1A', {'methods': ['MX', 'baseline']}, 'figure 1A shows one method, not MX, baseline: name one'),
        ],
        ids=['figure', 'baseline', 'alignment', 'method', 'two-methods'],
    )
    def test_refused(self, name, options, match):
        with pytest.raises(CurveError, match=match):
            draw(name, STUDY, **options)


def replace_method(curve, method):
    return TradeoffCurve(replace(curve.run, method=method), curve.points)


def many(methods):
    names = ['baseline', *(f'Method{i:02d}' for i in range(methods - 1))]
    kinds = ('cyclic', 'standard')
    return [run(name, kind, [(16, 0.5 + i / 99), (32, 0.6)]) for i, name in enumerate(names) for kind in kinds]


class TestManyMethods:
    @pytest.mark.parametrize('name', ['1B', '1C', '2', '3', '3D', 'S2'])
    def test_more_than_a_figure_tells_apart_are_refused(self, name):
        with pytest.raises(
            CurveError, match=r'25 methods, but one figure can show at most 24: choose some \(plot --methods\)'
        ):
            draw(name, many(MOST_METHODS + 1))

    @pytest.mark.parametrize('name', ['1B', '1C', '2', '3', '3D', 'S2'])
    def test_as_many_as_it_tells_apart_leave_room_for_the_axes(self, name):
        figure = draw(name, many(MOST_METHODS))
        figure.draw_without_rendering()
        width, height = figure.get_size_inches()
        shares = [(ax.get_position().width * width, ax.get_position().height * height) for ax in figure.axes]
        assert min(map(min, shares)) > 2
        legends = figure.legends or [figure.axes[0].get_legend()]
        box = legends[0].get_window_extent().transformed(figure.transFigure.inverted())  # type: ignore
        assert box.y0 >= 0
        assert max(box.x1, box.y1) <= 1

    def test_no_two_look_alike(self):
        names = [curve.run.method for curve in many(MOST_METHODS)] + ['BP', 'CL', 'LS', 'MX']
        looks = {name: (method_colour(name, names), method_marker(name, names)) for name in names}
        assert len(set(looks.values())) == MOST_METHODS + 4


@pytest.mark.parametrize(
    ('limits', 'numbers'),
    [((4, 16), {4, 6, 8, 10}), ((1, 3), {1, 2, 3}), ((10, 500), {10, 20, 50, 100, 200, 500})],
    ids=['two octaves', 'less than that', 'decades'],
)
def test_numbers_of_a_logarithmic_axis(limits, numbers):
    ax = plt.figure().add_subplot()
    ax.set_xlim(*limits)
    log_ticks(ax)
    shown = {tick for tick in ax.get_xticks() if limits[0] <= tick <= limits[1]}
    assert {round(tick, 6) for tick in shown} >= numbers


def test_a_method_looks_the_same_in_every_figure():
    curves = [*STUDY, run('EMA', 'cyclic', [(16, 0.5)]), run('SWA', 'cyclic', [(16, 0.5), (32, 0.6)])]
    curves += standard_runs('SWA', [(16, 0.5), (32, 0.6)])
    colour = method_colour('SWA', ['EMA', 'SWA'])
    assert (colour, method_marker('SWA', ['EMA', 'SWA'])) != (method_colour('SWA'), method_marker('SWA'))
    _, ax = training_time(curves)
    assert to_hex(ax.patches[-1].get_edgecolor()).upper() == colour
    for _, ax in (accuracy_against_time(curves), improvement_over_baseline(curves)):
        (drawn,) = (c for c in ax.containers if c.get_label() == 'SWA, cyclic')
        assert drawn.lines[0].get_color() == colour  # type: ignore


def test_of_many_lines_the_legend_names_methods_and_kinds():
    curves = [run(method, kind, [(16, 0.5), (32, 0.6)]) for method in 'ABCD' for kind in ('cyclic', 'standard')]
    _, ax = accuracy_against_time(curves)
    legend = ax.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ['standard', 'cyclic', *'ABCD']


@pytest.fixture(autouse=True)
def _closed_figures():
    yield
    plt.close('all')
