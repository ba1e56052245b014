"""The empirical-Bayes denoiser against its definition, its limits and its optimality."""

import pytest
import torch
from torch import Tensor

from gahb.optimal import EmpiricalBayes, densities


def training_images(n: int, side: int = 4, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.rand((n, 1, side, side), generator=generator, dtype=dtype)


def noisy(x: Tensor, sigma: float, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return x + sigma * torch.randn(x.shape, generator=generator, dtype=x.dtype)


def brute_force(y: Tensor, x: Tensor, sigma: float) -> Tensor:
    differences = (y.double()[:, None] - x.double()[None]).flatten(2)
    weights = (-differences.square().sum(2) / (2 * sigma**2)).softmax(1)
    return torch.einsum("mn,nchw->mchw", weights, x.double())


@pytest.mark.parametrize("sigma", [0.01, 0.3, 3.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_one_training_image_is_always_the_answer(sigma: float, dtype: torch.dtype) -> None:
    x = training_images(1, dtype=dtype)
    y = noisy(x.expand(5, -1, -1, -1), sigma)
    assert torch.equal(EmpiricalBayes(x)(y, sigma), x.expand_as(y))


@pytest.mark.parametrize("sigma", [0.01, 0.1, 0.5, 2.0])
def test_equals_the_definition(sigma: float) -> None:
    x = training_images(30)
    y = noisy(x[:7], sigma)
    torch.testing.assert_close(EmpiricalBayes(x)(y, sigma), brute_force(y, x, sigma))


def posterior(f: EmpiricalBayes, y: Tensor, sigma: float) -> Tensor:
    """Probabilities p(x_i | y) by which it averages its images, (m, n)."""
    return torch.cat([logits for _, logits in f._blocks(y, sigma)], dim=1).softmax(1)


def test_close_images_are_told_apart_at_small_noise_in_high_dimension() -> None:
    """Two images of 80x80 at distance 5 sigma: logits of 10^7 whose difference is a few units."""
    sigma, side = 0.01, 80
    first = training_images(1, side, dtype=torch.float32)
    second = (first + 5 * sigma / side).clamp(max=1)
    x = torch.cat([first, second])
    y = noisy(first.lerp(second, 0.5).expand(8, -1, -1, -1), sigma)
    weights = posterior(EmpiricalBayes(x), y, sigma)
    differences = (y.double()[:, None] - x.double()[None]).flatten(2).square().sum(2)
    expected = (-differences / (2 * sigma**2)).softmax(1)
    assert ((weights > 0.01) & (weights < 0.99)).any(), "the case must be undecided"
    torch.testing.assert_close(weights, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("block", [1, 7, 29, 30, 1000])
@pytest.mark.parametrize("sigma", [0.05, 0.5])
def test_block_changes_nothing(block: int, sigma: float, monkeypatch) -> None:
    x = training_images(30)
    y, f = noisy(x[:7], sigma), EmpiricalBayes(x)
    estimate = f(y, sigma)
    monkeypatch.setattr(densities, "BLOCK", block)
    torch.testing.assert_close(f(y, sigma), estimate, atol=1e-12, rtol=0)


def test_small_noise_gives_the_nearest_image_and_large_noise_the_mean() -> None:
    x = training_images(30)
    y = training_images(12) + 0.3
    nearest = torch.cdist(y.flatten(1), x.flatten(1)).argmin(1)
    f = EmpiricalBayes(x)
    torch.testing.assert_close(f(y, 1e-3), x[nearest])
    torch.testing.assert_close(f(y, 1e4), x.mean(0, keepdim=True).expand_as(y), atol=1e-6, rtol=0)


# Forward mode in torch.func still loads its rules through the deprecated torch.jit.script.
@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")
@pytest.mark.parametrize("block", [2, 100])
@pytest.mark.parametrize(
    "jacobian", [torch.func.jacrev, torch.func.jacfwd], ids=["reverse", "forward"]
)
def test_jacobian_is_the_posterior_covariance_over_sigma_squared(
    jacobian, block: int, monkeypatch
) -> None:
    monkeypatch.setattr(densities, "BLOCK", block)
    sigma, x = 0.4, training_images(5, side=2)
    f = EmpiricalBayes(x)
    y = noisy(x[:1], sigma)
    measured = jacobian(lambda y: f(y, sigma).flatten())(y).reshape(4, 4)
    weights = posterior(f, y, sigma).flatten()
    deviations = (x - f(y, sigma)).flatten(1)
    covariance = torch.einsum("n,ni,nj->ij", weights, deviations, deviations)
    torch.testing.assert_close(measured, covariance / sigma**2)


def test_vmap_over_probes() -> None:
    x = training_images(5)
    f, y = EmpiricalBayes(x).at(0.4), noisy(x[:2], 0.4)
    _, pullback = torch.func.vjp(f, y)
    probes = torch.randn(3, *y.shape, dtype=y.dtype)
    (batched,) = torch.func.vmap(pullback)(probes)
    torch.testing.assert_close(batched, torch.stack([pullback(probe)[0] for probe in probes]))


def test_score_is_the_gradient_of_the_log_density() -> None:
    sigma, x = 0.4, training_images(6)
    y = noisy(x[:3], sigma).requires_grad_()
    distances = (y[:, None] - x[None]).flatten(2).square().sum(2)
    (gradient,) = torch.autograd.grad((-distances / (2 * sigma**2)).logsumexp(1).sum(), y)
    torch.testing.assert_close(EmpiricalBayes(x).score(y, sigma), gradient)


@pytest.mark.parametrize("other", ["shrunk", "sharper", "blunter", "nearest", "shifted"])
def test_no_other_denoiser_has_a_smaller_error(other: str) -> None:
    sigma, x = 0.3, training_images(4, side=2)
    repeated = x.repeat(5000, 1, 1, 1)
    y = noisy(repeated, sigma)
    f = EmpiricalBayes(x)
    others = {
        "shrunk": 0.95 * f(y, sigma),
        "sharper": f(y, 0.85 * sigma),
        "blunter": f(y, 1.15 * sigma),
        "nearest": f(y, 1e-3),
        "shifted": f(y, sigma) + 0.02,
    }
    best = (f(y, sigma) - repeated).square().mean()
    assert best < (others[other] - repeated).square().mean()


def test_uint8_images_are_the_same_images() -> None:
    pixels = (training_images(9) * 255).round().to(torch.uint8)
    y = noisy(pixels[:3] / 255.0, 0.2)
    torch.testing.assert_close(EmpiricalBayes(pixels)(y, 0.2), EmpiricalBayes(pixels / 255)(y, 0.2))


@pytest.mark.parametrize("block", [7, 1024])
def test_each_noisy_image_can_have_its_own_noise_level(block: int, monkeypatch) -> None:
    monkeypatch.setattr(densities, "BLOCK", block)
    x, sigma = training_images(30), torch.tensor([0.02, 0.3, 3.0], dtype=torch.float32)
    f, y = EmpiricalBayes(x), noisy(x[:3], 0.3)
    one_by_one = [f(y[i : i + 1], s) for i, s in enumerate(sigma.tolist())]
    torch.testing.assert_close(f(y, sigma), torch.cat(one_by_one))


def test_the_dtype_of_the_noisy_images_is_kept() -> None:
    f = EmpiricalBayes(training_images(3, dtype=torch.float32))
    for dtype in (torch.float32, torch.float64):
        assert f(training_images(2, dtype=dtype), 0.1).dtype == dtype


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: EmpiricalBayes(x)(x), "^sigma: not given"),
        (lambda x: EmpiricalBayes(x)(x, 0.0), r"^sigma: 0.0 is not a finite number"),
        (lambda x: EmpiricalBayes(x)(x, float("nan")), r"^sigma: nan is not"),
        (lambda x: EmpiricalBayes(x)(x, torch.ones(2)), "^sigma: 2 noise levels for 3 noisy"),
        (lambda x: EmpiricalBayes(x)(x, torch.ones(1)), "^sigma: 1 noise levels for 3 noisy"),
        (lambda x: EmpiricalBayes(x)(x, torch.zeros(3)), r"^sigma: 0.0 is not a finite number"),
        (lambda x: EmpiricalBayes(x)(x, torch.ones(3, 1)), r"^sigma: .* of shape \(3, 1\) is not"),
        (lambda x: EmpiricalBayes(x)(x, torch.ones(3) / 0), r"^sigma: inf is not a finite"),
        (lambda x: EmpiricalBayes(255 * x), r"^x: [\d.]+ is not a finite number in \[0, 1\]"),
        (lambda x: EmpiricalBayes(x[0]), r"^x: shape \(1, 4, 4\) is not"),
        (lambda x: EmpiricalBayes(x[:0]), r"^x: shape \(0, 1, 4, 4\) is not"),
        (lambda x: EmpiricalBayes(x[:0].byte()), r"^x: shape \(0, 1, 4, 4\) is not"),
        (lambda x: EmpiricalBayes(x.int()), r"^x: dtype torch.int32 is not"),
        (lambda x: EmpiricalBayes(x / 0), r"^x: holds NaN or infinity"),
        (lambda x: EmpiricalBayes(x)(x[..., :2], 0.1), r"^y: shape \(3, 1, 4, 2\) is not the"),
    ],
)
def test_bad_input_gives_one_clear_line(call, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message) as error:
        call(training_images(3))
    assert "\n" not in str(error.value)
