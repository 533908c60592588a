"""Folders filled in as Composer fills them, and names that cannot name a folder."""

import pytest
from composer.utils import format_name_with_dist

from composer_clr.curves.names import filled_in


@pytest.mark.parametrize(
    'folder',
    [
        '{run_name}/pareto',
        'plain',
        '{run_name}-{world_size}-{local_world_size}/{rank}-{local_rank}-{node_rank}',
        's3://b/{run_name}',
    ],
)
def test_as_composer_fills_it_in(folder):
    assert filled_in(folder, 'study/7') == format_name_with_dist(folder, 'study/7')


def test_the_numbers_of_another_launch():
    assert filled_in('{run_name}-{world_size:03d}-{local_world_size}', 'r', world_size=16) == 'r-016-16'
    assert filled_in('{world_size}-{local_world_size}', 'r', world_size=16, local_world_size=8) == '16-8'


@pytest.mark.parametrize(
    ('folder', 'run_name', 'match'),
    [
        ('{name}', 'r', r"snapshot.folder='\{name\}' with run_name='r' cannot be filled in: \{name\} is not one of"),
        ('{}', 'r', r'\{\} is not one of'),
        ('{0}', 'r', r'\{0\} is not one of'),
        ('{run_name.__class__}', 'r', 'is not one of'),
        ('{run_name', 'r', "expected '}'"),
        ('{run_name:d}', 'r', 'Unknown format code'),
        ('{{run_name}}', 'r', "comes to '{run_name}', and Composer would fill in braces again"),
        ('{run_name}', '{rank}', "comes to '{rank}'"),
        ('{run_name}', '../up', 'cannot name a folder'),
    ],
)
def test_refused(folder, run_name, match):
    with pytest.raises(ValueError, match=match):
        filled_in(folder, run_name, key='snapshot.folder')
