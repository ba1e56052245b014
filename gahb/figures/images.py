"""Grids of images.

floor: 5
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import torch
from matplotlib.axes import Axes
from torch import Tensor

from gahb.checks import check_images
from gahb.figures.style import WIDTH, Label, label_text, panels, style

__all__ = ["image_grid"]

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
    """Grey images in labelled rows and columns, black at 0 and white at 1.

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

    Raises
    ------
    TypeError, ValueError
        If there is no row, or the images are not grey, differ in size, or are not as many as
        ``columns``.

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
        ax.set_yticks(_centres(len(rows), height, margin), labels)
        ax.set_xticks(_centres(longest, width, margin) if columns else [], columns or [])
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


def _centres(count: int, side: int, margin: int) -> list[float]:
    """Positions of the centres of images in a row, in pixels, the first pixel's centre being 0."""
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
