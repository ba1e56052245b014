"""What errors are made of: divergences by noise level, rank against residual, variance and bias.

floor: 5
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from gahb.checks import check_number
from gahb.figures.furniture import band, check_some, label_axes
from gahb.figures.style import GREY, axes_or_new, colours, style
from gahb.metrics import Divergence

__all__ = ["divergence_by_noise", "rank_against_residual", "variance_and_bias"]

LINES = 15  # of equal error, or fewer


def divergence_by_noise(
    divergences: Mapping[str, Divergence],
    ax: Axes | None = None,
    *,
    log: bool = False,
    title: str | None = None,
) -> Axes:
    """What each noise level adds to Kullback-Leibler divergences (equation 5).

    The axis of sigma is logarithmic: the area under a curve is the divergence. Bands are 95%
    intervals.

    Parameters
    ----------
    divergences : mapping of str to Divergence
        Divergences by name.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.
    log : bool
        Make the vertical axis logarithmic as well. Areas then cannot be seen.
    title : str, optional
        Title of the axes.

    Raises
    ------
    ValueError
        If there are no divergences.

    Examples
    --------
    >>> from gahb.metrics import kl_gap
    >>> from gahb.optimal import Gaussian
    >>> p, q = (Gaussian(m * torch.ones(1, 1, 2), torch.eye(2)) for m in (0.0, 1.0))
    >>> ax = divergence_by_noise({"shifted": kl_gap(q, p, p.draw(10), [0.1, 1.0, 10.0])})
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('Noise level σ', 'Nats for a change of log σ by 1')
    """
    check_some("divergences", divergences)
    palette = colours(divergences)
    with style():
        ax = axes_or_new(ax)
        ax.set_xscale("log")
        for name, divergence in divergences.items():
            sigma, colour = divergence.sigma, palette[name]
            ax.plot(sigma, divergence.integrand, color=colour, label=name)
            band(ax, sigma, divergence.low, divergence.high, colour)
        if log:
            ax.set_yscale("log")
        else:
            ax.set_ylim(bottom=0)
        label_axes(ax, "Noise level σ", "Nats for a change of log σ by 1", title)
        ax.legend()
    return ax


def rank_against_residual(
    traces: Mapping[str, Tensor],
    residuals: Mapping[str, Tensor],
    sigma: float,
    ax: Axes | None = None,
    *,
    title: str | None = None,
) -> Axes:
    """What denoisers keep, against what they leave: the two terms of their error (equation 7).

    Grey lines join what has the same error, which is written on them.

    Parameters
    ----------
    traces : mapping of str to Tensor
        Mean trace of the Jacobian of each denoiser, (k,): a point for one, a line for a family.
    residuals : mapping of str to Tensor
        Mean of ||y - f(y)||^2 - sigma^2 d for the same, (k,).
    sigma : float
        Standard deviation of the noise.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.
    title : str, optional
        Title of the axes.

    Raises
    ------
    ValueError
        If there are no denoisers, the names differ, or ``sigma`` is not positive.

    Examples
    --------
    >>> one = {"identity": torch.tensor([64.0])}
    >>> ax = rank_against_residual(one, {"identity": torch.tensor([-0.64])}, sigma=0.1)
    >>> ax.get_xlabel()
    'Trace of the Jacobian'
    """
    check_some("traces", traces)
    check_number("sigma", sigma, low=torch.finfo(torch.float32).tiny)
    if traces.keys() != residuals.keys():
        raise ValueError(f"residuals: of {list(residuals)}; accepted: of {list(traces)}")
    palette = colours(traces)
    with style():
        ax = axes_or_new(ax)
        for name, trace in traces.items():
            marker = "o" if len(trace) == 1 else ""
            ax.plot(trace, residuals[name], marker, color=palette[name], label=name, zorder=3)
        _lines_of_equal_error(ax, sigma)
        label_axes(ax, "Trace of the Jacobian", r"$\Vert y - f(y) \Vert^2 - \sigma^2 d$", title)
        ax.legend()
    return ax


def _lines_of_equal_error(ax: Axes, sigma: float) -> None:
    """Lines 2 sigma^2 trace + residual = constant, with that error, across what is seen."""
    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    trace, residual = np.linspace(left, right, 50), np.linspace(bottom, top, 50)
    error = 2 * sigma**2 * trace + residual[:, None]
    levels = MaxNLocator(LINES).tick_values(0, error.max())
    lines = ax.contour(
        trace,
        residual,
        error,
        levels,
        colors="0.75",
        linewidths=0.8,
        linestyles="solid",
        zorder=1,
    )
    ax.clabel(lines, fontsize=8, colors=GREY)
    ax.grid(False)


def variance_and_bias(
    coefficients: Tensor,
    sigmas: Sequence[float],
    ax: Axes | None = None,
    *,
    title: str | None = None,
) -> Axes:
    """Squared coefficients of an image in order, and those that stand above the noise (eq. 12).

    The M coefficients above a line of height sigma^2 are kept and cost sigma^2 each. The others,
    right of the line, are lost. The smallest coefficients are not shown.

    Parameters
    ----------
    coefficients : Tensor
        Coefficients of an image in an orthonormal basis, (d,), in any order.
    sigmas : sequence of float
        Noise levels.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.
    title : str, optional
        Title of the axes.

    Raises
    ------
    ValueError
        If the coefficients are not a vector, or there is no noise level.

    Examples
    --------
    >>> ax = variance_and_bias(torch.arange(1, 1000) ** -1.5, sigmas=[0.1, 0.01])
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('Rank k', 'Squared coefficient')
    """
    if coefficients.ndim != 1 or len(coefficients) == 0:
        raise ValueError(f"coefficients: shape {tuple(coefficients.shape)} is not (d,)")
    labels = {f"σ = {sigma:g}": sigma for sigma in sigmas}
    check_some("sigmas", labels)
    energies = coefficients.square().sort(descending=True).values
    ranks = torch.arange(1, len(energies) + 1)
    lowest = min(sigmas) ** 2 / 100
    palette = colours(labels)
    with style():
        ax = axes_or_new(ax)
        shown = energies > lowest
        ax.loglog(ranks[shown], energies[shown], color=GREY, zorder=3)
        for label, sigma in labels.items():
            kept = int((energies > sigma**2).sum())
            ax.plot([1, max(kept, 1)], [sigma**2] * 2, color=palette[label])
            ax.plot(
                [max(kept, 1)] * 2,
                [sigma**2, lowest],
                color=palette[label],
                linestyle="--",
                label=f"{label}: M = {kept}",
            )
        ax.set_ylim(bottom=lowest)
        label_axes(ax, "Rank k", "Squared coefficient", title)
        ax.legend()
    return ax
