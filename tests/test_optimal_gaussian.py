"""Gaussians and their mixtures against brute-force integrals, autograd, and each other."""

import math

import pytest
import torch
from torch import Tensor

from gahb.optimal import EmpiricalBayes, Gaussian, GaussianMixture
from gahb.sampling.algorithm import Noise

SIZE = (1, 2, 3)
D = 6


def seeded(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def covariance(seed: int = 0, d: int = D, rank: int = D) -> Tensor:
    factor = seeded(d, rank, seed=seed)
    return factor @ factor.T / d


def gaussian(rank: int = D) -> Gaussian:
    return Gaussian(seeded(*SIZE, seed=7), covariance(rank=rank))


def mixture() -> GaussianMixture:
    """Three Gaussians that overlap, one of them flat in four of six directions."""
    covariances = [covariance(1), 0.3 * covariance(2), covariance(3, rank=2)]
    weights = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    return GaussianMixture(weights, seeded(3, *SIZE, seed=8), torch.stack(covariances))


def in_one_dimension() -> GaussianMixture:
    means = torch.tensor([-1.0, 0.5, 2.0], dtype=torch.float64)
    variances = torch.tensor([0.05, 0.4, 0.01], dtype=torch.float64)
    weights = torch.tensor([0.2, 0.7, 0.1], dtype=torch.float64)
    return GaussianMixture(weights, means.view(3, 1, 1, 1), variances.view(3, 1, 1))


def noisy(f: Gaussian | GaussianMixture, sigma: float, n: int = 5) -> Tensor:
    x = f.draw(n, seed=3)
    return x + sigma * seeded(*x.shape, seed=4)


BOTH = pytest.mark.parametrize("density", [gaussian, mixture], ids=["gaussian", "mixture"])
# Forward mode in torch.func still loads its rules through the deprecated torch.jit.script.
FORWARD_MODE = pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")


# Against integrals that are computed by brute force


@pytest.mark.parametrize("sigma", [0.05, 0.4, 3.0])
def test_mixture_equals_integrals_over_the_line(sigma: float) -> None:
    f = in_one_dimension()
    y = torch.linspace(-3, 4, 15, dtype=torch.float64)
    x = torch.linspace(-8, 10, 20_001, dtype=torch.float64)
    prior = sum(
        w * torch.exp(-((x - m) ** 2) / (2 * v)) / math.sqrt(2 * math.pi * v)
        for w, m, v in [(0.2, -1.0, 0.05), (0.7, 0.5, 0.4), (0.1, 2.0, 0.01)]
    )
    noise = torch.exp(-((y[:, None] - x) ** 2) / (2 * sigma**2))
    noise = noise / math.sqrt(2 * math.pi * sigma**2)
    evidence, first, second = ((noise * prior * x**k).sum(1) * (x[1] - x[0]) for k in range(3))
    images = y.view(-1, 1, 1, 1)
    mean = first / evidence
    torch.testing.assert_close(f.log_density(images, sigma), evidence.log(), atol=1e-9, rtol=1e-9)
    torch.testing.assert_close(f(images, sigma).flatten(), mean, atol=1e-9, rtol=1e-9)
    variance = second / evidence - mean**2
    torch.testing.assert_close(f.posterior_covariance(images, sigma).flatten(), variance)


def test_gaussian_equals_the_textbook_formulas() -> None:
    sigma, f = 0.4, gaussian()
    y, observed = noisy(f, sigma), covariance() + 0.4**2 * torch.eye(D, dtype=torch.float64)
    deviations = (y - f.mean).flatten(1)
    mean = torch.linalg.solve(observed, deviations.T).T @ covariance() + f.mean.flatten()
    torch.testing.assert_close(f(y, sigma).flatten(1), mean)
    reference = torch.distributions.MultivariateNormal(f.mean.flatten(), observed)
    torch.testing.assert_close(f.log_density(y, sigma), reference.log_prob(y.flatten(1)))
    remaining = torch.linalg.inv(
        torch.linalg.inv(covariance()) + torch.eye(D, dtype=torch.float64) / sigma**2
    )
    torch.testing.assert_close(f.posterior_covariance(y, sigma)[0], remaining)


# The identities of the paper


@BOTH
@pytest.mark.parametrize("sigma", [0.05, 0.4, 3.0])
def test_score_is_the_gradient_of_the_log_density(density, sigma: float) -> None:
    f = density()
    y = noisy(f, sigma).requires_grad_()
    (gradient,) = torch.autograd.grad(f.log_density(y, sigma).sum(), y)
    torch.testing.assert_close(f.score(y, sigma), gradient, atol=1e-9, rtol=1e-9)


@FORWARD_MODE
@BOTH
@pytest.mark.parametrize("sigma", [0.05, 0.4, 3.0])
def test_covariance_is_the_jacobian_and_the_hessian(density, sigma: float) -> None:
    f = density()
    y = noisy(f, sigma, n=1)
    expected = f.posterior_covariance(y, sigma)[0]
    jacobian = torch.autograd.functional.jacobian(f.at(sigma), y).view(D, D)
    torch.testing.assert_close(sigma**2 * jacobian, expected, atol=1e-10, rtol=1e-9)
    hessian = torch.func.hessian(lambda y: f.log_density(y, sigma)[0])(y).view(D, D)
    from_hessian = sigma**2 * (torch.eye(D, dtype=y.dtype) + sigma**2 * hessian)
    torch.testing.assert_close(from_hessian, expected, atol=1e-10, rtol=1e-9)


@BOTH
@pytest.mark.parametrize("other", ["shrunk", "sharper", "blunter", "shifted"])
def test_no_other_denoiser_has_a_smaller_error(density, other: str) -> None:
    sigma, f = 0.5, density()
    x = f.draw(5_000, seed=1)
    y = x + sigma * seeded(*x.shape, seed=2)
    others = {
        "shrunk": 0.95 * f(y, sigma),
        "sharper": f(y, 0.8 * sigma),
        "blunter": f(y, 1.25 * sigma),
        "shifted": f(y, sigma) + 0.05,
    }
    assert (f(y, sigma) - x).square().mean() < (others[other] - x).square().mean()


@BOTH
def test_the_error_is_the_trace_of_the_covariance(density) -> None:
    sigma, f = 0.5, density()
    x = f.draw(20_000, seed=1)
    y = x + sigma * seeded(*x.shape, seed=2)
    errors = (f(y, sigma) - x).square().flatten(1).sum(1)
    traces = f.posterior_covariance(y, sigma).diagonal(dim1=1, dim2=2).sum(1)
    difference = (errors - traces.expand_as(errors)).mean()
    assert difference.abs() < 4 * errors.std() / len(x) ** 0.5 < 0.03 * errors.mean()


# What is drawn


@BOTH
def test_drawn_images_have_the_mean_and_covariance_of_the_density(density) -> None:
    f = density()
    x = f.draw(100_000).flatten(1)
    if isinstance(f, Gaussian):
        mean, expected = f.mean.flatten(), covariance()
    else:
        weights, means = f.log_prior.exp(), torch.stack([g.mean for g in f.gaussians]).flatten(1)
        within = torch.stack([(g.basis * g.variances) @ g.basis.T for g in f.gaussians])
        mean = weights @ means
        apart = means - mean
        expected = torch.einsum("j,jab->ab", weights, within) + apart.T @ (weights[:, None] * apart)
    torch.testing.assert_close(x.mean(0), mean, atol=0.02, rtol=0)
    torch.testing.assert_close(x.T.cov(correction=0), expected, atol=0.03, rtol=0)


@BOTH
def test_the_seed_alone_says_what_is_drawn(density) -> None:
    f = density()
    assert torch.equal(f.draw(4, seed=5), f.draw(4, seed=5))
    assert not torch.equal(f.draw(4, seed=5), f.draw(4, seed=6))


@BOTH
def test_noise_of_the_same_seed_tells_nothing_of_the_images(density) -> None:
    x = density().draw(2000, seed=0).flatten(1)
    for dtype in (torch.float32, torch.float64):
        noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(0), dtype=dtype)
        correlation = torch.cat([x, noise.double()], dim=1).T.corrcoef()[:D, D:]
        assert correlation.abs().max() < 0.1


# Limits and relations


def test_points_without_spread_are_a_training_set() -> None:
    x = seeded(4, *SIZE).sigmoid()
    points = GaussianMixture(torch.full((4,), 0.25), x, torch.zeros(4, D, D))
    y = x + 0.3 * seeded(*x.shape, seed=1)
    for sigma in (0.02, 0.3, 5.0):
        torch.testing.assert_close(points(y, sigma), EmpiricalBayes(x)(y, sigma))


def test_one_gaussian_is_a_mixture_of_equal_ones() -> None:
    f = gaussian()
    twice = GaussianMixture(
        torch.tensor([0.4, 0.6]), f.mean.expand(2, *SIZE), covariance().expand(2, D, D)
    )
    y = noisy(f, 0.4)
    torch.testing.assert_close(twice(y, 0.4), f(y, 0.4))
    torch.testing.assert_close(twice.log_density(y, 0.4), f.log_density(y, 0.4), atol=1e-6, rtol=0)
    covariances = [g.posterior_covariance(y, 0.4) for g in (twice, f)]
    torch.testing.assert_close(covariances[0], covariances[1].expand_as(covariances[0]))


def test_small_noise_projects_and_large_noise_gives_the_mean() -> None:
    f = gaussian(rank=2)
    y = noisy(f, 0.5)
    plane = f.basis[:, -2:] @ f.basis[:, -2:].T
    projected = (y - f.mean).flatten(1) @ plane + f.mean.flatten()
    torch.testing.assert_close(f(y, 1e-6).flatten(1), projected, atol=1e-6, rtol=0)
    torch.testing.assert_close(f(y, 1e5), f.mean.expand_as(y), atol=1e-6, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.uint8])
def test_of_images_is_the_best_affine_denoiser_of_them(dtype: torch.dtype) -> None:
    x = torch.rand(300, *SIZE, generator=torch.Generator().manual_seed(0)) ** 2
    given = (x * 255).round().byte() if dtype == torch.uint8 else x
    x = given.double() / 255 if dtype == torch.uint8 else given.double()
    f, sigma = Gaussian.of(given), 0.3
    vectors = x.flatten(1)
    torch.testing.assert_close(f.mean.flatten(), vectors.mean(0))
    moments = vectors.T.cov(correction=0)
    torch.testing.assert_close((f.basis * f.variances) @ f.basis.T, moments)

    def error(weights: Tensor, offset: Tensor) -> Tensor:
        """Mean squared error of y -> weights y + offset, exact in the noise."""
        left = vectors - vectors @ weights.T - offset
        return left.square().sum(1).mean() + sigma**2 * weights.square().sum()

    identity = torch.eye(D, dtype=torch.float64)
    images = torch.cat([identity, torch.zeros(1, D, dtype=torch.float64)]).view(-1, *SIZE)
    answers = f(images, sigma).flatten(1)
    offset, weights = answers[-1], (answers[:-1] - answers[-1]).T
    weights.requires_grad_(), offset.requires_grad_()
    gradients = torch.autograd.grad(error(weights, offset), [weights, offset])
    assert max(float(gradient.abs().max()) for gradient in gradients) < 1e-12


@BOTH
def test_each_noisy_image_can_have_its_own_noise_level(density) -> None:
    f, sigma = density(), torch.tensor([0.02, 0.3, 3.0])
    y = noisy(f, 0.3, n=3)
    one_by_one = [f(y[i : i + 1], s) for i, s in enumerate(sigma.tolist())]
    torch.testing.assert_close(f(y, sigma), torch.cat(one_by_one))


@BOTH
def test_products_with_the_jacobian_can_be_batched(density) -> None:
    f = density()
    y = noisy(f, 0.4, n=2)
    _, pullback = torch.func.vjp(f.at(0.4), y)
    probes = seeded(3, *y.shape)
    (batched,) = torch.func.vmap(pullback)(probes)
    torch.testing.assert_close(batched, torch.stack([pullback(probe)[0] for probe in probes]))


@BOTH
def test_the_dtype_of_the_noisy_images_is_kept(density) -> None:
    f = density()
    for dtype in (torch.float32, torch.float64):
        assert f(noisy(f, 0.4).to(dtype), 0.4).dtype == dtype


# Bad input

ONES, EYE = torch.ones(SIZE), torch.eye(D)
PAIR, MEANS, EYES = torch.tensor([0.5, 0.5]), torch.zeros(2, *SIZE), EYE.expand(2, D, D)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: gaussian()(ONES[None].double()), "^sigma: not given"),
        (lambda: mixture()(ONES[None].double()), "^sigma: not given"),
        (lambda: gaussian()(ONES[None], -1.0), "^sigma: -1.0 is not a finite number"),
        (lambda: mixture()(ONES[None], -1.0), "^sigma: -1.0 is not a finite number"),
        (lambda: gaussian()(torch.ones(2, 1, 3, 2), 0.1), r"^y: shape \(2, 1, 3, 2\) is not"),
        (lambda: mixture()(torch.ones(2, 1, 3, 2), 0.1), r"^y: shape \(2, 1, 3, 2\) is not"),
        (lambda: gaussian().draw(0), "^n: 0 is not a whole number"),
        (lambda: mixture().draw(2, seed=-1), "^seed: -1 is not a whole number"),
        (lambda: Gaussian([0.0], EYE), r"^mean: list is not a float tensor of shape \(C, H, W\)"),
        (lambda: Gaussian(ONES.int(), EYE), "^mean: torch.int32 is not"),
        (lambda: Gaussian(ONES[0], EYE), r"^mean: shape \(2, 3\) is not"),
        (lambda: Gaussian(ONES / 0, EYE), "^mean: holds NaN or infinity"),
        (lambda: Gaussian(ONES, 1.0), "^covariance: float is not"),
        (lambda: Gaussian(ONES, EYE[:5]), r"^covariance: shape \(5, 6\) is not .* \(6, 6\)"),
        (lambda: Gaussian(ONES, EYE / 0), "^covariance: holds NaN or infinity"),
        (lambda: Gaussian(ONES, EYE + EYE.roll(1, 0)), "^covariance: differs from its transpose"),
        (
            lambda: Gaussian(ONES, -EYE),
            "^covariance: has an eigenvalue of -1; accepted: none below",
        ),
        (lambda: Gaussian.of(ONES), r"^x: shape \(1, 2, 3\) is not"),
        (lambda: Gaussian.of(ONES[None] / 0), "^x: holds NaN or infinity"),
        (lambda: GaussianMixture(PAIR[:1], MEANS, EYES), r"^weights: shape \(1,\) is not"),
        (lambda: GaussianMixture(2 * PAIR, MEANS, EYES), r"^weights: \[1.0, 1.0\] is not .* sum 1"),
        (lambda: GaussianMixture([0.5, 0.5], MEANS, EYES), "^weights: list is not"),
        (lambda: GaussianMixture(PAIR, MEANS[0], EYES), r"^means: shape \(1, 2, 3\) is not"),
        (lambda: GaussianMixture(PAIR, MEANS, EYES[:1]), "^covariances: not one for each of the 2"),
        (lambda: GaussianMixture(PAIR, MEANS, EYES[:, :5]), r"^covariance: shape \(5, 6\) is not"),
    ],
)
def test_bad_input_gives_one_clear_line(call, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message) as error:
        call()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("seed", range(3))
def test_draws_share_no_random_numbers_with_a_sampler_that_starts_from_them(seed) -> None:
    white = Gaussian(torch.zeros(1, 1, D), torch.eye(D))
    mixed = GaussianMixture(torch.ones(1), torch.zeros(1, 1, 1, D), torch.eye(D)[None])
    first = Noise(seed, range(1), (1, 1, D)).draw([0]).abs().flatten()
    for draws in (white.draw(8, seed), mixed.draw(8, seed)):
        apart = (draws.float().abs().flatten() - first[:, None]).abs()
        assert apart.min() > 1e-5
