"""How a recipe's run starts W&B, or fails in one line."""

import pytest
import wandb
import wandb.errors
from composer.loggers import WandBLogger

from composer_clr.recipes.load import load_recipe
from composer_clr.train import main
from composer_clr.training.build import build_loggers
from composer_clr.utils.errors import UserError

WITH = ['loggers.WandBLogger.project=clr', 'progress_bar=false']


@pytest.fixture(autouse=True)
def nobody(monkeypatch, tmp_path):
    """A machine on which nobody has logged in to W&B."""
    monkeypatch.chdir(tmp_path)
    for name in ('WANDB_MODE', 'WANDB_DISABLED', 'WANDB_API_KEY'):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(type(wandb.api), 'api_key', None)


def built(*overrides: str) -> WandBLogger:
    (logger,) = build_loggers(load_recipe('quickstart/digits', ['run_name=a', *overrides]))
    assert isinstance(logger, WandBLogger)
    return logger


def test_nobody_logged_in_is_one_line_before_anything_is_trained(capsys):
    assert main(['quickstart/digits', *WITH]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("composer_clr.train: loggers.WandBLogger: not logged in to Weights & Biases: run 'wan")
    assert 'WANDB_MODE=offline' in line


def test_what_wandb_says_at_its_start_is_one_line(monkeypatch, capsys):
    def start(**_):
        raise wandb.errors.CommError('timed out\nafter 90 s')

    monkeypatch.setattr(type(wandb.api), 'api_key', 'x' * 40)
    monkeypatch.setattr(wandb, 'init', start)
    assert main(['quickstart/digits', *WITH]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("composer_clr.train: loggers.WandBLogger: timed out after 90 s: run 'wandb login'")


@pytest.mark.parametrize('mode', ['offline', 'disabled'])
def test_offline_nobody_needs_to_be(mode, monkeypatch):
    assert built(*WITH, f'loggers.WandBLogger.init_kwargs.mode={mode}')._init_kwargs['mode'] == mode
    monkeypatch.setenv('WANDB_MODE', mode)
    assert built(*WITH)._init_kwargs == {'project': 'clr'}


def test_a_run_that_resumes_by_its_name_has_a_wandb_id_of_it_and_offline_looks_for_no_checkpoint(monkeypatch):
    monkeypatch.setenv('WANDB_MODE', 'offline')
    logger = built(*WITH, 'checkpoint.autoresume=true')
    assert logger._init_kwargs == {'project': 'clr', 'id': 'a', 'resume': 'allow'}
    with pytest.raises(FileNotFoundError):
        logger.download_file('latest', 'here', overwrite=True, progress_bar=False)
    own = built(*WITH, 'checkpoint.autoresume=true', 'loggers.WandBLogger.init_kwargs.id=mine')
    assert own._init_kwargs['id'] == 'mine'


@pytest.mark.parametrize(
    ('overrides', 'match'),
    [
        (['loggers.WandBLogger=clr'], 'loggers.WandBLogger: .*must be a mapping'),
        (['snapshot.log_artifact=true'], 'snapshot.log_artifact=true .*loggers.WandBLogger.project'),
    ],
)
def test_refused(overrides, match):
    with pytest.raises(UserError, match=match):
        build_loggers(load_recipe('quickstart/digits', overrides))
