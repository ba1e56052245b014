"""How well one denoiser predicts another, and which of several does best."""

import pytest
import torch

from gahb.metrics import agreement, best_predictors, noisy, r_squared

SIGMAS = [0.1, 0.5]


def half(y):
    return 0.5 * y


def blurred(y):
    return torch.nn.functional.avg_pool2d(y, 3, stride=1, padding=1)


@pytest.fixture
def x():
    return torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def test_r_squared_is_the_share_of_the_variance(x):
    assert torch.equal(r_squared(x, x), torch.ones(6, dtype=torch.float64))
    means = x.mean((1, 2, 3), keepdim=True).expand_as(x)
    assert r_squared(means, x).abs().max() < 1e-6
    error = 0.1 * torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
    expected = 1 - error.square().sum((1, 2, 3)) / (x - means).square().sum((1, 2, 3))
    assert torch.allclose(r_squared(x + error, x).float(), expected, atol=1e-5)


def test_both_denoisers_get_the_same_noisy_images(x):
    curve = agreement(half, blurred, x, SIGMAS, seed=4)
    assert curve.x.tolist() == pytest.approx([20, 6.0206], abs=1e-4)
    for level, found in zip(SIGMAS, curve.per_image, strict=True):
        y = noisy(x, level, seed=4)
        assert torch.allclose(found, r_squared(half(y), blurred(y)))
    assert torch.equal(agreement(half, half, x, SIGMAS).value, torch.ones(2).double())


def test_a_denoiser_that_knows_the_level_gets_it(x):
    def shrunk(y, sigma):
        return y / (1 + sigma.view(-1, 1, 1, 1))

    curve = agreement(shrunk, lambda y: y / 1.5, x, SIGMAS)
    assert curve.value[1] == pytest.approx(1) and curve.value[0] < 0.99


def test_the_best_predictor_is_chosen_level_by_level(x):
    def changing(y, sigma):
        low = sigma.view(-1, 1, 1, 1) < 0.3
        return torch.where(low, half(y), blurred(y))

    chosen = best_predictors({"half": half, "blurred": blurred}, changing, x, SIGMAS)
    assert chosen == {0.1: "half", 0.5: "blurred"}


@pytest.mark.parametrize(
    ("x_hat", "x", "message"),
    [
        (torch.rand(1, 1, 4, 4), torch.ones(1, 1, 4, 4), "x: holds a constant image"),
        (torch.rand(1, 1, 4, 4), torch.rand(2, 1, 4, 4), "x_hat: shape"),
    ],
)
def test_what_has_no_share_is_refused(x_hat, x, message):
    with pytest.raises(ValueError, match=message):
        r_squared(x_hat, x)


def test_a_level_of_zero_is_refused(x):
    with pytest.raises(ValueError, match="sigmas: 0"):
        agreement(half, half, x, [0])
