"""How long a study takes by one command: ``python -m tests.benchmarks.study_runner``.

``composer-clr run`` with one and with two runs side by side, and ``composer-clr sweep | sh -e``, in turn, round after
round, each in a new folder. Printed are the wall-clock seconds of every round, and the median and range of the ratios
to ``sweep | sh``, round by round. ``--before FOLDER`` takes ``sweep | sh`` from another checkout, such as
``git worktree add FOLDER fe877ad``. After each round the points of all ways are compared, without times: those of a
checkout from before the order of the images followed the seed are others. Nothing else should run meanwhile.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

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


def points(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Returns the points of every run in a folder, without times."""
    found = {}
    for file in folder.rglob('curve.json'):
        kept = json.loads(file.read_text(encoding='utf-8'))['points']
        found[file.parent.name] = [{k: v for k, v in p.items() if not k.startswith('wall_clock')} for p in kept]
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument('--study', default='quickstart/digits --seeds 17,18,19')
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--before', type=Path)
    options = parser.parse_args()
    # Before there were folders, the commands were in one module, which the installed program does not name.
    before = f"{sys.executable} -c 'from composer_clr.cli import main; main()'"
    sweep = f'{before if options.before else PROGRAM} sweep {options.study}'
    ways = {
        # A sweep that fails would leave nothing to run, and be the fastest.
        'sweep | sh': (f"bash -c 'set -o pipefail; {sweep.replace(chr(39), chr(34))} | sh -e'", options.before or ROOT),
        'run': (f'{PROGRAM} run {options.study}', ROOT),
        'run -j 2': (f'{PROGRAM} run {options.study} -j 2', ROOT),
    }
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for number in range(options.rounds):
        with tempfile.TemporaryDirectory() as folder:
            for way, (command, checkout) in ways.items():
                seconds[way].append(timed(command, Path(folder) / way.replace(' ', ''), checkout))
            found = {way: points(Path(folder) / way.replace(' ', '')) for way in ways}
        same = [way for way in ways if found[way] == found['run']]
        print(f'round {number}:', ', '.join(f'{way} {each[-1]:.1f} s' for way, each in seconds.items()), flush=True)
        print(f'  {len(found["run"])} runs; the same points: {", ".join(same)}', flush=True)
    for way in list(ways)[1:]:
        ratios = [one / base for one, base in zip(seconds[way], seconds['sweep | sh'], strict=True)]
        print(f'{way} over sweep | sh: {median(ratios):.3f} ({min(ratios):.3f}-{max(ratios):.3f})')


if __name__ == '__main__':
    main()
