"""Starts ranks: with Composer's launcher, as users do, or faster, as forks of a process that has all the imports."""

from __future__ import annotations

import multiprocessing
import os
import runpy
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

# A start takes a second rather than ten.
PROCESSES = multiprocessing.get_context('forkserver')
PROCESSES.set_forkserver_preload(['tests.helpers.kills', 'composer_clr.data.streaming'])
# How long the other ranks may run when one has failed; the launcher gives them longer.
LEFT_TO_OTHERS_S = 5.0


def launch(ranks: int, *arguments: str, folder: Path, timeout_s: float = 300) -> subprocess.CompletedProcess[str]:
    """Does what ``composer -n RANKS ARGUMENTS...`` does in a folder; returns rank 0's output."""
    with tempfile.TemporaryDirectory() as outputs:
        processes = [
            PROCESSES.Process(target=_rank, args=(environment, arguments, folder, Path(outputs)))
            for environment in rank_environments(ranks)
        ]
        for process in processes:
            process.start()
        until = time.monotonic() + timeout_s
        while any(process.exitcode is None for process in processes) and time.monotonic() < until:
            if any(process.exitcode for process in processes):
                until = min(until, time.monotonic() + LEFT_TO_OTHERS_S)
            time.sleep(0.02)
        for process in processes:
            process.kill()
            process.join()
        status = next((process.exitcode for process in processes if process.exitcode), 0)
        out, err = ((Path(outputs) / f'{stream}0').read_text() for stream in ('stdout', 'stderr'))
        return subprocess.CompletedProcess(arguments, status, out, err)


def launch_by_composer(
    ranks: int, *arguments: str, folder: Path, timeout_s: float = 300
) -> subprocess.CompletedProcess[str]:
    """Runs ``composer -n RANKS ARGUMENTS...`` in a folder."""
    return subprocess.run(
        [str(Path(sys.executable).parent / 'composer'), '-n', str(ranks), *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


def rank_environments(ranks: int) -> list[dict[str, str]]:
    """Returns the environment variables of each rank of a launch."""
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        address = {'MASTER_ADDR': '127.0.0.1', 'MASTER_PORT': str(free.getsockname()[1])}
    numbers = {'NODE_RANK': 0, 'WORLD_SIZE': ranks, 'LOCAL_WORLD_SIZE': ranks}
    return [
        {**address, **{name: str(value) for name, value in {**numbers, 'RANK': rank, 'LOCAL_RANK': rank}.items()}}
        for rank in range(ranks)
    ]


def _rank(environment: dict[str, str], arguments: Sequence[str], folder: Path, outputs: Path) -> None:
    os.environ.update(environment)
    os.chdir(folder)
    # For the processes of loaders, as in a program that is started alone: here they would be started by the server too.
    multiprocessing.set_start_method('fork', force=True)
    for descriptor, name in ((1, 'stdout'), (2, 'stderr')):
        file = os.open(outputs / f'{name}{environment["RANK"]}', os.O_WRONLY | os.O_CREAT)
        os.dup2(file, descriptor)
    if arguments[0] == '-m':
        _, module, *rest = arguments
        sys.modules.pop(module, None)
        sys.argv = [module, *rest]
        runpy.run_module(module, run_name='__main__', alter_sys=True)
    else:
        sys.argv = list(arguments)
        runpy.run_path(arguments[0], run_name='__main__')
