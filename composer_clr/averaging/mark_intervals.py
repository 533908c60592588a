"""When evaluators run in an anytime run: averages at marks, the weights in training at the user's interval too."""

from __future__ import annotations

from collections.abc import Callable

from composer.core import Evaluator, Event, State

from composer_clr.recording.evaluation import AtTroughsToo

__all__ = ['AtMarksToo', 'MarkIntervals']

Interval = Callable[[State, Event], bool]


class AtMarksToo:
    """An ``eval_interval`` of the weights in training: the user's own, and each mark.

    Args:
        users (Interval): The user's own interval.
        at_mark (Interval): Whether this is the end of a batch that passed a mark.

    Attributes:
        asked (bool): Whether the user's own interval asked for the last evaluation.
    """

    def __init__(self, users: Interval, at_mark: Interval):
        self.users = users
        self.at_mark = at_mark
        self.asked = False

    def __call__(self, state: State, event: Event) -> bool:
        self.asked = bool(self.users(state, event))
        return self.asked or self.at_mark(state, event)


class MarkIntervals:
    """The intervals of the user's evaluators while they evaluate averages, and those that the user gave them.

    Args:
        at_mark (Interval): Whether this is the end of a batch that passed a mark.
    """

    def __init__(self, at_mark: Interval):
        self.at_mark = at_mark
        self._users: list[tuple[Evaluator, Interval]] = []

    def leave_to_averages(self, first: Evaluator, second: Evaluator) -> None:
        """Makes an evaluator run at marks alone, and the one for the weights in training at the user's interval too."""
        interval = first.eval_interval
        assert interval is not None, 'the Trainer has set every eval_interval'
        users = interval.users if isinstance(interval, AtTroughsToo) else interval
        self._users.append((first, users))
        if isinstance(interval, AtTroughsToo):
            interval.users = _never
        else:
            first.eval_interval = self.at_mark
        second.eval_interval = AtMarksToo(users, self.at_mark)

    def give_back(self) -> None:
        """Gives the evaluators the intervals that the user gave them."""
        for evaluator, users in self._users:
            if isinstance(evaluator.eval_interval, AtTroughsToo):
                evaluator.eval_interval.users = users
            else:
                evaluator.eval_interval = users
        self._users = []


def _never(state: State, event: Event) -> bool:
    del state, event
    return False
