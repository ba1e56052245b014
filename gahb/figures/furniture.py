"""What the axes of several figures share: the noise axis, bands, labels and legends.

floor: 5
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from torch import Tensor

from gahb.figures.style import GREY, Label, label_text
from gahb.metrics import psnr_from_sigma

__all__ = [
    "BAND_OPACITY",
    "band",
    "check_some",
    "label_axes",
    "label_noise_axis",
    "labelled_legend",
]

BAND_OPACITY = 0.18
SIGMAS = (2.0, 1.0, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001)


def check_some(argument: str, entries: Mapping[Any, Any]) -> None:
    """Raise ValueError if there is nothing to draw."""
    if not entries:
        raise ValueError(f"{argument}: empty; accepted: at least one labelled entry")


def band(ax: Axes, x: Tensor, low: Tensor, high: Tensor, colour: Any) -> None:
    """Shade an interval around a curve; NaN bounds leave it bare."""
    ax.fill_between(
        x.numpy(), low.numpy(), high.numpy(), color=colour, alpha=BAND_OPACITY, linewidth=0
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


def labelled_legend(
    ax: Axes,
    palette: Mapping[Label, Any],
    line_styles: Mapping[str, Any],
    *,
    beside: bool = False,
) -> None:
    """Legend with one colour for each label, then a grey line for each line style."""
    handles = [
        Line2D([], [], color=colour, label=label_text(label)) for label, colour in palette.items()
    ]
    handles += [
        Line2D([], [], color=GREY, linestyle=line_style, label=label)
        for label, line_style in line_styles.items()
    ]
    if beside:
        ax.legend(handles=handles, loc="center left", bbox_to_anchor=(1, 0.5))
    else:
        ax.legend(handles=handles)
