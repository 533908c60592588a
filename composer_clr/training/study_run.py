"""A run of a study: its command, its state, and why it failed."""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from composer_clr.curves.curve import CurveError, TradeoffCurve
from composer_clr.recipes.schema import RecipeError
from composer_clr.recipes.sweep import PlannedRun
from composer_clr.recording.folder_lock import FolderInUseError, FolderLock
from composer_clr.training.study_log import LOG_FILE, failure

__all__ = ['StudyRun', 'resumable']

# For runs whose recipe has no checkpoints; shorter runs never wait for one.
_SAVED_EVERY = '60s'
_FREE_WITHIN_S = 2.0


@dataclass
class StudyRun:
    """A run of a study and its state.

    Attributes:
        planned (PlannedRun): The planned run.
        state (str): ``'waiting'``, ``'running'``, ``'done'``, ``'failed'`` or ``'interrupted'``.
        reason (str): Why it failed, on one line.
        seconds (float): How long it has been running, or ran.
        progress (Mapping): What :class:`~composer_clr.training.under_runner.RunProgress` reports.
    """

    planned: PlannedRun
    state: str = 'waiting'
    reason: str = ''
    seconds: float = 0.0
    progress: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The run's name."""
        return self.planned.recipe.run_name

    @property
    def log(self) -> Path:
        """The file of its output: in its folder, or in a local one of its name if that is in an object store."""
        return Path(self.planned.folder if self.is_local else self.name) / LOG_FILE

    @property
    def is_local(self) -> bool:
        """Whether its folder is on this machine."""
        return '://' not in self.planned.folder

    def has_ended(self) -> bool:
        """Returns whether its folder holds the complete curve, or that of another run; then sets the state."""
        try:
            if not self.planned.is_complete():
                return False
        except RecipeError as error:
            self.state, self.reason = 'failed', str(error)
            return True
        self.settle(0)
        return True

    def check_free(self) -> None:
        """Waits for a moment, as long as a process of a killed runner may last, until nothing writes to its folder.

        Raises:
            FolderInUseError: If another run does.
            OSError: If the folder cannot be written to.
        """
        until = time.monotonic() + _FREE_WITHIN_S
        while self.is_local:
            try:
                with warnings.catch_warnings(), suppress(FileNotFoundError):
                    warnings.simplefilter('ignore')  # of a file system without locks, the run itself warns
                    FolderLock(Path(self.planned.folder)).release()
                return
            except FolderInUseError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.1)

    def settle(self, code: int) -> None:
        """Sets state and reason from the exit status and the curve."""
        if code:
            self.state, self.reason = 'failed', failure(code, self.log)
            return
        self.state = 'done'
        if not self.is_local:
            return
        try:
            curve = TradeoffCurve.read(Path(self.planned.folder))
            complete = self.planned.is_complete()
        except (CurveError, RecipeError) as error:
            self.state, self.reason = 'failed', str(error)
            return
        if curve.points and curve.points[-1].diverged:
            epoch = curve.points[-1].epoch
            self.state = 'failed'
            self.reason = (
                f'diverged by epoch {epoch:g}: pass a lower optimizer.lr, and another run_name or remove '
                f'{self.planned.folder}'
            )
        elif not complete:
            self.state, self.reason = 'failed', f'ended with {len(curve.points)} of {len(self.planned.troughs)} points'


def resumable(planned: PlannedRun) -> tuple[list[str], str | None]:
    """Returns recipe and ``key=value`` pairs of a run that saves checkpoints and resumes from them.

    The second value is the folder of checkpoints that the recipe itself does not name, to be removed once the run is
    complete; or ``None``.
    """
    words = [planned.name, *planned.overrides, 'progress_bar=false', 'checkpoint.autoresume=true']
    if planned.recipe.checkpoint.folder is not None:
        return words, None
    checkpoints = f'{planned.folder}/checkpoints'
    return [*words, f'checkpoint.folder={json.dumps(checkpoints)}', f'checkpoint.interval={_SAVED_EVERY}'], checkpoints
