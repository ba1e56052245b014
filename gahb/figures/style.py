"""One look for all figures: sizes, type, and colours that are ordered like what they stand for.

floor: 5
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gahb.checks import check_count, check_number

__all__ = ["Label", "axes_or_new", "colours", "count_label", "label_text", "panels", "style"]

WIDTH = 7.0  # inches; a page is about 700 pixels wide, so that 10 points are 14 pixels on it
HEIGHT = 4.2
LARGEST_N = 10**5
GREY = "0.45"
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
        One vertical axis for all, labelled at the left only.

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


def colours(labels: Iterable[Label]) -> dict[Label, Any]:
    """Colour of each label, from dark to light in an order that colour-blind readers see too.

    A training set size has the same colour in every figure, by its logarithm; names are spread
    evenly in the order given.

    Parameters
    ----------
    labels : iterable of int or str
        Numbers of training images N, from 1 to 100,000, or names.

    Examples
    --------
    >>> few, many = colours([1, 100]), colours([1, 10, 100, 1000])
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
