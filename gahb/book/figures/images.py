"""Images: side by side, how alike they are, and the bases that they are denoised in."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from gahb.basis import Basis, coefficients
from gahb.book.figures import look
from gahb.book.figures.look import Label, label_text
from gahb.checks import check_count, check_images, check_type

LOOK: dict[str, Any] = {"vmin": 0, "vmax": 1, "cmap": "gray", "interpolation": "nearest"}
LARGEST_IMAGE, TALLEST = 1.5, 9.0  # inches
CHANNELS = (1, 3)  # gray, or color
STRONGEST = 0.005  # share of the pixels of a signed image that may be black or white
HEADER, INCHES_PER_LETTER = 0.4, 0.08
BINS = np.linspace(-0.5, 1, 61)
TITLE_INCHES = 0.24
BASIS = "a basis, as adaptive_basis returns it"


def as_gray(v: Tensor) -> Tensor:
    """Return signed images (n, C, H, W) as levels: 0 is gray, the strongest pixels 0 or 1.

    Of more than 200 pixels these are one in 200, unless they would be a quarter of the largest
    magnitude or less: so a single bright pixel does not hide the waves around it. Where it has
    over half of the energy, it is all there is to see, and alone sets the scale.

    Examples
    --------
    >>> as_gray(torch.tensor([[[[0.0, -2.0], [1.0, 0.0]]]]))
    tensor([[[[0.5000, 0.0000],
              [0.7500, 0.5000]]]])
    """
    check_images("v", v)
    magnitude = v.abs().flatten(1)
    strong = magnitude.kthvalue(math.ceil((1 - STRONGEST) * magnitude.shape[1])).values
    largest = magnitude.amax(1)
    alone = largest.square() > magnitude.square().sum(1) / 2
    scale = largest.where(alone, strong.maximum(largest / 4)).clamp(min=1e-30)
    return (0.5 + v / (2 * scale[:, None, None, None])).clamp(0, 1)


def as_drawn(images: Tensor) -> Tensor:
    """Return images (n, C, H, W) of gray or color as they are; of other channels the mean."""
    return images if images.shape[1] in CHANNELS else images.mean(1, keepdim=True)


def image_grid(
    rows: Mapping[Label, Tensor],
    columns: Sequence[str] | None = None,
    ax: Axes | None = None,
    *,
    signed: bool = False,
) -> Axes:
    """Draw images in labeled rows and columns, gray or in color, black at 0 and white at 1.

    Rows are images (n, C, H, W), all of one size, C being 1 or 3; labels of columns are as many as
    the longest row has images. Values beyond [0, 1], such as those of noisy images, are drawn black
    or white; ``signed`` images by :func:`as_gray`.

    Examples
    --------
    >>> x = torch.rand(4, 1, 8, 8)
    >>> ax = image_grid({"clean": x, "noisy": x + 0.1 * torch.randn_like(x)})
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['clean', 'noisy']
    """
    height, width = _common_size(rows)
    longest = max(len(images) for images in rows.values())
    check_type("columns", columns, Sequence | None, "a sequence of labels")
    for label in columns or ():
        check_type("columns", label, str, "a label")
    if columns is not None and len(columns) != longest:
        raise ValueError(f"columns: {len(columns)} labels where {longest} are accepted")
    labels = [label_text(label) for label in rows]
    margin = max(1, round(width / 16))
    channels = max(images.shape[1] for images in rows.values())
    shown = map(as_gray, rows.values()) if signed else rows.values()
    strips = [_strip(images, channels, longest, margin) for images in shown]
    mosaic = torch.cat(strips, dim=1)[:, :-margin]
    # The grid fills the page, unless its images become too coarse.
    widest_label = max(len(label) for label in labels)
    inches = min(look.PAGE_WIDTH - INCHES_PER_LETTER * widest_label, LARGEST_IMAGE * longest)
    tall = min(TALLEST, HEADER + inches * mosaic.shape[1] / mosaic.shape[2])
    with look.on_axes(ax, tall) as ax:
        _show(ax, mosaic)
        ax.set_anchor("NW")
        ax.set_yticks(_centers(len(rows), height, margin), labels)
        ax.set_xticks(_centers(longest, width, margin) if columns else [], columns or [])
        ax.tick_params(length=0, labeltop=True, labelbottom=False)
    return ax


def _show(ax: Axes, image: Tensor) -> None:
    """Draw an image (1, H, W) or (3, H, W), NaN where there is none, on its axes, unframed."""
    drawn = image.movedim(0, 2).numpy()
    if drawn.shape[2] == 3:
        there = ~np.isnan(drawn[:, :, :1])
        drawn = np.concatenate([np.nan_to_num(drawn).clip(0, 1), there], axis=2)
    ax.imshow(drawn.squeeze(2) if drawn.shape[2] == 1 else drawn, **LOOK)
    ax.set(xticks=[], yticks=[])
    ax.grid(False)
    ax.spines[:].set_visible(False)


def _centers(count: int, side: int, margin: int) -> list[float]:
    """Return the centers of images in a row, in pixels, the first pixel's center being 0."""
    return [i * (side + margin) + (side - 1) / 2 for i in range(count)]


def _common_size(rows: Mapping[Label, Tensor]) -> tuple[int, ...]:
    look.check_some("rows", rows)
    for label, images in rows.items():
        check_images(f"rows[{label!r}]", images)
        if images.shape[1] not in CHANNELS:
            given = f"{images.shape[1]} channels where 1 or 3 are accepted"
            raise ValueError(f"rows[{label!r}]: {given}")
    sizes = {tuple(images.shape[2:]) for images in rows.values()}
    if len(sizes) > 1:
        raise ValueError(f"rows: image sizes {sorted(sizes)} differ; accepted: one size for all")
    return sizes.pop()


def _strip(images: Tensor, channels: int, longest: int, margin: int) -> Tensor:
    """Put images side by side, with an empty (NaN) margin between and below, (channels, ., .)."""
    n, _, height, width = images.shape
    strip = torch.full((channels, height + margin, longest, width + margin), torch.nan)
    strip[:, :height, :n, :width] = images.detach().cpu().permute(1, 2, 0, 3)
    return strip.flatten(2)[:, :, :-margin]


def drawn_from_one_noise(
    samples: Mapping[tuple[int, str], Tensor], closest: Mapping[tuple[int, str], Tensor], i: int
) -> Axes:
    """Draw the samples ``i`` of two networks from the same noise, one column for each N (Figure 2).

    Above and below stand the training images that are closest to the two. Both mappings are by
    number of training images N and subset, ``S1`` or ``S2``, and hold images (m, 1, H, W).

    Examples
    --------
    >>> drawn = {(n, subset): torch.rand(2, 1, 8, 8) for n in (1, 10) for subset in ("S1", "S2")}
    >>> ax = drawn_from_one_noise(drawn, drawn, i=0)
    >>> [label.get_text() for label in ax.get_xticklabels()]
    ['N = 1', 'N = 10']
    """
    sizes = _sizes_of_pairs("samples", samples)
    if _sizes_of_pairs("closest", closest) != sizes:
        raise ValueError(f"closest: for {list(closest)}; accepted: for {list(samples)}")
    check_count("i", i, 0, min(map(len, samples.values())) - 1)

    shown = {
        "closest in S1": (closest, "S1"),
        "network of S1": (samples, "S1"),
        "network of S2": (samples, "S2"),
        "closest in S2": (closest, "S2"),
    }
    rows: dict[Label, Tensor] = {
        label: torch.stack([images[n, subset][i] for n in sizes])
        for label, (images, subset) in shown.items()
    }
    return image_grid(rows, columns=[label_text(n) for n in sizes])


def _sizes_of_pairs(argument: str, images: Mapping[tuple[int, str], Tensor]) -> list[int]:
    """Return the numbers N of pairs of networks, of S1 and S2."""
    look.check_some(argument, images, Tensor, "a tensor (m, 1, H, W)")
    sizes = list(dict.fromkeys(key[0] for key in images if isinstance(key, tuple)))
    if images.keys() != {(n, subset) for n in sizes for subset in ("S1", "S2")}:
        raise ValueError(f"{argument}: for {list(images)}; accepted: pairs (N, 'S1'), (N, 'S2')")
    return sizes


def similarity_histograms(groups: Mapping[str, Mapping[Label, Tensor]]) -> list[Axes]:
    """Draw histograms of cosine similarities, one row of axes for each N (Figures 2 and 6).

    Each is as high as its row; a line marks its median. There are one or two ``groups``, by name,
    each with values (n,) in [-0.5, 1] by number of training images N, the same ones in both.

    Examples
    --------
    >>> same, other = torch.full((9,), 0.9), torch.full((9,), 0.6)
    >>> axes = similarity_histograms({"a": {10: same, 100: other}, "b": {10: other, 100: same}})
    >>> [ax.get_ylabel() for ax in axes], axes[-1].get_xlabel()
    (['N = 10', 'N = 100'], 'Cosine similarity (means removed)')
    """
    look.check_some("groups", groups, Mapping, "a mapping of N to similarities")
    palette = dict(zip(groups, look.SIMILARITIES, strict=False))
    labels = list(next(iter(groups.values())))
    if len(groups) > len(palette) or any(list(group) != labels for group in groups.values()):
        raise ValueError("groups: accepted: one or two, with the same labels in the same order")
    for name, group in groups.items():
        look.check_some(f"groups[{name!r}]", group, Tensor, "a tensor (n,)")
    _, axes = look.panels(1, height=1 + len(labels), rows=len(labels), share_x=True)
    with look.style():
        for ax, label in zip(axes, labels, strict=True):
            for name, group in groups.items():
                values, color = group[label].numpy(), palette[name]
                # Each to its own peak: beside a spike, a broad histogram would not be seen.
                counts = np.histogram(values, BINS)[0]
                heights = counts / counts.max()
                ax.stairs(heights, BINS, color=color, alpha=0.6, fill=True, label=name)
                ax.axvline(float(np.median(values)), color=color)
            ax.set_yticks([])
            ax.set_ylabel(label_text(label), rotation=0, ha="right", va="center")
        axes[-1].set_xlabel("Cosine similarity (means removed)")
        axes[-1].set_xlim(BINS[0], BINS[-1])
        axes[0].legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2)  # off the bars
    return axes


def basis_vectors(basis: Basis, numbers: Sequence[int], columns: int = 7) -> Figure:
    """Draw basis vectors as images, each with its shrinkage factor above (Figure 3, right).

    Vectors are numbered from 1, and drawn in rows of so many ``columns`` as by :func:`as_gray`:
    those of color in color, of any other number of channels, such as codes have, the mean.

    Examples
    --------
    >>> import gahb
    >>> basis = gahb.adaptive_basis(lambda y: 0.5 * y, torch.rand(1, 1, 4, 4))
    >>> figure = basis_vectors(basis, [1, 2, 16])
    >>> print(figure.axes[2].get_title())
    $\\lambda_{16} = 0.50$
    """
    check_type("basis", basis, Basis, BASIS)
    check_type("numbers", numbers, Sequence, "a sequence of numbers of basis vectors")
    if not len(numbers):
        raise ValueError("numbers: empty; accepted: at least one basis vector")
    for k in numbers:
        check_count("numbers", k, 1, len(basis.eigenvalues))
    check_count("columns", columns)
    rows = -(-len(numbers) // columns)
    height, width = basis.eigenvectors.shape[2:]
    row_inches = look.PAGE_WIDTH / columns * height / width + TITLE_INCHES
    figure, axes = look.panels(columns, rows * row_inches, rows=rows, share_y=False)
    for ax in axes[len(numbers) :]:
        ax.remove()
    for ax, k in zip(axes, numbers, strict=False):
        vector = basis.eigenvectors[k - 1 : k].detach().cpu()
        _show(ax, as_gray(as_drawn(vector))[0])
        factor = f"{float(basis.eigenvalues[k - 1]):.2f}"
        ax.set_title(rf"$\lambda_{{{k}}} = {factor}$", fontsize=9, loc="center")
    return figure


def shrinkage_factors(bases: Mapping[Label, Basis | Tensor], ax: Axes | None = None) -> Axes:
    """Draw shrinkage factors of several bases against their number k, on a logarithmic scale.

    In place of a basis, its factors (k,) will do.

    Examples
    --------
    >>> import gahb
    >>> basis = gahb.adaptive_basis(lambda y: 0.5 * y, torch.rand(1, 1, 4, 4))
    >>> ax = shrinkage_factors({"half": basis, "factors alone": torch.tensor([1.0, 0.2])})
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('k', 'Shrinkage factor $\\\\lambda_k$')
    >>> [len(line.get_xdata()) for line in ax.lines[:2]]
    [16, 2]
    """
    look.check_some("bases", bases, Basis | Tensor, f"{BASIS}, or its factors (k,)")
    palette = look.colors(bases)
    with look.on_axes(ax) as ax:
        for label, basis in bases.items():
            factors = (basis.eigenvalues if isinstance(basis, Basis) else basis).cpu()
            ax.plot(range(1, len(factors) + 1), factors, color=palette[label])
        look.log_axis(ax)
        for level in (0, 1):
            look.level_line(ax, level)
        look.label_axes(ax, "k", r"Shrinkage factor $\lambda_k$")
        look.legend(ax, palette, {})
    return ax


def shrinkage_and_coefficients(basis: Basis, x: Tensor, ax: Axes | None = None) -> Axes:
    r"""Draw shrinkage factors and what a clean image has along their vectors (Figure 3, left).

    Returns the axes of the factors, at the left; the magnitudes :math:`|\langle x, e_k \rangle|`
    of the clean image, (1, C, H, W), have their axis at the right.

    Examples
    --------
    >>> import gahb
    >>> y = torch.rand(1, 1, 4, 4)
    >>> ax = shrinkage_and_coefficients(gahb.adaptive_basis(lambda y: 0.5 * y, y), y)
    >>> ax.get_xlabel()
    'k'
    """
    magnitudes = coefficients(basis, x).abs().cpu()
    if len(magnitudes) != 1:
        raise ValueError(f"x: {len(magnitudes)} images; accepted: one, of shape (1, C, H, W)")
    k = range(1, len(basis.eigenvalues) + 1)
    with look.on_axes(ax) as ax:
        right = ax.twinx()
        right.plot(k, magnitudes[0], color=look.COEFFICIENTS, linewidth=0.9)
        ax.plot(k, basis.eigenvalues.cpu(), color=look.FACTORS)
        ax.set_zorder(right.get_zorder() + 1)
        ax.patch.set_visible(False)
        look.label_axes(ax, "k", r"Shrinkage factor $\lambda_k$")
        right.set_ylabel(r"$|\langle x, e_k \rangle|$", color=look.COEFFICIENTS)
        ax.yaxis.label.set_color(look.FACTORS)
        right.spines["right"].set_visible(True)
        for axes in (ax, right):
            axes.grid(False)  # two axes, two scales
        right.set_ylim(0, None)
    return ax
