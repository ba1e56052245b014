"""Traces against exact ones, and the risk that needs no clean image against the measured error."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import gahb
from gahb.basis import sure, trace_jacobian
from gahb.basis.jacobian import random_signs
from gahb.denoiser import Denoiser
from gahb.optimal import EmpiricalBayes


def randoms(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)


def linear(J: Tensor):
    return lambda y: (y.flatten(1) @ J.to(y).T).view_as(y)


def squared_errors(f, x: Tensor, y: Tensor) -> Tensor:
    with torch.no_grad():
        return (f(y) - x).double().square().sum((1, 2, 3))


def assert_unbiased(per_image: Tensor, errors: Tensor) -> None:
    """The mean of the differences is 0 within 3 of its standard errors."""
    differences = per_image - errors
    assert abs(differences.mean()) < 3 * differences.std() / math.sqrt(len(differences))


# --- trace ---


def test_the_exact_trace_is_the_sum_of_the_diagonal() -> None:
    J, y = randoms(100, 100), randoms(3, 1, 10, 10)
    trace = trace_jacobian(linear(J), y, probes=None)
    torch.testing.assert_close(trace.value, J.trace().expand(3))
    assert torch.equal(trace.low, trace.value) and torch.equal(trace.high, trace.value)


def test_the_trace_is_that_at_each_image() -> None:
    y = randoms(70, 2, 3, 3)
    trace = trace_jacobian(lambda y: y**2, y, probes=1)  # a diagonal has no chance in it
    torch.testing.assert_close(trace.value, 2 * y.sum((1, 2, 3)))


def test_hutchinson_intervals_contain_the_trace() -> None:
    J = randoms(64, 64)
    trace = trace_jacobian(linear(J), randoms(200, 1, 8, 8), probes=30)
    assert trace.value.mean() == pytest.approx(float(J.trace()), abs=3)
    covered = (trace.low <= J.trace()) & (J.trace() <= trace.high)
    assert 0.86 < covered.double().mean() < 0.99
    spread = 2 * 1.96 * trace.value.std()  # of one estimate
    assert (trace.high - trace.low).mean() == pytest.approx(float(spread), rel=0.15)


def test_one_probe_has_no_interval() -> None:
    trace = trace_jacobian(linear(randoms(4, 4)), randoms(2, 1, 2, 2), probes=1)
    assert trace.value.isfinite().all() and trace.low.isnan().all() and trace.high.isnan().all()


def test_signs_depend_on_the_seed_and_the_image_alone() -> None:
    f, y = linear(randoms(16, 16)), randoms(70, 1, 4, 4)
    together = trace_jacobian(f, y, probes=3, seed=5)
    torch.testing.assert_close(trace_jacobian(f, y[:2], probes=3, seed=5).value, together.value[:2])
    assert not torch.equal(trace_jacobian(f, y, probes=3, seed=6).value, together.value)
    assert together.value.unique().numel() > 60


def test_signs_are_fair_and_independent_of_the_noise_of_that_seed() -> None:
    signs = random_signs(0, 0, 50, torch.Size([1, 20, 20])).double()
    assert set(signs.unique().tolist()) == {-1.0, 1.0}
    assert abs(signs.mean()) < 3 / math.sqrt(signs.numel())
    correlations = signs @ signs.T / 400
    assert (correlations - torch.eye(50)).abs().max() < 0.25
    words = np.random.Philox(np.random.SeedSequence([0, 0])).random_raw(50 * 400 // 64 + 1)
    bits = np.unpackbits(words.view(np.uint8))[: 50 * 400].reshape(50, 400)
    # Not those of the stream [seed, image], which gives the sampler its noise.
    assert ((signs > 0).numpy() != bits).any()
    noise = randoms(50, 400).sign()
    assert abs((signs * noise).mean()) < 3 / math.sqrt(signs.numel())


# --- risk ---


def test_risk_of_an_exact_denoiser_is_its_measured_error() -> None:
    """Five images that the noise makes easy to confuse: neither certain nor unknown."""
    sigma, images = 0.4, torch.rand(5, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    x = images.repeat(400, 1, 1, 1)
    y = x + sigma * randoms(*x.shape, seed=1, dtype=torch.float32)
    f = EmpiricalBayes(images)
    errors = squared_errors(f.at(sigma), x, y)
    risk = sure(f, y, sigma)
    assert_unbiased(risk.per_image, errors)
    low, high = risk.interval
    assert low < errors.mean() < high and low < risk.value < high
    # Equation 10: the error is sigma^2 times the trace.
    assert_unbiased(sigma**2 * trace_jacobian(f, y, probes=2, sigma=sigma).value, errors)


@pytest.mark.parametrize("sigma", [0.1, 0.4])
def test_risk_of_a_trained_network_is_its_measured_error(sigma: float) -> None:
    f = gahb.load("faces-unet-n10000-s1", edition="laptop")
    x = gahb.images.load("leaves", n=64, size=16, subset="test")
    y = x + sigma * randoms(*x.shape, dtype=torch.float32)
    risk, errors = sure(f, y, sigma), squared_errors(f, x, y)
    assert_unbiased(risk.per_image, errors)
    assert risk.interval[0] < errors.mean() < risk.interval[1]
    # As the trace is a large part of it, a wrong factor would be seen.
    assert sigma**2 * trace_jacobian(f, y).value.mean() > risk.interval[1] - risk.interval[0]


def test_risk_of_bad_denoisers_is_their_measured_error() -> None:
    sigma, x = 0.3, torch.rand(500, 1, 5, 5, generator=torch.Generator().manual_seed(0))
    y = x + sigma * randoms(*x.shape, dtype=torch.float32)
    bad = {"mixing": linear(randoms(25, 25) / 3), "sharpening": lambda y: 2 * y - 1}
    for f in bad.values():
        assert_unbiased(sure(f, y, sigma, probes=2).per_image, squared_errors(f, x, y))


def test_risk_with_the_exact_trace_has_less_chance_in_it() -> None:
    sigma, y = 0.5, randoms(20, 1, 6, 6)
    J = randoms(36, 36) / 6
    exact, estimated = (sure(linear(J), y, sigma, probes=probes) for probes in (None, 1))
    expected = 2 * sigma**2 * J.trace() + (y.flatten(1) @ (torch.eye(36) - J).T).square().sum(1)
    torch.testing.assert_close(exact.per_image, expected - 36 * sigma**2)
    assert (estimated.per_image - expected).std() > 0.1
    assert exact.value == pytest.approx(float(exact.per_image.mean()))


def test_a_network_is_left_as_it_was() -> None:
    f = gahb.UNet(blocks=1, width=4).train()
    y = randoms(2, 1, 4, 4, dtype=torch.float32)
    before = {name: value.clone() for name, value in f.state_dict().items()}
    sure(f, y, 0.1), trace_jacobian(f, y, probes=None)
    assert f.training and all(p.grad is None for p in f.parameters())
    assert all(torch.equal(value, before[name]) for name, value in f.state_dict().items())


Y = torch.ones(2, 1, 2, 2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: sure(nn.Identity(), Y, 0), r"^sigma: 0 is not a finite number"),
        (lambda: sure(nn.Identity(), Y, float("nan")), r"^sigma: nan is not a finite number"),
        (lambda: sure(EmpiricalBayes(Y), Y, -1.0), r"^sigma: -1.0 is not a finite number"),
        (lambda: sure(nn.Identity(), Y, 0.1, probes=0), "^probes: 0 is not a whole number"),
        (lambda: sure(nn.Identity(), Y, 0.1, seed=-1), "^seed: -1 is not a whole number"),
        (lambda: sure(nn.Identity(), Y[0], 0.1), r"^y: shape \(1, 2, 2\) is not"),
        (lambda: sure(nn.Identity(), Y / 0, 0.1), "^y: holds NaN or infinity"),
        (lambda: sure(torch.ones_like, Y, 0.1), r"^f: f\(y\) does not depend on y"),
        (lambda: sure(Denoiser(gahb.UNet(1, 4)), Y.double(), 0.1), "^y: dtype torch.float64; acc"),
        (lambda: trace_jacobian(EmpiricalBayes(Y), Y), "^sigma: not given"),
        (lambda: trace_jacobian(nn.Identity(), Y, probes=1.5), "^probes: 1.5 is not a whole"),
    ],
)
def test_bad_input_gives_one_clear_line(call, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message) as error:
        call()
    assert "\n" not in str(error.value)


def test_a_trace_is_of_one_noise_level() -> None:
    with pytest.raises(TypeError, match=r"^sigma: Tensor of shape \(3,\) is not a finite number"):
        trace_jacobian(EmpiricalBayes(Y), Y[:3], sigma=torch.full((3,), 0.1))  # type: ignore[arg-type]
