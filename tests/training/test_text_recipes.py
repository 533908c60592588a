"""``quickstart/text``, shrunk: a language model through everything that image recipes go through."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from composer_clr import CyclicCosineScheduler, ParetoSnapshot, TradeoffCurve
from composer_clr.cli.recipes import ensemble_table
from composer_clr.recipes.load import load_recipe
from composer_clr.recipes.schema import RecipeError
from composer_clr.recipes.study import planned_runs
from composer_clr.train import main
from composer_clr.training.build import build_data
from composer_clr.training.models import build_model
from tests.helpers.launcher import launch

LOSS = 'eval/LanguageCrossEntropy'
# 8 sequences of 16 bytes per batch; troughs after 4 and 8 batches.
SHRUNK = [
    'progress_bar=false',
    'model.arguments.width=16',
    'model.arguments.depth=1',
    'data.sequence_length=16',
    'data.batch_size=128tok',
    'data.eval_batch_size=128tok',
    'data.arguments.eval_sequences=16',
    'schedule.t_warmup=256tok',
    'schedule.t_0=256tok',
    'max_duration=1024tok',
]


@pytest.fixture(autouse=True)
def _aside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def trained(name: str, *overrides: str) -> TradeoffCurve:
    assert main(['quickstart/text', *SHRUNK, f'run_name={name}', *overrides]) == 0
    return TradeoffCurve.read(Path('runs/text') / name)


def weights(name: str, file: str) -> dict[str, torch.Tensor]:
    return torch.load(Path('runs/text') / name / file, weights_only=True)['state']['model']


def test_the_first_point_is_bit_for_bit_the_standard_runs():
    cyclic = trained('cyclic')
    standard = trained('standard', 'schedule.kind=standard', 'max_duration=512tok')
    assert [(p.cycle, p.batch, p.sample, p.token) for p in cyclic.points] == [(0, 4, 32, 512), (1, 8, 64, 1024)]
    assert cyclic.points[0].metrics == standard.points[0].metrics
    assert list(cyclic.points[0].metrics) == [LOSS]
    first, alone = weights('cyclic', 'cycle0-ba4.pt'), weights('standard', 'cycle0-ba4.pt')
    assert all(torch.equal(first[name], alone[name]) for name in alone)
    assert (cyclic.run.model, cyclic.run.method, cyclic.run.kind) == ('SmallTransformer', 'baseline', 'cyclic')


@pytest.mark.slow
def test_tokens_batches_sequences_and_parts_of_the_duration_agree():
    tokens = trained('tok')
    sequences = 'data.batch_size=8', 'data.eval_batch_size=8'
    batches = trained('ba', 'schedule.t_warmup=2ba', 'schedule.t_0=2ba', 'max_duration=8ba', *sequences)
    parts = trained('dur', 'schedule.t_warmup=0.25dur', 'schedule.t_0=0.25dur')
    for other in (batches, parts):
        assert [(p.token, p.metrics, p.lr) for p in other.points] == [(p.token, p.metrics, p.lr) for p in tokens.points]


@pytest.mark.slow
def test_averages_and_fast_cycles_are_evaluated_and_ensembles_made(capsys):
    from composer_clr.training.saved_weights import ensembles_of_recipe

    averages = ['callbacks.TroughAverage={window: 0.5}', 'callbacks.FastCycles={period: 2ba, cycles: 2}']
    curve = trained('averages', *averages)
    assert [list(point.metrics) for point in curve.points] == [[LOSS, f'averaged/{LOSS}', f'fast-cycles/{LOSS}']] * 2
    assert [p.metrics[LOSS] for p in curve.points] == [p.metrics[LOSS] for p in trained('plain').points]
    read, ensembles = ensembles_of_recipe('quickstart/text', [*SHRUNK, 'run_name=averages'])
    assert [row[0] for row in ensemble_table(read, ensembles).rows] == ['512 tok', '1024 tok']
    one, two = ensembles
    assert [[point.cycle for point in ensemble.points] for ensemble in ensembles] == [[0, 1], [1]]
    assert [p.metrics[LOSS] for p in one.points] == pytest.approx([p.metrics[LOSS] for p in curve.points], abs=1e-5)
    assert two.points[0].metrics[LOSS] < one.points[0].metrics[LOSS]


def test_check_counts_in_tokens(capsys):
    assert main(['quickstart/text', *SHRUNK, 'snapshot.save_weights=false', '--check']) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith('batches of 128tok on 1 rank')
    assert lines[1].split(maxsplit=1)[1] == '512tok, 1024tok'
    assert lines[2].startswith('training          8 batches of ')
    assert lines[3].startswith('evaluation        2 times 2 batches of ')


def test_a_sweep_names_a_standard_run_to_each_trough():
    runs = planned_runs(['quickstart/text'], SHRUNK[:-1], seeds=[17])
    assert [run.max_duration for run in runs if run.kind == 'standard'][:2] == ['512tok', '1024tok']
    load_recipe(runs[1].name, runs[1].overrides)


def test_a_loader_without_a_length_gives_the_points_of_one_with_a_length(make_trainer):
    from composer.core import DataSpec
    from torch.utils.data import DataLoader, IterableDataset

    train, held_out = build_data(load_recipe('quickstart/text', SHRUNK))

    class Endless(IterableDataset):
        max_seq_len = 16

        def __iter__(self):
            while True:
                yield from train.dataloader.dataset  # type: ignore[union-attr, misc]

    def points(loader: DataLoader) -> list[tuple[int, object]]:
        torch.manual_seed(0)
        model = build_model(load_recipe('quickstart/text', SHRUNK))
        make_trainer(
            model=model,
            optimizers=torch.optim.AdamW(model.parameters(), lr=1e-2),
            train_dataloader=DataSpec(loader),
            eval_dataloader=held_out,
            schedulers=CyclicCosineScheduler('256tok', t_warmup='256tok'),
            max_duration='1024tok',
            callbacks=ParetoSnapshot(folder='out', save_weights=False, overwrite=True),
        ).fit()
        return [(point.token, point.metrics[LOSS]) for point in TradeoffCurve.read('out').points]

    without = points(DataLoader(Endless(), batch_size=8))
    assert TradeoffCurve.read('out').points[0].epoch is None
    assert without == points(DataLoader(train.dataloader.dataset, batch_size=8))  # type: ignore[union-attr]
    assert [token for token, _ in without] == [512, 1024]


def test_two_ranks_share_a_batch(tmp_path):
    done = launch(2, '-m', 'composer_clr.train', 'quickstart/text', *SHRUNK, 'run_name=two', folder=tmp_path)
    assert done.returncode == 0, done.stderr
    curve = TradeoffCurve.read(tmp_path / 'runs/text/two')
    assert [(p.batch, p.token) for p in curve.points] == [(4, 512), (8, 1024)]
    assert curve.run.world_size == 2


@pytest.mark.parametrize(
    ('recipe', 'override', 'match'),
    [
        ('text', 'model.num_classes=10', "model.num_classes=10: belongs to 'image classifier'"),
        ('text', 'data.name=digits', 'data.name=digits: is not data for model.name=small_transformer'),
        ('text', 'model.name=resnet18', 'data.name=standard_library: is not data for model.name=resnet18'),
        ('text', 'data.sequence_length=null', 'data.sequence_length is required'),
        ('text', 'data.sequence_length=0', 'data.sequence_length=0: must be at least 1'),
        ('text', 'data.batch_size=1000tok', 'data.batch_size=1000tok: must be a multiple of data.sequence_length=128'),
        ('text', 'data.batch_size=2ep', 'data.batch_size=2ep: must be a number of samples, or of tokens'),
        ('digits', 'data.batch_size=2048tok', 'data.batch_size=2048tok: batches of digits have no tokens'),
        ('digits', 'data.sequence_length=8', "data.sequence_length=8: belongs to 'language model'"),
        ('digits', 'model.num_classes=null', 'model.num_classes is required: pass model.num_classes=VALUE'),
    ],
)
def test_keys_of_another_family_are_refused_when_the_recipe_is_read(recipe, override, match):
    with pytest.raises(RecipeError, match=match):
        load_recipe(f'quickstart/{recipe}', [override])


@pytest.mark.parametrize(
    ('recipe', 'loss', 'match'),
    [
        ('text', 'soft_cross_entropy', "model.loss='soft_cross_entropy': unknown name"),
        ('digits', 'hinge', "model.loss='hinge': unknown name"),
    ],
)
def test_a_loss_of_another_family_is_refused(recipe, loss, match):
    with pytest.raises(RecipeError, match=match):
        build_model(load_recipe(f'quickstart/{recipe}', [f'model.loss={loss}']))


def test_an_image_classifier_takes_the_loss_that_is_named():
    named = build_model(load_recipe('quickstart/digits', ['model.loss=binary_cross_entropy_with_logits']))
    assert named._loss_fn.__name__ == 'binary_cross_entropy_with_logits'
