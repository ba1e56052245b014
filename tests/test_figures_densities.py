"""Pictures of known densities and of what errors are made of draw what they say."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from gahb.book import figures
from gahb.metrics import kl_gap
from gahb.optimal import Gaussian, GaussianMixture

SIGMA = 0.5


def on_the_line() -> GaussianMixture:
    means = torch.tensor([-1.0, 1.0]).view(2, 1, 1, 1)
    return GaussianMixture(torch.tensor([0.5, 0.5]), means, torch.full((2, 1, 1), 0.04))


def in_the_plane() -> Gaussian:
    return Gaussian(torch.zeros(1, 1, 2), torch.tensor([[1.0, 0.3], [0.3, 0.2]]))


def curve_of(ax: Axes, line: int = 0) -> tuple[Tensor, Tensor]:
    x, y = ax.lines[line].get_data()
    return torch.as_tensor(np.asarray(x)), torch.as_tensor(np.asarray(y))


def shifted(mean: float):
    p, q = (Gaussian(m * torch.ones(1, 1, 2), torch.eye(2)) for m in (0.0, mean))
    return kl_gap(q, p, p.draw(20), torch.logspace(-2, 2, 21))


def test_line_shows_density_score_and_posterior_mean() -> None:
    f = on_the_line()
    left, middle, right = figures.density_1d(f, SIGMA).axes
    y, density = curve_of(left)
    assert float(torch.trapezoid(density, y)) == pytest.approx(1, abs=1e-3)
    images = y.view(-1, 1, 1, 1)
    torch.testing.assert_close(curve_of(middle)[1], f.score(images, SIGMA).flatten())
    gradient = torch.gradient(density.log(), spacing=(y,))[0]
    torch.testing.assert_close(curve_of(middle)[1][1:-1], gradient[1:-1], atol=0.01, rtol=0)
    torch.testing.assert_close(curve_of(right)[1], f(images, SIGMA).flatten())
    band = right.collections[0].get_paths()[0].vertices
    assert band[:, 1].max() > float(curve_of(right)[1].max()) + 0.1


def test_arrows_go_a_third_of_the_way_to_the_posterior_mean() -> None:
    f = in_the_plane()
    left = figures.density_2d(f, SIGMA).axes[0]
    arrows = next(c for c in left.collections if hasattr(c, "U"))
    start = torch.as_tensor(np.asarray(arrows.get_offsets()))
    step = torch.stack(
        [torch.as_tensor(np.asarray(arrows.U)), torch.as_tensor(np.asarray(arrows.V))], 1
    )
    mean = f(start.view(-1, 1, 1, 2), SIGMA).flatten(1)
    assert arrows.scale == 3
    torch.testing.assert_close(start + step, mean)


def test_density_and_mesh_are_the_right_way_up() -> None:
    """The covariance is positive: large along the diagonal from below left to above right."""
    left, right = figures.density_2d(in_the_plane(), SIGMA).axes
    inmost = np.concatenate([path.vertices for path in left.collections[0].get_paths()[-2:]])
    assert np.corrcoef(inmost.T)[0, 1] > 0.3
    mesh = right.collections[-1].get_segments()
    ends = np.array([mesh[0][0], mesh[0][-1]])
    assert (ends[0] < ends[1]).all() and ends[0][0] < -0.5, "the lowest line, from left to right"


@pytest.mark.parametrize(
    ("draw", "density"), [(figures.density_1d, on_the_line), (figures.density_2d, in_the_plane)]
)
def test_axes_stay_as_the_noise_changes(draw, density) -> None:
    frames = [draw(density(), sigma) for sigma in (0.01, 0.3, 3.0)]
    assert all(isinstance(frame, Figure) for frame in frames) and len(plt.get_fignums()) == 3
    limits = [[(ax.get_xlim(), ax.get_ylim()) for ax in frame.axes] for frame in frames]
    assert limits[0] == limits[1] == limits[2]


def test_area_under_a_curve_is_the_divergence() -> None:
    shifts = {"near": shifted(1.0), "far": shifted(2.0)}
    ax = figures.curves_against("sigma", shifts, "Nats for a change of log σ by 1")
    for line, expected in ((0, 1.0), (1, 4.0)):
        sigma, integrand = curve_of(ax, line)
        assert float(torch.trapezoid(integrand, sigma.log())) == pytest.approx(expected, rel=0.02)
    assert ax.get_xscale() == "log" and ax.get_yscale() == "linear"
    assert (ax.get_xlabel(), ax.get_ylabel()) == (
        "Noise level σ",
        "Nats for a change of log σ by 1",
    )
    band = ax.collections[0].get_paths()[0].vertices[:, 1]
    assert band.min() == float(shifts["near"].integrand.low.min())


def test_lines_of_equal_error() -> None:
    traces = {"family": torch.linspace(1, 60, 30), "one": torch.tensor([20.0])}
    residuals = {"family": 40 / traces["family"], "one": torch.tensor([5.0])}
    ax = figures.rank_against_residual(traces, residuals, sigma=0.4)
    lines = ax.collections[0]
    assert len(lines.levels) > 5 and min(lines.levels) >= 0, "no error is below 0"
    for level, path in zip(lines.levels, lines.get_paths(), strict=True):
        errors = 2 * 0.4**2 * path.vertices[:, 0] + path.vertices[:, 1]
        assert errors == pytest.approx(np.full(len(errors), level), abs=1e-6)
    assert (ax.lines[0].get_marker(), ax.lines[1].get_marker()) == ("None", "o")


def test_coefficients_above_the_noise_are_counted() -> None:
    coefficients = torch.tensor([0.1, -3.0, 0.5, 2.0, -0.01])
    ax = figures.variance_and_bias(coefficients, sigmas=[1.0, 0.2])
    assert curve_of(ax)[1].tolist() == pytest.approx([9, 4, 0.25, 0.01])
    texts = [text.get_text() for text in ax.get_legend().get_texts()]
    assert texts == ["σ = 1: M = 2", "σ = 0.2: M = 3"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: figures.density_1d(in_the_plane(), 0.5), r"^y: shape \(601, 1, 1, 1\) is not"),
        (lambda: figures.density_2d(on_the_line(), 0.5), r"^y: shape \(3721, 1, 1, 2\) is not"),
        (lambda: figures.density_1d(on_the_line(), -0.5), "^sigma: -0.5 is not"),
        (
            lambda: figures.density_1d(on_the_line(), 0.5, span=(1.0, 0.0)),
            r"^span: \(1.0, 0.0\) is not",
        ),
        (
            lambda: figures.density_2d(in_the_plane(), 0.5, span=(1.0, 1.0)),
            r"^span: \(1.0, 1.0\) is not",
        ),
        (lambda: figures.curves_against("sigma", {}, ""), "^curves: empty"),
        (lambda: figures.rank_against_residual({}, {}, 0.1), "^traces: empty"),
        (
            lambda: figures.rank_against_residual({"f": torch.ones(1)}, {}, 0.1),
            r"^residuals: empty; accepted: at least one labeled entry",
        ),
        (
            lambda: figures.rank_against_residual({"f": torch.ones(1)}, {"f": torch.ones(1)}, 0.0),
            "^sigma: 0.0 is not",
        ),
        (
            lambda: figures.variance_and_bias(torch.ones(2, 2), [0.1]),
            r"^coefficients: shape \(2, 2\)",
        ),
        (lambda: figures.variance_and_bias(torch.ones(2), []), "^sigmas: empty"),
    ],
)
def test_bad_input_gives_one_clear_line(call, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message) as error:
        call()
    assert "\n" not in str(error.value)
    assert plt.get_fignums() == []
