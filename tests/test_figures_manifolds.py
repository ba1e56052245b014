"""Grids of basis vectors, and dimensions against the noise level."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gahb.book.figures import dimensions_against_noise, vector_grid


def test_vectors_are_gray_where_they_are_zero() -> None:
    vectors = torch.tensor([[0.0, 0.2, -0.1, 0.0], [0.0, 0.0, 0.0, -3.0]]).view(2, 1, 2, 2)
    ax = vector_grid({"two": vectors, "one": vectors[1:].double()}, ["a", "b"], title="Basis")
    mosaic = np.asarray(ax.images[0].get_array())
    drawn = mosaic[np.isfinite(mosaic)].reshape(-1)
    assert sorted(set(drawn.round(4))) == [0.0, 0.25, 0.5, 1.0]
    assert (ax.images[0].norm.vmin, ax.images[0].norm.vmax) == (0, 1)
    assert ax.get_title(loc="left") == "Basis"


def test_a_vector_of_zeros_is_gray() -> None:
    mosaic = vector_grid({"": torch.zeros(1, 1, 2, 2)}).images[0].get_array()
    assert (np.asarray(mosaic) == 0.5).all()


def test_dimensions_fall_on_a_logarithmic_scale_from_noise_to_no_noise() -> None:
    series = {"network": [10, 20, 40], "optimum": torch.tensor([5, 5, 5])}
    ax = dimensions_against_noise(series, [1.0, 0.1, 0.01], "Rank", level=5, title="Disks")
    assert ax.get_yscale() == "log" and ax.get_xlim() == (0, 40)
    network, optimum, level = ax.lines
    assert network.get_xdata().tolist() == [0, 20, 40]
    assert list(network.get_ydata()) == [10, 20, 40] and list(optimum.get_ydata()) == [5, 5, 5]
    assert set(level.get_ydata()) == {5}
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["network", "optimum", "dimensions of the manifold"]


def test_a_legend_can_be_left_out() -> None:
    assert dimensions_against_noise({"a": [1, 2]}, [1, 0.1], "", legend=False).get_legend() is None


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: vector_grid({}), "rows: empty; accepted"),
        (lambda: vector_grid({"a": torch.ones(2, 3, 4, 4)}), r"rows\['a'\]: 3 channels where 1"),
        (lambda: vector_grid({"a": torch.ones(4, 4)}), r"rows\['a'\]: shape \(4, 4\) is not"),
        (lambda: dimensions_against_noise({}, [0.1], ""), "dimensions: empty; accepted"),
        (
            lambda: dimensions_against_noise({"a": [1, 2]}, [0.1], ""),
            r"dimensions\['a'\]: 2 numbers for 1 noise levels; accepted: one for each",
        ),
        (lambda: dimensions_against_noise({"a": [1]}, [0.0], ""), "sigma: 0.0 is not a finite"),
    ],
)
def test_bad_input_gives_one_clear_line(call, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}") as error:
        call()
    assert "\n" not in str(error.value)
