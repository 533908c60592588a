"""Shares GPUs out between the runs of a study side by side; no torch in this process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from composer_clr.recipes.schema import RecipeError

__all__ = ['Slot', 'check_devices', 'shared_out']

_COUNT = 'import torch; print(torch.cuda.device_count())'


@dataclass(frozen=True)
class Slot:
    """A place for a run among those side by side, with its share of the GPUs."""

    number: int
    devices: str | None


def check_devices(devices: Sequence[str]) -> None:
    """Refuses GPUs that PyTorch does not find, in place of which it would train on the CPU or on fewer.

    Args:
        devices (Sequence[str]): GPUs, as ``CUDA_VISIBLE_DEVICES`` names them; none is not checked.

    Raises:
        RecipeError: If it finds fewer than these.
    """
    if not devices:
        return
    named = ','.join(devices)
    environment = {**os.environ, 'CUDA_VISIBLE_DEVICES': named, 'PYTORCH_NVML_BASED_CUDA_CHECK': '1'}
    counted = subprocess.run([sys.executable, '-c', _COUNT], env=environment, capture_output=True, text=True)
    found = int(counted.stdout) if counted.returncode == 0 else 0
    if found < len(devices):
        raise RecipeError(
            f'--devices {named}: PyTorch finds {found} of these {len(devices)} GPUs: name those that nvidia-smi -L '
            'lists, each once, or leave --devices out'
        )


def shared_out(jobs: int, ranks: int, devices: Sequence[str]) -> list[Slot]:
    """Returns the places of runs side by side, each with GPUs for its ranks; places beyond the GPUs share them.

    Args:
        jobs (int): How many runs side by side.
        ranks (int): Ranks of each run.
        devices (Sequence[str]): GPUs, as ``CUDA_VISIBLE_DEVICES`` names them; without any, each run sees all.

    Raises:
        RecipeError: If there are fewer devices than ranks.

    Example:
        >>> [slot.devices for slot in shared_out(3, 2, ['0', '1', '2', '3'])]
        ['0,1', '2,3', '0,1']
    """
    if not devices:
        return [Slot(number, None) for number in range(jobs)]
    if len(devices) < ranks:
        raise RecipeError(f'--devices {",".join(devices)}: a run of {ranks} ranks needs {ranks} GPUs: name as many')
    groups = [','.join(devices[i : i + ranks]) for i in range(0, len(devices) - ranks + 1, ranks)]
    return [Slot(number, groups[number % len(groups)]) for number in range(jobs)]
