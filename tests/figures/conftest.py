from collections.abc import Iterator

import matplotlib.pyplot as plt
import pytest

from composer_clr.figures.plane import paper_style


@pytest.fixture(autouse=True)
def _style() -> Iterator[None]:
    with paper_style():
        yield
    plt.close('all')
