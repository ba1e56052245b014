"""Figures draw the data that they are given, with units, and open no figure but their own."""

import math

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from torch import Tensor

from gahb.book import figures
from gahb.metrics import Curve, Estimate, psnr_from_sigma
from gahb.training import History

LEVELS = torch.arange(0.0, 41.0, 5.0, dtype=torch.float64)
SIZES = [1, 10, 100, 1000, 10000]


def curve(start: float = 15.0, slope: float = 0.5, n: int = 20) -> Curve:
    offsets = torch.randn((1, n), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return Curve.of(LEVELS, start + slope * LEVELS[:, None] + offsets)


def curves(sizes: list[int]) -> dict[int, Curve]:
    return {n: curve(start=20 - i) for i, n in enumerate(sizes)}


def gap_of(n: int = 20) -> Curve:
    return curve(20, n=n) - curve(15)


def some_images(n: int = 3, side: int = 8) -> Tensor:
    return torch.rand((n, 1, side, side), generator=torch.Generator().manual_seed(n))


def legend_of(ax: Axes) -> list[str]:
    return [text.get_text() for text in ax.get_legend().get_texts()]


def histories() -> dict[int, History]:
    train = {100: {1: 12.0, 10: 20.0, 1000: 31.0}, 1000: {1: 12.0, 10: 21.0, 1000: 27.0}}
    test = {100: {1: 12.0, 1000: 23.0, 10: 19.0}, 1000: {1: 12.0, 10: 21.0, 1000: 26.5}}
    return {n: History(train[n], test[n]) for n in train}


def one_history(train: dict, test: dict) -> Axes:
    return figures.curve_against_updates({1: History(train, test)}, 0.1)


def estimates() -> dict[str, dict[int, Estimate]]:
    falling = {n: Estimate(30 / n, 20 / n, 50 / n) for n in (1000, 10, 100)}
    return {"small": falling, "large": {10: Estimate(0.5, -0.1, 0.7)}}


EACH = [
    lambda ax=None: figures.psnr_curves(curves(SIZES), ax=ax, dashed=curves([1])),
    lambda ax=None: figures.gaps({10: gap_of(), 100: gap_of()}, ax=ax),
    lambda ax=None: figures.curve_against_updates(histories(), sigma=0.1, ax=ax),
    lambda ax=None: figures.image_grid({"clean": some_images()}, ax=ax),
    lambda ax=None: figures.curves_against("N", estimates(), "Gap (dB)", ax=ax),
]
NAMES = ["psnr_curves", "gaps", "curve_against_updates", "image_grid", "curves_against"]


@pytest.mark.parametrize("draw", EACH, ids=NAMES)
def test_one_new_figure_or_none_at_all(draw) -> None:
    ax = draw()
    assert plt.get_fignums() == [ax.figure.number]
    fig, (left, right) = figures.panels(2)
    assert draw(left) is left and draw(right) is right
    assert len(plt.get_fignums()) == 2
    fig.canvas.draw()
    for axes in (ax, left):
        title = axes.set_title("Test images")
        assert axes.get_title(loc="left") == "Test images", "in the look of the book"
        assert (title.get_fontsize(), title.get_fontweight()) == (11, "bold")


@pytest.mark.parametrize("draw", EACH, ids=NAMES)
def test_settings_of_the_caller_survive(draw) -> None:
    theirs = {"figure.dpi": 77, "font.size": 5, "lines.linewidth": 9, "axes.grid": False}
    with matplotlib.rc_context(theirs):
        before = matplotlib.rcParams.copy()
        ax = draw()
        assert matplotlib.rcParams == before
    assert ax.figure.dpi != 77, "the look of the book holds inside"


@pytest.mark.parametrize("sizes", [[1], [10000], SIZES, ["UNet", "BF-CNN"]])
def test_psnr_curves_draw_the_data(sizes: list) -> None:
    given = curves(sizes)
    ax = figures.psnr_curves(given)
    assert len(ax.lines) == len(given) + 1
    for line, one in zip(ax.lines, given.values(), strict=False):
        np.testing.assert_array_equal(line.get_xdata(), one.x)
        np.testing.assert_array_equal(line.get_ydata(), one.value)
    for shade, one in zip(ax.collections, given.values(), strict=True):
        drawn = shade.get_paths()[0].vertices[:, 1]
        assert (drawn.min(), drawn.max()) == (float(one.low.min()), float(one.high.max()))
    identity = ax.lines[-1]
    np.testing.assert_array_equal(identity.get_xdata(), identity.get_ydata())
    np.testing.assert_array_equal(identity.get_xdata(), [0, 40])


def test_psnr_axes_have_units_and_increase_to_the_right() -> None:
    ax = figures.psnr_curves(curves(SIZES))
    assert ax.get_xlabel() == "Input PSNR (dB)" and ax.get_ylabel() == "Output PSNR (dB)"
    low, high = ax.get_xlim()
    assert low < high


@pytest.mark.parametrize("draw", EACH[:2], ids=NAMES[:2])
def test_sigma_is_written_above_at_its_place(draw) -> None:
    ax = draw()
    ax.figure.canvas.draw()
    (above,) = ax.child_axes
    labels = [tick.get_text() for tick in above.get_xticklabels()]
    assert above.get_xlabel() == "Noise level σ" and {"1", "0.1", "0.01"} <= set(labels)
    np.testing.assert_allclose(above.get_xticks(), [psnr_from_sigma(float(s)) for s in labels])
    np.testing.assert_allclose(above.get_xlim(), ax.get_xlim())


def test_legend_writes_thousands_and_line_styles() -> None:
    ax = figures.psnr_curves(curves(SIZES), dashed=curves([10]), dashed_label="empirical Bayes")
    sizes = ["N = 1", "N = 10", "N = 100", "N = 1,000", "N = 10,000"]
    assert legend_of(ax) == [*sizes, "empirical Bayes", "identity"]
    alone = figures.psnr_curves(curves([10]), identity=False)
    assert legend_of(alone) == ["N = 10"] and len(alone.lines) == 1
    assert figures.psnr_curves(curves([10]), legend=False).get_legend() is None


def test_dashed_curves_keep_the_range_and_the_colors() -> None:
    plain = figures.psnr_curves(curves([10, 100]))
    off_the_chart = {100: curve(start=150, slope=0), 10: curve(start=12, slope=0)}
    ax = figures.psnr_curves(curves([10, 100]), dashed=off_the_chart)
    for axes in (plain, ax):
        axes.figure.canvas.draw()
    assert ax.get_ylim() == plain.get_ylim() and ax.get_xlim() == plain.get_xlim()
    dashed = [line for line in ax.lines if line.get_linestyle() == "--"]
    solid = {line.get_color() for line in ax.lines[:2]}
    assert {line.get_color() for line in dashed} == solid
    np.testing.assert_array_equal(dashed[0].get_ydata(), off_the_chart[100].value)


def test_panels_share_the_vertical_axis_and_its_label() -> None:
    _, (left, right) = figures.panels(2)
    figures.psnr_curves({1: curve(30, 1)}, ax=left)
    figures.psnr_curves({1: curve(5, 0)}, ax=right)
    assert left.get_ylim() == right.get_ylim()
    assert left.get_ylim()[0] < 0 and left.get_ylim()[1] > 70
    assert (left.get_ylabel(), right.get_ylabel()) == ("Output PSNR (dB)", "")


def test_one_image_is_drawn_without_a_band() -> None:
    ax = figures.psnr_curves({1: curve(n=1)})
    ax.figure.canvas.draw()
    assert np.isfinite(ax.get_ylim()).all()
    assert figures.gaps({1: gap_of(n=1)}).get_ylim()[1] > 1


def test_one_noise_level_is_enough() -> None:
    point = Curve.of(LEVELS[:1], torch.tensor([[20.0, 21.0]]))
    figures.psnr_curves({1: point}).figure.canvas.draw()


def test_gaps_draw_the_data() -> None:
    gap = gap_of()
    ax = figures.gaps({10: gap})
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), gap.value)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("Input PSNR (dB)", "Train − test PSNR (dB)")
    assert legend_of(ax) == ["N = 10"]
    ax.figure.canvas.draw()
    assert "0.5" in [tick.get_text() for tick in ax.get_yticklabels()]


def test_small_gaps_have_numbers_beside_zero() -> None:
    hundredths = Curve.of(LEVELS, 0.03 + torch.rand(len(LEVELS), 5) / 100)
    ax = figures.gaps({10: hundredths})
    ax.figure.canvas.draw()
    low, high = ax.get_ylim()
    assert sum(low <= tick <= high for tick in ax.get_yticks()) >= 3


def test_updates_draw_a_pair_of_lines_for_each_size() -> None:
    ax = figures.curve_against_updates(histories(), sigma=0.1)
    assert len(ax.lines) == 4 and ax.get_xscale() == "log"
    np.testing.assert_array_equal(ax.lines[0].get_xdata(), [1, 10, 1000])
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), [12, 20, 31])
    np.testing.assert_array_equal(ax.lines[1].get_ydata(), [12, 19, 23])
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("Updates", "Output PSNR at σ = 0.1 (dB)")
    expected = ["N = 100", "N = 1,000", "training images", "test images"]
    assert legend_of(ax) == expected


def test_lines_cross_a_time_map_where_things_happen() -> None:
    row = {16: 0.0, 32: 0.5, 64: 1.0}
    ax = figures.time_map({10: row, 100: row}, "copies", {"first copies": [32 * 2**0.5, math.inf]})
    line = ax.get_lines()[0]
    assert line.get_xdata()[0] == pytest.approx(2)
    assert math.isnan(line.get_xdata()[1])
    assert list(line.get_ydata()) == [0.5, 1.5]
    ax = figures.time_map({10: row, 100: {16: 0.0}}, "copies")
    assert ax.collections[0].get_array().mask.tolist() == [[False] * 3, [False, True, True]]


def test_gap_map_colors_each_cell_by_its_gap() -> None:
    updates = [16, 32, 64]
    test = dict.fromkeys(updates, 20.0)
    train = dict(zip(updates, (20.0, 23.0, 29.0), strict=True))
    ax = figures.gap_map({10: History(train, test), 1000: History(test, test)}, sigma=0.1)
    assert ax.collections[0].get_array().tolist() == [[0, 3, 9], [0, 0, 0]]
    assert [t.get_text() for t in ax.get_xticklabels()] == ["16", "32", "64"]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["N = 10", "N = 1,000"]
    assert ax.get_xlabel() == "Updates"
    assert ax.figure.axes[1].get_ylabel() == "Train − test, σ = 0.1 (dB)"
    early = figures.gap_map({10: History(train, test), 1000: History({16: 1.0}, {16: 1.0})}, 0.1)
    assert early.collections[0].get_array().filled(-1).tolist() == [[0, 3, 9], [0, -1, -1]]


def test_similarity_histograms_draw_every_value_and_its_median() -> None:
    between = {10: torch.linspace(0, 0.5, 11), 100: torch.linspace(0.5, 1, 11)}
    to_train = {10: torch.full((4,), 0.99), 100: torch.full((4,), 0.75)}
    axes = figures.similarity_histograms({"between": between, "to train": to_train})
    assert len(axes) == 2
    for ax, n in zip(axes, between, strict=True):
        for patch, values in zip(ax.patches, (between[n], to_train[n]), strict=True):
            heights, edges, _ = patch.get_data()
            assert heights.max() == 1
            counts = np.histogram(values.numpy(), edges)[0]
            assert counts.sum() == len(values)
            assert heights == pytest.approx(counts / counts.max())
        medians = [line.get_xdata()[0] for line in ax.lines]
        assert medians == pytest.approx([float(between[n].median()), float(to_train[n].median())])
    legend = [text.get_text() for text in axes[0].get_legend().get_texts()]
    assert legend == ["between", "to train"]
    axes[0].figure.canvas.draw()
    assert not axes[0].get_legend().get_window_extent().overlaps(axes[0].get_window_extent())
    with pytest.raises(ValueError, match="groups: accepted: one or two, with the same labels"):
        figures.similarity_histograms({"a": between, "b": {10: between[10]}})


def test_image_grid_puts_every_pixel_in_its_place() -> None:
    clean, noisy = some_images(3), some_images(2) + 5
    ax = figures.image_grid({"clean": clean, 100: noisy}, columns=["a", "b", "c"])
    (picture,) = ax.images
    drawn, margin = picture.get_array(), 1
    assert drawn.shape == (8 + margin + 8, 3 * 8 + 2 * margin) and picture.get_clim() == (0, 1)
    np.testing.assert_array_equal(drawn[:8, 9:17], clean[1, 0])
    np.testing.assert_array_equal(drawn[9:, :8], noisy[0, 0])
    assert drawn.mask[9:, 18:].all() and drawn.mask[8].all() and drawn.mask[:, 8].all()
    assert not drawn.mask[:8, :8].any()
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["clean", "N = 100"]
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["a", "b", "c"]
    np.testing.assert_array_equal(ax.get_xticks(), [3.5, 12.5, 21.5])
    np.testing.assert_array_equal(ax.get_yticks(), [3.5, 12.5])


def test_image_grid_is_gray_from_black_to_white() -> None:
    x = torch.zeros(2, 1, 4, 4)
    x[1] = 1
    (picture,) = figures.image_grid({"x": x}).images
    pixels = picture.to_rgba(picture.get_array())
    assert tuple(pixels[0, 0]) == (0, 0, 0, 1) and tuple(pixels[0, -1]) == (1, 1, 1, 1)


def test_image_grid_draws_color_beside_gray() -> None:
    color, gray = torch.rand(2, 3, 4, 4) * 1.5, torch.rand(1, 1, 4, 4)
    (picture,) = figures.image_grid({"color": color, "gray": gray}).images
    pixels, margin = np.asarray(picture.get_array()), 1
    assert pixels.shape == (4 + margin + 4, 4 + margin + 4, 4)
    np.testing.assert_array_equal(pixels[:4, 5:, :3], color[1].clamp(max=1).movedim(0, 2))
    np.testing.assert_array_equal(pixels[5:, :4, :3], gray[0].expand(3, 4, 4).movedim(0, 2))
    assert (pixels[:4, :4, 3] == 1).all() and (pixels[5:, :4, 3] == 1).all()
    assert (pixels[4, :, 3] == 0).all() and (pixels[5:, 5:, 3] == 0).all()  # nothing is there


def test_colors_are_ordered_and_belong_to_the_size() -> None:
    palette = figures.colors(SIZES)
    assert figures.colors([100])[100] == palette[100]
    weights = np.array([0.2126, 0.7152, 0.0722])
    luminance = [float(np.array(to_rgb(palette[n])) @ weights) for n in SIZES]
    assert luminance == sorted(luminance) and min(np.diff(luminance)) > 0.02
    assert luminance[-1] < 0.7, "too pale on white"
    assert len(set(figures.colors(["a", "b", "c"]).values())) == 3


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: figures.psnr_curves({}), "^curves: empty"),
        (lambda: figures.gaps({}), "^gaps: empty"),
        (lambda: figures.curve_against_updates({}, 0.1), "^histories: empty"),
        (lambda: figures.gap_map({}, 0.1), "^histories: empty"),
        (lambda: one_history({}, {}), r"^histories\[1\]: train at updates \[\], test"),
        (lambda: one_history({1: 2.0}, {}), r"^histories\[1\]: .*; accepted: some, the same"),
        (lambda: one_history({1: 2.0}, {2: 2.0}), r"^histories\[1\]: .* \[1\], test at \[2\]"),
        (lambda: one_history({0: 2.0}, {0: 2.0}), r"^histories\[1\]: .* of at least 1"),
        (lambda: figures.curve_against_updates(histories(), 0.0), "^sigma: 0.0 is not"),
        (lambda: figures.image_grid({}), "^rows: empty"),
        (lambda: figures.image_grid({"x": some_images()[0]}), r"^rows\['x'\]: shape"),
        (lambda: figures.image_grid({"x": some_images().expand(-1, 2, -1, -1)}), "2 channels"),
        (
            lambda: figures.image_grid({"x": some_images(), "y": some_images(side=4)}),
            "^rows: image sizes",
        ),
        (lambda: figures.image_grid({"x": some_images()}, columns=["a"]), "^columns: 1 labels"),
        (lambda: figures.panels(0), "^columns: 0 is not"),
    ],
)
def test_bad_input_gives_one_clear_line_and_no_figure(call, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message) as error:
        call()
    assert "\n" not in str(error.value)
    assert plt.get_fignums() == []


def test_estimates_are_drawn_in_order_of_n_with_their_intervals() -> None:
    mark = Estimate(150.0, 120.0, 180.0)
    ax = figures.curves_against("N", estimates(), "Gap (dB)", scale=0.1, mark=mark)
    small, large = (line for line in ax.lines if line.get_marker() == "o")
    assert list(small.get_xdata()) == [10, 100, 1000]
    assert list(small.get_ydata()) == [3.0, 0.3, 0.03]
    assert list(large.get_ydata()) == [0.5]
    corners = ax.collections[0].get_paths()[0].vertices
    assert {(10.0, 2.0), (10.0, 5.0)} <= {tuple(corner) for corner in corners.tolist()}
    assert legend_of(ax) == ["small", "large"]
    assert ax.get_xscale() == "log" and ax.get_yscale() == "symlog"
    assert any(list(line.get_xdata()) == [150.0, 150.0] for line in ax.lines)
    (interval,) = ax.patches
    assert (interval.get_x(), interval.get_x() + interval.get_width()) == (120.0, 180.0)


@pytest.mark.parametrize(
    ("abscissa", "curves", "options", "message"),
    [
        ("N", {}, {}, "curves: empty"),
        ("N", {"a": {}}, {}, r"curves\['a'\]: empty"),
        ("n", estimates(), {}, "abscissa: 'n' is unknown; accepted: noise, sigma, N"),
        ("N", estimates(), {"scale": 0.0}, "scale: 0.0 is not"),
        ("N", estimates(), {"expected": {"small": 1.0}}, "expected: none for 'large'"),
        ("noise", {"a": [1, 2]}, {"at": [20]}, r"curves\['a'\]: 2 numbers for 1 abscissas"),
    ],
)
def test_bad_curves_are_named(abscissa, curves, options, message) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        figures.curves_against(abscissa, curves, "Gap (dB)", **options)
    assert plt.get_fignums() == []


def test_what_is_drawn_from_one_noise_stands_between_the_closest_training_images() -> None:
    keys = [(n, subset) for n in (10, 1000) for subset in ("S1", "S2")]
    samples = {key: torch.full((2, 1, 8, 8), 0.1 * k) for k, key in enumerate(keys)}
    closest = {key: torch.full((2, 1, 8, 8), 0.5 + 0.1 * k) for k, key in enumerate(keys)}
    samples[10, "S2"][1] = 1.0
    ax = figures.drawn_from_one_noise(samples, closest, i=1)
    shown = ax.images[0].get_array()
    centers = [
        [round(float(shown[row, column]), 6) for column in (4, 13)] for row in (4, 13, 22, 31)
    ]
    assert centers == [[0.5, 0.7], [0.0, 0.2], [1.0, 0.3], [0.6, 0.8]]
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert labels == ["closest in S1", "network of S1", "network of S2", "closest in S2"]
    with pytest.raises(ValueError, match=r"^samples: empty"):
        figures.drawn_from_one_noise({}, {}, i=0)
