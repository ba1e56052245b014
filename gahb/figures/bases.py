"""Adaptive bases: their vectors, how the factors fall, and what of an image is in them.

floor: 5
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from torch import Tensor

from gahb.basis import Basis, coefficients
from gahb.checks import check_count
from gahb.figures.furniture import check_some, label_axes, labelled_legend
from gahb.figures.style import GREY, WIDTH, Label, axes_or_new, colours, count_label, style

__all__ = ["basis_vectors", "shrinkage_and_coefficients", "shrinkage_factors"]

FACTORS, COEFFICIENTS = "tab:red", "tab:blue"
COLUMNS = 7
TITLE_INCHES = 0.24


def basis_vectors(basis: Basis, numbers: Sequence[int], columns: int = COLUMNS) -> Figure:
    """Basis vectors as images, each with its shrinkage factor above (Figure 3, right).

    Grey is 0; black and white are the largest magnitude of each vector. Of several channels the
    mean is drawn.

    Parameters
    ----------
    basis : Basis
        Basis of k vectors.
    numbers : sequence of int
        Which of them, from 1 to k.
    columns : int
        Vectors in a row.

    Raises
    ------
    TypeError, ValueError
        If there is no such vector.

    Examples
    --------
    >>> import gahb, torch
    >>> basis = gahb.adaptive_basis(lambda y: 0.5 * y, torch.rand(1, 1, 4, 4))
    >>> figure = basis_vectors(basis, [1, 2, 16])
    >>> print(figure.axes[2].get_title())
    $\\lambda_{16} = 0.50$
    """
    check_count("columns", columns)
    if not len(numbers):
        raise ValueError("numbers: empty; accepted: at least one basis vector")
    for k in numbers:
        check_count("numbers", k, 1, len(basis.eigenvalues))
    rows = -(-len(numbers) // columns)
    height, width = basis.eigenvectors.shape[2:]
    row_inches = WIDTH / columns * height / width + TITLE_INCHES
    with style():
        figure, axes = plt.subplots(
            rows, columns, figsize=(WIDTH, rows * row_inches), squeeze=False
        )
        for ax in axes.flat[len(numbers) :]:
            ax.remove()
        for ax, k in zip(axes.flat, numbers, strict=False):
            _draw_vector(ax, basis.eigenvectors[k - 1])
            factor = f"{float(basis.eigenvalues[k - 1]):.2f}"
            ax.set_title(rf"$\lambda_{{{k}}} = {factor}$", fontsize=9, loc="center")
    return figure


def shrinkage_factors(
    bases: Mapping[Label, Basis],
    ax: Axes | None = None,
    *,
    legend: bool = True,
    title: str | None = None,
) -> Axes:
    """Shrinkage factors of several bases against their number k, which is on a logarithmic scale.

    Parameters
    ----------
    bases : mapping of int or str to Basis
        Bases by name, or by number of training images N.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.
    legend : bool
        Draw a legend.
    title : str, optional
        Title of the axes.

    Raises
    ------
    ValueError
        If there are no bases.

    Examples
    --------
    >>> import gahb, torch
    >>> basis = gahb.adaptive_basis(lambda y: 0.5 * y, torch.rand(1, 1, 4, 4))
    >>> ax = shrinkage_factors({"half": basis})
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('k', 'Shrinkage factor $\\\\lambda_k$')
    """
    check_some("bases", bases)
    palette = colours(bases)
    with style():
        ax = axes_or_new(ax)
        for label, basis in bases.items():
            factors = basis.eigenvalues.cpu()
            ax.plot(range(1, len(factors) + 1), factors, color=palette[label])
        ax.set_xscale("log")
        ax.xaxis.set_major_formatter(FuncFormatter(lambda k, _: count_label(round(k))))
        for level in (0, 1):
            ax.axhline(level, color=GREY, linestyle=":", zorder=1)
        label_axes(ax, "k", r"Shrinkage factor $\lambda_k$", title)
        if legend:
            labelled_legend(ax, palette, {})
    return ax


def shrinkage_and_coefficients(
    basis: Basis, x: Tensor, ax: Axes | None = None, *, title: str | None = None
) -> Axes:
    """Shrinkage factors and what a clean image has along their vectors (Figure 3, bottom left).

    Parameters
    ----------
    basis : Basis
        Basis at a noisy image.
    x : Tensor
        The clean image, (1, C, H, W).
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.
    title : str, optional
        Title of the axes.

    Returns
    -------
    matplotlib.axes.Axes
        Those of the factors, at the left; the magnitudes |<x, e_k>| have their axis at the right.

    Raises
    ------
    TypeError, ValueError
        If ``x`` is not one image of the size of the basis vectors.

    Examples
    --------
    >>> import gahb, torch
    >>> y = torch.rand(1, 1, 4, 4)
    >>> ax = shrinkage_and_coefficients(gahb.adaptive_basis(lambda y: 0.5 * y, y), y)
    >>> ax.get_xlabel()
    'k'
    """
    magnitudes = coefficients(basis, x).abs().cpu()
    if len(magnitudes) != 1:
        raise ValueError(f"x: {len(magnitudes)} images; accepted: one, of shape (1, C, H, W)")
    k = range(1, len(basis.eigenvalues) + 1)
    with style():
        ax = axes_or_new(ax)
        right = ax.twinx()
        right.plot(k, magnitudes[0], color=COEFFICIENTS, linewidth=0.9)
        ax.plot(k, basis.eigenvalues.cpu(), color=FACTORS)
        ax.set_zorder(right.get_zorder() + 1)
        ax.patch.set_visible(False)
        label_axes(ax, "k", r"Shrinkage factor $\lambda_k$", title)
        right.set_ylabel(r"$|\langle x, e_k \rangle|$", color=COEFFICIENTS)
        ax.yaxis.label.set_color(FACTORS)
        right.spines["right"].set_visible(True)
        for axes in (ax, right):
            axes.grid(False)  # two axes, two scales
        right.set_ylim(0, None)
    return ax


def _draw_vector(ax: Axes, vector: Tensor) -> None:
    image = vector.detach().cpu().mean(0)
    largest = float(image.abs().max())
    ax.imshow(image.numpy(), cmap="gray", vmin=-largest, vmax=largest)
    ax.set_xticks([])
    ax.set_yticks([])
    ax.grid(False)
    ax.spines[:].set_visible(False)
