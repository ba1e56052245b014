"""PSNR curves, slopes, gaps and their intervals against closed forms and simulations."""

import math

import pytest
import torch
from scipy import stats
from torch import Tensor

from gahb.denoiser import BaseDenoiser
from gahb.metrics import (
    Curve,
    Estimate,
    noisy,
    psnr,
    psnr_curve,
    psnr_from_sigma,
    sigma_from_psnr,
)
from gahb.optimal import EmpiricalBayes

GRID = torch.arange(0.0, 41.0, 5.0)


def images(n: int = 20, side: int = 16) -> Tensor:
    return torch.rand((n, 1, side, side), generator=torch.Generator().manual_seed(3))


def randoms(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def identity(y: Tensor) -> Tensor:
    return y


def test_decibels_and_noise_levels_are_inverse() -> None:
    assert sigma_from_psnr(0.0) == 1.0
    assert sigma_from_psnr(20.0) == pytest.approx(0.1)
    torch.testing.assert_close(psnr_from_sigma(sigma_from_psnr(GRID)), GRID)
    assert psnr_from_sigma(0.05) == pytest.approx(26.0206)


def test_psnr_is_per_image_and_an_exact_copy_has_150_db() -> None:
    x = images(3)
    x_hat = x + torch.tensor([0.1, 0.01, 0.0]).view(3, 1, 1, 1)
    expected = torch.tensor([20.0, 40.0, 150.0], dtype=torch.float64)
    torch.testing.assert_close(psnr(x_hat, x), expected, atol=1e-3, rtol=0)


def test_the_identity_has_output_equal_to_input() -> None:
    """MSE / sigma^2 is chi^2_d / d: the mean of its log is digamma(d / 2) - log(d / 2)."""
    n, d = 200, 256
    curve = psnr_curve(identity, images(n), GRID)
    shape = torch.tensor(d / 2, dtype=torch.float64)
    bias = 10 / math.log(10) * float(shape.log() - shape.digamma())
    spread = 10 / math.log(10) * math.sqrt(2 / d / n)
    assert (curve.value - GRID - bias).abs().max() < 4 * spread
    assert curve.slope(0, 40).value == pytest.approx(1, abs=1e-5)
    assert curve.x.equal(GRID.double())


@pytest.mark.parametrize("c", [0.0, 0.6])
def test_a_shrinkage_has_its_closed_form(c: float) -> None:
    """For f(y) = c y the mean squared error is (1 - c)^2 x^2 + c^2 sigma^2."""
    x = images(100)
    curve = psnr_curve(lambda y: c * y, x, GRID)
    energy = x.double().square().flatten(1).mean(1)
    mse = (1 - c) ** 2 * energy + c**2 * sigma_from_psnr(curve.x)[:, None] ** 2
    expected = (-10 * mse.log10()).mean(1)
    torch.testing.assert_close(curve.value, expected, atol=0.1, rtol=0)


def test_output_is_averaged_in_decibels_not_in_error() -> None:
    x = torch.stack([torch.full((1, 8, 8), 0.1), torch.full((1, 8, 8), 1.0)])
    curve = psnr_curve(lambda y: 0 * y, x, [10.0])
    torch.testing.assert_close(curve.per_image, torch.tensor([[20.0, 0.0]]).double())
    assert float(curve.value) == pytest.approx(10)


def test_noise_of_an_image_depends_on_nothing_but_seed_and_place() -> None:
    x = images(33, side=5)
    whole = psnr_curve(identity, x, GRID, seed=4, batch_size=64).per_image
    for other in (
        psnr_curve(identity, x, GRID, seed=4, batch_size=1).per_image,
        psnr_curve(identity, x, GRID, seed=4, batch_size=7).per_image,
        psnr_curve(identity, x[:10], GRID, seed=4).per_image,
        psnr_curve(identity, x, GRID[2:4], seed=4).per_image,
        psnr_curve(identity, x.double(), GRID, seed=4).per_image,
    ):
        rows = slice(2, 4) if len(other) == 2 else slice(None)
        expected = whole[rows, : other.shape[1]]
        torch.testing.assert_close(other, expected, atol=5e-4, rtol=0)
    assert (psnr_curve(identity, x, GRID, seed=5).per_image != whole).all()
    repeated = psnr_curve(identity, x[:1].repeat(3, 1, 1, 1), GRID).per_image
    assert (repeated[:, 0] != repeated[:, 1]).all()


def test_batches_change_nothing_beyond_rounding() -> None:
    x, f = images(17).double(), EmpiricalBayes(images(5).double())
    one, seven = (psnr_curve(f, x, GRID, batch_size=size).per_image for size in (1, 7))
    torch.testing.assert_close(one, seven, atol=1e-5, rtol=0)


def test_a_denoiser_is_asked_for_each_noise_level() -> None:
    asked = []

    class Listener(BaseDenoiser):
        def forward(self, y: Tensor, sigma: float | None = None) -> Tensor:
            asked.append(sigma)
            assert not torch.is_grad_enabled()
            return y

    psnr_curve(Listener(), images(2), [0, 20, 40])
    assert asked == pytest.approx([1, 0.1, 0.01])


def test_one_memorized_image_stays_finite() -> None:
    x = images(1)
    curve = psnr_curve(EmpiricalBayes(x), x.repeat(4, 1, 1, 1), GRID)
    assert (curve.value == 150).all()


def simulated_curves(trials: int, n: int, slope: float) -> list[Curve]:
    """Curves of images whose offsets vary with deviation 2 dB and slopes with deviation 0.1."""
    generator = torch.Generator().manual_seed(0)
    levels = GRID.double()
    curves = []
    for _ in range(trials):
        draws = torch.randn((2, 1, n), generator=generator, dtype=torch.float64)
        per_image = 10 + 2 * draws[0] + (slope + 0.1 * draws[1]) * levels[:, None]
        curves.append(Curve.of(levels, per_image))
    return curves


def test_intervals_cover_the_truth_95_times_in_100() -> None:
    trials = 400
    curves = simulated_curves(trials, n=60, slope=0.7)
    truth = 10 + 0.7 * GRID
    means = sum(bool(c.low[4] <= truth[4] <= c.high[4]) for c in curves)
    slopes = [curve.slope(5, 35) for curve in curves]
    inside = sum(s.low <= 0.7 <= s.high for s in slopes)
    gaps = [a - b for a, b in zip(curves[::2], curves[1::2], strict=True)]
    around = sum(bool(g.low[4] <= 0 <= g.high[4]) for g in gaps)
    assert 0.90 < means / trials < 0.985
    assert 0.90 < inside / trials < 0.985
    assert 0.88 < around / len(gaps) < 1


def test_slope_is_that_of_the_points_in_the_range() -> None:
    levels = torch.tensor([0.0, 10.0, 20.0, 30.0, 40.0])
    curve = Curve.of(levels, torch.tensor([[15.0], [20.0], [25.0], [30.0], [99.0]]))
    assert curve.slope(0, 30).value == 0.5
    inside = curve.between(0, 30)
    assert inside.x.tolist() == [0, 10, 20, 30] and inside.mean().value == 22.5
    assert curve.slope(10, 40).value > 2
    assert str(Estimate(0.612, 0.6, 0.62)) == "0.61 [0.60, 0.62]"


def test_a_curve_is_read_at_its_noise_levels() -> None:
    (curve,) = simulated_curves(1, 30, 0.7)
    at = curve.at(20)
    assert (at.value, at.low, at.high) == tuple(map(float, (curve.value[4], *at.interval)))
    assert at.interval == (float(curve.low[4]), float(curve.high[4]))
    assert curve.between(20, 20).mean() == at
    with pytest.raises(ValueError, match=r"^low, high: no noise level in \[50, 60\] dB"):
        curve.between(50, 60)


def test_local_slopes_are_differences_between_neighbors() -> None:
    levels = torch.tensor([0.0, 10.0, 15.0, 35.0]).double()
    noise = torch.randn((4, 30), generator=torch.Generator().manual_seed(0)).double()
    curve = Curve.of(levels, torch.tensor([[15.0], [20.0], [24.0], [44.0]]) + noise)
    slopes = curve.slopes()
    assert slopes.x.tolist() == [5, 12.5, 25]
    rises = curve.value.diff()
    torch.testing.assert_close(slopes.value, rises / torch.tensor([10.0, 5.0, 20.0]).double())
    assert (slopes.low < slopes.value).all() and (slopes.value < slopes.high).all()


def test_local_slopes_are_paired_by_image() -> None:
    """Images that are 2 dB apart at all levels alike say nothing against the slope."""
    slopes = Curve.of(GRID, 0.7 * GRID[:, None] + 2 * torch.arange(30.0)).slopes()
    torch.testing.assert_close(slopes.high - slopes.low, torch.zeros(8), atol=1e-5, rtol=0)


def test_local_slope_of_the_identity_is_one() -> None:
    slopes = psnr_curve(identity, images(), GRID).slopes()
    torch.testing.assert_close(slopes.value, torch.ones(8).double(), atol=1e-4, rtol=0)


def test_one_image_has_no_interval() -> None:
    one = psnr_curve(identity, images(1), GRID)
    assert one.slopes().low.isnan().all()
    gap = one - psnr_curve(identity, images(5), GRID)
    assert one.low.isnan().all() and gap.high.isnan().all() and gap.value.isfinite().all()


def test_copies_of_an_image_are_one_image_and_only_their_noise_differs() -> None:
    few, many = images(10), images(128)
    tiled = psnr_curve(torch.tanh, few.repeat(13, 1, 1, 1)[:128], GRID)
    once = psnr_curve(torch.tanh, few, GRID)
    width, alone = tiled.high - tiled.low, once.high - once.low
    # Where there is little noise it is the images that differ, and not their copies.
    assert (width / alone)[-3:].sub(1).abs().max() < 0.2
    gap = tiled - psnr_curve(torch.tanh, many, GRID)
    assert (gap.low < 0).all() and (gap.high > 0).all()
    single = psnr_curve(torch.tanh, few[:1].repeat(40, 1, 1, 1), GRID)
    assert single.low.isnan().all() and single.value.isfinite().all()


def test_the_largest_value_has_an_interval_that_knows_of_the_choice() -> None:
    chosen, pointwise, trials = 0, 0, 300
    for curve in (Curve.of(GRID, z) for z in randoms(trials, 9, 20)):
        largest = curve.largest()
        assert largest.value == curve.value.max()
        chosen += largest.low <= 0 <= largest.high
        pointwise += bool(curve.low[curve.value.argmax()] <= 0)
        lowest = Curve.of(GRID, -curve.per_image).smallest()
        torch.testing.assert_close(lowest.interval, (-largest.high, -largest.low))
    assert chosen > 0.96 * trials > 0.88 * trials > pointwise


def test_gap_is_train_minus_test_with_the_spread_of_both() -> None:
    train, test = simulated_curves(2, n=100, slope=0.7)
    gap = train - test
    difference = train.value - test.value
    torch.testing.assert_close(gap.value, difference)
    error = (train.per_image.var(1) / 100 + test.per_image.var(1) / 100).sqrt()
    torch.testing.assert_close(gap.high - gap.low, 2 * 1.96 * error, atol=0, rtol=0.12)
    assert (test - train).value.equal(-difference)
    itself = train - Curve.of(train.x, train.per_image)
    expected = 2 * 1.96 * (2 * train.per_image.var(1) / 100).sqrt()
    torch.testing.assert_close(itself.high - itself.low, expected, atol=0, rtol=0.12)


def test_a_difference_on_the_same_images_is_paired() -> None:
    """Images that differ in level alone, by as much for both denoisers, say nothing against it."""
    x, y = images(50), images(51)[1:]
    ease = 5 * torch.rand(1, 50, generator=torch.Generator().manual_seed(0)).double()
    better, worse = (Curve.of(GRID.double(), level + ease.expand(9, -1), x) for level in (22, 20))
    assert (better - worse).per_image.equal(better.per_image - worse.per_image)
    torch.testing.assert_close((better - worse).low, torch.full((9,), 2.0).double())
    for other in (Curve.of(GRID.double(), worse.per_image, y), Curve.of(GRID, worse.per_image)):
        assert ((better - other).high - (better - other).low > 0.5).all()
    first, second = (psnr_curve(f, x, GRID, seed=s) for s, f in enumerate((identity, torch.tanh)))
    assert (first - second).per_image.equal(first.per_image - second.per_image)
    again = psnr_curve(identity, x.double(), GRID) - second
    torch.testing.assert_close(again.low, (first - second).low, atol=1e-3, rtol=0)


def test_differences_of_gaps_are_paired_set_by_set() -> None:
    sets = images(20), images(35)[20:]
    f, g = ([psnr_curve(h, x, GRID) for x in sets] for h in (identity, torch.tanh))
    one, other = (f[0] - f[1]) - (g[0] - g[1]), (f[0] - g[0]) - (f[1] - g[1])
    torch.testing.assert_close(one.value, other.value)
    torch.testing.assert_close(one.low, other.low)
    with pytest.raises(ValueError, match=r"^per_image: of 2 sets of images; accepted: of one$"):
        _ = one.per_image


def test_noisy_images_have_the_noise_of_psnr_curves() -> None:
    x = images(6)
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(7))
    assert noisy(x, 0.3, seed=7).equal(x + 0.3 * noise)
    assert noisy(x, 0.3).equal(noisy(x, 0.3, seed=0)) and not noisy(x, 0.3).equal(noisy(x, 0.3, 1))
    assert noisy(x[:2], 0.3, seed=7).equal(noisy(x, 0.3, seed=7)[:2])
    sigma = torch.linspace(0, 1, 6)
    each = [noisy(x, float(s), seed=7)[i] for i, s in enumerate(sigma)]
    assert noisy(x, sigma, seed=7).equal(torch.stack(each))
    assert noisy(x.double(), 0.3).dtype == torch.float64
    seen = []
    psnr_curve(lambda y: seen.append(y) or y, x, [20], seed=7)
    assert seen[-1].equal(noisy(x, 0.1, seed=7))


def test_measuring_twice_gives_the_same_intervals() -> None:
    first, second = (psnr_curve(identity, images(), GRID) for _ in range(2))
    assert first.low.equal(second.low) and first.high.equal(second.high)
    assert ((first.low < first.value) & (first.value < first.high)).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: psnr_curve(identity, x, []), r"^input_psnr: \[\] is not"),
        (lambda x: psnr_curve(identity, x, [0, math.nan]), r"^input_psnr: \[0.0, nan\] is not"),
        (lambda x: psnr_curve(identity, x, [math.inf]), r"^input_psnr: \[inf\] is not"),
        (lambda x: psnr_curve(identity, x[0], GRID), r"^x: shape \(1, 16, 16\) is not"),
        (lambda x: psnr_curve(identity, 255 * x, GRID), r"^x: [\d.]+ is not .* \[0, 1\]"),
        (lambda x: psnr_curve(identity, (255 * x).byte(), GRID), r"^x: dtype torch.uint8 is not"),
        (lambda x: psnr_curve(identity, x, GRID, batch_size=0), r"^batch_size: 0 is not"),
        (lambda x: psnr_curve(identity, x, GRID, seed=-1), r"^seed: -1 is not"),
        (lambda x: psnr_curve(lambda y: y[..., 1:], x, GRID), r"^f\(y\): shape \(20, 1, 16, 15\)"),
        (lambda x: psnr_curve(lambda y: y[:1], x, GRID), r"^f\(y\): shape \(1, 1, 16, 16\)"),
        (lambda x: psnr_curve(lambda y: y / 0, x, GRID), r"^f\(y\): holds NaN"),
        (lambda x: psnr_curve(lambda y: None, x, GRID), r"^f\(y\): NoneType is not"),
        (lambda x: psnr(x[:1], x), r"^x_hat: shape \(1, 1, 16, 16\) is not that of x"),
        (lambda x: psnr_from_sigma(0.0), r"^sigma: 0.0 is not"),
        (lambda x: psnr_from_sigma(torch.tensor([0.1, -1.0])), r"^sigma: -1.0 is not"),
        (lambda x: psnr_curve(identity, x, GRID).slope(1, 9), r"^low, high: 1 noise levels"),
        (lambda x: psnr_curve(identity, x, [9, 9, 9]).slope(1, 9), r"^low, high: 1 noise levels"),
        (lambda x: psnr_curve(identity, x, GRID).slope(9, 1), r"^high: 1 is not"),
        (
            lambda x: psnr_curve(identity, x, [9]).slopes(),
            r"^curve: over \[9.0\] dB; accepted",
        ),
        (lambda x: psnr_curve(identity, x, [9, 9]).slopes(), r"^curve: over \[9.0, 9.0\] dB"),
        (
            lambda x: psnr_curve(identity, x, GRID) - psnr_curve(identity, x, GRID + 1),
            r"^other: noise levels differ: \[1.0, .*\]; accepted: \[0.0, ",
        ),
        (
            lambda x: psnr_curve(identity, x, GRID) - psnr_curve(identity, x, GRID[1:]),
            r"^other: noise levels differ",
        ),
        (lambda x: psnr_curve(identity, x, GRID).at(21), r"^x: 21 is none of \[0.0, 5.0, "),
        (lambda x: psnr_curve(identity, x, GRID).at(math.nan), r"^x: nan is not a finite number"),
        (lambda x: noisy(x[0], 0.1), r"^x: shape \(1, 16, 16\) is not"),
        (lambda x: noisy(x, -1), r"^sigma: -1.0 is not a finite number of at least 0"),
        (lambda x: noisy(x, math.inf), r"^sigma: inf is not"),
        (lambda x: noisy(x, torch.ones(3)), r"^sigma: \[1.0, 1.0, 1.0\] is not .* of 20 images"),
        (lambda x: noisy(x, 0.1, seed=-1), r"^seed: -1 is not"),
        (lambda x: noisy(x, 0.1, seed=2**32), r"^seed: 4294967296 is not"),
    ],
)
def test_bad_input_gives_one_clear_line(call, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message) as error:
        call(images())
    assert "\n" not in str(error.value)


def curve_of(*per_image, images=None):
    levels = torch.tensor([0.0, 10.0])
    return Curve.of(levels, torch.tensor(per_image, dtype=torch.float64), images)


def test_the_average_gap_is_over_noise_levels_and_images():
    train, test = curve_of([20.0, 22.0], [30.0, 36.0]), curve_of([19.0, 20.0], [25.0, 30.0])
    found = (train - test).mean()
    assert found.value == pytest.approx(27 - 23.5)
    # Images of 25 and 29 dB against 22 and 25 dB: Welch's interval.
    expected = stats.ttest_ind([25, 29], [22, 25], equal_var=False).confidence_interval()
    assert found.interval == pytest.approx((expected.low, expected.high))


def test_a_reference_takes_out_that_one_set_is_easier():
    generator = torch.Generator().manual_seed(0)
    ease = [8 * torch.rand(2, 300, generator=generator).double() for _ in range(2)]
    levels = torch.tensor([0.0, 10.0])
    sets = images(600).split(300)
    train, test = (Curve.of(levels, 20 + e, x) for e, x in zip(ease, sets, strict=True))
    on_train = Curve.of(levels, train.per_image + 1.5, sets[0])
    on_test = Curve.of(levels, test.per_image + 1, sets[1])
    gap = on_train - on_test
    paired, plain = (gap - (train - test)).mean(), gap.mean()
    assert paired.value == pytest.approx(0.5)
    assert paired.interval == pytest.approx((0.5, 0.5))
    assert plain.interval[1] - plain.interval[0] > 0.1


def test_images_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match=r"^images: 1; accepted: 2$"):
        curve_of([20.0, 22.0], [30.0, 36.0], images=images(1))
