"""What happens in the course of a training.

floor: 5
"""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from gahb.figures.furniture import BAND_OPACITY, check_some, label_axes, labelled_legend
from gahb.figures.style import Label, axes_or_new, colours, count_label, style
from gahb.metrics import psnr_from_sigma

__all__ = ["curve_against_updates"]

History = Mapping[int, float]


def curve_against_updates(
    train: Mapping[Label, History],
    test: Mapping[Label, History],
    sigma: float,
    ax: Axes | None = None,
    *,
    legend: bool = True,
    title: str | None = None,
) -> Axes:
    """Output PSNR on training and test images at one noise level, against updates of the weights.

    Where the two lines of a training set size part, the network begins to memorise; the shade
    between them is the gap.

    Parameters
    ----------
    train, test : mapping of int or str to mapping of int to float
        For each number of training images N, or name: PSNR in dB by number of updates.
    sigma : float
        Noise level at which it was measured.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.
    legend : bool
        Draw a legend.
    title : str, optional
        Title of the axes.

    Raises
    ------
    ValueError
        If there is no training, or train and test differ in their labels or updates.

    Examples
    --------
    >>> ax = curve_against_updates(
    ...     {100: {10: 20.0, 100: 25.0, 1000: 31.0}}, {100: {10: 20.0, 100: 24.5, 1000: 24.0}}, 0.1
    ... )
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('Updates', 'Output PSNR at σ = 0.1 (dB)')
    """
    check_some("train", train)
    psnr_from_sigma(sigma)
    _check_same_snapshots(train, test)
    palette = colours(train)
    with style():
        ax = axes_or_new(ax)
        for label, colour in palette.items():
            updates = sorted(train[label])
            on_train = [train[label][u] for u in updates]
            on_test = [test[label][u] for u in updates]
            ax.plot(updates, on_train, color=colour, linestyle="--", marker="o", mfc="white")
            ax.plot(updates, on_test, color=colour, linestyle="-", marker="o")
            ax.fill_between(
                updates, on_test, on_train, color=colour, alpha=BAND_OPACITY, linewidth=0
            )
        ax.set_xscale("log")
        ax.xaxis.set_major_formatter(FuncFormatter(lambda u, _: count_label(round(u))))
        label_axes(ax, "Updates", f"Output PSNR at σ = {sigma:g} (dB)", title)
        if legend:
            labelled_legend(ax, palette, {"training images": "--", "test images": "-"})
    return ax


def _check_same_snapshots(train: Mapping[Label, History], test: Mapping[Label, History]) -> None:
    if set(train) != set(test):
        raise ValueError(f"test: labels {list(test)} are not those of train, {list(train)}")
    for label in train:
        if not train[label] or set(train[label]) != set(test[label]):
            raise ValueError(
                f"test[{label!r}]: updates {sorted(test[label])} are not those of train, "
                f"{sorted(train[label])}, or there are none"
            )
        if min(train[label]) < 1:
            raise ValueError(f"train[{label!r}]: updates {min(train[label])} are not at least 1")
