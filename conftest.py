"""What the tests and the examples of the package share."""

from collections.abc import Iterator

import matplotlib.pyplot as plt
import pytest


@pytest.fixture(autouse=True)
def no_figure_stays_open() -> Iterator[None]:
    """Close what a test or an example has drawn: pyplot warns of more than 20 open figures."""
    yield
    plt.close("all")
