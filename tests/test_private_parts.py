"""Where the package relies on parts of its libraries that they do not document: each part, and who relies on it.

When a library's minor version moves, read the listed parts again in its source, and then move the version here.
"""

from __future__ import annotations

import ast
import importlib
import inspect
from importlib.metadata import version
from pathlib import Path

import pytest
import torch
from composer.core import State
from composer.optim.scheduler import compile_composer_scheduler

import composer_clr

MINOR_VERSIONS = {
    'mosaicml': '0.32',
    'wandb': '0.18',
    'torch': '2.7',
    'mosaicml-streaming': '0.13',
    'tensorboard': '2.20',
}
PACKAGE = Path(composer_clr.__file__).parent

# Module and attribute, and the module of this package that relies on it, which must name the attribute.
PRIVATE_PARTS = [
    ('composer.utils.checkpoint', 'save_checkpoint', 'recording/run_folder.py'),
    ('composer.utils.checkpoint', '_write_checkpoint_file', 'training/torch_errors.py'),
    ('composer.loggers', 'ConsoleLogger.log_table', 'recording/curve_logger.py'),
    ('composer.loggers', 'WandBLogger.download_file', 'loggers/wandb_start.py'),
    ('composer.loggers', 'WandBLogger.upload_file', 'loggers/outlived.py'),
    ('composer.loggers', 'MLFlowLogger.rename', 'loggers/mlflow_live.py'),
    ('composer.core.state', 'State.get_elapsed_duration', 'algorithms/in_cycles.py'),
    ('torch.nn.modules.batchnorm', '_BatchNorm', 'averaging/batch_norm.py'),
    ('wandb.sdk.internal.datastore', 'DataStore.open_for_scan', 'loggers/wandb_runs.py'),
    ('wandb.sdk.internal.datastore', 'DataStore.scan_data', 'loggers/wandb_runs.py'),
    ('wandb.proto.wandb_internal_pb2', 'Record', 'loggers/wandb_runs.py'),
    ('wandb.sdk.wandb_run', 'Run', 'loggers/wandb_live.py'),
    ('wandb.sdk.wandb_settings', 'Settings.unfreeze', 'loggers/wandb_live.py'),
    ('wandb.sdk.wandb_settings', 'Settings.freeze', 'loggers/wandb_live.py'),
    ('tensorboard.backend.event_processing.event_file_loader', 'EventFileLoader', 'loggers/tensorboard_runs.py'),
    ('tensorboard.plugins.hparams.plugin_data_pb2', 'HParamsPluginData', 'loggers/tensorboard_runs.py'),
    ('streaming.base.format', 'reader_from_json', 'data/streaming.py'),
    ('streaming.base.spanner', 'Spanner', 'data/streaming.py'),
    ('streaming.base.world', 'World.detect', 'data/streaming.py'),
    ('streaming', 'StreamingDataset.next_epoch', 'data/streaming.py'),
]

# Class and what its __init__ assigns, which the package reads or sets.
PRIVATE_ATTRIBUTES = [
    ('composer', 'Trainer', ('_train_data_spec',), 'averaging/train_batches.py'),
    ('composer', 'Trainer', ('_train_data_spec',), 'training/saved_weights.py'),
    ('composer.algorithms', 'EMA', ('ema_start',), 'algorithms/in_cycles.py'),
    ('composer.algorithms', 'EMA', ('ema_started',), 'algorithms/in_cycles.py'),
    ('composer.algorithms', 'SWA', ('swa_start', 'swa_end', 'schedule_swa_lr'), 'algorithms/in_cycles.py'),
    ('composer.algorithms', 'SWA', ('swa_started', 'swa_completed', 'step_counter'), 'algorithms/in_cycles.py'),
    ('composer.algorithms', 'StochasticDepth', ('drop_warmup',), 'algorithms/in_cycles.py'),
    ('composer.loggers', 'ConsoleLogger', ('stream',), 'recording/curve_logger.py'),
    ('composer.loggers', 'MLFlowLogger', ('_enabled', '_experiment_id', '_mlflow_client'), 'loggers/mlflow_start.py'),
    ('composer.loggers', 'MLFlowLogger', ('ignore_metrics', 'ignore_hyperparameters'), 'loggers/mlflow_live.py'),
    ('composer.loggers', 'TensorboardLogger', ('writer',), 'loggers/tensorboard_live.py'),
    ('composer.loggers', 'ProgressBarLogger', ('train_pbar',), 'recording/progress.py'),
    ('wandb.sdk.wandb_run', 'Run', ('_settings',), 'loggers/wandb_live.py'),
]


@pytest.mark.parametrize('library', MINOR_VERSIONS)
def test_no_minor_version_has_moved_since_its_parts_were_read(library):
    if library == 'tensorboard':
        pytest.importorskip(library)
    installed = version(library)
    assert installed.split('.')[:2] == MINOR_VERSIONS[library].split('.'), (
        f'{library} is now {installed}: read the parts listed here in its source, then move the version'
    )


@pytest.mark.parametrize(('module', 'name', 'used_in'), PRIVATE_PARTS, ids=[part[1] for part in PRIVATE_PARTS])
def test_the_part_is_there_and_is_used(module, name, used_in):
    if module.startswith('tensorboard'):
        pytest.importorskip('tensorboard')
    part = importlib.import_module(module)
    for attribute in name.split('.'):
        part = getattr(part, attribute)
    assert name.rpartition('.')[2] in (PACKAGE / used_in).read_text(), f'{used_in} does not use {name} any more'


@pytest.mark.parametrize(
    ('module', 'name', 'attributes', 'used_in'), PRIVATE_ATTRIBUTES, ids=[part[1] for part in PRIVATE_ATTRIBUTES]
)
def test_the_attributes_are_set_and_used(module, name, attributes, used_in):
    made = getattr(importlib.import_module(module), name)
    source, user = inspect.getsource(made), (PACKAGE / used_in).read_text()
    for attribute in attributes:
        assert f'self.{attribute}' in source, f'{name} has no attribute {attribute} any more'
        assert attribute in user, f'{used_in} does not use {name}.{attribute} any more'


def test_a_compiled_scheduler_closes_over_the_scheduler_and_its_ratio(make_state):
    def half(state: State, ssr: float = 1.0) -> float:
        return 0.5

    compiled = compile_composer_scheduler(half, make_state(), 0.25)  # type: ignore[arg-type]
    closed_over = inspect.getclosurevars(compiled.lr_lambdas[0]).nonlocals  # type: ignore[attr-defined]
    assert (closed_over['scheduler'], closed_over['ssr']) == (half, 0.25)


def test_a_checkpoint_names_torchs_version_where_it_is_replaced(make_state):
    from composer.utils import checkpoint

    assert 'torch_version' in inspect.getsource(State)
    assert 'ignore_keys' in inspect.signature(checkpoint.save_checkpoint).parameters
    assert make_state().state_dict().keys() >= {'metadata'}
    assert str(make_state().state_dict()['metadata']['torch_version']) == str(torch.__version__)


def test_every_private_import_is_listed():
    """Imports of underscored names, and from the inner modules of a library, stand in the table above."""
    inner = ('wandb.sdk', 'wandb.proto', 'streaming.base', 'torch.nn.modules', 'composer.utils.checkpoint')
    listed = {(f'{module}.{name.partition(".")[0]}', used_in) for module, name, used_in in PRIVATE_PARTS}
    listed |= {(module, used_in) for module, _, used_in in PRIVATE_PARTS}
    # A type, for annotations only.
    listed.add(('streaming.base.format.Reader', 'data/streaming.py'))
    for file in PACKAGE.rglob('*.py'):
        for node in ast.walk(ast.parse(file.read_text())):
            if not isinstance(node, ast.ImportFrom) or (node.module or '').startswith('composer_clr'):
                continue
            for name in node.names:
                if (node.module or '').startswith(inner) or (name.name.startswith('_') and node.module != '__future__'):
                    assert (f'{node.module}.{name.name}', str(file.relative_to(PACKAGE))) in listed
