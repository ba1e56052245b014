"""Divergences from errors against closed forms, and their uncertainty."""

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal, kl_divergence

from gahb.metrics import Divergence, kl_gap
from gahb.optimal import EmpiricalBayes, Gaussian, GaussianMixture

D = 25
WIDE = torch.logspace(-2.5, 2.5, 61, dtype=torch.float64)


def spread(power: float, mean: float = 0.0) -> Gaussian:
    """Gaussian of images 5 x 5 whose variances fall with the number of the pixel."""
    variances = torch.arange(1, D + 1, dtype=torch.float64) ** -power
    return Gaussian(torch.full((1, 5, 5), mean), torch.diag(variances))


def divergence(p: Gaussian, q: Gaussian, sigma: float = 0.0) -> float:
    """Kullback-Leibler divergence of two Gaussians, of their noisy densities if sigma > 0."""
    normals = [
        MultivariateNormal(g.mean.flatten(), (g.basis * (g.variances + sigma**2)) @ g.basis.T)
        for g in (p, q)
    ]
    return float(kl_divergence(*normals))


def two_peaks(apart: float, weight: float) -> GaussianMixture:
    means = torch.tensor([-apart, apart], dtype=torch.float64).view(2, 1, 1, 1)
    weights = torch.tensor([weight, 1 - weight], dtype=torch.float64)
    return GaussianMixture(weights, means, torch.full((2, 1, 1), 0.04))


def divergence_on_the_line(p: GaussianMixture, q: GaussianMixture) -> float:
    y = torch.linspace(-6, 6, 20_001, dtype=torch.float64)
    log_p, log_q = (g.log_density(y.view(-1, 1, 1, 1), 1e-6) for g in (p, q))
    return float(torch.trapezoid(log_p.exp() * (log_p - log_q), y))


def inside(value: float, interval: tuple[float, float]) -> bool:
    return interval[0] <= value <= interval[1]


# Against closed forms


def test_divergence_of_gaussians_within_one_percent() -> None:
    p, q = spread(1.0), spread(0.5, mean=0.2)
    gap = kl_gap(q, p, p.draw(4000), WIDE, batch_size=4000)
    assert gap.value + gap.beyond == pytest.approx(divergence(p, q), rel=0.01)
    assert inside(divergence(p, q) - gap.beyond, gap.interval)


def test_some_noise_levels_give_what_lies_between_them() -> None:
    """Noise makes the densities alike: between two levels is the fall of their divergence."""
    p, q = spread(1.0), spread(0.5, mean=0.2)
    gap = kl_gap(q, p, p.draw(4000), torch.logspace(-0.5, 0.5, 41, dtype=torch.float64))
    expected = divergence(p, q, 10**-0.5) - divergence(p, q, 10**0.5)
    assert gap.value == pytest.approx(expected, rel=0.02)
    assert inside(expected, gap.interval)


def test_divergence_of_mixtures() -> None:
    p, q = two_peaks(1.0, 0.5), two_peaks(0.8, 0.3)
    gap = kl_gap(q, p, p.draw(5000), WIDE, batch_size=5000)
    expected = divergence_on_the_line(p, q)
    assert gap.value + gap.beyond == pytest.approx(expected, rel=0.02)
    assert inside(expected - gap.beyond, gap.interval)


def test_no_gap_no_divergence() -> None:
    p = spread(1.0)
    gap = kl_gap(p, p, p.draw(5), WIDE)
    assert (gap.value, gap.grid_error, gap.beyond, gap.interval) == (0, 0, 0, (0, 0))


def test_a_blind_denoiser_is_asked_as_it_is() -> None:
    """The error of the identity is d sigma^2, that of the optimum at one point 0."""
    x = torch.zeros(200, 1, 8, 8)
    gap = kl_gap(lambda y: y, EmpiricalBayes(x[:1]), x, [0.1, 0.2, 0.4, 0.8])
    torch.testing.assert_close(
        gap.integrand.value, torch.full((4,), 64.0, dtype=torch.float64), atol=1, rtol=0
    )
    assert gap.value == pytest.approx(64 * math.log(8), rel=0.02)
    assert gap.grid_error < 1, "an even number of levels: both ends stay"


# Its uncertainty


def test_grid_error_bounds_the_error_of_the_grid() -> None:
    p, q = spread(1.0), spread(0.5, mean=0.2)
    x = p.draw(20)
    fine = kl_gap(q, p, x, torch.logspace(-2, 2, 161, dtype=torch.float64))
    for count in (9, 10, 13, 21):
        coarse = kl_gap(q, p, x, torch.logspace(-2, 2, count, dtype=torch.float64))
        assert 0 < abs(coarse.value - fine.value) < coarse.grid_error
    assert fine.grid_error < 1e-5 * fine.value


def test_beyond_is_what_wider_levels_add() -> None:
    p, q = spread(1.0), spread(0.5, mean=0.2)
    x = p.draw(20)
    narrow = kl_gap(q, p, x, torch.logspace(-2, 2, 81, dtype=torch.float64))
    wide = kl_gap(q, p, x, torch.logspace(-3.5, 3.5, 141, dtype=torch.float64))
    assert narrow.beyond == pytest.approx(wide.value - narrow.value, rel=0.1)


def test_interval_holds_the_truth_as_often_as_it_says() -> None:
    p, q = spread(1.0), spread(0.5, mean=0.2)
    expected = divergence(p, q, 0.1) - divergence(p, q, 10.0)
    levels = torch.logspace(-1, 1, 21, dtype=torch.float64)
    gaps = [kl_gap(q, p, p.draw(40, seed=i), levels, seed=i) for i in range(60)]
    assert 51 <= sum(inside(expected, gap.interval) for gap in gaps) <= 60


def test_the_seed_fixes_the_noise() -> None:
    z = torch.randn(48, generator=torch.Generator().manual_seed(1))
    gap = kl_gap(lambda y: y, lambda y: 0 * y, torch.zeros(3, 1, 4, 4), [0.1, 0.2, 0.4], seed=1)
    assert gap.value == pytest.approx(float(z.square().sum()) / 3 * math.log(4), rel=1e-5)


def test_each_level_has_its_interval() -> None:
    p, q = spread(1.0), spread(0.5)
    gap = kl_gap(q, p, p.draw(30), WIDE)
    assert isinstance(gap, Divergence)
    found = gap.integrand
    assert (found.low < found.value).all() and (found.value < found.high).all()
    assert gap.value == pytest.approx(float(torch.trapezoid(found.value, WIDE.log())))
    one = kl_gap(q, p, p.draw(1), WIDE)
    assert all(torch.tensor(one.interval).isnan()) and one.integrand.low.isnan().all()


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_batch_size_changes_nothing(batch_size: int) -> None:
    p, q = spread(1.0), spread(0.5)
    gap = kl_gap(q, p, p.draw(7), WIDE, batch_size=batch_size)
    assert gap.value == pytest.approx(kl_gap(q, p, p.draw(7), WIDE).value, rel=1e-12)


def call(**changed) -> Divergence:
    p = spread(1.0)
    arguments: dict = {"f": p, "f_star": p, "x": p.draw(2), "sigma": [0.1, 0.2, 0.3]}
    return kl_gap(**{**arguments, **changed})


def cropped(y: Tensor) -> Tensor:
    return y[..., :2]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"x": torch.zeros(5, 5)}, r"^x: shape \(5, 5\) is not"),
        ({"sigma": [0.1, 0.2]}, r"^sigma: shape \(2,\) is not that of at least three"),
        ({"sigma": 0.1}, r"^sigma: shape \(\) is not"),
        ({"sigma": [0.1, 0.3, 0.2]}, r"^sigma: \[0.1, 0.3, 0.2\] are not .* increasing"),
        ({"sigma": [0.0, 0.1, 0.2]}, r"^sigma: \[0.0, .*\] are not .* positive"),
        ({"sigma": [0.1, 0.2, float("nan")]}, r"^sigma: .* are not"),
        ({"sigma": [0.1, 0.2, float("inf")]}, r"^sigma: .* are not"),
        ({"seed": -1}, "^seed: -1 is not a whole number"),
        ({"batch_size": 0}, "^batch_size: 0 is not a whole number"),
        ({"f": cropped}, r"^f\(y\): shape \(2, 1, 5, 2\) is not that of the images"),
        ({"f_star": lambda y: y / 0}, r"^f\(y\): holds NaN or infinity"),
    ],
)
def test_bad_input_gives_one_clear_line(changed: dict, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message) as error:
        call(**changed)
    assert "\n" not in str(error.value)
