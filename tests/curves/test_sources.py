import os
from dataclasses import replace
from pathlib import Path

import pytest

from composer_clr.curves.curve import CurveError, Run, TradeoffCurve
from composer_clr.curves.files import check_size, read_sources
from composer_clr.curves.long_csv import write_long_csv
from tests.helpers.curves import curve, point


def saved(folder: Path, name: str) -> TradeoffCurve:
    saved_curve = TradeoffCurve(replace(curve().run, run_name=name), [point()])
    folder.mkdir(parents=True)
    saved_curve.write(folder / 'curve.json')
    return saved_curve


def names(paths: list[Path]) -> list[str]:
    return [c.run.run_name for c in read_sources(paths, strict=True)[0]]


def test_folders_at_any_depth_and_files_by_name(tmp_path):
    for name in ('study/b/pareto', 'study/a', 'elsewhere'):
        saved(tmp_path / name, name)
    assert names([tmp_path / 'study', tmp_path / 'elsewhere' / 'curve.json']) == [
        'study/a',
        'study/b/pareto',
        'elsewhere',
    ]


def test_a_file_that_two_paths_lead_to_is_read_once(tmp_path):
    saved(tmp_path / 'a', 'a')
    (tmp_path / 'link').symlink_to(tmp_path / 'a')
    assert names([tmp_path, tmp_path / 'a', tmp_path / 'a' / 'curve.json', tmp_path / 'link' / 'curve.json']) == ['a']


def test_long_csvs(tmp_path):
    write_long_csv(tmp_path / 'STUDY.CSV', [saved(tmp_path / 'a', 'a')])
    (read,) = read_sources([tmp_path / 'STUDY.CSV'])[0]
    assert (read.run.kind, read.run.method, read.points[0].metrics) == ('cyclic', 'BP+CL', {'eval/acc': 0.71})


def test_one_bad_file_does_not_hide_the_rest(tmp_path):
    saved(tmp_path / 'good', 'good')
    (tmp_path / 'bad').mkdir()
    (tmp_path / 'bad' / 'curve.json').write_text('{')
    curves, errors = read_sources([tmp_path, tmp_path / 'nowhere.json'])
    assert [c.run.run_name for c in curves] == ['good']
    assert ['bad/curve.json' in str(errors[0]), 'nowhere.json' in str(errors[1])] == [True, True]
    with pytest.raises(CurveError, match=r'bad/curve\.json'):
        read_sources([tmp_path], strict=True)


def test_nothing_to_read(tmp_path):
    with pytest.raises(CurveError, match=r'no curve\.json in this folder'):
        read_sources([tmp_path])
    with pytest.raises(CurveError, match='no runs are named'):
        read_sources([])
    (tmp_path / 'curve.json').write_text('{')
    with pytest.raises(CurveError, match='Invalid JSON'):
        read_sources([tmp_path])


@pytest.mark.parametrize(
    ('points', 'name', 'message'),
    [
        (2001, 'r', 'baseline, cyclic: 2,001 points, one curve may have 2,000 at most: name'),
        (1, 'n' * 200_000, 'has 200,000 characters: shorten it to 1,000 at most'),
    ],
)
def test_more_points_and_longer_names_than_can_be_read_are_refused(points, name, message):
    check_size([long(2000), long(1, 'n' * 1000)])
    with pytest.raises(CurveError, match=message) as refused:
        check_size([long(points, name)])
    assert len(str(refused.value)) < 500


def long(points: int, name: str = 'r') -> TradeoffCurve:
    made = [replace(point(i), epoch=i + 1.0) for i in range(points)]
    return TradeoffCurve(Run(name, 'cyclic', 'baseline'), made)


def test_a_standard_run_that_was_made_longer_does_not_pass_for_one_of_that_length(tmp_path):
    run = replace(curve().run, kind='standard')
    points = [point(own_decay=True), point(1, epoch=32.0, batch=20000)]
    TradeoffCurve(run, points).write(tmp_path / 'curve.json')
    read, _ = read_sources([tmp_path], strict=True)
    assert [(part.run.kind, [p.epoch for p in part.points]) for part in read] == [
        ('standard', [16.0]),
        ('standard-extended', [32.0]),
    ]
    assert {part.source for part in read} == {str(tmp_path / 'curve.json')}


def test_a_link_to_a_folder_hides_no_run_and_one_to_a_folder_above_is_not_followed_for_ever(tmp_path):
    saved(tmp_path / 'scratch' / 'b', 'b')
    saved(tmp_path / 'study' / 'a', 'a')
    (tmp_path / 'study' / 'b').symlink_to(tmp_path / 'scratch' / 'b')
    (tmp_path / 'study' / 'a' / 'up').symlink_to(tmp_path / 'study')
    assert names([tmp_path / 'study']) == ['a', 'b']


def test_a_folder_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    saved(tmp_path / 'a', 'a')
    saved(tmp_path / 'locked', 'locked')
    scandir = os.scandir

    def guarded(path):
        if os.fspath(path).endswith('locked'):
            raise PermissionError(13, 'Permission denied', os.fspath(path))
        return scandir(path)

    monkeypatch.setattr(os, 'scandir', guarded)
    curves, errors = read_sources([tmp_path])
    assert [c.run.run_name for c in curves] == ['a']
    assert [str(error) for error in errors] == [f'{tmp_path / "locked"}: cannot be read (Permission denied)']
