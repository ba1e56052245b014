"""Exact denoisers of disks, a ray and sine waves against independent integrals and their limits."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from gahb.images.manifolds import (
    disk_images,
    disk_parameters,
    orthonormal,
    ray_face,
    ray_images,
    ray_parameters,
    sine_images,
    sine_parameters,
    tangents,
)
from gahb.optimal import Disks, Ray, Sines
from gahb.optimal.manifolds import box_of_mass, gauss_legendre, grid

SIZE = 8


@dataclass(frozen=True)
class Manifold:
    denoiser: Any
    parameters: Any
    images: Any
    dimensions: int

    def observed(self, n: int, sigma: float, size: int = SIZE) -> tuple[Tensor, Tensor]:
        """Clean and noisy images."""
        x = self.images(self.parameters(range(n), "test"), size)
        generator = torch.Generator().manual_seed(0)
        return x, x + sigma * torch.randn(x.shape, generator=generator, dtype=x.dtype)


MANIFOLDS = {
    "disks": Manifold(Disks, disk_parameters, disk_images, 5),
    "ray": Manifold(Ray, ray_parameters, ray_images, 1),
    "sines": Manifold(Sines, sine_parameters, sine_images, 2),
}


@pytest.fixture(params=MANIFOLDS)
def manifold(request) -> Manifold:
    return MANIFOLDS[request.param]


def posterior_mean(
    y: Tensor, means: Tensor, factors: Tensor, log_prior: Tensor, sigma: float
) -> Tensor:
    """E[x | y] for a mixture of N(m, L L^T), by the density of y in d dimensions: (n, d).

    Means are (m, d), factors L (m, d, k).
    """
    d = means.shape[1]
    covariances = factors @ factors.mT + sigma**2 * torch.eye(d, dtype=torch.float64)
    results = []
    for noisy in y.flatten(1):
        whitened = torch.linalg.solve(covariances, noisy - means)
        logs = -((noisy - means) * whitened).sum(1) / 2 - covariances.logdet() / 2 + log_prior
        updated = means + (factors @ (factors.mT @ whitened[..., None]))[..., 0]
        results.append(logs.softmax(0) @ updated)
    return torch.stack(results)


def all_disks(order: int) -> tuple[Tensor, Tensor, Tensor]:
    """Means and factors of disks of every center and radius, on a grid over all of the box."""
    t, w = (torch.from_numpy(a) for a in np.polynomial.legendre.leggauss(order))
    centers, radii = 0.5 + 0.2 * t, 0.1875 + 0.0625 * t
    geometry = torch.cartesian_prod(centers, centers, radii)
    white, black = torch.ones(len(geometry), 1), torch.zeros(len(geometry), 1)
    ground = disk_images(torch.cat([geometry, white, black], dim=1), SIZE).flatten(1)
    disk = disk_images(torch.cat([geometry, black, white], dim=1), SIZE).flatten(1)
    log_weights = torch.cartesian_prod(w, w, w).log().sum(1)
    return 0.25 * ground + 0.75 * disk, torch.stack([ground, disk], dim=2) / 16, log_weights


@pytest.mark.parametrize("sigma", [0.25, 1.0])
def test_disks_equal_an_integral_over_all_disks(sigma: float) -> None:
    _, y = MANIFOLDS["disks"].observed(3, sigma)
    expected = posterior_mean(y, *all_disks(16), sigma)
    torch.testing.assert_close(Disks(SIZE)(y, sigma).flatten(1), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("sigma", [0.06, 0.2, 1.0])
def test_sines_equal_an_integral_over_phases_and_amplitudes(sigma: float) -> None:
    """A sum over a fine grid of both, where the denoiser has closed forms and few nodes."""
    _, y = MANIFOLDS["sines"].observed(4, sigma)
    phases = 2 * torch.pi * torch.arange(300, dtype=torch.float64) / 300
    amplitudes = torch.linspace(-0.5, 1.5, 401, dtype=torch.float64)
    parameters = torch.cartesian_prod(phases, amplitudes)
    x = sine_images(parameters, SIZE).flatten(1)
    log_prior = -((parameters[:, 1] - 0.5) ** 2) / (2 * 0.125**2)
    log_likelihood = (y.flatten(1) @ x.T - x.square().sum(1) / 2) / sigma**2
    expected = (log_likelihood + log_prior).softmax(1) @ x
    torch.testing.assert_close(Sines(SIZE)(y, sigma).flatten(1), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("sigma", [0.003, 0.1, 3.0])
def test_ray_equals_the_wiener_filter(sigma: float) -> None:
    _, y = MANIFOLDS["ray"].observed(4, sigma)
    face = ray_face(SIZE).flatten()
    expected = posterior_mean(y, face[None] / 2, face[None, :, None] / 8, torch.zeros(1), sigma)
    torch.testing.assert_close(Ray(SIZE)(y, sigma).flatten(1), expected)


def test_small_noise_is_projected_on_the_tangent_space(manifold: Manifold) -> None:
    sigma = 3e-4
    x, y = manifold.observed(2, sigma, size=16)
    derived = tangents(manifold.images, manifold.parameters(range(2), "test"), 16)
    basis = orthonormal(derived).flatten(2)
    projected = ((y - x).flatten(1)[:, None] @ basis.mT @ basis)[:, 0]
    f = manifold.denoiser(16)
    torch.testing.assert_close((f(y, sigma) - x).flatten(1), projected, atol=0.05 * sigma, rtol=0)
    torch.testing.assert_close(
        f.posterior_covariance(y, sigma) / sigma**2, basis.mT @ basis, atol=0.02, rtol=0
    )


def test_the_least_error_is_sigma_squared_for_each_dimension(manifold: Manifold) -> None:
    for size, sigma in ((16, 0.003), (32, 0.01)):
        _, y = manifold.observed(4, sigma, size)
        error = manifold.denoiser(size).squared_error(y, sigma)
        expected = torch.full_like(error, manifold.dimensions * sigma**2)
        torch.testing.assert_close(error, expected, rtol=0.02, atol=0)


def test_errors_are_as_large_as_expected(manifold: Manifold) -> None:
    """The mean of ||x - f(y)||^2 - E[||x - f(y)||^2 | y] is 0, also where no limit holds."""
    for sigma in (0.1, 0.5):
        x, y = manifold.observed(36, sigma)
        f = manifold.denoiser(SIZE)
        errors = (f(y, sigma) - x).flatten(1).square().sum(1)
        excess = errors - f.squared_error(y, sigma)
        assert abs(excess.mean()) < 3 * excess.std() / 6


def test_large_noise_gives_the_mean_of_all_images(manifold: Manifold) -> None:
    _, y = manifold.observed(1, 1.0)
    x = manifold.images(manifold.parameters(range(1000)), SIZE)
    f = manifold.denoiser(SIZE).at(1e4)
    mean, spread = x.mean(0, keepdim=True), x.std(0, keepdim=True)
    assert ((f(y) - mean).abs() < 4.5 * spread / 1000**0.5).all()


@pytest.mark.parametrize("sigma", [0.02, 0.4])
def test_jacobian_is_the_posterior_covariance_over_sigma_squared(
    manifold: Manifold, sigma: float
) -> None:
    _, y = manifold.observed(1, sigma)
    f = manifold.denoiser(SIZE)
    jacobian = torch.func.jacrev(lambda y: f(y, sigma).flatten())(y).flatten(1)
    covariance = f.posterior_covariance(y, sigma)[0]
    torch.testing.assert_close(jacobian, covariance / sigma**2, atol=1e-9, rtol=0)
    torch.testing.assert_close(covariance.trace()[None], f.squared_error(y, sigma))


# Forward mode in torch.func still loads its rules through the deprecated torch.jit.script.
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_products_of_the_jacobian_in_both_modes_and_batches(manifold: Manifold) -> None:
    _, y = manifold.observed(1, 0.1)
    exact = manifold.denoiser(SIZE)
    f = exact.at(0.1)
    probes = torch.randn(3, *y.shape, generator=torch.Generator().manual_seed(1), dtype=y.dtype)
    expected = probes.flatten(1) @ exact.posterior_covariance(y, 0.1)[0] / 0.1**2
    _, pull = torch.func.vjp(f, y)
    backward = torch.func.vmap(lambda v: pull(v)[0])(probes)
    forward = torch.func.vmap(lambda v: torch.func.jvp(f, (y,), (v,))[1])(probes)
    torch.testing.assert_close(backward.flatten(1), expected, atol=1e-9, rtol=0)
    torch.testing.assert_close(forward.flatten(1), expected, atol=1e-9, rtol=0)


def test_the_smallest_noise_is_borne(manifold: Manifold) -> None:
    x, y = manifold.observed(2, 1e-6)
    f = manifold.denoiser(SIZE)
    assert (f(y, 1e-6) - x).abs().max() < 1e-5
    assert (f.squared_error(y, 1e-6) > 0).all()


@pytest.mark.parametrize(("name", "order"), [("disks", 20), ("sines", 64)])
@pytest.mark.parametrize("sigma", [0.003, 0.1, 1.0])
def test_more_nodes_change_next_to_nothing(name: str, order: int, sigma: float) -> None:
    _, y = MANIFOLDS[name].observed(2, sigma, size=16)
    usual, fine = (MANIFOLDS[name].denoiser(16) for _ in range(2))
    fine.ORDER = order
    errors = fine.squared_error(y, sigma)
    distance = (usual(y, sigma) - fine(y, sigma)).flatten(1).norm(dim=1)
    assert (distance < 1e-3 * errors.sqrt()).all()
    torch.testing.assert_close(usual.squared_error(y, sigma), errors, rtol=2e-3, atol=0)


def test_each_noisy_image_can_have_its_own_noise_level(manifold: Manifold) -> None:
    _, y = manifold.observed(3, 0.1)
    sigma = torch.tensor([0.02, 0.3, 3.0], dtype=torch.float64)
    f = manifold.denoiser(SIZE)
    one_by_one = [f(y[i : i + 1], s) for i, s in enumerate(sigma.tolist())]
    torch.testing.assert_close(f(y, sigma), torch.cat(one_by_one))


def test_the_dtype_of_the_noisy_images_is_kept(manifold: Manifold) -> None:
    _, y = manifold.observed(2, 0.1)
    f = manifold.denoiser(SIZE).at(0.1)
    assert f(y.float()).dtype == torch.float32 and f(y).dtype == torch.float64
    torch.testing.assert_close(f(y.float()).double(), f(y), atol=1e-5, rtol=0)


def test_not_a_number_gives_not_a_number(manifold: Manifold) -> None:
    _, y = manifold.observed(1, 0.1)
    assert manifold.denoiser(SIZE)(torch.full_like(y, torch.nan), 0.1).isnan().all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda f, y: f(SIZE)(y), "sigma: not given"),
        (lambda f, y: f(SIZE)(y, 0.0), "sigma: 0.0 is not a finite number"),
        (lambda f, y: f(SIZE)(y, 1e-8), r"sigma: 1e-08 is not a finite number in \[1e-06, inf\]"),
        (lambda f, y: f(SIZE)(y[..., :4], 0.1), r"y: shape \(2, 1, 8, 4\) is not the accepted"),
        (lambda f, y: f(SIZE).squared_error(y[0], 0.1), r"y: shape \(1, 8, 8\) is not a float"),
        (lambda f, y: f(4), "size: 4 is not a whole number of at least 8"),
    ],
)
def test_bad_input_gives_one_clear_line(manifold: Manifold, call, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=f"^{message}") as error:
        call(manifold.denoiser, manifold.observed(2, 0.1)[1])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("q", [0, 1, 3])
def test_gauss_legendre_is_exact_for_polynomials(q: int) -> None:
    low, high = torch.arange(q).double() - 1, torch.arange(q).double() + 2
    nodes, log_weights = gauss_legendre(low, high, order=4)
    assert nodes.shape == (4**q, q)
    mean = log_weights.exp() @ (nodes**7).prod(dim=1)
    expected = ((high**8 - low**8) / (8 * (high - low))).prod()
    torch.testing.assert_close(mean, expected)


def test_grids_are_products_of_their_sides() -> None:
    low, high = torch.tensor([0.0, 2.0]), torch.tensor([1.0, 4.0])
    points = grid(low, high, torch.tensor([0.25, 0.75]))
    expected = torch.cartesian_prod(torch.tensor([0.25, 0.75]), torch.tensor([2.5, 3.5]))
    torch.testing.assert_close(points, expected)


@pytest.mark.parametrize("place", [(0.5, 0.5), (0.0, 1.0), (1 / 3, 0.27), (0.9999, 0.1)])
@pytest.mark.parametrize("widths", [(0.3, 0.3), (0.3, 1e-4), (1e-6, 1e-6)])
def test_the_box_follows_the_mass(place: tuple[float, float], widths: tuple[float, float]) -> None:
    peak, width = torch.tensor([place, widths], dtype=torch.float64)
    corners = torch.zeros(2, dtype=torch.float64), torch.ones(2, dtype=torch.float64)
    low, high = box_of_mass(lambda t: -((t - peak) / width).square().sum(1) / 2, *corners)
    # At an edge of the box, half of the mass is beyond.
    assert (low <= torch.maximum(corners[0], peak - 3.5 * width)).all()
    assert (high >= torch.minimum(corners[1], peak + 3.5 * width)).all()
    assert (high - low < 13 * width).all()


def test_the_box_holds_two_peaks() -> None:
    def log_density(t: Tensor) -> Tensor:
        return torch.logaddexp(*(-((t[:, 0] - peak) ** 2) / 0.02 for peak in (0.2, 0.8)))

    corners = torch.zeros(1, dtype=torch.float64), torch.ones(1, dtype=torch.float64)
    low, high = box_of_mass(partial(log_density), *corners)
    assert low < 0.01 and high > 0.99
