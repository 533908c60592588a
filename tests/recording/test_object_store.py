"""Curve and snapshots in an object store: moto's server stands in for S3."""

import pytest
import torch

from composer_clr import CyclicCosineScheduler, ParetoSnapshot, TradeoffCurve
from tests.helpers.object_store import names


def trainer(make_trainer, folder: str = 's3://curves/study/{run_name}', **changes):
    scheduler, callbacks = CyclicCosineScheduler('1ep', 2, '1ep'), ParetoSnapshot(folder=folder, **changes)
    return make_trainer(schedulers=scheduler, callbacks=callbacks, max_duration='4ep')


def test_everything_is_there_and_nothing_is_left_here(bucket, make_trainer, tmp_path):
    run = trainer(make_trainer)
    run.fit()
    files = [f'study/run/{name}' for name in ('curve.json', 'cycle0-ba20.pt', 'cycle1-ba40.pt')]
    assert names(bucket) == files
    text = bucket.get_object(Bucket='curves', Key='study/run/curve.json')['Body'].read().decode()
    assert [p.batch for p in TradeoffCurve.from_json(text).points] == [20, 40]
    bucket.download_file('curves', 'study/run/cycle1-ba40.pt', str(tmp_path / 'last.pt'))
    weights = torch.load(tmp_path / 'last.pt', weights_only=True)['state']['model']
    assert all(torch.equal(weights[k], v) for k, v in run.state.model.state_dict().items())
    (tmp_path / 'last.pt').unlink()
    assert not list(tmp_path.iterdir())
    # A curve that is there already.
    with pytest.raises(FileExistsError, match="'s3://curves/study/run' already holds"):
        trainer(make_trainer).fit()
    trainer(make_trainer, overwrite=True).fit()
    assert names(bucket) == files


def test_no_such_bucket_is_told_before_the_first_batch(bucket, make_trainer):
    run = trainer(make_trainer, 's3://nowhere/{run_name}')
    with pytest.raises(OSError, match="'s3://nowhere/run' cannot store curve.json: .*NoSuchBucket"):
        run.fit()
    assert run.state.timestamp.batch == 0
