"""``--check``, and errors on the command line: one line each, as early as possible."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from composer import Trainer
from composer.core import Evaluator

from composer_clr import FastCycles, TroughAverage
from composer_clr.recipes.load import load_recipe
from composer_clr.recipes.schema import RecipeError
from composer_clr.train import main
from composer_clr.training.check import check_recipe
from tests.helpers.launcher import launch
from tests.helpers.photographs import write_folder
from tests.helpers.recipes import MINIMAL

DIGITS = ['quickstart/digits', 'progress_bar=false']
CHECKPOINTS = ['checkpoint.folder=ck', 'checkpoint.keep=2']


@pytest.fixture(autouse=True)
def _aside(tmp_path, monkeypatch):
    (tmp_path / 'here').mkdir()
    monkeypatch.chdir(tmp_path / 'here')


def lines(overrides: list[str]) -> dict[str, str]:
    head, *rows = check_recipe(load_recipe(DIGITS[0], [DIGITS[1], *overrides])).splitlines()
    return {'head': head, **{row[:18].strip(): row[18:] for row in rows}}


def test_what_the_run_would_be(monkeypatch):
    cost = lines([])
    assert cost['head'].endswith('can be started: small_resnet, 77,754 weights, batches of 50 on 1 rank')
    assert cost['points'] == '4ep, 8ep, 16ep, 32ep, 64ep'
    assert cost['training'].startswith('384 batches of ')
    assert cost['evaluation'].startswith('5 times 1 batches of ')
    # 77,754 weights of 4 bytes, and batch norm's statistics.
    assert cost['snapshots'] == '5 of 313.8 kB: 1.6 MB'
    assert cost['snapshot.folder'].startswith('runs/quickstart/digits-baseline-cyclic-64ep-seed17: 1.6 MB of ')
    assert 'checkpoint.folder' not in cost


@pytest.mark.parametrize(
    ('overrides', 'expected'),
    [
        (['schedule.kind=standard', 'max_duration=10ep'], {'points': '10ep'}),
        (['max_duration=30ep', 'schedule.t_0=3ba', 'schedule.t_warmup=0ba'], {'points': '3ba, 9ba, 21ba, 45ba, 93ba'}),
        (['evaluation.interval=8ep'], {'evaluation': '9 times 1 '}),  # 8, 16, ..., 64 and the first trough, 4
        (['evaluation.interval=7ep'], {'evaluation': '14 times 1 '}),  # 7, ..., 63 and 4, 8, 16, 32, 64
        (
            # Two checkpoints, each with as much momentum as weights (batch norm's statistics have none).
            ['evaluation.interval=0.5dur', 'data.eval_batch_size=90', 'snapshot.save_weights=false', *CHECKPOINTS],
            {'evaluation': '5 times 10 ', 'snapshots': '0 of 313.8 kB: 0 bytes', 'checkpoint.folder': 'ck: 1.2 MB of '},
        ),
    ],
    ids=lambda value: ' '.join(value) if isinstance(value, list) else None,
)
@pytest.mark.filterwarnings('ignore:max_duration:UserWarning')
def test_its_cost(overrides, expected):
    cost = lines(overrides)
    assert all(cost[key].startswith(start) for key, start in expected.items())


def test_nothing_is_left_behind(monkeypatch):
    sizes = []
    evaluate = Trainer._eval_loop

    def counted(self: Trainer, evaluator: Evaluator, *others: object, **named: object) -> None:
        sizes.append(evaluator.subset_num_batches)
        evaluate(self, evaluator, *others, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(Trainer, '_eval_loop', counted)
    kept = Path('runs/quickstart/digits-baseline-cyclic-64ep-seed17/curve.json')
    kept.parent.mkdir(parents=True)
    kept.write_text('a curve')
    cost = lines(['data.eval_batch_size=90', 'checkpoint.folder=ck', 'checkpoint.autoresume=true'])
    assert cost['points'].endswith('64ep')
    assert kept.read_text() == 'a curve'
    assert [path for path in Path.cwd().rglob('*') if path.is_file()] == [kept.absolute()]
    assert sizes == [1]


WRONG = [
    ('loggers.FileLogger.filenam=x', 'loggers.FileLogger: .*filenam'),
    ('snapshot.folder=file/below', 'file/below'),
    ('checkpoint.folder=file/below', 'file/below'),
    ('snapshot.metrics=[eval/Acc]', "metrics names 'eval/Acc'.*did you mean 'eval/MulticlassAccuracy'"),
    ('precision=amp_fp17', 'amp_fp17 not found'),
    ('precision=amp_bf16', 'precision=amp_bf16: needs a GPU, .*: pass precision=fp32'),
    ('device_train_microbatch_size=auto', 'adaptive device_train_microbatch_size on GPU'),
    ('device_train_microbatch_size=many', "must be an int or ``'auto'``"),
    ('max_duration=8x', "max_duration='8x' is not a duration: write a whole number"),
    ('snapshot.peak_window=3x', "snapshot: peak_window='3x' is not a time"),
    ('snapshot.peak_window=40sp', "peak_window='40sp' cannot be counted in 'ba'"),
    ('evaluation.interval=often', 'often'),
]


@pytest.mark.parametrize(
    ('override', 'message', 'flags'),
    [*((*one, ['--check']) for one in WRONG), *((*one, []) for one in WRONG if 'snapshot' in one[0])],
)
@pytest.mark.filterwarnings('ignore:`device_train_microbatch_size=.auto:UserWarning')
def test_what_cannot_be_run_is_one_line_and_status_2(override, message, flags, capsys):
    Path('file').touch()
    assert main([*DIGITS, override, *flags]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert re.match(f'composer_clr.train: .*{message}', line)


def test_where_an_error_was_raised_is_shown_on_request():
    with pytest.raises(RecipeError, match='amp_fp17 not found'):
        main([*DIGITS, 'precision=amp_fp17', '--traceback'])


def test_a_full_disk_is_seen_before_the_run(monkeypatch):
    monkeypatch.setattr('composer_clr.training.check.shutil.disk_usage', lambda folder: SimpleNamespace(free=1_000_000))
    with pytest.raises(RecipeError, match=r'^snapshot.folder=.*: needs 1.6 MB, but only 1.0 MB are free$'):
        check_recipe(load_recipe(DIGITS[0], [DIGITS[1]]))


def test_unknown_options_are_refused(capsys):
    assert main([*DIGITS, '--chek']) == 2
    assert '--chek: unknown option: pass --check, --until TIME, --traceback' in capsys.readouterr().err


@pytest.fixture
def own(tmp_path: Path) -> list[str]:
    """Returns a recipe on a user's own photographs, three classes of six."""
    for split, images in (('train', 6), ('val', 2)):
        write_folder(tmp_path / 'images' / split, classes=3, images=images, size=(50, 40))
    text = MINIMAL.replace('name: digits', f'name: imagefolder, path: {tmp_path / "images"}')
    Path('own.yaml').write_text(text)
    sizes = ('train_size=16', 'eval_resize=18', 'eval_size=16')
    return [
        'own.yaml',
        'progress_bar=false',
        'model.num_classes=3',
        'data.batch_size=6',
        'data.eval_batch_size=6',
        *(f'data.arguments.{size}' for size in sizes),
    ]


def test_classes_and_folders_are_checked_before_an_image_is_read(own, tmp_path, capsys):
    def error(*overrides: str) -> str:
        assert main([*own, *overrides, '--check']) == 2
        return capsys.readouterr().err

    assert 'num_classes=2: ' in error('model.num_classes=2')
    shutil.rmtree(tmp_path / 'images/val/class1')
    assert 'classes differ, only in' in error()
    (tmp_path / 'images/val/class1').mkdir()
    assert 'has class folders without images: class1' in error()
    shutil.rmtree(tmp_path / 'images/val')
    assert 'no such folder' in error()


def test_an_image_that_breaks_in_the_middle_of_an_epoch_is_one_line_and_status_1(own, tmp_path, capsys):
    # In the first batch the image is refused with status 2, later with status 1.
    broken = sorted((tmp_path / 'images/train').rglob('*.JPEG'))[7]
    broken.write_bytes(broken.read_bytes()[:300])
    assert main([*own, 'data.num_workers=1', 'max_duration=6ep']) in (1, 2)
    last_line = capsys.readouterr().err.strip().splitlines()[-1]
    assert last_line.startswith(f'composer_clr.train: {broken}: not a readable image')
    assert 'Traceback' not in last_line


def test_two_ranks_that_see_different_files_are_stopped(own, tmp_path):
    """Each rank reads a folder of its own, named by a link, as on two machines."""
    shutil.copytree(tmp_path / 'images', tmp_path / 'other')
    (tmp_path / 'other/train/class0/0.JPEG').unlink()
    Path('run.py').write_text(
        'import sys\n'
        'from composer.utils import dist\n'
        'from composer_clr.train import main\n'
        f'paths = {str(tmp_path / "images")!r}, {str(tmp_path / "other")!r}\n'
        "sys.exit(main([*sys.argv[1:], f'data.path={paths[dist.get_global_rank()]}']))\n"
    )
    done = launch(2, 'run.py', *own, folder=Path.cwd())
    assert done.returncode != 0
    assert 'see different files' in done.stdout + done.stderr
    assert 'Traceback' not in done.stdout + done.stderr


def test_a_trough_is_passed_with_all_that_happens_there(monkeypatch):
    """The first is at batch 24 of 384; fast cycles would train on for 18 batches."""
    seen: list[tuple[str, int]] = []
    for callback in (TroughAverage, FastCycles):
        make_weights = callback.make_weights

        def counted(self, state, make_weights=make_weights):
            seen.append((type(self).__name__, state.timestamp.batch.value))
            return make_weights(self, state)

        monkeypatch.setattr(callback, 'make_weights', counted)
    lines(['callbacks.TroughAverage={}', 'callbacks.FastCycles={}'])
    assert sorted(seen) == [('FastCycles', 24), ('TroughAverage', 24)]


def test_what_fails_at_a_trough_is_told_before_the_run(monkeypatch, capsys):
    def broken(self, state):
        raise ValueError('cannot be averaged')

    monkeypatch.setattr(TroughAverage, 'make_weights', broken)
    assert main([*DIGITS, 'callbacks.TroughAverage={}', '--check']) == 2
    assert capsys.readouterr().err == 'composer_clr.train: cannot be averaged\n'
