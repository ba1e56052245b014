"""Errors within and outside of a subspace, against denoisers whose errors are known."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from gahb.images.manifolds import orthonormal
from gahb.metrics import error_dimensions

SIGMA = 0.2


@pytest.fixture
def x() -> Tensor:
    return torch.rand(400, 1, 4, 4, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def bases() -> Tensor:
    drawn = torch.randn(400, 3, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    return orthonormal(drawn)


def projection(x: Tensor, bases: Tensor):
    """What a denoiser that knows the tangent spaces of all images does to a whole batch."""

    def f(y: Tensor) -> Tensor:
        coordinates = torch.einsum("nkchw,nchw->nk", bases, y - x)
        return x + torch.einsum("nk,nkchw->nchw", coordinates, bases)

    return f


def test_noise_that_is_kept_counts_its_dimensions(x: Tensor, bases: Tensor) -> None:
    within, outside = error_dimensions(lambda y: y, x, bases, SIGMA)
    assert within.shape == outside.shape == (400,)
    for errors, dimensions in ((within, 3), (outside, 13)):
        # A chi-squared variable of k degrees of freedom has the variance 2 k.
        assert abs(errors.mean() - dimensions) < 4 * (2 * dimensions / 400) ** 0.5
        assert abs(errors.var() / (2 * dimensions) - 1) < 0.3


def test_a_projection_has_no_error_outside(x: Tensor, bases: Tensor, monkeypatch) -> None:
    monkeypatch.setattr("gahb.devices.ON_A_CPU", len(x))  # it takes them all at once
    within, outside = error_dimensions(projection(x, bases), x, bases, SIGMA)
    kept, _ = error_dimensions(lambda y: y, x, bases, SIGMA)
    torch.testing.assert_close(within, kept, rtol=1e-4, atol=0)
    assert outside.max() < 1e-9


def test_both_parts_sum_up_to_the_error(x: Tensor, bases: Tensor) -> None:
    within, outside = error_dimensions(torch.zeros_like, x, bases, SIGMA)
    energy = x.double().flatten(1).square().sum(1) / SIGMA**2
    torch.testing.assert_close(within + outside, energy, rtol=1e-6, atol=0)


def test_a_denoiser_is_given_the_noise_level(x: Tensor, bases: Tensor) -> None:
    def level(y: Tensor, sigma: Tensor) -> Tensor:
        return sigma.view(-1, 1, 1, 1).expand_as(y)

    within, outside = error_dimensions(level, SIGMA * torch.ones_like(x), bases, SIGMA)
    assert max(within.max(), outside.max()) < 1e-9


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda b: b[:3], r"bases: shape \(3, 3, 1, 4, 4\) is not an orthonormal basis of each"),
        (lambda b: b[0], r"bases: shape \(3, 1, 4, 4\) is not"),
        (lambda b: b[:, :0], r"bases: shape \(400, 0, 1, 4, 4\) is not"),
        (lambda b: 2 * b, "bases: not orthonormal within 0.0001"),
        (lambda b: b.long(), "bases: torch.int64 is not"),
        (lambda b: "bases", "bases: str is not"),
    ],
)
def test_bad_bases_give_one_clear_line(x: Tensor, bases: Tensor, change, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=f"^{message}") as error:
        error_dimensions(lambda y: y, x, change(bases), SIGMA)
    assert "\n" not in str(error.value)
