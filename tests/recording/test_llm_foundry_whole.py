"""The shipped YAML in LLM Foundry itself, in an environment of its own: some minutes, and some gigabytes once.

``COMPOSER_CLR_LLM_FOUNDRY`` may name the Python of an environment that has llm-foundry 0.22 and composer_clr.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from configparser import ConfigParser
from pathlib import Path

import pytest
import torch

from composer_clr.curves.curve import TradeoffCurve, TradeoffPoint
from tests.helpers.markdown import code_blocks

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
YAML = ROOT / 'yamls/llm_foundry/mpt.yaml'
README = YAML.parent / 'README.md'
TROUGHS = [65536, 131072, 262144]
LOSS = 'eval/eval/LanguageCrossEntropy'


@pytest.fixture(scope='module')
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python that has LLM Foundry 0.22 and this checkout."""
    own = os.environ.get('COMPOSER_CLR_LLM_FOUNDRY')
    if own:
        return Path(own)
    folder = tmp_path_factory.mktemp('llm-foundry') / 'venv'
    python = folder / 'bin/python'
    for command in (
        [sys.executable, '-m', 'venv', str(folder)],
        [str(python), '-m', 'pip', 'install', '--quiet', 'llm-foundry==0.22.0', str(ROOT)],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f'llm-foundry 0.22.0 cannot be installed: {(done.stderr.strip() or "?").splitlines()[-1]}')
    return python


@pytest.fixture(scope='module')
def study(python: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The text, and the cyclic run and its first standard run."""
    folder = tmp_path_factory.mktemp('study')
    write = [str(python), '-m', 'composer_clr.data.conversion.llm_foundry_text']
    subprocess.run(write, cwd=folder, env=environment(), check=True, timeout=600)
    train(python, folder, 'run_name=cyclic', 'max_duration=262144tok')
    one_cycle = ('scheduler.name=study', 'scheduler.kind=standard')
    train(python, folder, 'run_name=standard', 'max_duration=65536tok', *one_cycle)
    return folder


def environment() -> dict[str, str]:
    return {**os.environ, 'OMP_NUM_THREADS': '1', 'HF_HUB_OFFLINE': '1'}


def command(python: Path, *overrides: str) -> list[str]:
    return [str(python.parent / 'llmfoundry'), 'train', str(YAML), *overrides]


def train(python: Path, folder: Path, *overrides: str) -> str:
    """Trains, and returns what Composer's console logger writes, to standard error."""
    done = subprocess.run(
        command(python, *overrides),
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stderr


def points(folder: Path, run: str) -> list[TradeoffPoint]:
    return TradeoffCurve.read(folder / 'runs' / run).points


def weights(folder: Path, run: str, name: str) -> dict[str, torch.Tensor]:
    return torch.load(folder / 'runs' / run / name, weights_only=True)['state']['model']


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_points_lie_at_the_troughs_in_tokens_and_training_pays(study):
    curve = points(study, 'cyclic')
    assert [point.token for point in curve] == TROUGHS
    losses = [point.metrics[LOSS] for point in curve]
    assert losses == sorted(losses, reverse=True)
    assert TradeoffCurve.read(study / 'runs/cyclic').run.method == 'baseline'


def test_the_first_point_is_bit_for_bit_the_standard_runs(study):
    assert points(study, 'cyclic')[0].metrics == points(study, 'standard')[0].metrics
    assert same(weights(study, 'cyclic', 'cycle0-ba32.pt'), weights(study, 'standard', 'cycle0-ba32.pt'))


def test_a_run_that_is_killed_and_resumed_is_the_same(python, study):
    arguments = command(python, 'run_name=killed', 'max_duration=262144tok')
    with subprocess.Popen(arguments, cwd=study, env=environment(), stdout=subprocess.DEVNULL) as running:
        deadline = time.monotonic() + 600
        checkpoints = study / 'runs/killed/checkpoints'
        # The link to the newest is made last: its checkpoint is whole.
        while not list(checkpoints.glob('latest*')) and running.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        assert running.poll() is None, 'the run ended before it could be killed'
        running.send_signal(signal.SIGKILL)
    train(python, study, 'run_name=killed', 'max_duration=262144tok')
    assert [p.metrics for p in points(study, 'killed')] == [p.metrics for p in points(study, 'cyclic')]
    assert same(weights(study, 'killed', 'cycle2-ba128.pt'), weights(study, 'cyclic', 'cycle2-ba128.pt'))


def test_the_console_has_one_line_more_per_point(python, study):
    """With the callback and without, evaluated at the same batches."""
    common = ('max_duration=131072tok', 'eval_interval=32ba', 'save_folder=null', 'autoresume=false')
    own = train(python, study, 'run_name=with', 'callbacks.pareto_snapshot.autoresume=false', *common)
    plain = train(python, study, 'run_name=without', 'callbacks=null', *common)
    # What comes before the first line of progress is the configuration.
    lines = [text.partition('\n[')[2].splitlines() for text in (own, plain)]
    assert len(lines[1]) > 20
    assert len(lines[0]) == len(lines[1]) + 2
    assert sum('pareto/' in line for line in lines[0]) == 2


def test_the_readme_line_by_line(python, tmp_path):
    """Its commands in their order, with two troughs in place of five, and one seed."""
    yaml = YAML.read_text(encoding='utf-8')
    assert yaml.count('max_duration: 1048576tok\n') == 1
    (tmp_path / 'mpt.yaml').write_text(yaml.replace('max_duration: 1048576tok', 'max_duration: 131072tok'))
    commands = '\n'.join(code_blocks(README, 'sh')).replace('--seeds 17,18,19', '--seeds 17')
    commands = commands.replace('--max-duration 1048576tok', '--max-duration 131072tok')
    own = {**environment(), 'PATH': f'{python.parent}{os.pathsep}{os.environ["PATH"]}'}
    done = subprocess.run(
        ['sh', '-e', '-x'], input=commands, cwd=tmp_path, env=own, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / 'loss.png').stat().st_size > 10_000
    curves = {folder.name: TradeoffCurve.read(folder) for folder in (tmp_path / 'runs').iterdir() if folder.is_dir()}
    assert {name: (curve.run.kind, [p.token for p in curve.points]) for name, curve in curves.items()} == {
        'mpt': ('cyclic', TROUGHS[:2]),
        'cyclic-131072tok-seed17': ('cyclic', TROUGHS[:2]),
        'standard-65536tok-seed17': ('standard', TROUGHS[:1]),
        'standard-131072tok-seed17': ('standard', TROUGHS[1:2]),
        'mpt-wsd-s': ('wsd-s-linear', TROUGHS[:2]),
        'mpt-anytime': ('anytime', TROUGHS[:2]),
    }
    assert {LOSS, f'plain/{LOSS}'} <= curves['mpt-anytime'].points[0].metrics.keys()


def test_every_part_is_found_by_its_name_in_the_registry(python):
    """Each name of ``setup.cfg``, asked for in LLM Foundry itself."""
    program = (
        'import llmfoundry.registry as registry\n'
        f'for group, name in {names_declared()!r}:\n'
        '    assert getattr(registry, group).get(name).__module__.startswith("composer_clr."), name\n'
    )
    done = subprocess.run([str(python), '-c', program], env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


def names_declared() -> list[tuple[str, str]]:
    config = ConfigParser()
    config.read(ROOT / 'setup.cfg')
    points = config['options.entry_points'].items()
    return [
        (key.removeprefix('llmfoundry_'), line.partition('=')[0].strip())
        for key, lines in points
        if key.startswith('llmfoundry_')
        for line in lines.strip().splitlines()
    ]
