"""Figures of slopes draw what was measured, and the slopes of theory beside it."""

from __future__ import annotations

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from gahb.book.figures import curves_against, psnr_slopes
from gahb.metrics import Curve

LEVELS = torch.arange(0.0, 41.0, 4.0, dtype=torch.float64)
EXPECTED = {"α = 1": 0.5, "α = 2": 2 / 3}
OVER = (4.0, 28.0)


def curves() -> dict[str, Curve]:
    """Straight up to 28 dB with slopes 0.4 and 0.6, of images that differ in level alone."""
    offsets = torch.randn((1, 20), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    rise = torch.where(LEVELS > 28, 28 + 3 * (LEVELS - 28), LEVELS)[:, None]
    slopes = {"α = 1": 0.4, "α = 2": 0.6}
    return {name: Curve.of(LEVELS, 15 + s * rise + offsets) for name, s in slopes.items()}


def slopes() -> dict[str, Curve]:
    return {name: curve.slopes() for name, curve in curves().items()}


def slopes_against_noise(slopes: dict, expected: dict, ax=None, **options) -> Axes:
    y_label = "Slope of the PSNR curve"
    return curves_against("noise", slopes, y_label, ax, expected=expected, **options)


DRAWN = {
    "psnr_slopes": lambda ax=None: psnr_slopes(curves(), EXPECTED, OVER, ax),
    "slopes_against_noise": lambda ax=None: slopes_against_noise(slopes(), EXPECTED, ax),
}


@pytest.mark.parametrize("draw", DRAWN.values(), ids=DRAWN)
def test_one_new_figure_or_none_at_all(draw) -> None:
    ax = draw()
    assert plt.get_fignums() == [ax.figure.number]
    other = plt.figure().add_subplot()
    assert draw(other) is other
    assert len(plt.get_fignums()) == 2
    assert ax.get_xlabel() == "Input PSNR (dB)" and "PSNR" in ax.get_ylabel()


def test_the_legend_has_the_fitted_and_the_expected_slope() -> None:
    legend = psnr_slopes(curves(), EXPECTED, OVER).get_legend()
    texts = [text.get_text() for text in legend.get_texts()]
    assert texts[:2] == ["α = 1, slope 0.40 (0.50)", "α = 2, slope 0.60 (0.67)"]
    assert texts[2:] == ["expected slope", "identity"]


def test_dashed_lines_have_the_expected_slope_and_cross_the_curve_in_the_middle() -> None:
    ax = psnr_slopes(curves(), EXPECTED, OVER)
    dashed = [line for line in ax.get_children() if isinstance(line, Line2D)]
    dashed = [line for line in dashed if line.get_linestyle() == "--"]
    for line, curve, slope in zip(dashed, curves().values(), EXPECTED.values(), strict=True):
        x, y = line.get_xdata(), line.get_ydata()
        assert tuple(x) == OVER
        assert (y[1] - y[0]) / (x[1] - x[0]) == pytest.approx(slope)
        assert np.interp(16, x, y) == pytest.approx(curve.at(16).value)


def test_local_slopes_are_drawn_with_their_bands_beside_the_expected_ones() -> None:
    ax = slopes_against_noise(slopes(), EXPECTED)
    assert len(ax.collections) == 2
    measured = [line for line in ax.lines if line.get_linestyle() == "-"]
    for line, each in zip(measured, slopes().values(), strict=True):
        np.testing.assert_array_equal(line.get_xdata(), each.x)
        np.testing.assert_array_equal(line.get_ydata(), each.value)
    across = [line for line in ax.lines if line.get_linestyle() == "--"]
    assert [line.get_ydata()[0] for line in across] == list(EXPECTED.values())
    assert [line.get_color() for line in across] == [line.get_color() for line in measured]
    beside = slopes_against_noise(slopes(), EXPECTED, level=("pixels", 1), legend="beside")
    texts = [text.get_text() for text in beside.get_legend().get_texts()]
    assert texts == ["α = 1", "α = 2", "expected", "pixels"]
    assert slopes_against_noise(slopes(), EXPECTED, legend=False).get_legend() is None
    more = slopes_against_noise(slopes(), {**EXPECTED, "α = 3": 0.75}).lines
    assert len(more) == len(ax.lines), "what is expected of others is not drawn"


def test_the_range_of_the_fit_is_shaded() -> None:
    (shade,) = slopes_against_noise(slopes(), EXPECTED, shade=OVER).patches
    assert (shade.get_x(), shade.get_x() + shade.get_width()) == OVER


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: psnr_slopes({}, EXPECTED, OVER), "curves: empty; accepted: at least one"),
        (lambda: psnr_slopes(curves(), {}, OVER), "^expected: empty; accepted"),
        (lambda: psnr_slopes(curves(), EXPECTED, (1, 5)), "low, high: 1 noise levels in"),
        (lambda: slopes_against_noise({}, EXPECTED), "curves: empty; accepted: at least one"),
        (lambda: slopes_against_noise(slopes(), {"α = 1": 1.0}), "expected: none for 'α = 2'"),
    ],
)
def test_bad_input_gives_one_clear_line(call, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}") as error:
        call()
    assert "\n" not in str(error.value)
