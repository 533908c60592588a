"""Photographs for the tests in this folder."""

from pathlib import Path

import pytest

from tests.helpers.photographs import write_folder


@pytest.fixture(scope='session')
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Writes three classes of photographs: 16 training and 11 evaluation images each, of 75 x 60 pixels."""
    folder = tmp_path_factory.mktemp('images')
    write_folder(folder / 'train', classes=3, images=16, size=(75, 60), seed=1)
    write_folder(folder / 'val', classes=3, images=11, size=(75, 60), seed=2)
    return folder
