"""Grids of basis vectors, and dimensions against the noise level."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gahb.book.figures import as_gray, curves_against, image_grid


def test_vectors_are_gray_where_they_are_zero() -> None:
    vectors = torch.tensor([[0.0, 0.2, -0.1, 0.0], [0.0, 0.0, 0.0, -3.0]]).view(2, 1, 2, 2)
    ax = image_grid({"two": vectors, "one": vectors[1:].double()}, ["a", "b"], signed=True)
    mosaic = np.asarray(ax.images[0].get_array())
    drawn = mosaic[np.isfinite(mosaic)].reshape(-1)
    assert sorted(set(drawn.round(4))) == [0.0, 0.25, 0.5, 1.0]
    assert (ax.images[0].norm.vmin, ax.images[0].norm.vmax) == (0, 1)


@pytest.mark.parametrize(("spike", "wave"), [(3.0, 1.0), (15.0, 19 / 30), (40.0, 0.5125)])
def test_a_bright_pixel_hides_no_wave_unless_it_is_all(spike: float, wave: float) -> None:
    vector = torch.ones(20, 20)
    vector[10:] = -1
    vector[5, 5] = spike
    gray = as_gray(vector[None, None])[0, 0]
    assert gray[5, 5] == 1
    assert gray[0, 0] == pytest.approx(wave)
    assert gray[-1, -1] == pytest.approx(1 - wave)


def test_a_vector_of_zeros_is_gray() -> None:
    mosaic = image_grid({"": torch.zeros(1, 1, 2, 2)}, signed=True).images[0].get_array()
    assert (np.asarray(mosaic) == 0.5).all()


def test_dimensions_fall_on_a_logarithmic_scale_from_noise_to_no_noise() -> None:
    series = {"network": [10, 20, 40], "optimum": torch.tensor([5, 5, 5])}
    level = ("dimensions of the manifold", 5)
    ax = curves_against("noise", series, "Rank", at=[0, 20, 40], scale="log", level=level)
    assert ax.get_yscale() == "log" and ax.get_xlim() == (0, 40)
    network, optimum, level = ax.lines
    assert network.get_xdata().tolist() == [0, 20, 40]
    assert list(network.get_ydata()) == [10, 20, 40] and list(optimum.get_ydata()) == [5, 5, 5]
    assert set(level.get_ydata()) == {5}
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["network", "optimum", "dimensions of the manifold"]


def test_a_legend_can_be_left_out() -> None:
    ax = curves_against("noise", {"a": [1, 2]}, "", at=[0, 20], scale="log", legend=False)
    assert ax.get_legend() is None


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: image_grid({}, signed=True), "rows: empty; accepted"),
        (
            lambda: image_grid({"a": torch.ones(2, 4, 4, 4)}, signed=True),
            r"rows\['a'\]: 4 channels where 1 or 3",
        ),
        (
            lambda: image_grid({"a": torch.ones(4, 4)}, signed=True),
            r"rows\['a'\]: shape \(4, 4\) is not",
        ),
        (lambda: curves_against("noise", {}, "", at=[20]), "curves: empty; accepted"),
        (
            lambda: curves_against("noise", {"a": [1, 2]}, "", at=[20]),
            r"curves\['a'\]: 2 numbers for 1 abscissas; accepted: one for each",
        ),
    ],
)
def test_bad_input_gives_one_clear_line(call, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}") as error:
        call()
    assert "\n" not in str(error.value)
