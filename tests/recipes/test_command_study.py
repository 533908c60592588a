"""The runs of a command: which there are, what they are given, and what is refused before any is started."""

import shlex
from pathlib import Path

import pytest

from composer_clr.curves.curve import Run, TradeoffCurve
from composer_clr.recipes.command_study import CommandRun, check_programs, command_runs
from composer_clr.recipes.schema import RecipeError
from composer_clr.recipes.study import calibration
from tests.helpers.curves import point

COMMAND = 'python t.py {kind} {seed} {max_duration} {folder}'
SCHEDULE = {'t_0': '1ep', 't_warmup': '1ep'}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def runs(command=COMMAND, max_duration='8ep', schedule=SCHEDULE, **options) -> list[CommandRun]:
    return command_runs(command, max_duration, schedule=schedule, **options)


def test_a_cyclic_run_and_a_standard_run_to_each_trough_for_each_seed():
    assert [(run.kind, run.seed, run.max_duration, list(run.troughs), run.folder) for run in runs(seeds=[3, 4])] == [
        found
        for seed in (3, 4)
        for found in (
            ('cyclic', seed, '8ep', [2, 4, 8], f'runs/cyclic-8ep-seed{seed}'),
            ('standard', seed, '2ep', [2], f'runs/standard-2ep-seed{seed}'),
            ('standard', seed, '4ep', [4], f'runs/standard-4ep-seed{seed}'),
            ('standard', seed, '8ep', [8], f'runs/standard-8ep-seed{seed}'),
        )
    ]


def test_placeholders_are_filled_within_their_words_and_no_word_is_split_again():
    command = """a/b.sh '{kind} of "{seed}"' x={max_duration},{method} {t_0}/{cycle} '{{"k": [{seed}]}}' $HOME;rm \\
      --at={run_name}"""
    (run,) = runs(
        command.replace('{cycle}', '{t_warmup}'), kinds=['cyclic'], method='my method', folder='out/{method}/{seed}'
    )
    name = 'my method-cyclic-8ep-seed17'
    assert run.words == [
        *('a/b.sh', 'cyclic of "17"', 'x=8ep,my method', '1ep/1ep', '{"k": [17]}', '$HOME;rm', f'--at={name}')
    ]
    assert (run.run_name, run.folder) == (name, 'out/my method/17')


def test_what_is_started_has_the_command_in_its_environment():
    (run,) = runs(kinds=['cyclic'])
    assert run.environment == {'COMPOSER_CLR_COMMAND': COMMAND}
    line = shlex.join(run.command_line(['ignored']))
    assert shlex.split(line) == ['env', f'COMPOSER_CLR_COMMAND={COMMAND}', *run.words]


def test_calibration_keeps_the_second_trough():
    assert [run.run_name for run in calibration(runs())] == ['cyclic-8ep-seed17', 'standard-4ep-seed17']


def test_cycle_ends_and_tokens_and_runs_through_all_marks():
    schedule = {'cycle_ends': ['100tok', '300tok']}
    found = runs(f'{COMMAND} {{cycle_ends}}', '300tok', schedule, kinds=['anytime', 'standard', 'schedule-free'])
    assert [(run.kind, run.max_duration, run.troughs) for run in found] == [
        ('anytime', '300tok', [100, 300]),
        ('standard', '100tok', [100]),
        ('standard', '300tok', [300]),
        ('schedule-free', '300tok', [100, 300]),
    ]
    assert found[0].words[-1] == '100tok,300tok'


def test_a_run_that_ends_off_a_trough_is_warned_of():
    with pytest.warns(UserWarning, match="max_duration='9ep' stops in the middle of a cycle"):
        assert [run.max_duration for run in runs(max_duration='9ep', kinds=['cyclic'])] == ['9ep']


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (
            {'command': 'a {kind} {max_duration}', 'seeds': [1, 2]},
            r'has no \{seed\}, in which the runs differ \(1, 2\)',
        ),
        ({'command': 'a {max_duration} {seed}'}, r'has no \{kind\}, in which the runs differ \(cyclic, standard\)'),
        ({'command': 'a {kind} {seed}'}, r'has no \{max_duration\}, in which the runs differ \(8ep, 2ep, 4ep\)'),
        (
            {'command': f'{COMMAND} {{lr}}'},
            r"\{lr\} in '\{lr\}' is not one of .*\{run_name\}, \{folder\}: write braces",
        ),
        ({'command': f'{COMMAND} {{method}}'}, r'\{method\} in .* is not one of'),
        ({'command': f'{COMMAND} {{}}'}, r'\{\} in '),
        ({'command': f'{COMMAND} {{seed.real}}'}, r'\{seed.real\} in '),
        ({'command': f'{COMMAND} {{seed:{{no}}}}'}, "'no': quote as in a shell"),
        ({'command': f"{COMMAND} '{{a'"}, "expected '}' before end of string: quote as in a shell"),
        ({'command': f"{COMMAND} 'a"}, 'No closing quotation: quote as in a shell'),
        ({'command': ' '}, 'names no program'),
        ({'kinds': ['branch']}, '--kinds branch: must be one of cyclic, standard, anytime, schedule-free'),
        ({'folder': 'runs/{kind}'}, 'several runs would write to runs/standard: put {run_name} into it'),
        ({'seeds': [1, 1]}, 'several runs would write to runs/cyclic-8ep-seed1'),
        ({'folder': 'runs/{what}'}, '--folder: {what} in '),
        ({'folder': '{{other}}'}, "is not one of Composer's placeholders"),
        ({'method': '../up'}, 'cannot name a folder'),
        ({'schedule': {}}, 't_0 is missing'),
        ({'schedule': {'t_0': '4ba'}}, 'give both in one unit'),
        (
            {'schedule': {'cycle_ends': ['4ep', '8ep'], 't_warmup': '0.1dur'}},
            'would differ between runs of different durations',
        ),
    ],
    ids=lambda value: str(value)[:40],
)
def test_refused_before_a_run(options, message):
    with pytest.raises(RecipeError, match=message) as refused:
        runs(**options)
    assert '\n' not in str(refused.value)


def test_a_program_that_is_not_there_is_refused():
    check_programs(runs())
    with pytest.raises(RecipeError, match="--command: 'no-such-program' is no program here"):
        check_programs(runs(f'no-such-program {COMMAND}'))


def record(planned: CommandRun, epochs=(2, 4, 8), **changes) -> None:
    """Writes a curve where a planned run would."""
    settings = {'schedule.warmup': '10ba', 'command': COMMAND, **changes.pop('settings', {})}
    values = {'kind': 'cyclic', 'method': 'baseline', 'seed': 17, 'settings': settings, **changes}
    curve = TradeoffCurve(Run('r', training={'loader_length': 10}, **values), [point(epoch=float(e)) for e in epochs])
    Path(planned.folder).mkdir(parents=True)
    curve.write(Path(planned.folder, 'curve.json'))


@pytest.mark.parametrize(
    ('changes', 'complete'),
    [
        ({}, True),
        ({'epochs': (2, 4)}, False),
        # What a script that was started by hand does not record is taken for what is planned.
        ({'settings': {'command': None}}, True),
        ({'settings': {'schedule.warmup': '1ep'}}, True),
        ({'settings': {'schedule.warmup': '0.1dur'}}, True),
        # The points were given: the schedule's own warmup is not known.
        ({'settings': {'schedule.warmup': '0ba'}, 'schedule': {'points_at': ['1dur']}}, True),
        ({'schedule': {'troughs': [20, 40, 80], 'unit': 'ba'}}, True),
        ({'kind': 'wsd-s-linear'}, True),
        ({'method': 'LS'}, True),
    ],
    ids=str,
)
def test_a_run_is_complete_by_its_curve(changes, complete):
    planned = runs()[0]
    assert not planned.is_complete()
    record(planned, **changes)
    assert planned.is_complete() == complete


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'kind': 'standard'}, 'holds the curve of another run, baseline, standard, .* not of cyclic, with points'),
        ({'kind': 'anytime'}, 'holds the curve of another run, baseline, anytime, '),
        (
            {'epochs': (2, 9)},
            r'with points at \[2.0, 9.0\], not of cyclic, with points at \[2, 4, 8\] \(ep\): have the',
        ),
        ({'epochs': (2, 4), 'seed': 3}, 'begun with seed 3, not 17: give {seed} to the Trainer'),
        ({'seed': None}, 'complete with seed None, not 17'),
        ({'settings': {'schedule.warmup': '20ba'}}, 'complete with the warmup at 20ba, not 1ep: give study_scheduler'),
        (
            {'epochs': (2, 5, 8), 'schedule': {'troughs': [20, 50, 80], 'unit': 'ba'}},
            'complete with a trough at 50ba, not 4ep: give study_scheduler',
        ),
        (
            {'settings': {'command': COMMAND.replace('t.py', 't.py --lr 0.1')}},
            "complete under command='python t.py --lr 0.1 .*', asked for 'python t.py {kind} .*': choose",
        ),
        ({'epochs': (2,), 'settings': {'command': 'a'}}, "begun under command='a', asked for "),
    ],
    ids=lambda value: str(value)[:40],
)
def test_the_curve_of_another_run_is_refused(changes, message):
    planned = runs()[0]
    record(planned, **changes)
    with pytest.raises(RecipeError, match=message) as refused:
        planned.is_complete()
    assert '\n' not in str(refused.value)


def test_the_method_that_is_asked_for_is_that_of_the_curve():
    planned = runs(method='LS')[0]
    record(planned)
    with pytest.raises(RecipeError, match='curve of another run, baseline, cyclic, .*, not of LS, cyclic, with points'):
        planned.is_complete()
