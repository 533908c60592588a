"""A real MLflow server on loopback, over a database."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest


class MLflowServer:
    """Starts and stops a server; what was logged to it stays in the folder."""

    def __init__(self, folder: Path):
        self.folder = folder
        with socket.socket() as free:
            free.bind(('127.0.0.1', 0))
            self.port = free.getsockname()[1]
        self.uri = f'http://127.0.0.1:{self.port}'
        self._process: subprocess.Popen | None = None

    def start(self) -> None:
        words = [sys.executable, '-m', 'mlflow', 'server', '--host', '127.0.0.1', '--port', str(self.port)]
        words += [
            '--backend-store-uri',
            'sqlite:///mlflow.db',
            '--workers',
            '1',
            '--default-artifact-root',
            'artifacts',
        ]
        self._process = subprocess.Popen(
            words, cwd=self.folder, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        for _ in range(120):
            with suppress(OSError), urllib.request.urlopen(f'{self.uri}/health', timeout=5):
                return
            time.sleep(1)
        pytest.fail('the MLflow server does not start')

    def stop(self) -> None:
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None


@pytest.fixture
def server(tmp_path: Path) -> Iterator[MLflowServer]:
    """A server that has started."""
    pytest.importorskip('mlflow')
    running = MLflowServer(tmp_path)
    try:
        running.start()
        yield running
    finally:
        running.stop()
