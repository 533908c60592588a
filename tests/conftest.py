"""Where tests run and what they may leave behind."""

from __future__ import annotations

import gc
import os

import pytest

# Before torch starts its threads: with few cores they wait on each other for longer than they compute.
os.environ.setdefault('OMP_NUM_THREADS', '1')

MOST_WORKERS = 8
CACHES = {'.pytest_cache', '.hypothesis', '__pycache__'}
LISTING = pytest.StashKey[set[str]]()


def pytest_configure(config: pytest.Config) -> None:
    """Registers the fixtures where tests run: the process that hands files out to others does not import Composer."""
    if hasattr(config, 'workerinput') or not config.getoption('tx', None):
        config.pluginmanager.import_plugin('tests.helpers.trainers')


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Returns one process per core for folders, and none for single files, which end before workers have started."""
    if any('.py' in argument for argument in config.args):
        return 0
    return min(len(os.sched_getaffinity(0)), MOST_WORKERS)


def pytest_collection_finish() -> None:
    """Leaves what has been imported out of the garbage collections in tests, each of which would look through it."""
    gc.freeze()


def listing(config: pytest.Config) -> set[str]:
    return {path.name for path in config.rootpath.iterdir()} - CACHES


def pytest_sessionstart(session: pytest.Session) -> None:
    session.config.stash[LISTING] = listing(session.config)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fails a session whose tests leave files in the checkout."""
    left = listing(session.config) - session.config.stash[LISTING]
    if left and not hasattr(session.config, 'workerinput'):
        print(f'\nERROR: left in {session.config.rootpath} by the tests: {", ".join(sorted(left))}')
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
