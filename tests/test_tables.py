"""Tables are aligned, rounded, and narrow enough for a phone: three of the chapters', anew."""

import pytest
import torch

from gahb.book.tables import table
from gahb.metrics import Estimate


def printed(capsys, *args, **options) -> list[str]:
    table(*args, **options)
    return capsys.readouterr().out.splitlines()


def test_gaps_of_the_transition(capsys) -> None:
    rows = {
        1: {"train": 41.26, "test": 11.08, "gap": 30.18},
        10_000: {"train": 29.53, "test": 29.57, "gap": -0.04},
    }
    assert printed(capsys, rows, "z.1f", first="N") == [
        "     N   train   test    gap",
        "     1    41.3   11.1   30.2",
        "10,000    29.5   29.6    0.0",
    ]


def test_medians_with_their_intervals(capsys) -> None:
    rows = [
        {"N": n, "between networks": Estimate(a, a - 0.05, a + 0.05), "to the training set": b}
        for n, a, b in ((10, 0.1, 0.99), (10_000, 0.95, torch.tensor(0.8125)))
    ]
    assert printed(capsys, rows) == [
        "     N   between networks    to the training set",
        "    10   0.10 [0.05, 0.15]                  0.99",
        "10,000   0.95 [0.90, 1.00]                  0.81",
    ]


def test_what_is_in_the_leading_vectors(capsys) -> None:
    rows = {"dimensions": 1024, "sum of the factors": 61.4, "of the face's variation": "98%"}
    assert printed(capsys, rows, "z.0f") == [
        "dimensions                1,024",
        "sum of the factors           61",
        "of the face's variation     98%",
    ]


def test_headings_are_broken_where_a_table_is_too_wide(capsys) -> None:
    rows = [
        {"network": "unet", "mean squared error / sigma^2": 1.5, "smallest factor": -0.001},
        {"network": "bf-cnn", "mean squared error / sigma^2": 12.25, "distance to the optimum": 3},
    ]
    lines = printed(capsys, rows, {"mean squared error / sigma^2": ".1f"})
    assert lines == [
        "          mean squared",
        "               error /   smallest   distance to",
        "network        sigma^2     factor   the optimum",
        "unet               1.5       0.00",
        "bf-cnn            12.2                        3",
    ]


def test_no_rows_give_one_clear_line() -> None:
    with pytest.raises(ValueError, match=r"^rows: empty; accepted: at least one row$"):
        table([])
