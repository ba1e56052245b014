"""One look for all figures: sizes, colors by meaning, and what the axes of several share."""

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from torch import Tensor

from gahb.checks import check_count, check_number, check_type
from gahb.metrics import psnr_from_sigma

Label = int | str  # a number of training images N, or a name

PAGE_WIDTH = 7.0  # inches; a page is about 700 pixels wide, so that 10 points are 14 pixels on it
HEIGHT = 4.2
LARGEST_N = 10**5
SIGMAS = (2.0, 1.0, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001)
NARROW = 2.0  # inches of an axis with room for few labels

# One color and one line style for each meaning; sizes N and methods have the ramp of ``colors``.
GRAY = "0.45"  # what the rest is compared with: the identity, levels, marks
SIMILARITIES = ("tab:blue", "tab:orange")  # of two networks, and to the training set
FACTORS, COEFFICIENTS = "tab:red", "tab:blue"
REFERENCE: Any = "--"  # an optimum, theory or training images
DOTTED: Any = ":"  # a constant, the identity
BAND_OPACITY = 0.18

_LOOK: Any = {
    "figure.figsize": (PAGE_WIDTH, HEIGHT),
    "figure.dpi": 200,  # two pixels for each one of the page: sharp on fine screens as well
    "figure.facecolor": "white",
    "figure.constrained_layout.use": True,
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
    **dict.fromkeys(("xtick.labelsize", "ytick.labelsize", "legend.fontsize"), 9),
    **dict.fromkeys(("xtick.color", "ytick.color"), "0.3"),
    **dict.fromkeys(("xtick.labelcolor", "ytick.labelcolor"), "0.15"),
    "legend.edgecolor": "none",
    "legend.facecolor": "white",
    "legend.framealpha": 0.85,
    "lines.linewidth": 1.8,
    "lines.markersize": 4,
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


class _BookAxes(Axes):
    """Axes whose titles have the look of the book also where a caller sets them."""

    def set_title(self, *args: Any, **kwargs: Any) -> Text:
        with style():
            return super().set_title(*args, **kwargs)


def panels(
    columns: int, height: float = 3.6, *, rows: int = 1, share_x: bool = False, share_y: bool = True
) -> tuple[Figure, list[Axes]]:
    """Create a figure as wide as a page, 7 inches, with one row of axes, or more, row by row.

    The axes share their horizontal or vertical axis if asked to: all but the ones at the bottom
    and at the left are then without numbers and labels. The height is in inches.

    Examples
    --------
    >>> fig, (left, right) = panels(2)
    >>> plt.close(fig)
    """
    check_count("columns", columns)
    check_count("rows", rows)
    check_number("height", height, low=0.5)
    of_all: Any = {"squeeze": False, "subplot_kw": {"axes_class": _BookAxes}}
    with style():
        fig, axes = plt.subplots(
            rows, columns, figsize=(PAGE_WIDTH, height), sharex=share_x, sharey=share_y, **of_all
        )
    return fig, list(axes.flat)


@contextmanager
def on_axes(ax: Axes | None, height: float = HEIGHT) -> Iterator[Axes]:
    """Draw on ``ax``, or on the axes of a new figure as wide as a page, in the look of the book."""
    check_type("ax", ax, Axes | None, "axes of matplotlib")
    with style():
        yield panels(1, height)[1][0] if ax is None else ax


def colors(labels: Iterable[Label]) -> dict[Label, Any]:
    """Return the color of each label, from dark to light, ordered for color-blind readers too.

    A training set size has the same color in every figure, by its logarithm; names are spread
    evenly in the order given.

    Examples
    --------
    >>> few, many = colors([1, 100]), colors([1, 10, 100, 1000])
    >>> few[100] == many[100]
    True
    """
    check_type("labels", labels, Iterable, "labels: numbers of images N, or names")
    labels = list(labels)
    for label in labels:
        check_type("labels", label, int | str, "a number of images N, or a name")
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
    """Write a count with commas between thousands, as the pages do."""
    check_count("n", n, minimum=0)
    return f"{n:,}"


def label_text(label: Label) -> str:
    """Write a number of training images as N = ...; leave a name as it is."""
    return f"N = {count_label(label)}" if isinstance(label, int) else label


def check_some(argument: str, entries: Any, kind: Any = object, accepted: str = "") -> None:
    """Raise unless there are labeled entries to draw, all of one kind, as ``accepted`` says."""
    check_type(argument, entries, Mapping, "a mapping of labels to what is drawn")
    if not entries:
        raise ValueError(f"{argument}: empty; accepted: at least one labeled entry")
    for label, entry in entries.items():
        check_type(f"{argument}[{label!r}]", entry, kind, accepted)


def band(ax: Axes, x: Tensor, low: Tensor, high: Tensor, color: Any) -> None:
    """Shade an interval around a curve; NaN bounds leave it bare."""
    ax.fill_between(x, low, high, color=color, alpha=BAND_OPACITY, linewidth=0)


def level_line(ax: Axes, y: float) -> None:
    """Draw a dotted line across the axes at a level that others are compared with."""
    ax.axhline(y, color=GRAY, linestyle=DOTTED, zorder=1)


def label_axes(ax: Axes, x: str, y: str) -> None:
    """Label both axes; the vertical one only where it carries numbers, not in inner panels."""
    ax.set_xlabel(x)
    if ax.yaxis.get_tick_params().get("labelleft", True):
        ax.set_ylabel(y)


def vertical_scale(ax: Axes, scale: str | float) -> None:
    """Make the vertical axis linear, logarithmic, or linear up to a value and then logarithmic."""
    if scale == "linear":
        return
    if scale == "log":
        ax.set_yscale("log")
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.yaxis.set_minor_formatter(NullFormatter())
    else:
        ax.set_yscale("symlog", linthresh=scale)
    ax.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}".replace("-", "−")))


def log_axis(ax: Axes, *, counts: bool = True) -> None:
    """Make the horizontal axis logarithmic, with the labels of counts."""
    ax.set_xscale("log")
    if counts:
        ax.xaxis.set_major_formatter(FuncFormatter(lambda n, _: count_label(round(n))))
        ax.xaxis.set_minor_formatter(NullFormatter())


def noise_axis(ax: Axes, levels: Tensor) -> None:
    """Fit the horizontal axis to input PSNRs in dB, and write the same levels as sigma above."""
    low, high = float(levels.min()), float(levels.max())
    if low < high:
        ax.set_xlim(low, high)
    above = ax.secondary_xaxis("top")
    narrow = ax.get_window_extent().width < NARROW * ax.figure.dpi
    named = SIGMAS[1::3] if narrow else SIGMAS  # powers of ten
    inside = [sigma for sigma in named if low - 1e-6 <= psnr_from_sigma(sigma) <= high + 1e-6]
    above.set_xticks([psnr_from_sigma(sigma) for sigma in inside], [f"{s:g}" for s in inside])
    above.set_xlabel("Noise level σ", fontsize=9, color="0.3")
    above.tick_params(labelsize=8, length=2.5)


def legend(
    ax: Axes, palette: Mapping[Label, Any], line_styles: Mapping[str, Any], *, beside: bool = False
) -> None:
    """Add a legend: one color for each label, then a gray line for each line style."""
    drawn: list[Any] = [(label_text(label), color, "-") for label, color in palette.items()]
    drawn += [(label, GRAY, line_style) for label, line_style in line_styles.items()]
    handles = [Line2D([], [], color=c, linestyle=s, label=label) for label, c, s in drawn]
    place: Any = {"loc": "center left", "bbox_to_anchor": (1, 0.5)} if beside else {}
    ax.legend(handles=handles, **place)
