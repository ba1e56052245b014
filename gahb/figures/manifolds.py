"""Tangent spaces beside adaptive bases, and how many dimensions a denoiser keeps.

floor: 5
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from torch import Tensor, as_tensor, float64

from gahb.checks import check_images
from gahb.figures.furniture import check_some, label_noise_axis, labelled_legend
from gahb.figures.images import image_grid
from gahb.figures.style import GREY, Label, axes_or_new, colours, style
from gahb.metrics import psnr_from_sigma

__all__ = ["dimensions_against_noise", "vector_grid"]


def vector_grid(
    rows: Mapping[Label, Tensor], columns: Sequence[str] | None = None, title: str | None = None
) -> Axes:
    """Basis vectors as images in labelled rows, one row for each basis (Figure 5).

    Grey is 0; black and white are the largest magnitude of each vector.

    Parameters
    ----------
    rows : mapping of int or str to Tensor
        Label at the left of each row, and its vectors, (k, 1, H, W), all of one size.
    columns : sequence of str, optional
        Labels above the columns, one for each vector of the longest row.
    title : str, optional
        Title above the grid.

    Raises
    ------
    TypeError, ValueError
        As :func:`gahb.figures.image_grid`.

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

    Raises
    ------
    ValueError
        If there is nothing to draw, or not one number for each noise level.

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
    palette = colours(dimensions)
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
            ax.axhline(level, color=GREY, linestyle=":", zorder=1)
            line_styles[level_label] = ":"
        if legend:
            labelled_legend(ax, palette, line_styles)
    return ax
