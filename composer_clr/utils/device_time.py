"""The time of work that a GPU may not have finished when the call that started it returns."""

from __future__ import annotations

import time

import torch

__all__ = ['device_time_s']


def device_time_s() -> float:
    """Returns the time of a monotonic clock in seconds, after the GPU, if any, has finished its work."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.monotonic()
