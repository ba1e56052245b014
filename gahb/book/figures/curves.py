"""Curves over noise levels: output PSNR, and the gap between train and test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullFormatter, NullLocator
from torch import Tensor, tensor

from gahb.book.figures.style import (
    BAND_OPACITY,
    GRAY,
    Label,
    axes_or_new,
    band,
    check_some,
    colors,
    count_label,
    label_axes,
    label_noise_axis,
    label_text,
    labeled_legend,
    style,
)
from gahb.checks import check_number
from gahb.metrics import Curve, Divergence, Estimate, psnr_from_sigma

__all__ = [
    "curve_against_updates",
    "divergence_by_noise",
    "estimates_against_n",
    "gap_map",
    "gaps",
    "psnr_curves",
    "psnr_slopes",
    "rank_against_residual",
    "slopes_against_noise",
    "variance_and_bias",
]


GAP_TICKS = [-30, -10, -3, -1, -0.5, 0, 0.5, 1, 3, 10, 30]


def psnr_curves(
    curves: Mapping[Label, Curve],
    ax: Axes | None = None,
    dashed: Mapping[Label, Curve] | None = None,
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
    curves : mapping of int or str to Curve
        Curves by number of training images N, or by name.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.
    dashed : mapping of int or str to Curve, optional
        Reference curves, in the colors of ``curves``. They do not widen the range of the axes:
        an optimum that has memorized its images leaves through the top.
    identity : bool
        Draw the line of a denoiser that changes nothing.
    legend : bool
        Draw a legend.
    dashed_label : str
        What the legend calls the reference curves.
    title : str, optional
        Title of the axes.

    Examples
    --------
    >>> import torch
    >>> levels = torch.arange(0.0, 45.0, 5.0)
    >>> curve = Curve.of(levels, 18 + 0.5 * levels[:, None] + torch.rand(9, 20))
    >>> ax = psnr_curves({10000: curve}, title="Test")
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('Input PSNR (dB)', 'Output PSNR (dB)')
    """
    check_some("curves", curves)
    references = dashed or {}
    palette = colors([*curves, *(label for label in references if label not in curves)])
    line_styles = {dashed_label: "--"} if references else {}
    with style():
        ax = axes_or_new(ax)
        for label, curve in curves.items():
            ax.plot(curve.x, curve.value, color=palette[label])
            band(ax, curve.x, curve.low, curve.high, palette[label])
        label_noise_axis(ax, [c.x for c in curves.values()], "Output PSNR (dB)", title)
        if identity:
            ax.plot(ax.get_xlim(), ax.get_xlim(), color=GRAY, linestyle=":", zorder=1)
            line_styles["identity"] = ":"
        for label, curve in references.items():
            _draw_reference(ax, curve, palette[label])
        if legend:
            labeled_legend(ax, palette, line_styles)
    return ax


def gaps(
    gaps: Mapping[Label, Curve],
    ax: Axes | None = None,
    *,
    legend: bool = True,
    title: str | None = None,
) -> Axes:
    """Train minus test PSNR against input PSNR, for each training set size or name.

    The scale is linear up to 1 dB and logarithmic beyond: both the tenths of a denoiser that
    generalizes and the tens of one that memorizes can be read. Bands are 95% intervals.

    Parameters
    ----------
    gaps : mapping of int or str to Curve
        Gaps by number of training images N, or by name.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.
    legend : bool
        Draw a legend.
    title : str, optional
        Title of the axes.

    Examples
    --------
    >>> import torch
    >>> levels = torch.arange(0.0, 45.0, 5.0)
    >>> ax = gaps({100: Curve.of(levels, levels[:, None] * torch.rand(20))})
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('Input PSNR (dB)', 'Train − test PSNR (dB)')
    """
    check_some("gaps", gaps)
    palette = colors(gaps)
    with style():
        ax = axes_or_new(ax)
        ax.set_yscale("symlog", linthresh=1)
        for label, gap in gaps.items():
            ax.plot(gap.x, gap.value, color=palette[label])
            band(ax, gap.x, gap.low, gap.high, palette[label])
        label_noise_axis(ax, [g.x for g in gaps.values()], "Train − test PSNR (dB)", title)
        ax.axhline(0, color=GRAY, linestyle=":", zorder=1)
        ax.yaxis.set_major_locator(FixedLocator(GAP_TICKS))
        ax.yaxis.set_minor_locator(NullLocator())
        ax.yaxis.set_major_formatter(FuncFormatter(lambda gap, _: f"{gap:g}".replace("-", "−")))
        if legend:
            labeled_legend(ax, palette, {}, beside=True)
    return ax


def _draw_reference(ax: Axes, curve: Curve, color: Any) -> None:
    """Dashed line that, added as a mere artist, does not count for the range of the axes."""
    x, y = curve.x.numpy(), curve.value.numpy()
    ax.add_artist(Line2D(x, y, color=color, linestyle="--"))


# --- What depends on the number of training images ---


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

    Examples
    --------
    >>> gap = {n: Estimate(30 / n, 28 / n, 32 / n) for n in (10, 100, 1000)}
    >>> ax = estimates_against_n({"32 x 32": gap}, "Average gap (dB)", linear_up_to=0.1)
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('Training images N', 'Average gap (dB)')
    """
    check_some("groups", groups)
    for name, estimates in groups.items():
        check_some(f"groups[{name!r}]", estimates)
    palette = colors(groups)
    with style():
        ax = axes_or_new(ax)
        ax.set_xscale("log")
        if linear_up_to is not None:
            check_number("linear_up_to", linear_up_to, low=1e-12)
            ax.set_yscale("symlog", linthresh=linear_up_to)
            ax.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}".replace("-", "−")))
            ax.axhline(0, color=GRAY, linestyle=":", zorder=1)
        for name, estimates in groups.items():
            _draw(ax, estimates, palette[name])
        if mark is not None:
            ax.axvline(mark.value, color=GRAY, linestyle="--", zorder=1)
            ax.axvspan(*mark.interval, color=GRAY, alpha=0.25, linewidth=0, zorder=1)
        ax.xaxis.set_major_formatter(FuncFormatter(lambda n, _: count_label(round(n))))
        ax.xaxis.set_minor_formatter(NullFormatter())
        label_axes(ax, "Training images N", y_label, title)
        labeled_legend(ax, palette, {})
    return ax


def _draw(ax: Axes, estimates: Mapping[int, Estimate], color: object) -> None:
    """A line through estimates in order of N, and the band of their intervals."""
    sizes = sorted(estimates)
    ax.plot(sizes, [estimates[n].value for n in sizes], color=color, marker="o")
    low, high = tensor([estimates[n].interval for n in sizes]).T
    band(ax, tensor(sizes), low, high, color)


# --- How fast the output PSNR rises with the input PSNR, against how fast it can rise ---


def psnr_slopes(
    curves: Mapping[Label, Curve],
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
    curves : mapping of int or str to Curve
        Curves by name.
    expected : mapping of int or str to float
        The slope that theory gives, for each of them.
    over : tuple of float
        Range of input PSNR, in dB, that slopes are fitted over.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.
    title : str, optional
        Title of the axes.

    Examples
    --------
    >>> import torch
    >>> levels = torch.arange(0.0, 45.0, 5.0)
    >>> curve = Curve.of(levels, 0.6 * levels[:, None] + torch.arange(18.0, 20.0))
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
        dashed={names[name]: _line(curves[name], expected[name], over) for name in curves},
        dashed_label="expected slope",
        title=title,
    )


def slopes_against_noise(
    slopes: Mapping[Label, Curve],
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
    slopes : mapping of int or str to Curve
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

    Examples
    --------
    >>> import torch
    >>> levels = torch.arange(0.0, 40.0, 5.0)
    >>> slopes = Curve.of(levels, levels[:, None] * torch.rand(20)).slopes()
    >>> ax = slopes_against_noise({"α = 2": slopes}, {"α = 2": 2 / 3})
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('Input PSNR (dB)', 'Slope of the PSNR curve')
    """
    check_some("slopes", slopes)
    _check_expected(slopes, expected)
    palette = colors(slopes)
    with style():
        ax = axes_or_new(ax)
        if over is not None:
            ax.axvspan(*over, color=GRAY, alpha=0.1, linewidth=0, zorder=0)
        for name, each in slopes.items():
            ax.plot(each.x, each.value, color=palette[name])
            band(ax, each.x, each.low, each.high, palette[name])
            ax.axhline(expected[name], color=palette[name], linestyle="--", linewidth=1, zorder=1)
        ax.axhline(1, color=GRAY, linestyle=":", zorder=1)
        levels = [each.x for each in slopes.values()]
        label_noise_axis(ax, levels, "Slope of the PSNR curve", title)
        if legend:
            labeled_legend(ax, palette, {"expected": "--", "pixels alone": ":"}, beside=True)
    return ax


def _line(curve: Curve, slope: float, over: tuple[float, float]) -> Curve:
    """A line of another slope through the middle of a fit, over the range of the fit."""
    ends, inside = tensor(over, dtype=torch.float32), curve.between(*over)
    line = inside.mean().value + slope * (ends - float(inside.x.mean()))
    return Curve.of(ends, line[:, None])


def _check_expected(drawn: Mapping[Label, object], expected: Mapping[Label, float]) -> None:
    for name in drawn:
        if name not in expected:
            raise ValueError(f"expected: none for {name!r}; accepted: one for each that is drawn")


# --- What happens in the course of a training ---


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

    Where the two lines of a training set size part, the network begins to memorize; the shade
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
    palette = colors(train)
    with style():
        ax = axes_or_new(ax)
        for label, color in palette.items():
            updates = sorted(train[label])
            on_train = [train[label][u] for u in updates]
            on_test = [test[label][u] for u in updates]
            ax.plot(updates, on_train, color=color, linestyle="--", marker="o", mfc="white")
            ax.plot(updates, on_test, color=color, linestyle="-", marker="o")
            ax.fill_between(
                updates, on_test, on_train, color=color, alpha=BAND_OPACITY, linewidth=0
            )
        ax.set_xscale("log")
        ax.xaxis.set_major_formatter(FuncFormatter(lambda u, _: count_label(round(u))))
        ax.xaxis.set_minor_formatter(NullFormatter())
        label_axes(ax, "Updates", f"Output PSNR at σ = {sigma:.2g} (dB)", title)
        if legend:
            labeled_legend(ax, palette, {"training images": "--", "test images": "-"})
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
    alike, dark where the network has memorized.

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


# --- What errors are made of ---


LINES = 15  # of equal error, or fewer


def divergence_by_noise(
    divergences: Mapping[str, Divergence],
    ax: Axes | None = None,
    *,
    log: bool = False,
    title: str | None = None,
) -> Axes:
    """What each noise level adds to Kullback-Leibler divergences (equation 5).

    The axis of sigma is logarithmic: the area under a curve is the divergence. Bands are 95%
    intervals.

    Parameters
    ----------
    divergences : mapping of str to Divergence
        Divergences by name.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.
    log : bool
        Make the vertical axis logarithmic as well. Areas then cannot be seen.
    title : str, optional
        Title of the axes.

    Examples
    --------
    >>> from gahb.metrics import kl_gap
    >>> from gahb.optimal import Gaussian
    >>> p, q = (Gaussian(m * torch.ones(1, 1, 2), torch.eye(2)) for m in (0.0, 1.0))
    >>> ax = divergence_by_noise({"shifted": kl_gap(q, p, p.draw(10), [0.1, 1.0, 10.0])})
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('Noise level σ', 'Nats for a change of log σ by 1')
    """
    check_some("divergences", divergences)
    palette = colors(divergences)
    with style():
        ax = axes_or_new(ax)
        ax.set_xscale("log")
        for name, divergence in divergences.items():
            curve, color = divergence.integrand, palette[name]
            ax.plot(curve.x, curve.value, color=color, label=name)
            band(ax, curve.x, curve.low, curve.high, color)
        if log:
            ax.set_yscale("log")
        else:
            ax.set_ylim(bottom=0)
        label_axes(ax, "Noise level σ", "Nats for a change of log σ by 1", title)
        ax.legend()
    return ax


def rank_against_residual(
    traces: Mapping[str, Tensor],
    residuals: Mapping[str, Tensor],
    sigma: float,
    ax: Axes | None = None,
    *,
    title: str | None = None,
) -> Axes:
    """What denoisers keep, against what they leave: the two terms of their error (equation 7).

    Gray lines join what has the same error, which is written on them.

    Parameters
    ----------
    traces : mapping of str to Tensor
        Mean trace of the Jacobian of each denoiser, (k,): a point for one, a line for a family.
    residuals : mapping of str to Tensor
        Mean of ||y - f(y)||^2 - sigma^2 d for the same, (k,).
    sigma : float
        Standard deviation of the noise.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.
    title : str, optional
        Title of the axes.

    Examples
    --------
    >>> one = {"identity": torch.tensor([64.0])}
    >>> ax = rank_against_residual(one, {"identity": torch.tensor([-0.64])}, sigma=0.1)
    >>> ax.get_xlabel()
    'Trace of the Jacobian'
    """
    check_some("traces", traces)
    check_number("sigma", sigma, low=torch.finfo(torch.float32).tiny)
    if traces.keys() != residuals.keys():
        raise ValueError(f"residuals: of {list(residuals)}; accepted: of {list(traces)}")
    palette = colors(traces)
    with style():
        ax = axes_or_new(ax)
        for name, trace in traces.items():
            marker = "o" if len(trace) == 1 else ""
            ax.plot(trace, residuals[name], marker, color=palette[name], label=name, zorder=3)
        _lines_of_equal_error(ax, sigma)
        label_axes(ax, "Trace of the Jacobian", r"$\Vert y - f(y) \Vert^2 - \sigma^2 d$", title)
        ax.legend()
    return ax


def _lines_of_equal_error(ax: Axes, sigma: float) -> None:
    """Lines 2 sigma^2 trace + residual = constant, with that error, across what is seen."""
    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    trace, residual = np.linspace(left, right, 50), np.linspace(bottom, top, 50)
    error = 2 * sigma**2 * trace + residual[:, None]
    levels = MaxNLocator(LINES).tick_values(0, error.max())
    lines = ax.contour(
        trace,
        residual,
        error,
        levels,
        colors="0.75",
        linewidths=0.8,
        linestyles="solid",
        zorder=1,
    )
    ax.clabel(lines, fontsize=8, colors=GRAY)
    ax.grid(False)


def variance_and_bias(
    coefficients: Tensor,
    sigmas: Sequence[float],
    ax: Axes | None = None,
    *,
    title: str | None = None,
) -> Axes:
    """Squared coefficients of an image in order, and those that stand above the noise (eq. 12).

    The M coefficients above a line of height sigma^2 are kept and cost sigma^2 each. The others,
    right of the line, are lost. The smallest coefficients are not shown.

    Parameters
    ----------
    coefficients : Tensor
        Coefficients of an image in an orthonormal basis, (d,), in any order.
    sigmas : sequence of float
        Noise levels.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.
    title : str, optional
        Title of the axes.

    Examples
    --------
    >>> ax = variance_and_bias(torch.arange(1, 1000) ** -1.5, sigmas=[0.1, 0.01])
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('Rank k', 'Squared coefficient')
    """
    if coefficients.ndim != 1 or len(coefficients) == 0:
        raise ValueError(f"coefficients: shape {tuple(coefficients.shape)} is not (d,)")
    labels = {f"σ = {sigma:g}": sigma for sigma in sigmas}
    check_some("sigmas", labels)
    energies = coefficients.square().sort(descending=True).values
    ranks = torch.arange(1, len(energies) + 1)
    lowest = min(sigmas) ** 2 / 100
    palette = colors(labels)
    with style():
        ax = axes_or_new(ax)
        shown = energies > lowest
        ax.loglog(ranks[shown], energies[shown], color=GRAY, zorder=3)
        for label, sigma in labels.items():
            kept = int((energies > sigma**2).sum())
            ax.plot([1, max(kept, 1)], [sigma**2] * 2, color=palette[label])
            ax.plot(
                [max(kept, 1)] * 2,
                [sigma**2, lowest],
                color=palette[label],
                linestyle="--",
                label=f"{label}: M = {kept}",
            )
        ax.set_ylim(bottom=lowest)
        label_axes(ax, "Rank k", "Squared coefficient", title)
        ax.legend()
    return ax
