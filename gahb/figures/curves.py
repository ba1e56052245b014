"""Curves over noise levels: output PSNR, and the gap between train and test.

floor: 5
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from gahb.figures.furniture import band, check_some, label_noise_axis, labelled_legend
from gahb.figures.style import GREY, Label, axes_or_new, colours, style
from gahb.metrics import Gap, PsnrCurve

__all__ = ["gaps", "psnr_curves"]

GAP_TICKS = [-30, -10, -3, -1, -0.5, 0, 0.5, 1, 3, 10, 30]


def psnr_curves(
    curves: Mapping[Label, PsnrCurve],
    ax: Axes | None = None,
    dashed: Mapping[Label, PsnrCurve] | None = None,
    *,
    identity: bool = True,
    legend: bool = True,
    dashed_label: str = "exact optimum",
    title: str | None = None,
) -> Axes:
    """Output PSNR against input PSNR, one curve for each training set size or name (Figure 1).

    The noise falls from left to right; sigma is written above. Bands are 95% intervals.

    Parameters
    ----------
    curves : mapping of int or str to PsnrCurve
        Curves by number of training images N, or by name.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.
    dashed : mapping of int or str to PsnrCurve, optional
        Reference curves, in the colours of ``curves``. They do not widen the range of the axes:
        an optimum that has memorised its images leaves through the top.
    identity : bool
        Draw the line of a denoiser that changes nothing.
    legend : bool
        Draw a legend.
    dashed_label : str
        What the legend calls the reference curves.
    title : str, optional
        Title of the axes.

    Raises
    ------
    ValueError
        If there are no curves.

    Examples
    --------
    >>> import torch
    >>> levels = torch.arange(0.0, 45.0, 5.0)
    >>> curve = PsnrCurve.of(levels, 18 + 0.5 * levels[:, None] + torch.rand(9, 20))
    >>> ax = psnr_curves({10000: curve}, title="Test")
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('Input PSNR (dB)', 'Output PSNR (dB)')
    """
    check_some("curves", curves)
    references = dashed or {}
    palette = colours([*curves, *(label for label in references if label not in curves)])
    line_styles = {dashed_label: "--"} if references else {}
    with style():
        ax = axes_or_new(ax)
        for label, curve in curves.items():
            ax.plot(curve.input_psnr, curve.output_psnr, color=palette[label])
            band(ax, curve.input_psnr, curve.low, curve.high, palette[label])
        label_noise_axis(ax, [c.input_psnr for c in curves.values()], "Output PSNR (dB)", title)
        if identity:
            ax.plot(ax.get_xlim(), ax.get_xlim(), color=GREY, linestyle=":", zorder=1)
            line_styles["identity"] = ":"
        for label, curve in references.items():
            _draw_reference(ax, curve, palette[label])
        if legend:
            labelled_legend(ax, palette, line_styles)
    return ax


def gaps(
    gaps: Mapping[Label, Gap],
    ax: Axes | None = None,
    *,
    legend: bool = True,
    title: str | None = None,
) -> Axes:
    """Train minus test PSNR against input PSNR, for each training set size or name.

    The scale is linear up to 1 dB and logarithmic beyond: both the tenths of a denoiser that
    generalises and the tens of one that memorises can be read. Bands are 95% intervals.

    Parameters
    ----------
    gaps : mapping of int or str to Gap
        Gaps by number of training images N, or by name.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.
    legend : bool
        Draw a legend.
    title : str, optional
        Title of the axes.

    Raises
    ------
    ValueError
        If there are no gaps.

    Examples
    --------
    >>> import torch
    >>> levels = torch.arange(0.0, 45.0, 5.0)
    >>> ax = gaps({100: Gap(levels, 0.2 * levels, 0.1 * levels, 0.3 * levels)})
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('Input PSNR (dB)', 'Train − test PSNR (dB)')
    """
    check_some("gaps", gaps)
    palette = colours(gaps)
    with style():
        ax = axes_or_new(ax)
        ax.set_yscale("symlog", linthresh=1)
        for label, gap in gaps.items():
            ax.plot(gap.input_psnr, gap.value, color=palette[label])
            band(ax, gap.input_psnr, gap.low, gap.high, palette[label])
        label_noise_axis(ax, [g.input_psnr for g in gaps.values()], "Train − test PSNR (dB)", title)
        ax.axhline(0, color=GREY, linestyle=":", zorder=1)
        ax.yaxis.set_major_locator(FixedLocator(GAP_TICKS))
        ax.yaxis.set_minor_locator(NullLocator())
        ax.yaxis.set_major_formatter(FuncFormatter(lambda gap, _: f"{gap:g}".replace("-", "−")))
        if legend:
            labelled_legend(ax, palette, {}, beside=True)
    return ax


def _draw_reference(ax: Axes, curve: PsnrCurve, colour: Any) -> None:
    """Dashed line that, added as a mere artist, does not count for the range of the axes."""
    x, y = curve.input_psnr.numpy(), curve.output_psnr.numpy()
    ax.add_artist(Line2D(x, y, color=colour, linestyle="--"))
