"""The standard samplers against densities that are known: variances, weights, and their limits."""

import pytest
import torch

from gahb.optimal import Gaussian, GaussianMixture
from gahb.sampling import reverse_diffusion

METHODS = ["ancestral", "ode"]
STEPS = {"ancestral": 500, "ode": 100}  # the one is of first order, the other of second


@pytest.fixture(scope="module")
def density() -> Gaussian:
    """Return a Gaussian of 16 pixels, with standard deviations from 3 down to 0.02."""
    stream = torch.Generator().manual_seed(0)
    basis = torch.linalg.qr(torch.randn(16, 16, generator=stream).double())[0]
    deviations = torch.logspace(0.48, -1.7, 16, dtype=torch.float64)
    x = torch.randn(4000, 16, generator=stream).double() * deviations @ basis.T + 0.5
    return Gaussian.of(x.view(-1, 1, 4, 4).float())


@pytest.mark.parametrize("method", METHODS)
def test_variances_are_those_of_the_density(method, density):
    n = 2000
    start = density.draw(n, seed=5).float()
    options = {"method": method, "steps": STEPS[method], "sigma_end": 0.002, "batch_size": n}
    drawn = reverse_diffusion(density, start, 1, **options)
    along = (drawn.double() - density.mean).flatten(1) @ density.basis
    ratio = along.square().mean(0) / density.variances
    seen = density.variances > 1e-3
    assert (ratio[seen] - 1).abs().max() < 0.12  # standard error 0.032
    assert float((ratio[seen] - 1).mean()) == pytest.approx(0, abs=0.03)


@pytest.mark.parametrize("method", METHODS)
def test_from_gray_it_needs_a_large_first_level(method, density):
    gray = torch.full((1000, 1, 4, 4), 0.5)

    def total(sigma_0):
        options = {"method": method, "steps": STEPS[method], "sigma_0": sigma_0, "batch_size": 1000}
        drawn = reverse_diffusion(density, gray, 1, **options)
        along = (drawn.double() - density.mean).flatten(1) @ density.basis
        return float(along.square().mean(0).sum() / density.variances.sum())

    assert total(50.0) == pytest.approx(1, abs=0.1)
    assert total(1.0) < 0.5


@pytest.mark.parametrize("method", METHODS)
def test_weights_are_those_of_the_mixture(method):
    means = torch.stack([torch.full((1, 4, 4), level) for level in (0.0, 0.5, 1.0)])
    spreads = 0.05**2 * torch.eye(16).expand(3, 16, 16)
    mixture = GaussianMixture(torch.tensor([0.5, 0.3, 0.2]), means, spreads)
    gray = torch.full((2000, 1, 4, 4), 0.42)
    options = {"method": method, "sigma_0": 10.0, "batch_size": 2000}
    drawn = reverse_diffusion(mixture, gray, 2, **options)
    nearest = (drawn.mean((1, 2, 3))[:, None] - torch.tensor([0.0, 0.5, 1.0])).abs().argmin(1)
    weights = nearest.bincount(minlength=3) / len(nearest)
    assert weights.tolist() == pytest.approx([0.5, 0.3, 0.2], abs=0.03)


@pytest.mark.parametrize("method", METHODS)
def test_an_image_does_not_depend_on_its_batch(method, density):
    start = density.draw(5).float()
    whole = reverse_diffusion(density, start, 3, method=method, steps=5)
    parts = reverse_diffusion(density, start, 3, method=method, steps=5, batch_size=2)
    assert torch.allclose(whole, parts, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "euler"}, "^method: 'euler' is unknown; accepted: ancestral, ode"),
        ({"steps": 1}, "^steps: 1 is not"),
        ({"sigma_0": 0.001}, "^sigma_0: 0.001 is not"),
        ({"sigma_end": 0.0}, "^sigma_end: 0.0 is not"),
        ({"batch_size": 0}, "^batch_size: 0 is not"),
    ],
)
def test_bad_arguments_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        reverse_diffusion(torch.tanh, torch.zeros(1, 1, 4, 4), 0, **options)


def test_the_seed_fixes_the_noise():
    gray = torch.full((2, 1, 4, 4), 0.5)
    first, second = (reverse_diffusion(lambda y: 0.5 * y, gray, seed, steps=3) for seed in (1, 2))
    assert not torch.allclose(first, second, atol=1e-3)
