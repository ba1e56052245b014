"""How alike images are, as histograms.

floor: 5
"""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from torch import Tensor

from gahb.figures.furniture import check_some
from gahb.figures.style import WIDTH, Label, label_text, style

__all__ = ["similarity_histograms"]

BINS = np.linspace(-0.5, 1, 61)
ROW_HEIGHT, MARGIN = 1.0, 1.0  # inches
PALETTE = ("tab:blue", "tab:orange")


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

    Raises
    ------
    ValueError
        If there is nothing to draw, more than two kinds, or their labels differ.

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
            for colour, (name, group) in zip(PALETTE, groups.items(), strict=False):
                values = group[label].numpy()
                # Each to its own peak: beside a spike, a broad histogram would not be seen.
                counts = np.histogram(values, BINS)[0]
                ax.stairs(
                    counts / counts.max(), BINS, color=colour, alpha=0.6, fill=True, label=name
                )
                ax.axvline(float(np.median(values)), color=colour)
            ax.set_yticks([])
            ax.set_ylabel(label_text(label), rotation=0, ha="right", va="center")
        axes[-1].set_xlabel("Cosine similarity (means removed)")
        axes[-1].set_xlim(BINS[0], BINS[-1])
        axes[0].set_title(title or "")
        axes[0].legend(loc="upper left")
    return axes
