"""Densities that are known, blurred by noise: their scores and their posterior means."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from torch import Tensor

from gahb.book.figures.style import BAND_OPACITY, GRAY, colors, label_axes, panels, style
from gahb.checks import check_number
from gahb.optimal import Gaussian, GaussianMixture

__all__ = ["density_1d", "density_2d"]


POINTS = 601  # of a curve
CLEAN = 0.02  # noise level at which a density is shown as clean: it must be no set of points
TONES = 61  # points along each side of a map of densities
LEVELS = 9  # grays of such a map: few, as pictures of many frames must be small
ARROWS = 13  # along each side of a field
PARTS = 3  # an arrow is so many times shorter than its way: whole ways would cover each other
MESH = 25  # lines of a mesh in each direction

Density = Gaussian | GaussianMixture


def density_1d(
    density: Density,
    sigma: float,
    span: tuple[float, float] = (-3.0, 3.0),
    steepest: float = 12.0,
) -> Figure:
    """Noisy density, score and posterior mean of numbers at one noise level.

    *Left:* the density of y, over that of x in gray. *Middle:* its score. *Right:* the posterior
    mean f*(y), within one standard deviation of what x may have been, and the identity. The axes
    do not depend on sigma: pictures of several noise levels can be stepped through.

    Parameters
    ----------
    density : Gaussian or GaussianMixture
        Of images of one pixel.
    sigma : float
        Standard deviation of the noise.
    span : tuple of float
        Values of y to show.
    steepest : float
        Largest absolute score to show.

    Examples
    --------
    >>> figure = density_1d(Gaussian(torch.zeros(1, 1, 1), torch.eye(1)), sigma=0.5)
    >>> [ax.get_title(loc="left") for ax in figure.axes]
    ['Density', 'Score', 'Posterior mean']
    """
    y = _points(span, POINTS).view(-1, 1, 1, 1)
    _check_size(density, y)
    line, tones = y.flatten(), density.log_density(y, sigma).exp()
    fig, (left, middle, right) = panels(3, height=2.7, share_y=False)
    color = _color()
    clean = density.log_density(y, CLEAN).exp()
    with style():
        left.fill_between(line, clean, color="0.85", linewidth=0)
        left.plot(line, tones, color=color)
        left.set_ylim(0, 1.05 * float(clean.max()))
        middle.plot(line, density.score(y, sigma).flatten(), color=color)
        middle.axhline(0, color=GRAY, linestyle=":", zorder=1)
        middle.set_ylim(-steepest, steepest)
        mean = density(y, sigma).flatten()
        variance = density.posterior_covariance(y, sigma).flatten().clamp(min=0)
        spread = variance.sqrt().expand_as(mean)
        right.fill_between(
            line, mean - spread, mean + spread, color=color, alpha=BAND_OPACITY, linewidth=0
        )
        right.plot(line, mean, color=color)
        right.plot(line, line, color=GRAY, linestyle=":", zorder=1)
        right.set_ylim(*span)
        label_axes(left, "Noisy y", r"$p_\sigma(y)$", "Density")
        label_axes(middle, "Noisy y", r"$\nabla \log\, p_\sigma(y)$", "Score")
        label_axes(right, "Noisy y", r"$f^\star(y)$", "Posterior mean")
    for ax in (left, middle, right):
        ax.set_xlim(*span)
    return fig


def density_2d(density: Density, sigma: float, span: tuple[float, float] = (-2.0, 2.0)) -> Figure:
    """Noisy density, score and posterior mean of points in the plane at one noise level.

    *Left:* the density of y, dark where it is large, and sigma^2 times the score as arrows: each
    goes a third of the way from y to f*(y). *Right:* where the posterior mean takes a square mesh,
    over points drawn from the clean density.

    Parameters
    ----------
    density : Gaussian or GaussianMixture
        Of images (1, 1, 2).
    sigma : float
        Standard deviation of the noise.
    span : tuple of float
        Values of both coordinates to show.

    Examples
    --------
    >>> figure = density_2d(Gaussian(torch.zeros(1, 1, 2), torch.eye(2)), sigma=0.5)
    >>> [ax.get_title(loc="left") for ax in figure.axes]
    ['Density and score', 'Posterior mean of a mesh']
    """
    map_of_points, arrows, mesh = (_square(span, count) for count in (TONES, ARROWS, MESH))
    _check_size(density, map_of_points)
    tones = density.log_density(map_of_points, sigma).exp().view(TONES, TONES).numpy()
    fig, (left, right) = panels(2, height=3.8)
    with style():
        side = _points(span, TONES).numpy()
        left.contourf(side, side, tones, levels=LEVELS, cmap="Grays")
        start = arrows.flatten(1).numpy()
        step = density(arrows, sigma).flatten(1).numpy() - start
        left.quiver(*start.T, *step.T, color=_color(), angles="xy", scale_units="xy", scale=PARTS)
        across, up = density.draw(300).flatten(1).T.numpy()
        right.scatter(across, up, s=5, color="0.75", linewidths=0, zorder=1)
        moved = density(mesh, sigma).view(MESH, MESH, 2).numpy()
        lines = [*moved, *np.swapaxes(moved, 0, 1)]
        right.add_collection(LineCollection(lines, colors=[_color()], linewidths=0.7))
        label_axes(left, r"$y_1$", r"$y_2$", "Density and score")
        label_axes(right, r"$y_1$", r"$y_2$", "Posterior mean of a mesh")
    for ax in (left, right):
        _frame(ax, span)
    return fig


def _frame(ax: Axes, span: tuple[float, float]) -> None:
    ax.set_xlim(*span)
    ax.set_ylim(*span)
    ax.set_aspect("equal")
    ax.grid(False)


def _color() -> Any:
    """Second of three colors in order, which stands out against grays."""
    return colors(["dark", "middle", "light"])["middle"]


def _points(span: tuple[float, float], count: int) -> Tensor:
    low, high = span
    check_number("span", high, low=-float("inf"))
    check_number("span", low, low=-float("inf"), high=high)
    if low == high:
        raise ValueError(f"span: {low} is both ends; accepted: a range of values")
    return torch.linspace(low, high, count, dtype=torch.float64)


def _square(span: tuple[float, float], count: int) -> Tensor:
    """Points of a square lattice, row by row from below, (count^2, 1, 1, 2)."""
    side = _points(span, count)
    down, across = torch.meshgrid(side, side, indexing="ij")
    return torch.stack([across, down], dim=-1).view(-1, 1, 1, 2)


def _check_size(density: Density, y: Tensor) -> None:
    """The densities say themselves which images they accept: with noise level 1, at one of them."""
    density.log_density(y[:1], 1.0)
