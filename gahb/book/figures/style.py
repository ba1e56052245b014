"""One look for all figures: sizes, type, and colors that are ordered like what they stand for."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from torch import Tensor

from gahb.checks import check_count, check_number
from gahb.metrics import psnr_from_sigma

__all__ = [
    "BAND_OPACITY",
    "Label",
    "axes_or_new",
    "band",
    "check_some",
    "colors",
    "count_label",
    "label_axes",
    "label_noise_axis",
    "label_text",
    "labeled_legend",
    "panels",
    "style",
]


WIDTH = 7.0  # inches; a page is about 700 pixels wide, so that 10 points are 14 pixels on it
HEIGHT = 4.2
LARGEST_N = 10**5
GRAY = "0.45"
Label = int | str  # a number of training images N, or a name

_LOOK: Any = {
    "figure.figsize": (WIDTH, HEIGHT),
    "figure.dpi": 200,  # two pixels for each one of the page: sharp on fine screens as well
    "figure.facecolor": "white",
    "figure.constrained_layout.use": True,
    "savefig.facecolor": "white",
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 10,
    "axes.edgecolor": "0.3",
    "axes.linewidth": 0.8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "0.9",
    "grid.linewidth": 0.7,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "xtick.color": "0.3",
    "ytick.color": "0.3",
    "xtick.labelcolor": "0.15",
    "ytick.labelcolor": "0.15",
    "legend.fontsize": 9,
    "legend.title_fontsize": 9,
    "legend.edgecolor": "none",
    "legend.facecolor": "white",
    "legend.framealpha": 0.85,
    "lines.linewidth": 1.8,
    "lines.markersize": 4,
    "image.cmap": "gray",
    "image.interpolation": "nearest",
}


@contextmanager
def style() -> Iterator[None]:
    """Give the look of the book to figures that are created inside the block.

    Examples
    --------
    >>> with style():
    ...     fig, ax = plt.subplots()
    >>> fig.get_size_inches()
    array([7. , 4.2])
    >>> plt.close(fig)
    """
    with matplotlib.rc_context(_LOOK):
        yield
        interactive = matplotlib.is_interactive()
    # The first figure loads a notebook's backend, which switches to interactive: undone with the
    # rest of the context, that would leave every later figure unseen.
    matplotlib.interactive(interactive)


def panels(columns: int, height: float = 3.6, *, share_y: bool = True) -> tuple[Figure, list[Axes]]:
    """Figure of one row of axes, as wide as a page.

    Parameters
    ----------
    columns : int
        Number of axes.
    height : float
        Height of the figure in inches; a page is 7 inches wide.
    share_y : bool
        One vertical axis for all, labeled at the left only.

    Examples
    --------
    >>> fig, (left, right) = panels(2)
    >>> plt.close(fig)
    """
    check_count("columns", columns)
    check_number("height", height, low=0.5)
    with style():
        fig, axes = plt.subplots(1, columns, figsize=(WIDTH, height), sharey=share_y, squeeze=False)
    return fig, list(axes[0])


def axes_or_new(ax: Axes | None, height: float = HEIGHT) -> Axes:
    """Give ``ax`` itself, or the axes of a new figure as wide as a page."""
    return panels(1, height)[1][0] if ax is None else ax


def colors(labels: Iterable[Label]) -> dict[Label, Any]:
    """Color of each label, from dark to light in an order that color-blind readers see too.

    A training set size has the same color in every figure, by its logarithm; names are spread
    evenly in the order given.

    Parameters
    ----------
    labels : iterable of int or str
        Numbers of training images N, from 1 to 100,000, or names.

    Examples
    --------
    >>> few, many = colors([1, 100]), colors([1, 10, 100, 1000])
    >>> few[100] == many[100]
    True
    """
    labels = list(labels)
    # The map ends where it becomes too pale for a line on white.
    ramp, darkest, palest = matplotlib.colormaps["inferno"], 0.04, 0.82
    counts = [label for label in labels if isinstance(label, int) and label >= 1]
    if len(counts) == len(labels):
        places = [math.log10(n) / math.log10(LARGEST_N) for n in counts]
    else:
        places = [i / max(len(labels) - 1, 1) for i in range(len(labels))]
    tones = [darkest + (palest - darkest) * min(place, 1) for place in places]
    return {label: ramp(tone) for label, tone in zip(labels, tones, strict=True)}


def count_label(n: int) -> str:
    """Write a count with thin spaces between thousands.

    Examples
    --------
    >>> count_label(10000)
    '10\\u2009000'
    """
    return f"{n:,}".replace(",", "\u2009")


def label_text(label: Label) -> str:
    """Write a number of training images as N = ...; leave a name as it is."""
    return f"N = {count_label(label)}" if isinstance(label, int) else label


# --- What the axes of several figures share: the noise axis, bands, labels and legends ---


BAND_OPACITY = 0.18
SIGMAS = (2.0, 1.0, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001)


def check_some(argument: str, entries: Mapping[Any, Any]) -> None:
    """Raise ValueError if there is nothing to draw."""
    if not entries:
        raise ValueError(f"{argument}: empty; accepted: at least one labeled entry")


def band(ax: Axes, x: Tensor, low: Tensor, high: Tensor, color: Any) -> None:
    """Shade an interval around a curve; NaN bounds leave it bare."""
    ax.fill_between(
        x.numpy(), low.numpy(), high.numpy(), color=color, alpha=BAND_OPACITY, linewidth=0
    )


def label_axes(ax: Axes, x: str, y: str, title: str | None) -> None:
    """Label both axes; the vertical one only where it carries numbers, not in inner panels."""
    ax.set_xlabel(x)
    if ax.yaxis.get_tick_params().get("labelleft", True):
        ax.set_ylabel(y)
    if title is not None:
        ax.set_title(title)


def label_noise_axis(ax: Axes, levels: Sequence[Tensor], y: str, title: str | None) -> None:
    """Horizontal axis in dB of input PSNR, and the same noise levels as sigma above."""
    low = min(float(level.min()) for level in levels)
    high = max(float(level.max()) for level in levels)
    if low < high:
        ax.set_xlim(low, high)
    label_axes(ax, "Input PSNR (dB)", y, title)
    above = ax.secondary_xaxis("top")
    inside = [sigma for sigma in SIGMAS if low - 1e-6 <= psnr_from_sigma(sigma) <= high + 1e-6]
    above.set_xticks([psnr_from_sigma(sigma) for sigma in inside], [f"{s:g}" for s in inside])
    above.set_xlabel("Noise level σ", fontsize=9, color="0.3")
    above.tick_params(labelsize=8, length=2.5)


def labeled_legend(
    ax: Axes,
    palette: Mapping[Label, Any],
    line_styles: Mapping[str, Any],
    *,
    beside: bool = False,
) -> None:
    """Legend with one color for each label, then a gray line for each line style."""
    handles = [
        Line2D([], [], color=color, label=label_text(label)) for label, color in palette.items()
    ]
    handles += [
        Line2D([], [], color=GRAY, linestyle=line_style, label=label)
        for label, line_style in line_styles.items()
    ]
    if beside:
        ax.legend(handles=handles, loc="center left", bbox_to_anchor=(1, 0.5))
    else:
        ax.legend(handles=handles)
