"""PSNR curves, slopes, gaps and their intervals against closed forms and simulations."""

import math

import pytest
import torch
from torch import Tensor

from gahb.denoiser import BaseDenoiser
from gahb.metrics import (
    PsnrCurve,
    average_gap,
    local_slopes,
    psnr,
    psnr_curve,
    psnr_from_sigma,
    sigma_from_psnr,
    train_test_gap,
)
from gahb.optimal import EmpiricalBayes

GRID = torch.arange(0.0, 41.0, 5.0)


def images(n: int = 20, side: int = 16) -> Tensor:
    return torch.rand((n, 1, side, side), generator=torch.Generator().manual_seed(3))


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
    assert (curve.output_psnr - GRID - bias).abs().max() < 4 * spread
    assert curve.slope(0, 40).value == pytest.approx(1, abs=1e-5)
    torch.testing.assert_close(curve.sigma, 10 ** (-curve.input_psnr / 20))


@pytest.mark.parametrize("c", [0.0, 0.6])
def test_a_shrinkage_has_its_closed_form(c: float) -> None:
    """For f(y) = c y the mean squared error is (1 - c)^2 x^2 + c^2 sigma^2."""
    x = images(100)
    curve = psnr_curve(lambda y: c * y, x, GRID)
    energy = x.double().square().flatten(1).mean(1)
    mse = (1 - c) ** 2 * energy + c**2 * curve.sigma[:, None] ** 2
    expected = (-10 * mse.log10()).mean(1)
    torch.testing.assert_close(curve.output_psnr, expected, atol=0.1, rtol=0)


def test_output_is_averaged_in_decibels_not_in_error() -> None:
    x = torch.stack([torch.full((1, 8, 8), 0.1), torch.full((1, 8, 8), 1.0)])
    curve = psnr_curve(lambda y: 0 * y, x, [10.0])
    torch.testing.assert_close(curve.per_image, torch.tensor([[20.0, 0.0]]).double())
    assert float(curve.output_psnr) == pytest.approx(10)


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
    assert (curve.output_psnr == 150).all()


def simulated_curves(trials: int, n: int, slope: float) -> list[PsnrCurve]:
    """Curves of images whose offsets vary with deviation 2 dB and slopes with deviation 0.1."""
    generator = torch.Generator().manual_seed(0)
    levels = GRID.double()
    curves = []
    for _ in range(trials):
        draws = torch.randn((2, 1, n), generator=generator, dtype=torch.float64)
        per_image = 10 + 2 * draws[0] + (slope + 0.1 * draws[1]) * levels[:, None]
        curves.append(PsnrCurve.of(levels, per_image))
    return curves


def test_intervals_cover_the_truth_95_times_in_100() -> None:
    trials = 200
    curves = simulated_curves(trials, n=60, slope=0.7)
    truth = 10 + 0.7 * GRID
    means = sum(bool(c.low[4] <= truth[4] <= c.high[4]) for c in curves)
    slopes = [curve.slope(5, 35) for curve in curves]
    inside = sum(s.interval[0] <= 0.7 <= s.interval[1] for s in slopes)
    gaps = [train_test_gap(a, b) for a, b in zip(curves[::2], curves[1::2], strict=True)]
    around = sum(bool(g.low[4] <= 0 <= g.high[4]) for g in gaps)
    assert 0.90 < means / trials < 0.985
    assert 0.90 < inside / trials < 0.985
    assert 0.88 < around / len(gaps) < 1


def test_slope_is_that_of_the_points_in_the_range() -> None:
    levels = torch.tensor([0.0, 10.0, 20.0, 30.0, 40.0])
    curve = PsnrCurve.of(levels, torch.tensor([[15.0], [20.0], [25.0], [30.0], [99.0]]))
    slope = curve.slope(0, 30)
    assert (slope.value, slope.over) == (0.5, (0.0, 30.0))
    assert slope.through == (15, 22.5)
    assert curve.slope(10, 40).value > 2
    assert str(simulated_curves(1, 60, 0.7)[0].slope(5, 35)).endswith("] over 5 to 35 dB")


def test_local_slopes_are_differences_between_neighbors() -> None:
    levels = torch.tensor([0.0, 10.0, 15.0, 35.0]).double()
    noise = torch.randn((4, 30), generator=torch.Generator().manual_seed(0)).double()
    curve = PsnrCurve.of(levels, torch.tensor([[15.0], [20.0], [24.0], [44.0]]) + noise)
    slopes = local_slopes(curve)
    assert slopes.input_psnr.tolist() == [5, 12.5, 25]
    rises = curve.output_psnr.diff()
    torch.testing.assert_close(slopes.value, rises / torch.tensor([10.0, 5.0, 20.0]).double())
    assert (slopes.low < slopes.value).all() and (slopes.value < slopes.high).all()


def test_local_slopes_are_paired_by_image() -> None:
    """Images that are 2 dB apart at all levels alike say nothing against the slope."""
    slopes = local_slopes(PsnrCurve.of(GRID, 0.7 * GRID[:, None] + 2 * torch.arange(30.0)))
    torch.testing.assert_close(slopes.high - slopes.low, torch.zeros(8), atol=1e-5, rtol=0)


def test_local_slope_of_the_identity_is_one() -> None:
    slopes = local_slopes(psnr_curve(identity, images(), GRID))
    torch.testing.assert_close(slopes.value, torch.ones(8).double(), atol=1e-4, rtol=0)


def test_one_image_has_no_interval() -> None:
    one = psnr_curve(identity, images(1), GRID)
    assert local_slopes(one).low.isnan().all()
    gap = train_test_gap(one, psnr_curve(identity, images(5), GRID))
    assert one.low.isnan().all() and gap.high.isnan().all() and gap.value.isfinite().all()


def test_gap_is_train_minus_test_with_the_spread_of_both() -> None:
    train, test = simulated_curves(2, n=100, slope=0.7)
    gap = train_test_gap(train, test)
    difference = train.output_psnr - test.output_psnr
    torch.testing.assert_close(gap.value, difference)
    assert gap.max_abs == pytest.approx(float(difference.abs().max()))
    error = (train.per_image.var(1) / 100 + test.per_image.var(1) / 100).sqrt()
    torch.testing.assert_close(gap.high - gap.low, 2 * 1.96 * error, atol=0, rtol=0.12)
    assert train_test_gap(test, train).value.equal(-difference)
    itself = train_test_gap(train, train)
    expected = 2 * 1.96 * (2 * train.per_image.var(1) / 100).sqrt()
    torch.testing.assert_close(itself.high - itself.low, expected, atol=0, rtol=0.12)


def test_measuring_twice_gives_the_same_intervals() -> None:
    first, second = (psnr_curve(identity, images(), GRID) for _ in range(2))
    assert first.low.equal(second.low) and first.high.equal(second.high)
    assert ((first.low < first.output_psnr) & (first.output_psnr < first.high)).all()


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
            lambda x: local_slopes(psnr_curve(identity, x, [9])),
            r"^curve: over \[9.0\] dB; accepted",
        ),
        (lambda x: local_slopes(psnr_curve(identity, x, [9, 9])), r"^curve: over \[9.0, 9.0\] dB"),
        (
            lambda x: train_test_gap(
                psnr_curve(identity, x, GRID), psnr_curve(identity, x, GRID + 1)
            ),
            r"^test: noise levels differ",
        ),
        (
            lambda x: train_test_gap(
                psnr_curve(identity, x, GRID), psnr_curve(identity, x, GRID[1:])
            ),
            r"^test: noise levels differ",
        ),
    ],
)
def test_bad_input_gives_one_clear_line(call, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message) as error:
        call(images())
    assert "\n" not in str(error.value)


def curve_of(*per_image):
    return PsnrCurve.of(torch.tensor([0.0, 10.0]), torch.tensor(per_image, dtype=torch.float64))


def test_the_average_gap_is_over_noise_levels_and_images():
    train, test = curve_of([20.0, 22.0], [30.0, 36.0]), curve_of([19.0, 20.0], [25.0, 30.0])
    found = average_gap(train, test)
    assert found.value == pytest.approx(27 - 23.5)
    # Images of 25 and 29 dB against 22 and 25 dB: the extremes of what resampling gives.
    assert found.interval == pytest.approx((25 - 25, 29 - 22))


def test_a_reference_takes_out_that_one_set_is_easier():
    generator = torch.Generator().manual_seed(0)
    ease = [8 * torch.rand(2, 300, generator=generator).double() for _ in range(2)]
    levels = torch.tensor([0.0, 10.0])
    reference = [PsnrCurve.of(levels, 20 + images) for images in ease]
    measured = [
        PsnrCurve.of(levels, c.per_image + 1 + gap)
        for c, gap in zip(reference, (0.5, 0.0), strict=True)
    ]
    paired, plain = average_gap(*measured, reference=tuple(reference)), average_gap(*measured)
    assert paired.value == pytest.approx(0.5)
    assert paired.interval == pytest.approx((0.5, 0.5))
    assert plain.interval[1] - plain.interval[0] > 0.1


def test_bad_references_are_named():
    train, test = curve_of([20.0, 22.0], [30.0, 36.0]), curve_of([19.0], [25.0])
    with pytest.raises(ValueError, match=r"^reference: 2 images; accepted: the same 1$"):
        average_gap(train, test, reference=(train, train))
    other = PsnrCurve.of(torch.tensor([0.0, 20.0]), train.per_image)
    with pytest.raises(ValueError, match=r"^reference: noise levels differ"):
        average_gap(train, test, reference=(other, test))
    with pytest.raises(ValueError, match=r"^test: noise levels differ"):
        average_gap(train, other)
