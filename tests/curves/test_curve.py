import json
import math

import pytest
from pydantic import TypeAdapter

from composer_clr import TradeoffCurve
from composer_clr.curves.curve import CurveError
from tests.helpers.curves import curve, point


def test_written_and_read_again(tmp_path):
    curve(point(), point(1, epoch=None)).write(tmp_path / 'curve.json')
    assert TradeoffCurve.read(tmp_path / 'curve.json') == curve(point(), point(1, epoch=None))
    assert TradeoffCurve.read(tmp_path) == curve(point(), point(1, epoch=None))
    assert [p.name for p in tmp_path.iterdir()] == ['curve.json']


def test_the_file_as_documented():
    record = json.loads(curve().to_json())
    assert list(record) == ['format', 'run', 'points']
    assert record['format'] == 1
    run = (
        'run_name kind method seed model world_size schedule versions started_at evaluation parent directions training'
    )
    assert set(record['run']) == {*run.split(), 'changes', 'parameters', 'settings', 'ended_at', 'logged_to'}
    written = {
        **{'cycle': 0, 'epoch': 16.0, 'batch': 10000, 'sample': 20480000, 'token': 0},
        **{'wall_clock_train_s': 4367.25, 'wall_clock_total_s': 4500.5, 'lr': 0.001},
        **{'metrics': {'eval/acc': 0.71}, 'peak_metrics': {'eval/acc': 0.72}, 'checkpoint': 'cycle0-ba10000.pt'},
    }
    defaults = {'extra': {}, 'diverged': False, 'own_decay': False, 'world_size': None, 'scheduled_lr': None}
    assert record['points'] == [{**written, **defaults, 'stopped': False}]


def test_what_is_no_number_is_strict_json_and_comes_back():
    text = curve(point(metrics={'a': math.nan, 'b': math.inf, 'c': -math.inf})).to_json()

    def refuse(constant: str):
        raise AssertionError(f'{constant} is not JSON')

    json.loads(text, parse_constant=refuse)
    metrics = TradeoffCurve.from_json(text).points[0].metrics
    assert math.isnan(metrics['a'])
    assert (metrics['b'], metrics['c']) == (math.inf, -math.inf)


def test_keys_of_a_later_version_are_passed_over():
    record = json.loads(curve().to_json())
    record['run']['colour'] = 'green'
    record['points'][0]['energy_j'] = 5
    record['summary'] = {}
    assert TradeoffCurve.from_json(json.dumps(record)) == curve()


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    curve().write(tmp_path / 'curve.json')

    def no_space(descriptor: int) -> None:
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr('os.fsync', no_space)
    with pytest.raises(OSError, match='No space'):
        curve(point(), point(1)).write(tmp_path / 'curve.json')
    assert TradeoffCurve.read(tmp_path) == curve()


@pytest.mark.parametrize(
    ('text', 'match'),
    [
        pytest.param('', 'Invalid JSON', id='empty'),
        pytest.param('{"format": 1, "run"', 'Invalid JSON', id='cut-off'),
        pytest.param('[1, 2]', 'should be an object', id='a-list'),
        pytest.param('[' * 100_000, 'recursion limit', id='deep'),
        pytest.param('{"name": "some other JSON"}', 'run: Field required', id='foreign'),
        pytest.param('{"format": 2, "run": {}, "points": []}', 'format: Input should be 1', id='later-format'),
        pytest.param('{"format": 1, "run": {"run_name": "r"}, "points": []}', 'run.kind: Field required', id='no-kind'),
        pytest.param(curve().to_json().replace('10000,', '"many",'), 'points.0.batch: .*integer', id='wrong-type'),
        pytest.param(curve().to_json().replace('10000,', '1' + '0' * 400 + ','), 'points.0.batch: .*less', id='huge'),
        pytest.param(
            curve(point(extra={'fast-cycles': {'batches': 18.0}})).to_json().replace('18.0', '"NaN"'),
            'points.0.extra.fast-cycles.batches: .*finite number',
            id='a-cost-that-is-nan',
        ),
        pytest.param(curve().to_json().replace('0.71', 'null'), 'points.0.metrics.eval/acc: .*number', id='null'),
    ],
)
def test_unreadable(tmp_path, text, match):
    path = tmp_path / 'curve.json'
    path.write_text(text)
    with pytest.raises(CurveError, match=match) as raised:
        TradeoffCurve.read(path)
    assert str(path) in str(raised.value)
    assert '\n' not in str(raised.value)


def test_no_file_no_text_and_a_file_too_large_to_be_a_curve(tmp_path):
    with pytest.raises(CurveError, match='cannot be read'):
        TradeoffCurve.read(tmp_path / 'nowhere.json')
    path = tmp_path / 'curve.json'
    path.write_bytes(b'\xff\xfe\x00')
    with pytest.raises(CurveError, match='cannot be read'):
        TradeoffCurve.read(tmp_path)
    with path.open('wb') as file:
        file.truncate(2**30)
    with pytest.raises(CurveError, match='larger than 64 MiB'):
        TradeoffCurve.read(tmp_path)


def test_a_curve_knows_the_file_that_it_was_read_from_and_does_not_record_it(tmp_path):
    written = curve()
    assert (written.source, written.place) == (None, written.run.run_name)
    written.write(tmp_path / 'curve.json')
    read = TradeoffCurve.read(tmp_path)
    assert (read.source, read.place) == (str(tmp_path / 'curve.json'),) * 2
    assert read == written
    assert read.to_json() == written.to_json()
    assert TradeoffCurve.from_json(written.to_json()[:-3] + ', "source": "elsewhere"}').source is None


def test_the_text_is_that_of_the_whole_record_at_once():
    odd = point(1, epoch=None, lr=math.nan, metrics={'a"b': 1e-300, 'ü\n': -math.inf}, checkpoint=None, own_decay=True)
    for one in (curve(), curve(point(), odd), TradeoffCurve(curve().run, [])):
        assert json.loads(one.to_json()) == json.loads(TypeAdapter(TradeoffCurve).dump_json(one))
