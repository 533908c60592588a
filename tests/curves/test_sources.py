"""Curves in files and folders."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from composer_clr.cli.options import read_curves
from composer_clr.curves.curve import CurveError, Run, TradeoffCurve
from composer_clr.curves.files import read_sources
from composer_clr.curves.long_csv import long_csv
from tests.helpers.curves import curve, point


def saved(folder: Path, name: str, **changes) -> TradeoffCurve:
    saved_curve = TradeoffCurve(replace(curve().run, run_name=name, **changes), [point()])
    folder.mkdir(parents=True)
    saved_curve.write(folder / 'curve.json')
    return saved_curve


def names(*paths: Path) -> list[str]:
    return [c.run.run_name for c in read_sources(paths, strict=True)[0]]


def test_folders_at_any_depth_and_files_by_name_each_once(tmp_path):
    for name in ('study/b/pareto', 'study/a', 'elsewhere'):
        saved(tmp_path / name, name)
    study, elsewhere = tmp_path / 'study', tmp_path / 'elsewhere' / 'curve.json'
    assert names(study, elsewhere) == ['study/a', 'study/b/pareto', 'elsewhere']
    (tmp_path / 'link').symlink_to(study / 'a')
    assert names(study / 'a', tmp_path, study / 'a' / 'curve.json', tmp_path / 'link') == [
        *('study/a', 'elsewhere', 'study/b/pareto')
    ]


def test_links_to_folders_are_followed_once(tmp_path):
    saved(tmp_path / 'scratch' / 'b', 'b')
    saved(tmp_path / 'study' / 'a', 'a')
    (tmp_path / 'study' / 'b').symlink_to(tmp_path / 'scratch' / 'b')
    (tmp_path / 'study' / 'a' / 'up').symlink_to(tmp_path / 'study')
    assert names(tmp_path / 'study') == ['a', 'b']


def test_tables(tmp_path):
    text = long_csv([saved(tmp_path / 'a', 'a')])
    (tmp_path / 'STUDY.CSV').write_text(text)
    (tmp_path / 'study.TSV').write_text(text.replace(',', '\t'))
    for name in ('STUDY.CSV', 'study.TSV'):
        (read,) = read_sources([tmp_path / name])[0]
        assert (read.run.kind, read.run.method, read.points[0].metrics) == ('cyclic', 'BP+CL', {'eval/acc': 0.71})


def test_one_bad_file_does_not_hide_the_rest(tmp_path):
    saved(tmp_path / 'good', 'good')
    (tmp_path / 'bad').mkdir()
    (tmp_path / 'bad' / 'curve.json').write_text('{')
    curves, errors = read_sources([tmp_path, tmp_path / 'nowhere.json'])
    assert [c.run.run_name for c in curves] == ['good']
    assert ['bad/curve.json' in str(errors[0]), 'nowhere.json: no such' in str(errors[1])] == [True, True]
    with pytest.raises(CurveError, match=r'bad/curve\.json'):
        read_sources([tmp_path], strict=True)
    with pytest.raises(CurveError, match='Invalid JSON'):
        read_sources([tmp_path / 'bad'])


def test_nothing_to_read(tmp_path):
    with pytest.raises(CurveError, match=r'no curve\.json in this folder'):
        read_sources([tmp_path])
    with pytest.raises(CurveError, match='no runs are named'):
        read_sources([])


@pytest.mark.parametrize(
    ('points', 'name', 'message'),
    [
        (2001, 'r', 'baseline, cyclic: 2,001 points, one curve may have 2,000 at most: name'),
        (1, 'n' * 200_000, 'has 200,000 characters: shorten it to 1,000 at most'),
    ],
)
def test_more_points_and_longer_names_than_can_be_read_are_refused(points, name, message, tmp_path):
    def write(points: int, name: str = 'r') -> None:
        made = [replace(point(i), epoch=i + 1.0) for i in range(points)]
        TradeoffCurve(Run(name, 'cyclic', 'baseline'), made).write(tmp_path / 'curve.json')

    for most, longest in ((2000, 'r'), (1, 'n' * 1000)):
        write(most, longest)
        read_curves([tmp_path], strict=False)
    write(points, name)
    with pytest.raises(CurveError, match=message) as refused:
        read_curves([tmp_path], strict=False)
    assert len(str(refused.value)) < 500


def test_a_standard_run_that_was_made_longer_does_not_pass_for_one_of_that_length(tmp_path):
    run = replace(curve().run, kind='standard')
    points = [point(own_decay=True), point(1, epoch=32.0, batch=20000)]
    TradeoffCurve(run, points).write(tmp_path / 'curve.json')
    read, _ = read_sources([tmp_path], strict=True)
    parts = [(part.run.kind, [p.epoch for p in part.points]) for part in read]
    assert parts == [('standard', [16.0]), ('standard-extended', [32.0])]
    assert {part.source for part in read} == {str(tmp_path / 'curve.json')}


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
    locked = [f'{tmp_path / "locked"}: cannot be read (Permission denied)']
    assert [str(error) for error in errors] == locked
    with pytest.raises(CurveError, match='locked: cannot be read'):
        read_sources([tmp_path / 'locked'])
