"""Grids of images."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from torch import Tensor, as_tensor, float64

from gahb.basis import Basis, coefficients
from gahb.book.figures.style import (
    GRAY,
    WIDTH,
    Label,
    axes_or_new,
    check_some,
    colors,
    count_label,
    label_axes,
    label_noise_axis,
    label_text,
    labeled_legend,
    panels,
    style,
)
from gahb.checks import check_count, check_images
from gahb.metrics import psnr_from_sigma

__all__ = [
    "basis_vectors",
    "dimensions_against_noise",
    "drawn_from_one_noise",
    "image_grid",
    "shrinkage_and_coefficients",
    "shrinkage_factors",
    "similarity_histograms",
    "vector_grid",
]


LARGEST_IMAGE = 1.5  # inches
TALLEST = 9.0
HEADER = 0.4
INCHES_PER_LETTER = 0.08


def image_grid(
    rows: Mapping[Label, Tensor],
    columns: Sequence[str] | None = None,
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    """Gray images in labeled rows and columns, black at 0 and white at 1.

    Values beyond [0, 1], such as those of noisy images, are drawn black or white. A row with fewer
    images than the others stays empty at its end.

    Parameters
    ----------
    rows : mapping of int or str to Tensor
        Number of training images N, or label, at the left of each row, and its images,
        (n, 1, H, W), all of one size.
    columns : sequence of str, optional
        Labels above the columns, one for each image of the longest row.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.
    title : str, optional
        Title above the grid.

    Examples
    --------
    >>> x = torch.rand(4, 1, 8, 8)
    >>> ax = image_grid({"clean": x, "noisy": x + 0.1 * torch.randn_like(x)})
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['clean', 'noisy']
    """
    height, width = _common_size(rows)
    longest = max(len(images) for images in rows.values())
    if columns is not None and len(columns) != longest:
        raise ValueError(f"columns: {len(columns)} labels where {longest} are accepted")
    labels = [label_text(label) for label in rows]
    margin = max(1, round(width / 16))
    mosaic = torch.stack([_strip(images, longest, margin) for images in rows.values()])
    mosaic = mosaic.flatten(0, 1)[:-margin]
    with style():
        if ax is None:
            ax = panels(1, _figure_height(mosaic, labels, longest))[1][0]
        ax.imshow(mosaic.numpy(), vmin=0, vmax=1, cmap="gray", interpolation="nearest")
        ax.set_anchor("NW")
        ax.set_yticks(_centers(len(rows), height, margin), labels)
        ax.set_xticks(_centers(longest, width, margin) if columns else [], columns or [])
        ax.tick_params(length=0, labeltop=True, labelbottom=False)
        ax.grid(False)
        ax.spines[:].set_visible(False)
        if title is not None:
            ax.set_title(title)
    return ax


def _figure_height(mosaic: Tensor, labels: Iterable[str], longest: int) -> float:
    """Height in inches at which the grid fills the page, short of images that are too coarse."""
    widest_label = max(len(label) for label in labels)
    width = min(WIDTH - INCHES_PER_LETTER * widest_label, LARGEST_IMAGE * longest)
    return min(TALLEST, HEADER + width * len(mosaic) / mosaic.shape[1])


def _centers(count: int, side: int, margin: int) -> list[float]:
    """Positions of the centers of images in a row, in pixels, the first pixel's center being 0."""
    return [i * (side + margin) + (side - 1) / 2 for i in range(count)]


def _common_size(rows: Mapping[Label, Tensor]) -> tuple[int, int]:
    if not rows:
        raise ValueError("rows: empty; accepted: at least one row of images")
    for label, images in rows.items():
        check_images(f"rows[{label!r}]", images, channels=1)
    sizes = {tuple(images.shape[2:]) for images in rows.values()}
    if len(sizes) > 1:
        raise ValueError(f"rows: image sizes {sorted(sizes)} differ; accepted: one size for all")
    height, width = sizes.pop()
    return height, width


def _strip(images: Tensor, longest: int, margin: int) -> Tensor:
    """Images side by side with an empty (NaN) margin between and below, (H + margin, width)."""
    n, _, height, width = images.shape
    strip = torch.full((height + margin, longest, width + margin), torch.nan)
    strip[:height, :n, :width] = images.detach().cpu()[:, 0].transpose(0, 1)
    return strip.flatten(1)[:, :-margin]


# --- How alike images are: side by side, and as histograms ---


BINS = np.linspace(-0.5, 1, 61)
ROW_HEIGHT, MARGIN = 1.0, 1.0  # inches
PALETTE = ("tab:blue", "tab:orange")


def drawn_from_one_noise(
    samples: Mapping[tuple[int, str], Tensor], closest: Mapping[tuple[int, str], Tensor], i: int
) -> Axes:
    """What two networks draw from the same noise, one column for each N (Figure 2).

    Above and below stand the training images that are closest to the two.

    Parameters
    ----------
    samples, closest : mapping of (int, str) to Tensor
        By number of training images N and subset, ``S1`` or ``S2``: what the network draws, and
        the training images closest to it, (m, 1, H, W).
    i : int
        Which of the m samples.

    Examples
    --------
    >>> drawn = {(n, subset): torch.rand(2, 1, 8, 8) for n in (1, 10) for subset in ("S1", "S2")}
    >>> ax = drawn_from_one_noise(drawn, drawn, i=0)
    >>> [label.get_text() for label in ax.get_xticklabels()]
    ['N = 1', 'N = 10']
    """
    check_some("samples", samples)
    sizes = list(dict.fromkeys(n for n, _ in samples))
    rows = {
        "closest in S1": (closest, "S1"),
        "network of S1": (samples, "S1"),
        "network of S2": (samples, "S2"),
        "closest in S2": (closest, "S2"),
    }
    images: dict[Label, Tensor] = {
        label: torch.stack([among[n, subset][i] for n in sizes])
        for label, (among, subset) in rows.items()
    }
    return image_grid(images, columns=[label_text(n) for n in sizes])


def similarity_histograms(
    groups: Mapping[str, Mapping[Label, Tensor]], title: str | None = None
) -> list[Axes]:
    """Histograms of cosine similarities, one row for each training set size (Figures 2 and 6).

    Each is as high as its row.

    Parameters
    ----------
    groups : mapping of str to mapping of int or str to Tensor
        One or two kinds of similarity by name; each by number of training images N, or label, and
        all with the same ones. The values, (n,), lie in [-0.5, 1]; a line marks their median.
    title : str, optional
        Title above the first row.

    Returns
    -------
    list of Axes
        One for each row, with a common horizontal axis.

    Examples
    --------
    >>> import torch
    >>> same, other = torch.full((9,), 0.9), torch.full((9,), 0.6)
    >>> axes = similarity_histograms({"a": {10: same, 100: other}, "b": {10: other, 100: same}})
    >>> [ax.get_ylabel() for ax in axes], axes[-1].get_xlabel()
    (['N = 10', 'N = 100'], 'Cosine similarity (means removed)')
    """
    check_some("groups", groups)
    labels = list(next(iter(groups.values())))
    if len(groups) > len(PALETTE) or any(list(group) != labels for group in groups.values()):
        raise ValueError("groups: accepted: one or two, with the same labels in the same order")
    check_some("groups", dict.fromkeys(labels))
    with style():
        size = (WIDTH, MARGIN + ROW_HEIGHT * len(labels))
        axes = list(plt.subplots(len(labels), 1, figsize=size, sharex=True, squeeze=False)[1][:, 0])
        for ax, label in zip(axes, labels, strict=True):
            for color, (name, group) in zip(PALETTE, groups.items(), strict=False):
                values = group[label].numpy()
                # Each to its own peak: beside a spike, a broad histogram would not be seen.
                counts = np.histogram(values, BINS)[0]
                ax.stairs(
                    counts / counts.max(), BINS, color=color, alpha=0.6, fill=True, label=name
                )
                ax.axvline(float(np.median(values)), color=color)
            ax.set_yticks([])
            ax.set_ylabel(label_text(label), rotation=0, ha="right", va="center")
        axes[-1].set_xlabel("Cosine similarity (means removed)")
        axes[-1].set_xlim(BINS[0], BINS[-1])
        axes[0].set_title(title or "")
        axes[0].legend(loc="upper left")
    return axes


# --- Adaptive bases: their vectors, how the factors fall, and what of an image is in them ---


FACTORS, COEFFICIENTS = "tab:red", "tab:blue"
COLUMNS = 7
TITLE_INCHES = 0.24


def basis_vectors(basis: Basis, numbers: Sequence[int], columns: int = COLUMNS) -> Figure:
    """Basis vectors as images, each with its shrinkage factor above (Figure 3, right).

    Gray is 0; black and white are the largest magnitude of each vector. Of several channels the
    mean is drawn.

    Parameters
    ----------
    basis : Basis
        Basis of k vectors.
    numbers : sequence of int
        Which of them, from 1 to k.
    columns : int
        Vectors in a row.

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

    Examples
    --------
    >>> import gahb, torch
    >>> basis = gahb.adaptive_basis(lambda y: 0.5 * y, torch.rand(1, 1, 4, 4))
    >>> ax = shrinkage_factors({"half": basis})
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('k', 'Shrinkage factor $\\\\lambda_k$')
    """
    check_some("bases", bases)
    palette = colors(bases)
    with style():
        ax = axes_or_new(ax)
        for label, basis in bases.items():
            factors = basis.eigenvalues.cpu()
            ax.plot(range(1, len(factors) + 1), factors, color=palette[label])
        ax.set_xscale("log")
        ax.xaxis.set_major_formatter(FuncFormatter(lambda k, _: count_label(round(k))))
        for level in (0, 1):
            ax.axhline(level, color=GRAY, linestyle=":", zorder=1)
        label_axes(ax, "k", r"Shrinkage factor $\lambda_k$", title)
        if legend:
            labeled_legend(ax, palette, {})
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


# --- Tangent spaces beside adaptive bases, and how many dimensions a denoiser keeps ---


def vector_grid(
    rows: Mapping[Label, Tensor], columns: Sequence[str] | None = None, title: str | None = None
) -> Axes:
    """Basis vectors as images in labeled rows, one row for each basis (Figure 5).

    Gray is 0; black and white are the largest magnitude of each vector.

    Parameters
    ----------
    rows : mapping of int or str to Tensor
        Label at the left of each row, and its vectors, (k, 1, H, W), all of one size.
    columns : sequence of str, optional
        Labels above the columns, one for each vector of the longest row.
    title : str, optional
        Title above the grid.

    Examples
    --------
    >>> from torch import eye
    >>> ax = vector_grid({"pixels": eye(4).view(4, 1, 2, 2)}, ["1", "2", "3", "4"])
    >>> [label.get_text() for label in ax.get_xticklabels()]
    ['1', '2', '3', '4']
    """
    check_some("rows", rows)
    images = {}
    for label, vectors in rows.items():
        check_images(f"rows[{label!r}]", vectors, channels=1)
        largest = vectors.abs().amax(dim=(1, 2, 3), keepdim=True).clamp(min=1e-30)
        images[label] = (0.5 + 0.5 * vectors / largest).float()
    return image_grid(images, columns, title=title)


def dimensions_against_noise(
    dimensions: Mapping[Label, Sequence[float] | Tensor],
    sigma: Sequence[float] | Tensor,
    y_label: str,
    ax: Axes | None = None,
    *,
    level: float | None = None,
    level_label: str = "dimensions of the manifold",
    legend: bool = True,
    title: str | None = None,
) -> Axes:
    """Numbers of dimensions on a logarithmic scale against the noise level (Figure 5).

    Parameters
    ----------
    dimensions : mapping of int or str to sequence of float
        By name, one positive number for each noise level: of shrinkage factors that are not small,
        or the squared error divided by sigma^2.
    sigma : sequence of float
        Noise levels, as standard deviations.
    y_label : str
        What was counted or measured.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.
    level : float, optional
        Number of dimensions to draw a dotted line at.
    level_label : str
        What the legend calls that line.
    legend : bool
        Draw a legend.
    title : str, optional
        Title of the axes.

    Examples
    --------
    >>> ax = dimensions_against_noise({"network": [6, 9, 20]}, [0.4, 0.2, 0.1], "Rank", level=5)
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('Input PSNR (dB)', 'Rank')
    """
    check_some("dimensions", dimensions)
    for name, numbers in dimensions.items():
        if len(numbers) != len(sigma):
            given = f"{len(numbers)} numbers for {len(sigma)} noise levels"
            raise ValueError(f"dimensions[{name!r}]: {given}; accepted: one for each")
    input_psnr = psnr_from_sigma(as_tensor(sigma, dtype=float64))
    palette = colors(dimensions)
    with style():
        ax = axes_or_new(ax)
        ax.set_yscale("log")
        for name, numbers in dimensions.items():
            ax.plot(input_psnr, as_tensor(numbers), color=palette[name], marker="o")
        label_noise_axis(ax, [input_psnr], y_label, title)
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
        ax.yaxis.set_minor_formatter(NullFormatter())
        line_styles = {}
        if level is not None:
            ax.axhline(level, color=GRAY, linestyle=":", zorder=1)
            line_styles[level_label] = ":"
        if legend:
            labeled_legend(ax, palette, line_styles)
    return ax
