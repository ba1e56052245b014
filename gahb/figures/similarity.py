"""How alike images are: side by side, and as histograms.

floor: 5
"""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from torch import Tensor

from gahb.figures.furniture import check_some
from gahb.figures.images import image_grid
from gahb.figures.style import WIDTH, Label, label_text, style

__all__ = ["drawn_from_one_noise", "similarity_histograms"]

BINS = np.linspace(-0.5, 1, 61)
ROW_HEIGHT, MARGIN = 1.0, 1.0  # inches
PALETTE = ("tab:blue", "tab:orange")


def drawn_from_one_noise(
    samples: Mapping[tuple[int, str], Tensor], closest: Mapping[tuple[int, str], Tensor], i: int
) -> Axes:
    """What two networks draw from the same noise, one column for each N (Figure 2).

    Above and below stand the training images that are closest to the two.

    Parameters
    ----------
    samples, closest : mapping of (int, str) to Tensor
        By number of training images N and subset, ``S1`` or ``S2``: what the network draws, and
        the training images closest to it, (m, 1, H, W).
    i : int
        Which of the m samples.

    Raises
    ------
    ValueError
        If there is nothing to draw.

    Examples
    --------
    >>> drawn = {(n, subset): torch.rand(2, 1, 8, 8) for n in (1, 10) for subset in ("S1", "S2")}
    >>> ax = drawn_from_one_noise(drawn, drawn, i=0)
    >>> [label.get_text() for label in ax.get_xticklabels()]
    ['N = 1', 'N = 10']
    """
    check_some("samples", samples)
    sizes = list(dict.fromkeys(n for n, _ in samples))
    rows = {
        "closest in S1": (closest, "S1"),
        "network of S1": (samples, "S1"),
        "network of S2": (samples, "S2"),
        "closest in S2": (closest, "S2"),
    }
    images: dict[Label, Tensor] = {
        label: torch.stack([among[n, subset][i] for n in sizes])
        for label, (among, subset) in rows.items()
    }
    return image_grid(images, columns=[label_text(n) for n in sizes])


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
