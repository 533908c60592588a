"""Imports for the study runner's fork server, made once for all runs of a study.

Nothing here may start CUDA, which does not survive a fork.
"""

from __future__ import annotations

import os

# Makes torch ask the driver whether there is a GPU, without starting CUDA.
os.environ.setdefault('PYTORCH_NVML_BASED_CUDA_CHECK', '1')

import composer.algorithms  # noqa: F401 (imported by Composer at the first event of every run)
from composer.utils.collect_env import get_cpu_model

import composer_clr.data.digits
import composer_clr.training.build
import composer_clr.training.under_runner  # noqa: F401

# Takes a second; Composer caches the result, also for forked processes.
get_cpu_model()
