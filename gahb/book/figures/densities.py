"""Densities that are known, blurred by noise: their scores and their posterior means."""

import numpy as np
import torch
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from torch import Tensor

from gahb.book.figures import look
from gahb.checks import check_range, check_type
from gahb.optimal import Gaussian, GaussianMixture

Density = Gaussian | GaussianMixture

POINTS = 601  # of a curve
STEEPEST = 12.0  # score that is shown
CLEAN = 0.02  # noise level at which a density is shown as clean: it must be no set of points
TONES, LEVELS = 61, 9  # points per side and grays of a map: few, as frames must be small
ARROWS = 13  # per side of a field
SHORTENED = 3  # an arrow is so many times shorter than its way: whole ways would cover each other
MESH = 25  # lines in each direction
COLOR = look.colors(["dark", "middle", "light"])["middle"]  # which stands out against grays


def density_1d(density: Density, sigma: float, span: tuple[float, float] = (-3.0, 3.0)) -> Figure:
    r"""Draw the noisy density, score and posterior mean of numbers at one noise level.

    *Left:* the density :math:`p_\sigma` of y, over that of x in gray. *Middle:* its score
    :math:`\nabla \log p_\sigma`. *Right:* the posterior mean :math:`f^\star`, within one standard
    deviation of what x may have been, and the identity. The axes do not depend on sigma: pictures
    of several noise levels can be stepped through. Numbers are images of one pixel; values of y in
    ``span`` are shown.

    Examples
    --------
    >>> figure = density_1d(Gaussian(torch.zeros(1, 1, 1), torch.eye(1)), sigma=0.5)
    >>> [ax.get_title(loc="left") for ax in figure.axes]
    ['Density', 'Score', 'Posterior mean']
    """
    check_type("density", density, Density, "a Gaussian, or a mixture of Gaussians")
    line = _points(span, POINTS)
    y = line.view(-1, 1, 1, 1)
    seen, clean = (density.log_density(y, level).exp() for level in (sigma, CLEAN))
    mean = density(y, sigma).flatten()
    variance = density.posterior_covariance(y, sigma).flatten()
    spread = variance.clamp(min=0).sqrt().expand_as(mean)
    fig, (left, middle, right) = look.panels(3, height=2.7, share_y=False)
    with look.style():
        left.fill_between(line, clean, color="0.85", linewidth=0)
        left.plot(line, seen, color=COLOR)
        left.set(ylim=(0, 1.05 * float(clean.max())), ylabel=r"$p_\sigma(y)$")
        middle.plot(line, density.score(y, sigma).flatten(), color=COLOR)
        look.level_line(middle, 0)
        middle.set(ylim=(-STEEPEST, STEEPEST), ylabel=r"$\nabla \log\, p_\sigma(y)$")
        look.band(right, line, mean - spread, mean + spread, COLOR)
        right.plot(line, mean, color=COLOR)
        right.plot(line, line, color=look.GRAY, linestyle=look.DOTTED, zorder=1)
        right.set(ylim=span, ylabel=r"$f^\star(y)$")
    for ax, title in ((left, "Density"), (middle, "Score"), (right, "Posterior mean")):
        ax.set(xlim=span, xlabel="Noisy y")
        ax.set_title(title)
    return fig


def density_2d(density: Density, sigma: float, span: tuple[float, float] = (-2.0, 2.0)) -> Figure:
    r"""Draw the noisy density, score and posterior mean of points in the plane at one noise level.

    *Left:* the density of y, dark where it is large, and :math:`\sigma^2 \nabla \log p_\sigma` as
    arrows: each goes a third of the way from y to :math:`f^\star(y)`. *Right:* where the posterior
    mean takes a square mesh, over points drawn from the clean density. Points are images
    (1, 1, 2); both coordinates are shown over ``span``.

    Examples
    --------
    >>> figure = density_2d(Gaussian(torch.zeros(1, 1, 2), torch.eye(2)), sigma=0.5)
    >>> [ax.get_title(loc="left") for ax in figure.axes]
    ['Density and score', 'Posterior mean of a mesh']
    """
    check_type("density", density, Density, "a Gaussian, or a mixture of Gaussians")
    side = _points(span, TONES).numpy()
    places, arrows, mesh = (_square(span, count) for count in (TONES, ARROWS, MESH))
    tones = density.log_density(places, sigma).exp().view(TONES, TONES).numpy()
    start = arrows.flatten(1).numpy()
    step = density(arrows, sigma).flatten(1).numpy() - start
    moved = density(mesh, sigma).view(MESH, MESH, 2).numpy()
    fig, (left, right) = look.panels(2, height=3.8)
    with look.style():
        left.contourf(side, side, tones, levels=LEVELS, cmap="Grays")
        left.quiver(*start.T, *step.T, color=COLOR, angles="xy", scale_units="xy", scale=SHORTENED)
        across, up = density.draw(300).flatten(1).T.numpy()
        right.scatter(across, up, s=5, color="0.75", linewidths=0, zorder=1)
        lines = [*moved, *np.swapaxes(moved, 0, 1)]
        right.add_collection(LineCollection(lines, colors=[COLOR], linewidths=0.7))
    for ax, title in ((left, "Density and score"), (right, "Posterior mean of a mesh")):
        ax.set(xlim=span, ylim=span, aspect="equal")
        ax.grid(False)
        name = "y" if ax is left else r"\hat x"
        look.label_axes(ax, f"${name}_1$", f"${name}_2$")
        ax.set_title(title)
    return fig


def _points(span: tuple[float, float], count: int) -> Tensor:
    return torch.linspace(*check_range("span", span), count, dtype=torch.float64)


def _square(span: tuple[float, float], count: int) -> Tensor:
    """Return the points of a square lattice, row by row from below, (count^2, 1, 1, 2)."""
    down, across = torch.meshgrid(*[_points(span, count)] * 2, indexing="ij")
    return torch.stack([across, down], dim=-1).view(-1, 1, 1, 2)
