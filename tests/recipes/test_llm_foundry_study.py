"""A study of LLM Foundry runs: the shipped YAML, and what is refused before a run starts."""

from pathlib import Path

import pytest
import yaml

from composer_clr.curves.curve import Run, TradeoffCurve, TradeoffPoint
from composer_clr.recipes.llm_foundry_study import llm_foundry_study
from composer_clr.recipes.schema import RecipeError
from composer_clr.schedule.scheduler import CyclicCosineScheduler

SHIPPED = Path(__file__).parents[2] / 'yamls/llm_foundry/mpt.yaml'


def test_the_shipped_yaml_gives_a_cyclic_run_and_a_standard_run_to_each_trough():
    runs = list(llm_foundry_study(str(SHIPPED), ['optimizer.lr=0.01'], seeds=[17, 18]))
    assert len(runs) == 12
    assert runs[0] == [
        str(SHIPPED),
        'run_name=mpt-cyclic-1048576tok-seed17',
        'seed=17',
        'max_duration=1048576tok',
        'optimizer.lr=0.01',
    ]
    assert [run[3] for run in runs[1:6]] == [f'max_duration={65536 * 2**k}tok' for k in range(5)]
    assert all(run[-2:] == ['scheduler.t_0=null', 'scheduler.cycle_ends=[1dur]'] for run in runs[1:6])
    # What the standard run's scheduler is built from.
    scheduler = yaml.safe_load(SHIPPED.read_text())['scheduler'] | {'t_0': None, 'cycle_ends': ['1dur']}
    assert scheduler.pop('name') == 'cyclic_cosine'
    CyclicCosineScheduler(**scheduler)


def test_runs_that_are_complete_are_left_out(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = Path('runs/mpt-standard-65536tok-seed17')
    folder.mkdir(parents=True)
    point = TradeoffPoint(0, 0.1, 32, 512, 65536, 1.0, 1.0, 0.0, {'eval/loss': 2.0}, {})
    TradeoffCurve(Run('mpt-standard-65536tok-seed17', 'standard', 'baseline'), [point]).write(folder / 'curve.json')
    runs = list(llm_foundry_study(str(SHIPPED), kinds=['standard']))
    assert [run[3] for run in runs] == [f'max_duration={65536 * 2**k}tok' for k in range(1, 5)]


@pytest.mark.parametrize(
    ('overrides', 'kinds', 'match'),
    [
        (['seed=3'], ['cyclic'], 'seed=3: a sweep sets seed and max_duration'),
        (['scheduler.name=cosine_with_warmup'], ['cyclic'], 'scheduler.name must be cyclic_cosine'),
        (['scheduler.t_O=3tok'], ['cyclic'], 'scheduler.t_O: Unexpected keyword argument'),
        (['scheduler.t_0=3ep'], ['cyclic'], 't_0=3ep and max_duration=1048576tok'),
        (['callbacks=null'], ['cyclic'], 'callbacks.pareto_snapshot is missing'),
        (['run_name=../up'], ['cyclic'], "run_name='../up' cannot name a folder"),
        ([], ['branch'], '--kinds branch: a study of LLM Foundry runs has'),
    ],
)
def test_refused_before_a_run(overrides, kinds, match):
    with pytest.raises(RecipeError, match=match):
        list(llm_foundry_study(str(SHIPPED), overrides, kinds=kinds))


def test_a_file_that_is_not_a_configuration_is_refused(tmp_path):
    (tmp_path / 'a.yaml').write_text('[1, 2]')
    for name in ('a.yaml', 'missing.yaml'):
        with pytest.raises(RecipeError, match=f'{name}: cannot be read as a configuration of LLM Foundry'):
            list(llm_foundry_study(str(tmp_path / name)))


def test_the_command_prints_it(capsys, monkeypatch, tmp_path):
    from composer_clr.cli.app import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr('sys.argv', ['composer-clr', 'sweep', '--launcher', 'llmfoundry train', str(SHIPPED)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 6
    assert lines[0].startswith(f'llmfoundry train {SHIPPED} run_name=mpt-cyclic-1048576tok-seed17 seed=17')
