from pathlib import Path

import pytest

from composer_clr.training.run_process import RunServer, failure, open_log

ERROR = 'composer_clr.train: data.imagefolder: /nowhere/train: no such folder\n'


def log_of(folder: Path, *starts: str) -> Path:
    path = folder / 'run/train.log'
    for output in starts:
        with open_log(path) as log:
            log.write(f'2026-01-01 00:00:00 $ python -m composer_clr.train quickstart/digits\n{output}'.encode())
    return path


@pytest.mark.parametrize(
    ('starts', 'code', 'expected'),
    [
        ([ERROR], 2, ERROR.partition(' ')[2].strip()),
        ([f'a warning\n{ERROR}exiting\n'], 2, ERROR.partition(' ')[2].strip()),
        (['Traceback:\n  File x\nRuntimeError: out of memory\n'], 1, 'RuntimeError: out of memory'),
        # The output of an earlier start does not explain this one.
        ([ERROR, ''], 1, 'ended with status 1'),
        ([ERROR], -9, 'killed by SIGKILL, which the kernel sends when memory runs out'),
        ([ERROR], -15, 'killed by SIGTERM'),
        (['evil\x1b[2J' + 'x' * 400], 1, 'evil [2J' + 'x' * 289 + '...'),
    ],
    ids=['error', 'last-of-its-lines', 'traceback', 'earlier-start', 'SIGKILL', 'SIGTERM', 'hostile'],
)
def test_the_reason_of_a_failure(tmp_path, starts, code, expected):
    assert failure(code, log_of(tmp_path, *starts)) == expected


def test_a_log_keeps_the_output_of_earlier_starts_and_is_locked_while_it_is_open(tmp_path):
    path = log_of(tmp_path, 'one\n', 'two\n')
    assert [line for line in path.read_text().splitlines() if '$' not in line] == ['one', 'two']
    with open_log(path), pytest.raises(BlockingIOError):
        open_log(path)
    open_log(path).close()


def test_the_server_that_a_run_has_started_does_not_keep_its_log_locked(tmp_path):
    server = RunServer()
    with open_log(tmp_path / 'train.log') as log:
        server.start(['quickstart/digits'], log, {}, 1)
    try:
        # As a race does, which trains a run once more at every stage.
        open_log(tmp_path / 'train.log').close()
    finally:
        server.close()
