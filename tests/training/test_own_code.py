"""A network, data, algorithms, callbacks and optimizers of one's own in a recipe, from the modules of --code alone."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from composer.models import ComposerClassifier

from composer_clr import TradeoffCurve
from composer_clr.cli.app import app
from composer_clr.curves.curve import CurveError
from composer_clr.recipes.code import read_code
from composer_clr.recipes.load import load_recipe
from composer_clr.recipes.schema import RecipeError
from composer_clr.recipes.study import planned_runs
from composer_clr.train import main
from composer_clr.training.build import build_trainer
from composer_clr.training.models import LanguageModel
from composer_clr.training.registry import own_names
from composer_clr.training.slurm import write_job_arrays
from composer_clr.training.study import StudyRunner
from tests.helpers.launcher import launch
from tests.helpers.markdown import code_blocks
from tests.helpers.own_code import MINE, write_own
from tests.helpers.slurm import commands
from tests.helpers.untimed_points import untimed_points

README = Path(__file__).parents[2] / 'README.md'
CODE = ['mine.py']
MORE = """
from composer.core import Algorithm, Callback, DataSpec, Event
from composer.models import ComposerClassifier
from torch.optim import SGD


class Clamp(Algorithm):
    def __init__(self, largest=1.0):
        self.largest = largest

    def match(self, event, state):
        return event == Event.BATCH_END

    def apply(self, event, state, logger):
        with torch.no_grad():
            for parameter in state.model.parameters():
                parameter.clamp_(-self.largest, self.largest)


class Count(Callback):
    def __init__(self, path):
        self.path, self.batches = path, 0

    def batch_end(self, state, logger):
        self.batches += 1
        with open(self.path, 'w') as file:
            file.write(str(self.batches))


class Slower(SGD):
    def __init__(self, params, lr, weight_decay, factor=0.5):
        super().__init__(params, lr=factor * lr, weight_decay=weight_decay)


def whole(num_classes=2):
    return ComposerClassifier(network(num_classes), num_classes=num_classes)


def tokens(sequence_length, width=8):
    return nn.Sequential(nn.Embedding(256, width), nn.Linear(width, 256))


def specs(batch_size, eval_batch_size, path, num_workers, seed, **more):
    assert (path, num_workers, seed, more) == ('here', 1, 17, {'num_classes': 2}), (path, num_workers, seed, more)
    return tuple(map(DataSpec, loaders(batch_size, eval_batch_size)))


def fails(num_classes):
    return network(num_classes)[7]


def makes(num_classes):
    return 'nothing'


_private = _alias = network
lister = nn.Linear
"""


@pytest.fixture(autouse=True)
def own(tmp_path, monkeypatch) -> Path:
    write_own(tmp_path, monkeypatch)
    return tmp_path


@pytest.fixture
def more(own) -> None:
    (own / 'mine.py').write_text(MINE + MORE)


def trained(*overrides: str, code: tuple[str, ...] = ('--code', 'mine.py')) -> int:
    return main(['mine.yaml', *overrides, *code])


def test_a_run_resumes_under_its_code_and_no_other(own, capsys):
    resumable = ['checkpoint={folder: saved, autoresume: true}', 'run_name=r']
    assert trained(*resumable) == 0
    curve = TradeoffCurve.read('r/pareto')
    assert [point.epoch for point in curve.points] == [1.0, 3.0]
    assert curve.run.settings is not None
    assert curve.run.settings['recipe']['code'] == {'mine': read_code(CODE)['mine'].digest}
    assert trained(*resumable) == 0
    assert 'r is complete' in capsys.readouterr().out
    # Layout is no part of the code.
    (own / 'mine.py').write_text('# My network.\n' + MINE)
    assert trained(*resumable, 'max_duration=7ep') == 0
    assert 'r goes on from batch 6' in capsys.readouterr().out


@pytest.mark.parametrize('duration', ['3ep', '7ep'], ids=['complete', 'longer'])
def test_a_run_under_changed_code_is_another_curve(own, duration, monkeypatch, capsys):
    resumable = ['checkpoint={folder: saved, autoresume: true}', 'run_name=r']
    assert trained(*resumable) == 0
    before = (own / 'r/pareto/curve.json').read_bytes()
    (own / 'mine.py').write_text(MINE.replace('nn.ReLU()', 'nn.GELU()'))
    # In the process that has imported it, it is not another module.
    assert trained(*resumable, 'run_name=other', 'checkpoint.folder=null', 'checkpoint.autoresume=false') == 2
    assert capsys.readouterr().err.endswith(
        '--code mine.py: has changed since this process imported it: start another one\n'
    )
    write_own_again(own, monkeypatch)
    assert trained(*resumable, f'max_duration={duration}') == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert re.search(r"under (other settings: )?code\.mine='\w{12}', (now|asked for) '\w{12}'", line)
    assert (own / 'r/pareto/curve.json').read_bytes() == before


def write_own_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changed = (folder / 'mine.py').read_text()
    monkeypatch.undo()
    write_own(folder, monkeypatch)
    (folder / 'mine.py').write_text(changed)


def test_everything_of_ones_own_at_once(own, more):
    overrides = [
        'data={name: mine:specs, path: here, num_workers: 1}',
        'optimizer={name: mine:Slower, lr: 0.1, arguments: {factor: 0.25}}',
        'algorithms={mine:Clamp: {largest: 0.1}, LabelSmoothing: {}}',
        'callbacks={mine:Count: {path: count}}',
        'model.arguments.width=3',
        'run_name=all',
    ]
    assert trained(*overrides) == 0
    run = TradeoffCurve.read('all/pareto').run
    assert (run.method, Path('count').read_text()) == ('LS+Clamp', '6')
    settings = run.settings or {}
    assert settings['optimizer'] == 'Slower'
    assert settings['optimizer.lr'] == pytest.approx(0.025)
    assert settings['algorithms.Clamp.largest'] == 0.1
    assert settings['model.parameters'] == 4 * 3 + 3 + 3 * 2 + 2
    weights = torch.load(next(Path('all/pareto').glob('*.pt')), weights_only=True)['state']['model']
    assert max(float(weight.abs().max()) for weight in weights.values() if weight.is_floating_point()) <= 0.100001


@pytest.mark.parametrize(
    ('overrides', 'expected'),
    [
        ([], ComposerClassifier),
        (['model={name: mine:whole, num_classes: null}'], ComposerClassifier),
        (
            [
                'model={name: mine:tokens, num_classes: null}',
                'data={name: standard_library, sequence_length: 8, arguments: {eval_sequences: 50}}',
            ],
            LanguageModel,
        ),
    ],
    ids=['module', 'ComposerModel', 'text'],
)
def test_the_model_is_of_its_family(more, overrides, expected):
    short = ['max_duration=2ba', 'schedule.t_0=2ba']
    trainer = build_trainer(load_recipe('mine.yaml', [*overrides, *short], CODE))
    assert type(trainer.state.model) is expected
    trainer.fit()
    trainer.close()


HOSTILE = """os system torch nn network.__globals__ network.__init__ os.system __builtins__ __loader__ __name__ __file__
_private _alias lister Callback DataLoader forty network:x network()"""


@pytest.mark.parametrize('name', ['', ' network', *HOSTILE.split()])
@pytest.mark.parametrize('key', ['model.name', 'data.name', 'optimizer.name', 'algorithms', 'callbacks'])
def test_a_recipe_cannot_name_what_a_module_does_not_define(own, more, key, name):
    (own / 'hostile.yaml').write_text(
        f"base: mine.yaml\n{key}: {{'mine:{name}': {{command: touch executed}}}}\n"
        if key in ('algorithms', 'callbacks')
        else "base: mine.yaml\n{}: {{name: 'mine:{}', arguments: {{command: touch executed}}}}\n".format(
            key.partition('.')[0], name
        )
    )
    with pytest.raises(RecipeError, match=rf'^{key}=.*: unknown name.*\(known: mine:network, .*\)$'):
        build_trainer(load_recipe('hostile.yaml', [], CODE))
    assert not (own / 'executed').exists()


def test_what_all_lists_has_a_name_too(own, more):
    (own / 'mine.py').write_text(MINE + MORE + "\n__all__ = ['lister', '_private', 'torch', 'missing']\n")
    names = own_names(read_code(CODE)).keys()
    defined = {'network', 'loaders', 'Clamp', 'Count', 'Slower', 'whole', 'tokens', 'specs', 'fails', 'makes'}
    assert names == {f'mine:{name}' for name in defined | {'lister', '_private'}}


@pytest.mark.parametrize(
    ('overrides', 'match'),
    [
        (['model.name=mine:fails'], 'model.name.mine:fails: mine.py, line [0-9]+: IndexError: index 7 is out of range'),
        (['model.name=mine:makes'], 'model.name.mine:makes: makes an object of str: must make one of Module'),
        (
            ['model.arguments.depth=1'],
            r"model.name.mine:network: unknown argument 'depth', .* \(known: num_classes, width\)",
        ),
        (['model.name=mine:whole', 'model.loss=soft_cross_entropy'], 'model.loss=soft_cross_entropy: .*: leave it out'),
        (['model.num_classes=null', 'model.arguments.num_classes=2'], 'model.name=mine:network: .*num_classes=10'),
        (['model.name=network'], r"model.name='network': unknown name \(known: .*; your own: MODULE:NAME, with --code"),
        (
            ['model.name=mine:netwrk'],
            r"model.name='mine:netwrk': unknown name, did you mean 'mine:network'\? \(known: ",
        ),
        (['data.name=mine:network'], "data.mine:network: unknown argument 'batch_size' .known: "),
        (['data.name=mine:whole'], "data.mine:whole: unknown argument 'batch_size' .known: num_classes"),
        (['data.path=x'], "data.mine:loaders: unknown argument 'path' .known: batch_size, eval_batch_size"),
        (['data.num_workers=2'], "data.mine:loaders: unknown argument 'num_workers' .known: "),
        (['data.arguments.seed=1'], "data.arguments: unknown argument 'seed' .known: none"),
        (['data.name=mine:one'], 'data.mine:one: makes int: must make two loaders or DataSpecs'),
        (['data.name=mine:fixed'], 'data.mine:fixed: makes batches of 10 per rank, and data.batch_size asks for 50'),
        (['optimizer.name=mine:network'], "optimizer.name.mine:network: unknown argument 'params' .known: "),
        (
            ['optimizer.name=mine:anything'],
            'optimizer.name.mine:anything: makes an object of int: must make one of Opt',
        ),
        (
            ['algorithms.mine:anything={}'],
            'algorithms.mine:anything: makes an object of int: must make one of Algorithm',
        ),
        (
            ['algorithms.mine:Count.path=x'],
            'algorithms.mine:Count: makes an object of Count: must make one of Algorithm',
        ),
        (['callbacks.mine:Clamp={}'], 'callbacks.mine:Clamp: makes an object of Clamp: must make one of Callback'),
        (['loggers.mine:Count={}'], "loggers='mine:Count': unknown name"),
    ],
)
def test_refusals_name_the_key_and_the_line(own, more, overrides, match, capsys):
    odd = (
        'def one(batch_size, eval_batch_size): return 1\n'
        'def anything(**more): return 1\n'
        'def fixed(batch_size, eval_batch_size): return loaders(10, 10)\n'
    )
    (own / 'mine.py').write_text(MINE + MORE + odd)
    assert trained(*overrides) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert re.match(f'composer_clr.train: {match}', line)


@pytest.mark.parametrize(
    ('file', 'text', 'match'),
    [
        ('mine.py', 'import nowhere\n', r'--code mine\.py: mine\.py, line 1: ModuleNotFoundError: No module named'),
        ('mine.py', 'x = 1\nx.y\n', r"--code mine\.py: mine\.py, line 2: AttributeError: 'int' object"),
        ('json.py', 'x = 1\n', r'--code json\.py: json names .*/json/__init__\.py too: rename the file'),
        ('mine.py', 'x = = 1\n', r'--code mine\.py: .*mine\.py, line 1: invalid syntax'),
    ],
)
def test_a_module_that_cannot_be_imported_is_one_line(own, file, text, match, capsys):
    (own / file).write_text(text)
    assert trained('model.name=small_resnet', 'data.name=digits', code=('--code', file)) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert re.match(f'composer_clr.train: {match}', line)


def test_code_without_a_name_is_refused(capsys):
    assert main(['mine.yaml', '--code']) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith('composer_clr.train: argument --code: expected one argument: pass --code mine.py')


def test_the_files_of_the_readme_train(own, capsys):
    (code,) = [block for block in code_blocks(README, 'python') if '# mine.py' in block]
    (recipe,) = code_blocks(README, 'yaml')
    (own / 'mine.py').write_text(code)
    (own / 'mine.yaml').write_text(recipe)
    assert trained('progress_bar=false') == 0
    assert '-seed17: 3 points in runs/mine/baseline-cyclic-8ep-seed17' in capsys.readouterr().out


def test_a_check_builds_it(capsys):
    assert trained('--check', 'run_name=c') == 0
    assert 'c can be started: mine:network, 58 weights' in capsys.readouterr().out


def test_the_commands_of_a_study_have_the_code(own, more):
    planned = planned_runs(['mine.yaml'], methods=['baseline', 'LS+mine:Clamp'], code=CODE)
    assert [run.recipe.snapshot.method for run in planned[::3]] == ['baseline', 'LS+Clamp']
    assert list(planned[-1].recipe.algorithms) == ['mine:Clamp', 'LabelSmoothing']
    assert write_job_arrays(planned, own / 'array')[0] == 6
    assert all('--code=mine.py' in words for words in commands(own / 'array/study-1.sbatch'))
    words = planned[0].words
    assert main(words) == 0
    assert planned[0].is_complete()
    (own / 'mine.py').write_text(MINE.replace('nn.ReLU()', 'nn.GELU()'))
    changed, *_ = planned_runs(['mine.yaml'], code=CODE)
    with pytest.raises(RecipeError, match=r"complete under code\.mine='\w+', asked for"):
        changed.is_complete()


def test_saved_weights_are_evaluated_under_the_code_that_trained_them(own, monkeypatch):
    anytime = ['run_name=r', 'schedule.kind=anytime', 'max_duration=3ep', 'seed=17']
    saved = ['checkpoint={folder: saved, interval: 1ba, keep: -1}', 'snapshot.save_weights=true']
    assert trained(*anytime, *saved) == 0
    for command in (
        ['merge', 'mine.yaml', 'saved', *anytime, '--window', '0.5', '-o', 'merged.json'],
        ['ensemble', 'mine.yaml', *anytime, '--csv', 'ensembles.csv'],
    ):
        app([*command, '--code', 'mine.py'], standalone_mode=False)
    merged, run = TradeoffCurve.read('merged.json'), TradeoffCurve.read('r/pareto')
    assert merged.run.settings is not None
    assert merged.run.settings['recipe']['code'] == {'mine': read_code(CODE)['mine'].digest}
    assert [point.epoch for point in merged.points] == [point.epoch for point in run.points]
    (own / 'mine.py').write_text(MINE.replace('nn.ReLU()', 'nn.GELU()'))
    write_own_again(own, monkeypatch)
    with pytest.raises(CurveError, match=r"trained with .*code\.mine='\w{12}', the recipe has '\w{12}'"):
        app(['merge', 'mine.yaml', 'saved', *anytime, '--code', 'mine.py', '-o', 'other.json'], standalone_mode=False)


@pytest.mark.slow
def test_runs_of_a_study_have_the_code_where_they_are_forked(own):
    planned = planned_runs(['mine.yaml'], methods=['baseline', 'LS'], seeds=[17, 18], code=CODE)
    runner = StudyRunner(planned, jobs=2)
    runner.run(lambda: None)
    assert {run.name: run.reason for run in runner.runs if run.state != 'done'} == {}
    assert len(runner.runs) == 12
    in_study = untimed_points(own / planned[0].folder)
    assert main([planned[0].name, *planned[0].overrides, 'snapshot.overwrite=true', 'snapshot.folder=alone']) == 0
    assert untimed_points(own / 'alone') == in_study


@pytest.mark.slow
def test_two_ranks(own):
    (own / 'mine.py').write_text(
        MINE.replace(
            'DataLoader(points, batch_size, shuffle=True)', 'DataLoader(points, batch_size, sampler=shared(points))'
        ).replace('DataLoader(points, eval_batch_size)', 'DataLoader(points, eval_batch_size, sampler=shared(points))')
        + '\n\ndef shared(points):\n    return torch.utils.data.DistributedSampler(points)\n'
    )
    done = launch(2, '-m', 'composer_clr.train', 'mine.yaml', 'run_name=two', '--code', 'mine.py', folder=own)
    assert done.returncode == 0, done.stderr
    (first, *_) = TradeoffCurve.read(own / 'two/pareto').points
    assert first.sample == 100
