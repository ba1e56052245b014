"""How well one denoiser predicts another, and which of several does best."""

import pytest
import torch

from gahb.metrics import best_predictors, noisy, r_squared

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


def test_all_denoisers_get_the_same_noisy_images(x):
    seen = {name: [] for name in ("reference", "first", "second")}

    def noting(name):
        return lambda y: seen[name].append(y) or half(y)

    best_predictors(
        {name: noting(name) for name in ("first", "second")}, noting("reference"), x, SIGMAS
    )
    expected = torch.cat([noisy(x, level) for level in SIGMAS])
    for images in seen.values():
        assert torch.equal(torch.cat(images), expected)


def test_the_best_predictor_is_that_of_the_highest_median(x):
    def often(y):  # right on all images but two, on which it is far off
        return torch.where(torch.arange(len(y))[:, None, None, None] < 2, -half(y), half(y))

    candidates = {"nearly": lambda y: 0.45 * y, "often": often, "never": blurred}
    assert best_predictors(candidates, half, x, SIGMAS) == dict.fromkeys(SIGMAS, "often")


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
        best_predictors({"half": half}, half, x, [0])
