"""The oracle in bandlets: its basis is the best of all, and its error that of its formula."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from gahb.bandlets import OracleBandlets, bases, best_shrinkage, wavelet_basis
from gahb.images.calpha import calpha_images
from gahb.metrics import psnr_curve, sigma_from_psnr
from gahb.optimal import OracleBasis

SIDE = 16
SIGMAS = [0.02, 0.1, 0.5]


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).double()


def clean(n: int = 3, side: int = SIDE) -> Tensor:
    return calpha_images(range(n), side, 3)


@pytest.mark.parametrize("sigma", SIGMAS)
def test_it_shrinks_along_orthonormal_vectors(sigma: float) -> None:
    """Bias and variance of the linear map, as such, are those of equations 11 and 12."""
    x = clean(1)
    f, pixels = OracleBandlets(x), torch.eye(SIDE**2).double().view(-1, 1, SIDE, SIDE)
    J = OracleBandlets(x.expand_as(pixels))(pixels, sigma).flatten(1).T
    torch.testing.assert_close(J, J.T)
    factors = torch.linalg.eigvalsh(J)
    assert -1e-9 < factors.min() < 0.2 and 0.8 < factors.max() < 1
    bias = (x.flatten() - J @ x.flatten()).square().mean()
    variance = sigma**2 * J.square().sum() / SIDE**2
    expected = f.expected_mse(sigma).squeeze()
    torch.testing.assert_close(bias + variance, expected)
    torch.testing.assert_close(sigma**2 * J.trace() / SIDE**2, expected)


@pytest.mark.parametrize("sigma", SIGMAS)
def test_mean_error_over_noise_is_the_expected_one(sigma: float) -> None:
    """Against an average over noise, within four standard errors."""
    x, draws = clean(), 400
    repeated = x.repeat(draws, 1, 1, 1)
    y = repeated + sigma * drawn(*repeated.shape)
    errors = (OracleBandlets(repeated)(y, sigma) - repeated).square().mean(dim=(1, 2, 3))
    errors = errors.view(draws, len(x))
    distance = (errors.mean(0) - OracleBandlets(x).expected_mse(sigma)).abs()
    assert (distance < 4 * errors.std(0) / math.sqrt(draws)).all()


@pytest.mark.parametrize("sigma", SIGMAS)
def test_without_directions_it_is_the_oracle_in_wavelets(sigma: float) -> None:
    x, y = clean(), clean() + sigma * drawn(3, 1, SIDE, SIDE)
    f = OracleBandlets(x, directions=0)
    in_wavelets = OracleBasis(x, wavelet_basis(SIDE))
    torch.testing.assert_close(f(y, sigma), in_wavelets(y, sigma))
    torch.testing.assert_close(f.expected_mse(sigma), in_wavelets.expected_mse(sigma))


@pytest.mark.parametrize("sigma", SIGMAS)
def test_more_bases_to_choose_from_leave_less_error(sigma: float) -> None:
    """Each is chosen from all of those before, and from others."""
    x = clean(20)
    choices = [(0, (4,)), (4, (4,)), (8, (4,)), (8, (4, 8))]
    errors = [
        OracleBandlets(x, directions=directions, squares=squares).expected_mse(sigma)
        for directions, squares in choices
    ]
    for fewer, more in pairwise(errors):
        assert (more <= fewer + 1e-12).all() and (more < fewer).any()


def test_the_coarsest_scale_keeps_its_wavelets() -> None:
    """As it does in the bandlets that threshold: an image of coarse wavelets has one basis."""
    x = torch.einsum("k,kcij->cij", drawn(16), wavelet_basis(SIDE)[:16])[None]
    expected = OracleBasis(x, wavelet_basis(SIDE)).expected_mse(0.5)
    torch.testing.assert_close(OracleBandlets(x).expected_mse(0.5), expected)


def least(c: Tensor, sigma: float, sides: tuple[int, ...]) -> float:
    """Smallest expected error of shrinkage: every basis, every way to cut a square."""
    coefficients = torch.from_numpy(bases(*c.shape, 3)) @ c.flatten()
    energies = coefficients.square()
    whole = (sigma**2 * energies / (energies + sigma**2)).sum(1).min()
    return min(float(whole), cut(c, sigma, sides[:-1]) if len(sides) > 1 else math.inf)


def cut(c: Tensor, sigma: float, sides: tuple[int, ...]) -> float:
    squares = [square for row in c.split(sides[-1]) for square in row.split(sides[-1], 1)]
    return sum(least(square, sigma, sides) for square in squares)


@pytest.mark.parametrize("shape", [(8, 8), (16, 8), (10, 20), (2, 3)])
def test_the_basis_is_the_best_of_all(shape: tuple[int, int]) -> None:
    c = drawn(3, *shape) + 2 * (torch.arange(shape[1]) > torch.arange(shape[0])[:, None] + 1)
    sigma = torch.tensor([0.3, 1.0, 2.0]).double()
    _, expected = best_shrinkage(c, c, sigma, directions=3, squares=(2, 4, 8))
    lowest = [cut(each, s, (2, 4, 8)) for each, s in zip(c, sigma.tolist(), strict=True)]
    torch.testing.assert_close(expected, torch.tensor(lowest).double())


def test_a_curve_is_that_of_the_expected_errors() -> None:
    x, levels = clean(40, side=32).float(), [10.0, 20.0, 30.0]
    f = OracleBandlets(x)
    curve = psnr_curve(f, x, levels, batch_size=len(x))
    mse = torch.stack([f.expected_mse(float(sigma)) for sigma in sigma_from_psnr(curve.x)])
    torch.testing.assert_close(curve.value, -10 * mse.log10().mean(1), atol=0.3, rtol=0)


def test_the_expected_error_is_a_mean_over_channels() -> None:
    color = OracleBandlets(clean(2).repeat(1, 3, 1, 1))
    torch.testing.assert_close(color.expected_mse(0.2), OracleBandlets(clean(2)).expected_mse(0.2))


def test_every_image_stands_for_itself() -> None:
    """With channels, and a noise level each."""
    x, sigma = clean(6).view(3, 2, SIDE, SIDE), torch.tensor([0.02, 0.3, 3.0])
    f, y = OracleBandlets(x), x + drawn(*x.shape)
    single = [OracleBandlets(x[i : i + 1]) for i in range(3)]
    each = [g(y[i : i + 1], float(sigma[i])) for i, g in enumerate(single)]
    torch.testing.assert_close(f(y, sigma), torch.cat(each))
    errors = torch.cat([g.expected_mse(s) for g, s in zip(single, sigma.tolist(), strict=True)])
    torch.testing.assert_close(f.expected_mse(sigma), errors)
    assert f(y.float(), 0.1).dtype == torch.float32


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: OracleBandlets(x)(x), "sigma: not given"),
        (lambda x: OracleBandlets(x)(x, 0.0), "sigma: 0.0 is not"),
        (lambda x: OracleBandlets(x)(x, torch.ones(2)), "sigma: 2 noise levels for 3 noisy"),
        (lambda x: OracleBandlets(x)(x[:2], 0.1), r"y: shape \(2, 1, 16, 16\) is not \(3, 1, 16"),
        (lambda x: OracleBandlets(x[0]), r"x: shape \(1, 16, 16\) is not"),
        (lambda x: OracleBandlets(x[..., :9]), r"x: shape \(3, 1, 16, 9\); accepted: even sides"),
        (lambda x: OracleBandlets(x / 0), "x: holds NaN or infinity"),
        (lambda x: OracleBandlets(x, directions=-1), "directions: -1 is not a whole number of at"),
        (lambda x: OracleBandlets(x, squares=(4, 12)), r"squares: \(4, 12\) is not a tuple"),
        (lambda x: OracleBandlets(x, squares=(1, 2)), "squares: 1 is not a whole number of at"),
        (lambda x: OracleBandlets(x, squares=()), r"squares: \(\) is not a tuple of sides"),
        (lambda x: OracleBandlets(x, squares=4), "squares: 4 is not a tuple of sides"),
    ],
)
def test_bad_input_gives_one_clear_line(call, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=f"^{message}") as error:
        call(clean())
    assert "\n" not in str(error.value)
