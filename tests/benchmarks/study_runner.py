"""Wall-clock time of a study by one command: ``python -m tests.benchmarks.study_runner``.

``composer-clr run`` with one and with two runs side by side alternates with ``composer-clr sweep | sh -e``, each in a
new folder. Printed are the wall-clock seconds of every round, and the median and range of the ratios to ``sweep | sh``
per round. ``--before FOLDER`` takes ``sweep | sh`` from another checkout, such as ``git worktree add FOLDER fe877ad``.
After each round the points of all commands are compared, without times; they differ from those of a checkout from
before the order of the images followed the seed. Run it on a quiet machine.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from tests.helpers.untimed_points import untimed_points_by_run

ROOT = Path(__file__).parents[2]
PROGRAM = str(Path(sys.executable).parent / 'composer-clr')


def timed(command: str, folder: Path, checkout: Path) -> float:
    """Runs a shell command in a folder with the package of a checkout, and returns its wall-clock seconds."""
    environment = {
        **os.environ,
        'OMP_NUM_THREADS': '1',
        'PYTHONPATH': str(checkout),
        'PATH': f'{Path(sys.executable).parent}{os.pathsep}{os.environ["PATH"]}',
    }
    folder.mkdir()
    with (folder / 'output.log').open('wb') as log:
        began_s = time.perf_counter()
        subprocess.run(command, shell=True, check=True, cwd=folder, env=environment, stdout=log, stderr=log)
        return time.perf_counter() - began_s


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument('--study', default='quickstart/digits --seeds 17,18,19')
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--before', type=Path)
    options = parser.parse_args()
    # An older checkout has its commands in one module, which the installed program does not name.
    before = f"{sys.executable} -c 'from composer_clr.cli import main; main()'"
    sweep = f'{before if options.before else PROGRAM} sweep {options.study}'
    commands = {
        # Without pipefail, a sweep that fails would run nothing and be the fastest.
        'sweep | sh': (f"bash -c 'set -o pipefail; {sweep.replace(chr(39), chr(34))} | sh -e'", options.before or ROOT),
        'run': (f'{PROGRAM} run {options.study}', ROOT),
        'run -j 2': (f'{PROGRAM} run {options.study} -j 2', ROOT),
    }
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for number in range(options.rounds):
        with tempfile.TemporaryDirectory() as folder:
            for name, (command, checkout) in commands.items():
                seconds[name].append(timed(command, Path(folder) / name.replace(' ', ''), checkout))
            curves = {name: untimed_points_by_run(Path(folder) / name.replace(' ', '')) for name in commands}
        same = [name for name in commands if curves[name] == curves['run']]
        print(f'round {number}:', ', '.join(f'{name} {each[-1]:.1f} s' for name, each in seconds.items()), flush=True)
        print(f'  {len(curves["run"])} runs; the same points: {", ".join(same)}', flush=True)
    for name in list(commands)[1:]:
        ratios = [one / base for one, base in zip(seconds[name], seconds['sweep | sh'], strict=True)]
        print(f'{name} over sweep | sh: {median(ratios):.3f} ({min(ratios):.3f}-{max(ratios):.3f})')


if __name__ == '__main__':
    main()
