"""What happens in the course of a training.

floor: 5
"""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullFormatter

from gahb.figures.furniture import BAND_OPACITY, check_some, label_axes, labelled_legend
from gahb.figures.style import Label, axes_or_new, colours, count_label, label_text, style
from gahb.metrics import psnr_from_sigma

__all__ = ["curve_against_updates", "gap_map"]

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
        ax.xaxis.set_minor_formatter(NullFormatter())
        label_axes(ax, "Updates", f"Output PSNR at σ = {sigma:.2g} (dB)", title)
        if legend:
            labelled_legend(ax, palette, {"training images": "--", "test images": "-"})
    return ax


def gap_map(
    train: Mapping[Label, History],
    test: Mapping[Label, History],
    sigma: float,
    ax: Axes | None = None,
    *,
    title: str | None = None,
) -> Axes:
    """Train-test gap at one noise level in the plane of training set size and updates.

    Each cell is one snapshot of one training: pale where seen and unseen images are denoised
    alike, dark where the network has memorised.

    Parameters
    ----------
    train, test : mapping of int or str to mapping of int to float
        For each number of training images N, or name: PSNR in dB by number of updates, at the
        same updates for all.
    sigma : float
        Noise level at which it was measured.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.
    title : str, optional
        Title of the axes.

    Raises
    ------
    ValueError
        If there is no training, or labels or updates differ.

    Examples
    --------
    >>> early, late = {10: 20.0, 100: 24.0}, {10: 20.0, 100: 31.0}
    >>> ax = gap_map({100: late, 10000: early}, {100: early, 10000: early}, sigma=0.1)
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['N = 100', 'N = 10\u2009000']
    """
    check_some("train", train)
    psnr_from_sigma(sigma)
    _check_same_snapshots(train, test)
    updates = sorted(next(iter(train.values())))
    for label, history in train.items():
        if sorted(history) != updates:
            raise ValueError(f"train[{label!r}]: updates {sorted(history)} are not {updates}")
    gap = [[train[label][u] - test[label][u] for u in updates] for label in train]
    with style():
        ax = axes_or_new(ax, height=1.4 + 0.4 * len(train))
        # The updates are spaced evenly on a logarithmic scale, and so are the cells.
        cells = ax.pcolormesh(gap, cmap="magma_r", vmin=0, edgecolors="white", linewidth=0.5)
        ax.set_xticks([i + 0.5 for i in range(len(updates))], [count_label(u) for u in updates])
        ax.tick_params(axis="x", rotation=45)
        ax.set_yticks([i + 0.5 for i in range(len(gap))], [label_text(label) for label in train])
        ax.figure.colorbar(cells, ax=ax, label=f"Train - test, σ = {sigma:.2g} (dB)")
        label_axes(ax, "Updates", "", title)
        ax.grid(False)
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
