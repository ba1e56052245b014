"""What the tests and the examples of the package share."""

from collections.abc import Iterator

import matplotlib.pyplot as plt
import pytest
import torch


@pytest.fixture(autouse=True)
def same_random_numbers() -> None:
    """Start torch's own stream anew, so that whatever draws from it draws the same at every run."""
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def no_figure_stays_open() -> Iterator[None]:
    """Close what a test or an example has drawn: pyplot warns of more than 20 open figures."""
    yield
    plt.close("all")
