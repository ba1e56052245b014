"""The oracle in a basis: its error is that of its formula, and no other factors do better."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from gahb.bandlets import wavelet_basis
from gahb.images.calpha import calpha_images
from gahb.metrics import psnr_curve, sigma_from_psnr
from gahb.optimal import OracleBasis

SIDE = 8


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).double()


def clean(n: int = 3) -> Tensor:
    return calpha_images(range(n), SIDE, 2)


def random_basis(*batch: int, k: int = SIDE**2, seed: int = 1) -> Tensor:
    """Orthonormal images (*batch, k, 1, SIDE, SIDE)."""
    orthogonal = torch.linalg.qr(drawn(*batch, SIDE**2, SIDE**2, seed=seed)).Q
    return orthogonal[..., :k, :].reshape(*batch, k, 1, SIDE, SIDE)


BASES = {
    "wavelets": wavelet_basis(SIDE),
    "random": random_basis(),
    "half": random_basis(k=SIDE**2 // 2),
    "one for each image": random_basis(3),
}


@pytest.mark.parametrize("name", BASES)
@pytest.mark.parametrize("sigma", [0.05, 0.4])
def test_mean_error_over_noise_is_the_expected_one(name: str, sigma: float) -> None:
    """Equations 11 and 12 against an average over noise, within four standard errors."""
    x, draws = clean(), 2000
    f = OracleBasis(x, BASES[name])
    y = x + sigma * drawn(draws, *x.shape, seed=2)
    errors = torch.stack([(f(each, sigma) - x).square().flatten(1).mean(1) for each in y])
    distance = (errors.mean(0) - f.expected_mse(sigma)).abs()
    assert (distance < 4 * errors.std(0) / math.sqrt(draws)).all()


def test_the_expected_error_is_that_of_equation_12() -> None:
    """Written out for each image and vector."""
    x, basis, sigma = clean(), BASES["random"], 0.2
    expected = [
        sum(
            sigma**2 * float((e * each).sum()) ** 2 / (float((e * each).sum()) ** 2 + sigma**2)
            for e in basis
        )
        / SIDE**2
        for each in x
    ]
    measured = OracleBasis(x, basis).expected_mse(sigma)
    torch.testing.assert_close(measured, torch.tensor(expected).double())


def test_no_other_factors_have_a_smaller_expected_error() -> None:
    """The derivative of equation 11 vanishes at the factors, and it is a sum of convex terms."""
    x, basis, sigma = clean(), BASES["wavelets"], 0.2
    f = OracleBasis(x, basis)
    coefficients = x.flatten(1) @ basis.flatten(1).T
    factors = f.shrinkage(sigma).requires_grad_()
    errors = (1 - factors) ** 2 * coefficients**2 + factors**2 * sigma**2
    (slope,) = torch.autograd.grad(errors.sum(), factors)
    torch.testing.assert_close(slope, torch.zeros_like(slope))
    torch.testing.assert_close(errors.sum(1) / SIDE**2, f.expected_mse(sigma))


def test_each_image_has_its_own_basis() -> None:
    x, basis = clean(), BASES["one for each image"]
    y = x + 0.1 * drawn(*x.shape)
    single = [OracleBasis(x[i : i + 1], basis[i])(y[i : i + 1], 0.1) for i in range(3)]
    torch.testing.assert_close(OracleBasis(x, basis)(y, 0.1), torch.cat(single))


def test_along_the_image_itself_one_coefficient_is_left() -> None:
    """The basis that nobody can find: e_1 = x / ||x||, whose error is that of one coefficient."""
    x, sigma = clean(1), 0.3
    first = x / x.norm()
    f = OracleBasis(x, first)
    energy = x.square().sum()
    expected = energy * sigma**2 / (energy + sigma**2) / SIDE**2
    torch.testing.assert_close(f.expected_mse(sigma), expected[None])


def test_a_curve_is_that_of_the_expected_errors() -> None:
    x, levels = clean(40), [10.0, 20.0, 30.0]
    f = OracleBasis(x.float(), BASES["wavelets"])
    curve = psnr_curve(f, x.float(), levels, batch_size=len(x))
    mse = torch.stack([f.expected_mse(float(sigma)) for sigma in sigma_from_psnr(curve.x)])
    torch.testing.assert_close(curve.value, -10 * mse.log10().mean(1), atol=0.3, rtol=0)


def test_each_image_can_have_its_own_noise_level() -> None:
    x, sigma = clean(), torch.tensor([0.02, 0.3, 3.0])
    f, y = OracleBasis(x, BASES["wavelets"]), clean() + drawn(*clean().shape)
    one_by_one = [f(y, s)[i] for i, s in enumerate(sigma.tolist())]
    torch.testing.assert_close(f(y, sigma), torch.stack(one_by_one))
    assert f(y.float(), 0.1).dtype == torch.float32


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x, e: OracleBasis(x, e)(x), "sigma: not given"),
        (lambda x, e: OracleBasis(x, e)(x, -1.0), "sigma: -1.0 is not"),
        (lambda x, e: OracleBasis(x, e)(x[:2], 0.1), r"y: shape \(2, 1, 8, 8\) is not \(3, 1, 8"),
        (lambda x, e: OracleBasis(x[0], e), r"x: shape \(1, 8, 8\) is not"),
        (lambda x, e: OracleBasis(x / 0, e), "x: holds NaN or infinity"),
        (lambda x, e: OracleBasis(x, 2 * e), "basis: not orthonormal within 0.0001"),
        (lambda x, e: OracleBasis(x, e / 0), "basis: not orthonormal within 0.0001"),
        (lambda x, e: OracleBasis(x, e[..., :4]), r"basis: shape \(64, 1, 8, 4\) for x of"),
        (lambda x, e: OracleBasis(x, e[None]), r"basis: shape \(1, 64, 1, 8, 8\) for x of"),
        (lambda x, e: OracleBasis(x, e.int()), "basis: torch.int32 is not a float tensor"),
        (lambda x, e: OracleBasis(x, None), "basis: NoneType is not a float tensor"),
    ],
)
def test_bad_input_gives_one_clear_line(call, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=f"^{message}") as error:
        call(clean(), random_basis())
    assert "\n" not in str(error.value)
