"""The page of a study that runs: written after each run, so that a browser that shows it shows the study grow."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from time import monotonic

import typer

from composer_clr.cli.run_display import folder_of_curves
from composer_clr.curves.curve import CURVE_FILE
from composer_clr.training.study import StudyRun
from composer_clr.utils.errors import UserError, one_line
from composer_clr.utils.files import write_output

__all__ = ['PAGE_FILE', 'RunPage']

PAGE_FILE = 'page.html'
# How often a browser reads the page of a study that runs.
_REFRESH_S = 30
# The time between two pages is so many times that of making one: runs wait for it.
_SELDOM = 20


class RunPage:
    """Writes a page into the folder that holds the folders of a study's runs. A page that cannot be made stops no run.

    Attributes:
        path (Path): The page.
        reason (str): Why it could not be made; empty if it was.

    Args:
        runs (Sequence[StudyRun]): The runs.
        command (str): The command that runs them, which the page shows.
        equivalent (bool): Whether it shows equivalent lengths too. Default: ``False``.
    """

    def __init__(self, runs: Sequence[StudyRun], command: str, *, equivalent: bool = False):
        self._runs, self._command, self._equivalent = runs, command, equivalent
        self._folder = Path(folder_of_curves(runs))
        self.path = self._folder / PAGE_FILE
        self.reason = ''
        self._ended, self._next_s = self._count(), 0.0
        if importlib.util.find_spec('plotly') is None:
            self.reason = "it takes plotly: pip install 'composer_clr[report]'"
        elif not all(run.is_local for run in runs):
            self.reason = 'the curves are in an object store'
        self._is_possible = not self.reason

    def after(self, show: Callable[[], None]) -> Callable[[], None]:
        """Returns a function that calls ``show``, and writes the page if a run has ended since."""

        def both() -> None:
            show()
            if self._is_possible and self._count() > self._ended and monotonic() >= self._next_s:
                began_s = monotonic()
                self._ended = self._count()
                self._write(_REFRESH_S)
                self._next_s = monotonic() + _SELDOM * (monotonic() - began_s)

        return both

    def close(self) -> None:
        """Writes the page at the end of the study, which a browser does not read again, and says where it is."""
        if self._is_possible:
            self._write(None)
        if self.reason:
            typer.echo(f'composer-clr: no page of the study: {self.reason}', err=True)
        else:
            typer.echo(f'page: {self.path}')

    def _count(self) -> int:
        return sum(run.state not in ('waiting', 'running') for run in self._runs)

    def _write(self, refresh_s: int | None) -> None:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter('ignore')
                html = self._html(refresh_s)
            self._check_replaceable()
            write_output(self.path, html.encode())
            self.reason = ''
        except Exception as error:  # whatever it is, the runs go on
            self.reason = one_line(error)

    def _html(self, refresh_s: int | None) -> str:
        from composer_clr.cli.options import with_averaged
        from composer_clr.cli.study_page import study_page
        from composer_clr.curves.files import read_sources
        from composer_clr.study.alignment import Alignment

        files = [Path(run.planned.folder) / CURVE_FILE for run in self._runs]
        if not any(file.exists() for file in files):
            raise UserError('no run has a point')
        curves, errors = read_sources([file for file in files if file.exists()])
        html, _ = study_page(
            with_averaged(curves, None),
            alignment=Alignment(),
            title=f'Tradeoff curves of {self._folder}',
            equivalent=self._equivalent,
            unread=[f'left out: {error}' for error in errors],
            commands=[self._command],
            refresh_s=refresh_s,
        )
        return html

    def _check_replaceable(self) -> None:
        from composer_clr.report.page import GENERATOR

        if self.path.exists():
            with self.path.open('rb') as file:
                if GENERATOR.encode() not in file.read(2000):
                    raise UserError(f'{self.path} is another file: move it, or pass --no-page')
