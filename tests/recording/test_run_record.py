"""What ``curve.json`` says of a run."""

import sys
from types import ModuleType

import pytest
from composer import Evaluator
from composer.algorithms import LabelSmoothing
from composer.optim import ConstantScheduler, LinearWithWarmupScheduler
from streaming import MDSWriter, StreamingDataset
from torch.utils.data import DataLoader

from composer_clr import CyclicCosineScheduler, TradeoffCurve
from composer_clr.curves.curve import CurveError
from composer_clr.recording import run_record
from composer_clr.study.recorded_schedule import recorded_schedule
from tests.helpers.recorded_runs import curve, doubling, snapshot


def test_points_by_hand_are_not_drawn_as_cycles(make_trainer):
    linear = LinearWithWarmupScheduler('8ba', alpha_f=0.1)
    make_trainer(schedulers=linear, callbacks=snapshot(scheduler=['32ba', '64ba']), max_duration='64ba').fit()
    run = curve().run
    assert run.kind == 'marked'
    assert (run.schedule['scheduler'], run.schedule['points_at']) == ('LinearWithWarmupScheduler', ['32ba', '64ba'])
    assert run.schedule['troughs'] == [32, 64]
    with pytest.raises(CurveError, match="its scheduler is 'LinearWithWarmupScheduler'"):
        recorded_schedule(curve())
    # As batch k trains at alpha(k - 1), the rates recorded are those of batches 31 and 63.
    assert [point.lr for point in curve().points] == pytest.approx([0.5 * (1 - 0.9 * (t - 8) / 56) for t in (31, 63)])


def test_points_by_hand_beside_cycles_are_not_drawn_as_their_troughs(make_trainer):
    own = CyclicCosineScheduler('1ep', 2, '1ep')
    make_trainer(schedulers=own, callbacks=snapshot(scheduler=['15ba', '40ba']), max_duration='4ep').fit()
    with pytest.raises(CurveError, match=r"its points are at \['15ba', '40ba'\]"):
        recorded_schedule(curve())


def test_a_constant_rate_has_its_point_at_the_end(make_trainer):
    make_trainer(schedulers=ConstantScheduler(), callbacks=snapshot(), max_duration='2ep').fit()
    assert (curve().run.kind, [point.batch for point in curve().points]) == ('standard', [20])


def test_an_old_record_without_new_fields_is_read():
    old = TradeoffCurve.from_json(
        '{"format": 1, "run": {"run_name": "r", "kind": "cyclic", "method": "b"}, "points": []}'
    )
    assert old.run.parameters is None


def test_the_network_the_data_and_the_versions_of_what_is_imported(make_trainer, monkeypatch):
    monkeypatch.setitem(sys.modules, 'llmfoundry', ModuleType('llmfoundry'))
    monkeypatch.delitem(sys.modules, 'transformers', raising=False)
    monkeypatch.setattr(run_record.metadata, 'version', lambda package: f'version of {package}')
    algorithm = LabelSmoothing(0.1)
    make_trainer(schedulers=doubling(), callbacks=snapshot(), algorithms=algorithm, max_duration='2ep').fit()
    run = curve().run
    assert run.parameters == 4 * 3 + 3 + 3 + 3 + 3 * 2 + 2
    assert run.training == {'loader_length': 10, 'batch_size': 4, 'samples': 40, 'algorithms': ['LabelSmoothing']}
    assert run.versions['llm-foundry'] == 'version of llm-foundry'
    assert run.versions['mosaicml-streaming'] == 'version of mosaicml-streaming'
    assert 'transformers' not in run.versions
    assert {'composer_clr', 'mosaicml', 'torch', 'python'} <= run.versions.keys()


def test_the_command_of_the_study_that_started_the_run(make_trainer, monkeypatch):
    monkeypatch.setenv('COMPOSER_CLR_COMMAND', 'python train.py --kind {kind}')
    make_trainer(schedulers=doubling(), callbacks=snapshot(), max_duration='2ep').fit()
    settings = curve().run.settings
    assert settings is not None
    assert settings['command'] == 'python train.py --kind {kind}'


@pytest.fixture
def shards(tmp_path):
    with MDSWriter(out=str(tmp_path / 'shards'), columns={'x': 'int'}) as writer:
        for number in range(30):
            writer.write({'x': number})
    return str(tmp_path / 'shards')


@pytest.mark.parametrize(
    ('subset', 'epoch_size', 'expected'),
    [
        (None, None, {'samples': 30, 'of': 30}),
        (3, None, {'samples': 12, 'of': 30}),
        (None, 20, {'samples': 20, 'of': 30}),
    ],
    ids=['whole', 'batches', 'epoch_size'],
)
def test_the_part_of_a_streaming_set_that_is_evaluated(shards, subset, epoch_size, expected):
    dataset = StreamingDataset(local=shards, batch_size=4, epoch_size=epoch_size)
    evaluator = Evaluator(label='eval', dataloader=DataLoader(dataset, batch_size=4), subset_num_batches=subset)
    assert run_record._evaluated(evaluator).items() >= expected.items()
