"""How a recipe's run starts W&B, or fails in one line."""

import pytest
import wandb
import wandb.errors
from composer.loggers import WandBLogger

from composer_clr.recipes.load import load_recipe
from composer_clr.train import main
from composer_clr.training.build import build_loggers
from composer_clr.utils.errors import UserError
from composer_clr.wandb_io.start import logger_arguments, wandb_errors_in_one_line


@pytest.fixture(autouse=True)
def nobody(monkeypatch, tmp_path):
    """A machine on which nobody has logged in to W&B."""
    monkeypatch.chdir(tmp_path)
    for name in ('WANDB_MODE', 'WANDB_DISABLED', 'WANDB_API_KEY'):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(type(wandb.api), 'api_key', None)


def test_nobody_logged_in_is_one_line_before_anything_is_trained(capsys):
    assert main(['quickstart/digits', 'loggers.WandBLogger.project=clr', 'progress_bar=false']) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("composer_clr.train: loggers.WandBLogger: not logged in to Weights & Biases: run 'wan")
    assert 'WANDB_MODE=offline' in line


@pytest.mark.parametrize('mode', ['offline', 'disabled'])
def test_offline_nobody_needs_to_be(mode, monkeypatch):
    monkeypatch.setenv('WANDB_MODE', mode)
    assert logger_arguments({'project': 'clr'}, 'a', resumable=False) == {'project': 'clr', 'init_kwargs': {}}
    monkeypatch.delenv('WANDB_MODE')
    init = {'mode': mode}
    assert logger_arguments({'init_kwargs': init}, 'a', resumable=False) == {'init_kwargs': init}


def test_a_run_that_resumes_by_its_name_has_a_wandb_id_of_it(monkeypatch):
    monkeypatch.setenv('WANDB_MODE', 'offline')
    assert logger_arguments(None, 'a', resumable=True)['init_kwargs'] == {'id': 'a', 'resume': 'allow'}
    own = logger_arguments({'init_kwargs': {'id': 'mine'}}, 'a', resumable=True)
    assert own['init_kwargs']['id'] == 'mine'


def test_offline_no_checkpoint_is_looked_for(monkeypatch):
    monkeypatch.setenv('WANDB_MODE', 'offline')
    recipe = load_recipe('quickstart/digits', ['loggers.WandBLogger.project=clr', 'checkpoint.autoresume=true'])
    (logger,) = build_loggers(recipe)
    assert isinstance(logger, WandBLogger)
    with pytest.raises(FileNotFoundError):
        logger.download_file('latest', 'here', overwrite=True, progress_bar=False)


def test_what_wandb_says_is_one_line():
    refused = pytest.raises(UserError, match=r"loggers.WandBLogger: timed out after 90 s: run 'wandb login'")
    with refused, wandb_errors_in_one_line():
        raise wandb.errors.CommError('timed out\nafter 90 s')
    with pytest.raises(KeyError), wandb_errors_in_one_line():
        raise KeyError('not of W&B')


@pytest.mark.parametrize(
    ('overrides', 'match'),
    [
        (['loggers.WandBLogger=clr'], 'must be arguments by name'),
        (['snapshot.log_artifact=true'], 'snapshot.log_artifact=true .*loggers.WandBLogger.project'),
    ],
)
def test_refused(overrides, match):
    with pytest.raises(UserError, match=match):
        build_loggers(load_recipe('quickstart/digits', overrides))
