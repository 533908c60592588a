"""A race over the runs of a study: its stages, what it stops, and what it goes on with after an interruption."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from composer_clr.cli.app import app
from composer_clr.curves.curve import CurveError, Run, TradeoffCurve
from composer_clr.recipes.study import RecipeRun, calibration, planned_runs
from composer_clr.training.race import Race
from composer_clr.training.study import StudyRun, StudyRunner
from composer_clr.utils.errors import UserError
from tests.helpers.curves import point
from tests.helpers.slurm import commands

SIX_TROUGHS = ['max_duration=64ep', 'schedule.t_warmup=1ep', 'schedule.t_0=1ep']
# At 2, 4, 8, 16, 32 and 64 epochs: LS is hopeless at the fourth trough, MX at the fifth.
ACCURACIES = {
    'baseline': [0.50, 0.60, 0.68, 0.72, 0.74, 0.75],
    'LS': [0.60, 0.64, 0.66, 0.67, 0.675, 0.68],
    'MX': [0.40, 0.55, 0.65, 0.70, 0.71, 0.712],
    'LS+MX': [0.30, 0.50, 0.64, 0.72, 0.76, 0.78],
}
METHODS = [*ACCURACIES]
LINES = [
    'baseline: stopped at 32ep: at most 75.12%, LS+MX has 76.00%',
    'LS: stopped at 16ep: at most 67.87%, baseline has 72.00%',
    'MX: stopped at 32ep: at most 71.32%, LS+MX has 76.00%',
    'race: 3 of 4 methods stopped, 44% of 512ep saved: the same command without --race goes on with them',
]
WORDS = ['run', 'quickstart/digits', *SIX_TROUGHS, '--methods', ','.join(METHODS), '--seeds', '1,2']


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def planned(*overrides: str, kinds=('cyclic',), seeds=(1, 2), methods=METHODS) -> list[RecipeRun]:
    return planned_runs(['quickstart/digits'], [*SIX_TROUGHS, *overrides], methods=methods, seeds=seeds, kinds=kinds)


def begun(runs: list[RecipeRun], **options) -> tuple[StudyRunner, Race]:
    runner = StudyRunner(runs)
    return runner, Race(runner.runs, **{'sigma': 0.05, **options})


def train(run: StudyRun) -> None:
    """Does what the training of a stage does: records its points."""
    plan, method = run.planned, method_of(run)
    accuracies = ACCURACIES[method] if plan.kind == 'cyclic' else [0.5]
    points = [
        replace(point(i), epoch=float(trough), metrics={'eval/Accuracy': accuracy}, peak_metrics={})
        for i, (trough, accuracy) in enumerate(zip(plan.troughs[: plan.stage], accuracies, strict=False))
    ]
    Path(plan.folder).mkdir(parents=True, exist_ok=True)
    record = Run(plan.run_name, plan.curve_kind, method, plan.seed)
    TradeoffCurve(record, points).write(Path(plan.folder) / 'curve.json')
    assert run.has_ended(), run.name


def raced(runner: StudyRunner, race: Race) -> list[Counter[str | None]]:
    """Trains all stages of a race; returns how many runs were trained to where in each."""
    stages = []
    while True:
        waiting = [run for run in runner.runs if run.state == 'waiting']
        stages.append(Counter(run.planned.until for run in waiting))
        for run in waiting:
            train(run)
        if not race.advance():
            return stages


def method_of(run: StudyRun) -> str:
    return str(run.planned.method)


def outcome(runner: StudyRunner) -> dict[str, tuple[str, str]]:
    return {run.name: (run.state, run.reason) for run in runner.runs}


def test_stage_by_stage_the_hopeless_are_stopped_and_the_others_reach_the_end():
    runner, race = begun(planned())
    assert raced(runner, race) == [{'16ep': 8}, {'32ep': 6}, {None: 2}]
    states = {method_of(run): (run.state, run.planned.length) for run in runner.runs}
    assert states == {'baseline': ('stopped', 32), 'LS': ('stopped', 16), 'MX': ('stopped', 32), 'LS+MX': ('done', 64)}
    # Three times 1.645 times 0.05 points over the root of two seeds are the noise.
    assert race.lines() == LINES


def test_only_the_words_of_a_stage_that_ends_before_the_run_have_where():
    (run, *_) = planned()
    assert run.words == replace(run, stage=6).words
    assert replace(run, stage=4).words == [*run.words[:-2], '--until', '16ep', *run.words[-2:]]


def test_a_race_that_is_begun_again_at_every_moment_decides_the_same():
    runner, race = begun(planned())
    raced(runner, race)
    expected, records = outcome(runner), {file: file.read_text() for file in Path().rglob('race.json')}
    assert len(records) == 6
    for file in Path().rglob('*.json'):
        file.unlink()
    moments = 0
    while True:
        # A new process finds what is on disk: runs of this stage or of the one before, decisions half written.
        runner, race = begun(planned())
        waiting = [run for run in runner.runs if run.state == 'waiting']
        if waiting:
            train(waiting[moments % len(waiting)])
            moments += 1
        elif race.advance():
            if moments in (8, 14):
                next(Path().rglob('race.json')).unlink()
            (run, *_) = [run for run in runner.runs if run.state == 'waiting']
            train(run)
            moments += 1
        else:
            break
    assert moments == 8 + 6 + 2
    assert outcome(runner) == expected
    assert {file: file.read_text() for file in Path().rglob('race.json')} == records


def test_without_a_race_the_stopped_ones_go_on_and_a_race_again_has_nothing_to_do():
    raced(*begun(planned()))
    runner = StudyRunner(planned())
    waiting = [run for run in runner.runs if run.state == 'waiting']
    assert Counter(run.planned.until for run in waiting) == {None: 6}
    # Half way, a race goes on with what has passed the trough that it was stopped at.
    for run in waiting[:2]:
        run.go_on(stage=6)
        train(run)
    runner, race = begun(planned())
    assert raced(runner, race) == [{}]
    assert {method_of(run) for run in runner.runs if run.state == 'stopped'} == {'LS', 'MX'}
    for run in StudyRunner(planned()).runs:
        if run.state == 'waiting':
            train(run)
    runner, race = begun(planned())
    assert raced(runner, race) == [{}]
    assert {run.state for run in runner.runs} == {'done'}


def test_what_was_stopped_stays_so_under_another_sigma_and_beside_new_methods():
    three = [method for method in METHODS if method != 'LS+MX']
    runner, race = begun(planned(methods=three))
    raced(runner, race)
    assert {method_of(run) for run in runner.runs if run.state == 'stopped'} == {'LS', 'MX'}
    records = {file: file.read_text() for file in Path().rglob('race.json')}
    for sigma in (0.01, 50):
        runner, race = begun(planned(), sigma=sigma)
        raced(runner, race)
        assert {file: file.read_text() for file in records} == records
    states = {method_of(run): run.state for run in runner.runs}
    assert states == {'baseline': 'done', 'LS': 'stopped', 'MX': 'stopped', 'LS+MX': 'done'}


def test_a_run_that_failed_is_left_out_of_its_methods_mean():
    runner, race = begun(planned())
    (failed,) = [run for run in runner.runs if method_of(run) == 'LS' and run.planned.seed == 1]
    failed.fail('no memory')
    raced(runner, race)
    assert {run.name: run.state for run in runner.runs if 'LS-cyclic' in run.name} == {
        'digits-LS-cyclic-64ep-seed1': 'failed',
        'digits-LS-cyclic-64ep-seed2': 'stopped',
    }


def test_the_noise_is_measured_between_seeds_where_it_is_not_stated():
    runner, race = begun(planned(), sigma=None)
    raced(runner, race)  # seeds that are all alike
    assert Counter(run.state for run in runner.runs) == {'stopped': 6, 'done': 2}


def test_separate_runs_wait_for_the_end_and_those_of_stopped_methods_are_not_trained():
    runner, race = begun(calibration(planned(kinds=('cyclic', 'standard'))))
    calibrating = [run for run in runner.runs if run.planned.calibrates]
    assert [(run.state, run.name) for run in calibrating] == [
        ('waiting', f'digits-baseline-standard-4ep-seed{seed}') for seed in (1, 2)
    ]
    runner, race = begun(planned(kinds=('standard', 'cyclic')))
    standard = [run for run in runner.runs if run.planned.kind == 'standard']
    assert {run.state for run in standard} == {'held'}
    assert raced(runner, race)[-1] == {None: 12}
    assert Counter((method_of(run), run.state) for run in standard) == {
        **{(method, 'stopped'): 12 for method in ('baseline', 'LS', 'MX')},
        ('LS+MX', 'done'): 12,
    }
    assert race.lines()[-1].startswith(
        'race: 3 of 4 methods stopped, 44% of 512ep and 36 runs of one point saved: the '
    )


@pytest.mark.parametrize(
    ('runs', 'options', 'message'),
    [
        ({'kinds': ('standard',)}, {}, 'separate runs do not race: name one of cyclic, anytime, schedule-free'),
        ({'kinds': ('cyclic', 'anytime')}, {}, 'curves of the kinds cyclic and anytime are not compared: name one of'),
        ({'methods': ['LS']}, {}, 'a race is between methods: name two or more recipes, or --methods'),
        ({'seeds': (1,)}, {'sigma': None}, 'one seed does not tell the noise: pass two --seeds, or .* --sigma 0.3'),
        ({'overrides': ['max_duration=16ep']}, {}, 'the runs have 4 troughs'),
        ({'overrides': ['schedule.t_mult=1', 'max_duration=8ep']}, {}, 'and a race is decided by doublings'),
        ({'overrides': ['snapshot.folder=s3://b/{run_name}']}, {}, 's3://b/digits-.*: is in an object store'),
    ],
)
def test_refused_before_anything_is_trained(runs, options, message):
    runs = planned(*runs.pop('overrides', ()), **runs)
    with pytest.raises(UserError, match=message):
        begun(runs, **options)


def test_other_troughs_and_two_runs_of_one_method_and_seed_are_refused():
    name = 'run_name=o-${seed}-${snapshot.method}'
    other = planned('schedule.t_0=2ep', 'schedule.t_warmup=2ep', name, methods=['MX'])
    with pytest.raises(UserError, match=r'o-1-MX has points at \[4, 8, .*, and digits-baseline-.* at \[2, 4, 8'):
        begun([*planned(methods=['baseline']), *other])
    other = planned('optimizer.lr=0.1', name)
    with pytest.raises(UserError, match='digits-baseline-.* and o-1-baseline are of one method'):
        begun([*planned(), *other])


def test_a_metric_that_the_runs_lack_ends_the_race_in_one_line():
    runner, race = begun(planned(), metric='eval/Loss')
    with pytest.raises(CurveError, match='eval/Loss'):
        raced(runner, race)


class TestCommand:
    def command(self, *words: str) -> str:
        result = CliRunner().invoke(app, [*WORDS, *words])
        if result.exception is not None:
            raise result.exception
        return result.output

    def test_slurm_has_an_array_for_each_stage(self):
        race = ['--kinds', 'cyclic', '--race', '--sigma', '0.05', '--slurm', 'jobs']
        seen = []
        while 'to do' not in (said := self.command(*race)):
            script = said.splitlines()[-1].partition('sbatch ')[2].partition(',')[0]
            until = [words[words.index('--until') + 1] if '--until' in words else '' for words in commands(script)]
            seen.append((said.splitlines()[-1], Counter(until)))
            waiting = begun(planned())[0].runs
            race_of_now = Race(waiting, sigma=0.05)
            race_of_now.advance()
            for run in waiting:
                if run.state == 'waiting':
                    train(run)
        assert [jobs for _, jobs in seen] == [{'16ep': 8}, {'32ep': 6}, {'': 2}]
        assert seen[0][0] == '8 of 8 runs: sbatch jobs/study-1.sbatch, then this command again'
        assert said.splitlines() == [*LINES, '0 of 8 runs to do']

    def test_compare_says_what_was_stopped_and_a_complete_race_is_one_line(self):
        raced(*begun(planned()))
        compared = CliRunner().invoke(app, ['compare', 'runs']).output
        assert 'LS: stopped at 16ep: at most 67.87%, baseline has 72.00%' in compared.splitlines()
        again = self.command('--kinds', 'cyclic', '--race', '--sigma', '0.05').splitlines()
        assert (again[0], again[-1]) == ('8 runs, 2 of them complete', LINES[-1])

    @pytest.mark.parametrize(
        ('words', 'message'),
        [
            (['--sigma', '0.1'], '--sigma 0.1: is for --race'),
            (['--metric', 'eval/Loss'], '--metric eval/Loss: is for --race'),
            (['--race', '--sigma', '0'], '--sigma 0: must be a finite number above 0'),
            (
                ['--calibrate', '--kinds', 'cyclic,standard'],
                '--kinds cyclic,standard: trains all standard runs, of which',
            ),
            (['--calibrate', 'max_duration=2ep'], '--calibrate: quickstart/digits has no second trough'),
        ],
    )
    def test_refused(self, words, message):
        with pytest.raises(UserError, match=message):
            self.command(*words)
        assert not any(Path().iterdir())

    def test_calibrate_plans_the_baselines_run_to_the_second_trough_of_each_seed(self):
        self.command('--calibrate', '--slurm', 'jobs')
        planned = commands('jobs/study-1.sbatch')
        standard = [words for words in planned if 'schedule.kind=standard' in words]
        assert (len(planned), len(standard)) == (10, 2)
        assert all('max_duration=4ep' in words and 'algorithms.' not in str(words) for words in standard)
