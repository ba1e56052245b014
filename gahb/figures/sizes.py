"""What depends on the number of training images.

floor: 5
"""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullFormatter
from torch import tensor

from gahb.checks import check_number
from gahb.figures.furniture import band, check_some, label_axes, labelled_legend
from gahb.figures.style import GREY, axes_or_new, colours, count_label, style
from gahb.metrics import Estimate

__all__ = ["estimates_against_n"]


def estimates_against_n(
    groups: Mapping[str, Mapping[int, Estimate]],
    y_label: str,
    ax: Axes | None = None,
    *,
    linear_up_to: float | None = None,
    mark: Estimate | None = None,
    title: str | None = None,
) -> Axes:
    """Numbers measured at several training set sizes N, one line for each name (Figure 15).

    Bands are 95% intervals.

    Parameters
    ----------
    groups : mapping of str to mapping of int to Estimate
        By name, and by number of training images N.
    y_label : str
        What was measured, and its unit.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.
    linear_up_to : float, optional
        Vertical scale: linear up to this value and logarithmic beyond; linear by default.
    mark : Estimate, optional
        A number of training images to mark, with its interval.
    title : str, optional
        Title of the axes.

    Raises
    ------
    ValueError
        If there is nothing to draw, or ``linear_up_to`` is not positive.

    Examples
    --------
    >>> gap = {n: Estimate(30 / n, (28 / n, 32 / n)) for n in (10, 100, 1000)}
    >>> ax = estimates_against_n({"32 x 32": gap}, "Average gap (dB)", linear_up_to=0.1)
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('Training images N', 'Average gap (dB)')
    """
    check_some("groups", groups)
    for name, estimates in groups.items():
        check_some(f"groups[{name!r}]", estimates)
    palette = colours(groups)
    with style():
        ax = axes_or_new(ax)
        ax.set_xscale("log")
        if linear_up_to is not None:
            check_number("linear_up_to", linear_up_to, low=1e-12)
            ax.set_yscale("symlog", linthresh=linear_up_to)
            ax.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}".replace("-", "−")))
            ax.axhline(0, color=GREY, linestyle=":", zorder=1)
        for name, estimates in groups.items():
            _draw(ax, estimates, palette[name])
        if mark is not None:
            ax.axvline(mark.value, color=GREY, linestyle="--", zorder=1)
            ax.axvspan(*mark.interval, color=GREY, alpha=0.25, linewidth=0, zorder=1)
        ax.xaxis.set_major_formatter(FuncFormatter(lambda n, _: count_label(round(n))))
        ax.xaxis.set_minor_formatter(NullFormatter())
        label_axes(ax, "Training images N", y_label, title)
        labelled_legend(ax, palette, {})
    return ax


def _draw(ax: Axes, estimates: Mapping[int, Estimate], colour: object) -> None:
    """A line through estimates in order of N, and the band of their intervals."""
    sizes = sorted(estimates)
    ax.plot(sizes, [estimates[n].value for n in sizes], color=colour, marker="o")
    low, high = tensor([estimates[n].interval for n in sizes]).T
    band(ax, tensor(sizes), low, high, colour)
