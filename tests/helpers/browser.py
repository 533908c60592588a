"""A real browser without a window, driven over Chromium's own pipe: no driver, no package, no port."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ['Browser', 'browser_path', 'opened']

_NAMES = ('chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable')
_LONGEST_S = 60.0


def browser_path() -> str | None:
    return next(filter(None, map(shutil.which, _NAMES)), None)


class Browser:
    """A page in a browser. ``requests`` has the address of everything it loads, ``problems`` what its console says."""

    def __init__(self, commands: int, answers: int):
        self._commands, self._answers = commands, answers
        self._number, self._read = 0, b''
        self._session: str | None = None
        self._events: list[dict[str, Any]] = []
        self.requests: list[str] = []
        self.problems: list[str] = []
        target = self.do('Target.createTarget', url='about:blank')['targetId']
        self._session = self.do('Target.attachToTarget', targetId=target, flatten=True)['sessionId']
        for domain in ('Page', 'Runtime', 'Network', 'Log'):
            self.do(f'{domain}.enable')

    def do(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Calls a method of the devtools protocol and returns its result."""
        self._number += 1
        command = {'id': self._number, 'method': method, 'params': parameters}
        if self._session is not None:
            command['sessionId'] = self._session
        os.write(self._commands, json.dumps(command).encode() + b'\0')
        until = time.monotonic() + _LONGEST_S
        while (message := self._next(until)).get('id') != self._number:
            self._noted(message)
        assert 'error' not in message, message
        return message['result']

    def open(self, path: Path, *, width: int = 1400, height: int = 900, dark: bool = False) -> None:
        """Opens a file at a size, phones below 600 pixels, and waits until it is loaded."""
        self.size(width, height)
        scheme = {'name': 'prefers-color-scheme', 'value': 'dark' if dark else 'light'}
        self.do('Emulation.setEmulatedMedia', media='', features=[scheme])
        self._events.clear()
        self.do('Page.navigate', url=path.as_uri())
        until = time.monotonic() + _LONGEST_S
        while not any(event['method'] == 'Page.loadEventFired' for event in self._events):
            self._noted(self._next(until))

    def size(self, width: int, height: int) -> None:
        is_phone = width < 600
        self.do('Emulation.setDeviceMetricsOverride', width=width, height=height, deviceScaleFactor=1, mobile=is_phone)

    def value(self, expression: str) -> Any:
        """Returns the value of an expression in the page, when it is there."""
        result = self.do('Runtime.evaluate', expression=expression, returnByValue=True, awaitPromise=True)
        assert 'exceptionDetails' not in result, result
        return result['result'].get('value')

    def until(self, expression: str) -> None:
        """Waits until an expression is true."""
        started_s = time.monotonic()
        while not self.value(expression):
            assert time.monotonic() - started_s < _LONGEST_S, f'never: {expression}'
            time.sleep(0.05)

    def hover(self, expression: str) -> tuple[float, float]:
        """Moves the mouse to the middle of an element, which it brings into view."""
        self.value(f'{expression}.scrollIntoView({{block: "center"}})')
        box = self.value(f'{expression}.getBoundingClientRect().toJSON()')
        x, y = box['x'] + box['width'] / 2, box['y'] + box['height'] / 2
        self.do('Input.dispatchMouseEvent', type='mouseMoved', x=x, y=y)
        return x, y

    def click(self, expression: str) -> None:
        x, y = self.hover(expression)
        for kind in ('mousePressed', 'mouseReleased'):
            self.do('Input.dispatchMouseEvent', type=kind, x=x, y=y, button='left', clickCount=1)

    def picture(self, path: Path) -> None:
        """Writes a picture of the whole page."""
        size = self.do('Page.getLayoutMetrics')['cssContentSize']
        found = self.do('Page.captureScreenshot', captureBeyondViewport=True, clip={**size, 'scale': 1})
        path.write_bytes(base64.b64decode(found['data']))

    def pdf(self, path: Path) -> None:
        """Prints the page."""
        path.write_bytes(base64.b64decode(self.do('Page.printToPDF', printBackground=False)['data']))

    def _noted(self, message: dict[str, Any]) -> None:
        method, parameters = message.get('method', ''), message.get('params', {})
        self._events.append(message)
        if method == 'Network.requestWillBeSent':
            self.requests.append(parameters['request']['url'])
        elif method == 'Runtime.exceptionThrown':
            self.problems.append(json.dumps(parameters['exceptionDetails']))
        elif method == 'Runtime.consoleAPICalled' and parameters['type'] in ('error', 'warning'):
            self.problems.append(json.dumps(parameters['args']))
        elif method == 'Log.entryAdded' and parameters['entry']['level'] in ('error', 'warning'):
            self.problems.append(json.dumps(parameters['entry']))

    def _next(self, until: float) -> dict[str, Any]:
        while b'\0' not in self._read:
            ready, _, _ = select.select([self._answers], [], [], max(0.0, until - time.monotonic()))
            assert ready, 'the browser does not answer'
            part = os.read(self._answers, 1 << 20)
            assert part, 'the browser has ended'
            self._read += part
        message, _, self._read = self._read.partition(b'\0')
        return json.loads(message)


@contextmanager
def opened(profile: Path) -> Iterator[Browser]:
    """Starts a browser with a new profile, which no network is left to, and ends it."""
    path = browser_path()
    assert path is not None
    (theirs_in, commands), (answers, theirs_out) = os.pipe(), os.pipe()
    # The browser reads its commands from descriptor 3 and writes its answers to 4.
    words = [
        *(path, '--headless', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run'),
        *('--disable-background-networking', '--disable-component-update', '--disable-sync', '--disable-extensions'),
        *('--host-resolver-rules=MAP * ~NOTFOUND', '--remote-debugging-pipe', f'--user-data-dir={profile}'),
    ]
    shell = ['bash', '-c', f'exec 3<&{theirs_in} 4>&{theirs_out} "$@"', 'bash', *words]
    process = subprocess.Popen(
        shell, pass_fds=(theirs_in, theirs_out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    os.close(theirs_in)
    os.close(theirs_out)
    try:
        yield Browser(commands, answers)
    finally:
        os.close(commands)
        os.close(answers)
        process.terminate()
        process.wait(10)
