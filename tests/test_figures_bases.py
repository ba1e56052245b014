"""Figures of adaptive bases draw the factors, the coefficients and the vectors they are given."""

from dataclasses import replace

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from gahb.basis import Basis, coefficients
from gahb.book import figures


def some_basis(k: int = 16, channels: int = 1) -> Basis:
    drawn = torch.randn(16 * channels, 16 * channels, generator=torch.Generator().manual_seed(0))
    vectors = torch.linalg.qr(drawn).Q.T[:k].reshape(k, channels, 4, 4)
    return Basis(torch.linspace(1.2, -0.2, k), vectors, 0.1, torch.zeros(k), "dense")


def test_vectors_are_drawn_symmetric_about_gray_with_their_factors() -> None:
    basis = some_basis()
    figure = figures.basis_vectors(basis, [1, 4, 16])
    assert len(figure.axes) == 3 and len(plt.get_fignums()) == 1
    assert [ax.get_title() for ax in figure.axes] == [
        rf"$\lambda_{{{k}}} = {value}$" for k, value in ((1, "1.20"), (4, "0.92"), (16, "-0.20"))
    ]
    for ax, k in zip(figure.axes, (1, 4, 16), strict=True):
        (image,) = ax.get_images()
        vector = basis.eigenvectors[k - 1, 0]
        assert image.get_clim() == (0, 1)
        drawn = (np.asarray(image.get_array()) - 0.5) * 2 * float(vector.abs().max())
        np.testing.assert_allclose(drawn, vector, atol=1e-6)


def test_vectors_stand_in_so_many_columns() -> None:
    figure = figures.basis_vectors(some_basis(), range(1, 6), columns=2)
    places = [ax.get_position() for ax in figure.axes]
    assert len({round(place.x0, 3) for place in places}) == 2
    assert len({round(place.y0, 3) for place in places}) == 3


def drawn(basis: Basis, k: int) -> np.ndarray:
    (image,) = figures.basis_vectors(basis, [k]).axes[0].get_images()
    return np.asarray(image.get_array())


def test_vectors_of_color_images_are_drawn_in_color() -> None:
    """Also one of pure color, whose mean over the channels is 0."""
    basis = some_basis(channels=3)
    red_minus_green = torch.zeros(1, 3, 4, 4)
    red_minus_green[0, 0], red_minus_green[0, 1] = 0.25, -0.25
    for k, vector in ((2, basis.eigenvectors[1:2]), (1, red_minus_green)):
        vectors = basis.eigenvectors.clone()
        vectors[k - 1] = vector[0]
        image = drawn(replace(basis, eigenvectors=vectors), k)
        expected = 0.5 + vector[0] / (2 * vector.abs().max())
        np.testing.assert_allclose(image[:, :, :3], expected.movedim(0, 2), atol=1e-6)
        assert (image[:, :, 3] == 1).all()


def test_of_vectors_of_other_channels_the_mean_is_drawn() -> None:
    basis = some_basis(channels=4)
    gray = figures.as_gray(basis.eigenvectors[1].mean(0)[None, None])
    np.testing.assert_array_equal(drawn(basis, 2), gray[0, 0])


def test_factors_of_several_bases_have_a_line_each() -> None:
    ax = figures.shrinkage_factors({"all": some_basis(), "few": some_basis(5)})
    lines = [line for line in ax.get_lines() if len(line.get_xdata()) > 2]
    for line, k in zip(lines, (16, 5), strict=True):
        np.testing.assert_array_equal(line.get_xdata(), range(1, k + 1))
        np.testing.assert_array_equal(line.get_ydata(), some_basis(k).eigenvalues)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["all", "few"]
    assert ax.get_xscale() == "log"


def test_coefficients_have_an_axis_of_their_own() -> None:
    basis, x = some_basis(), torch.rand(1, 1, 4, 4)
    left = figures.shrinkage_and_coefficients(basis, x)
    _, right = left.figure.axes
    np.testing.assert_array_equal(left.get_lines()[0].get_ydata(), basis.eigenvalues)
    np.testing.assert_array_equal(right.get_lines()[0].get_ydata(), coefficients(basis, x)[0].abs())
    assert "lambda" in left.get_ylabel() and "langle" in right.get_ylabel()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: figures.basis_vectors(some_basis(), []), "^numbers: empty"),
        (lambda: figures.basis_vectors(some_basis(5), [6]), "^numbers: 6 is not .* from 1 to 5"),
        (lambda: figures.shrinkage_factors({}), "^bases: empty"),
        (
            lambda: figures.shrinkage_and_coefficients(some_basis(), torch.rand(2, 1, 4, 4)),
            "^x: 2 images; accepted: one",
        ),
    ],
)
def test_bad_input_gives_one_clear_line(call, message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        call()
    assert "\n" not in str(error.value)
    assert plt.get_fignums() == []
