"""One clock for all that measures a run: this package, Composer and W&B. No time passes but what a test allots."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from composer import Trainer

from composer_clr.recording import run_state

_START = datetime.datetime(2022, 6, 1)


class FakeClock:
    """A clock that training, evaluation and whatever else a test names advance by fixed steps.

    Args:
        patch (MonkeyPatch): Undoes it.
        batch_s (float): What a batch takes, in seconds. Default: ``1.0``.
        evaluation_s (float): What an evaluator takes, in seconds. Default: ``10.0``.
    """

    def __init__(self, patch: pytest.MonkeyPatch, batch_s: float = 1.0, evaluation_s: float = 10.0):
        self.now_s = 0.0
        self.collates_s = 0.0  # for a test's own collate function
        self._patch = patch

        class TimeOfDay(datetime.datetime):
            @classmethod
            def now(cls, tz: datetime.tzinfo | None = None) -> datetime.datetime:  # type: ignore[override]
                return _START + datetime.timedelta(seconds=self.now_s)

        patch.setattr(run_state, 'time', SimpleNamespace(monotonic=lambda: self.now_s))
        patch.setattr(
            'composer.trainer.trainer.datetime', SimpleNamespace(datetime=TimeOfDay, timedelta=datetime.timedelta)
        )
        patch.setattr(
            'wandb.sdk.interface.interface.time', SimpleNamespace(time=lambda: _START.timestamp() + self.now_s)
        )
        self.takes(Trainer, '_train_batch', batch_s)
        self.takes(Trainer, '_eval_loop', evaluation_s)

    def takes(self, owner: Any, name: str, seconds: float) -> None:
        """Makes every call of a function take so many seconds."""
        call: Callable[..., Any] = getattr(owner, name)

        def timed(*args: Any, **kwargs: Any) -> Any:
            self.now_s += seconds
            return call(*args, **kwargs)

        self._patch.setattr(owner, name, timed)
