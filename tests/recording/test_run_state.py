"""What a checkpoint keeps of a curve: plain, and without names that Composer would take apart."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from composer_clr.averaging.fast_cycles import FastCycles
from composer_clr.averaging.trough_average import TroughAverage
from composer_clr.recording.run_state import RunState
from tests.helpers.curves import curve, point
from tests.helpers.recorded_runs import curve as recorded
from tests.helpers.recorded_runs import doubling, snapshot


def test_the_state_comes_back(tmp_path):
    odd = point(1, epoch=None, metrics={'eval/py/a': math.inf, 'b': 0.1}, extra={'fast-cycles': {'batches': 18.0}})
    kept = RunState(
        points=[point(), odd],
        seen=[(4, {'eval/a': -math.inf, 'eval/b': 1 / 3})],
        run=replace(curve().run, changes=[{'batch': 3, 'changed': {"samples of 'a/b'": [1, None]}}]),
        ends=[2, 4],
        offset=1,
    )
    torch.save(kept.as_plain(), tmp_path / 'state.pt')
    plain = torch.load(tmp_path / 'state.pt', weights_only=True)
    again = RunState.from_plain(plain)
    assert again.as_plain() == plain == kept.as_plain()
    assert (again.points, again.seen, again.run) == (kept.points, kept.seen, kept.run)


@pytest.mark.filterwarnings('ignore:No batches were trained for global rank 0:UserWarning')
@pytest.mark.filterwarnings('ignore:.* is not in the state_dict:UserWarning')
def test_a_run_may_start_from_a_checkpoint_without_its_callbacks(make_trainer):
    callbacks = [snapshot(peak_window='1ep'), TroughAverage(window=0.5), FastCycles('1ep')]
    own = {'schedulers': doubling(), 'max_duration': '4ep', 'eval_interval': '1ep'}
    make_trainer(callbacks=callbacks, save_folder='own', save_interval='3ep', **own).fit()
    resumed = make_trainer(
        callbacks=snapshot(folder='out-2', save_weights=False),
        load_path='own/ep3-ba30-rank0.pt',
        load_ignore_keys=['state/callbacks/*'],
        **own,
    )
    assert resumed.state.timestamp.batch == 30
    with pytest.warns(UserWarning, match='the curve has no point at 2ep, a trough that has passed'):
        resumed.fit()
    (last,) = recorded('out-2').points
    assert last.cycle == 1
    assert last.metrics.items() <= recorded('out').points[1].metrics.items()
    # Composer's clock is all there is of the time before.
    assert last.wall_clock_train_s > resumed.state.timestamp.batch_wct.total_seconds()
