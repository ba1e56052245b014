"""How fast the output PSNR rises with the input PSNR, against how fast it can rise.

floor: 5
"""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.axes import Axes
from torch import tensor

from gahb.figures.curves import psnr_curves
from gahb.figures.furniture import band, check_some, label_noise_axis, labelled_legend
from gahb.figures.style import GREY, Label, axes_or_new, colours, style
from gahb.metrics import LocalSlopes, PsnrCurve, Slope

__all__ = ["psnr_slopes", "slopes_against_noise"]


def psnr_slopes(
    curves: Mapping[Label, PsnrCurve],
    expected: Mapping[Label, float],
    over: tuple[float, float],
    ax: Axes | None = None,
    *,
    title: str | None = None,
) -> Axes:
    """Output PSNR against input PSNR, and lines of the slopes that theory gives (Figure 4).

    The legend has the slope that is fitted to each curve and, in parentheses, the expected one,
    which the dashed line through the middle of the fit has.

    Parameters
    ----------
    curves : mapping of int or str to PsnrCurve
        Curves by name.
    expected : mapping of int or str to float
        The slope that theory gives, for each of them.
    over : tuple of float
        Range of input PSNR, in dB, that slopes are fitted over.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.
    title : str, optional
        Title of the axes.

    Raises
    ------
    ValueError
        If there are no curves, one has no expected slope, or fewer than three of its noise levels
        lie in the range.

    Examples
    --------
    >>> import torch
    >>> levels = torch.arange(0.0, 45.0, 5.0)
    >>> curve = PsnrCurve.of(levels, 0.6 * levels[:, None] + torch.arange(18.0, 20.0))
    >>> ax = psnr_slopes({"α = 2": curve}, {"α = 2": 2 / 3}, over=(5, 30))
    >>> ax.get_legend().get_texts()[0].get_text()
    'α = 2, slope 0.60 (0.67)'
    """
    check_some("curves", curves)
    _check_expected(curves, expected)
    fits = {name: curve.slope(*over) for name, curve in curves.items()}
    names: dict[Label, Label] = {
        name: f"{name}, slope {fit.value:.2f} ({expected[name]:.2f})" for name, fit in fits.items()
    }
    return psnr_curves(
        {names[name]: curve for name, curve in curves.items()},
        ax,
        dashed={names[name]: _line(fit, expected[name]) for name, fit in fits.items()},
        dashed_label="expected slope",
        title=title,
    )


def slopes_against_noise(
    slopes: Mapping[Label, LocalSlopes],
    expected: Mapping[Label, float],
    over: tuple[float, float] | None = None,
    ax: Axes | None = None,
    *,
    legend: bool = True,
    title: str | None = None,
) -> Axes:
    """Slope of PSNR curves at each noise level, beside the slopes that theory gives.

    Parameters
    ----------
    slopes : mapping of int or str to LocalSlopes
        Slopes by name.
    expected : mapping of int or str to float
        The slope that theory gives, for each of them: a dashed line.
    over : tuple of float, optional
        Range of input PSNR, in dB, to shade.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.
    legend : bool
        Draw a legend.
    title : str, optional
        Title of the axes.

    Raises
    ------
    ValueError
        If there are no slopes, or one has no expected value.

    Examples
    --------
    >>> import torch
    >>> levels = torch.arange(0.0, 40.0, 5.0)
    >>> slopes = LocalSlopes(levels, 0.5 + levels / 80, 0.4 + levels / 80, 0.6 + levels / 80)
    >>> ax = slopes_against_noise({"α = 2": slopes}, {"α = 2": 2 / 3})
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('Input PSNR (dB)', 'Slope of the PSNR curve')
    """
    check_some("slopes", slopes)
    _check_expected(slopes, expected)
    palette = colours(slopes)
    with style():
        ax = axes_or_new(ax)
        if over is not None:
            ax.axvspan(*over, color=GREY, alpha=0.1, linewidth=0, zorder=0)
        for name, each in slopes.items():
            ax.plot(each.input_psnr, each.value, color=palette[name])
            band(ax, each.input_psnr, each.low, each.high, palette[name])
            ax.axhline(expected[name], color=palette[name], linestyle="--", linewidth=1, zorder=1)
        ax.axhline(1, color=GREY, linestyle=":", zorder=1)
        levels = [each.input_psnr for each in slopes.values()]
        label_noise_axis(ax, levels, "Slope of the PSNR curve", title)
        if legend:
            labelled_legend(ax, palette, {"expected": "--", "pixels alone": ":"}, beside=True)
    return ax


def _line(fit: Slope, slope: float) -> PsnrCurve:
    """A line of another slope through the middle of a fit, over the range of the fit."""
    ends = tensor(fit.over)
    line = fit.through[1] + slope * (ends - fit.through[0])
    return PsnrCurve.of(ends, line[:, None])


def _check_expected(drawn: Mapping[Label, object], expected: Mapping[Label, float]) -> None:
    for name in drawn:
        if name not in expected:
            raise ValueError(f"expected: none for {name!r}; accepted: one for each that is drawn")
