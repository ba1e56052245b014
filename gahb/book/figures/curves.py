"""Curves: against the noise level, the number of training images, or training steps."""

from collections.abc import Mapping, Sequence, Sized
from math import nan
from numbers import Real
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator
from torch import Tensor, tensor

from gahb.book.figures import look
from gahb.book.figures.look import Label
from gahb.checks import as_numbers, check_choice, check_number, check_range, check_type
from gahb.denoiser import SMALLEST
from gahb.metrics import Curve, Divergence, Estimate
from gahb.training import History

Drawn = Curve | Divergence | Mapping[Any, Any]
DRAWN = (Curve, Divergence, Mapping)

ABSCISSAS = {
    "noise": "Input PSNR (dB)",
    "sigma": "Noise level σ",
    "N": "Training images N",
    "updates": "Updates",
}
GAP_TICKS = [-30, -10, -3, -1, -0.5, 0, 0.5, 1, 3, 10, 30]
ON_MAP = ("tab:cyan", "tab:green", "tab:olive")  # lines that stand out from pale and dark cells
LINES = 15  # of equal error, or fewer


def _points(curve: Drawn) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return abscissas, values, and their bounds: nothing else knows what a curve is made of."""
    if isinstance(curve, Mapping):
        x = sorted(curve)
        values = [curve[at] for at in x]
        bounds = [(v.low, v.high) if isinstance(v, Estimate) else (nan, nan) for v in values]
        value = tensor([getattr(v, "value", v) for v in values], dtype=torch.float64)
        low, high = tensor(bounds, dtype=torch.float64).T
        return tensor(x), value, low, high
    if isinstance(curve, Divergence):
        curve = curve.integrand
    return curve.x, curve.value, curve.low, curve.high


def curves_against(
    abscissa: str,
    curves: Mapping[Any, Any],
    y_label: str,
    ax: Axes | None = None,
    *,
    at: Sequence[float] | None = None,
    scale: str | float = "linear",
    expected: Mapping[Label, float] | None = None,
    level: tuple[str, float] | None = None,
    shade: tuple[float, float] | None = None,
    mark: Estimate | None = None,
    legend: bool | str = True,
) -> Axes:
    """Draw curves against the noise level or the number of training images (Figures 5 and 15).

    Parameters
    ----------
    abscissa : str
        ``"noise"`` (input PSNR), or ``"sigma"``, ``"N"`` or ``"updates"``, on a logarithmic scale.
    curves : mapping of int or str to curve, or to mapping
        A curve of :mod:`gahb.metrics`, or an Estimate or a number by abscissa: these have markers.
        With ``at``, the abscissas, a sequence of numbers.
    scale : str or float
        Vertical scale: ``"linear"``, ``"log"``, or linear up to a value and logarithmic beyond.
    expected, level : mapping to float, tuple of str and float
        What theory gives for each of the curves, dashed; a dotted line by its name in the legend.
    shade, mark, legend : tuple of float, Estimate, bool or str
        A range of the abscissa to shade, and one of it to mark with its interval; whether to draw
        a legend, or ``"beside"`` the axes.

    Examples
    --------
    >>> gap = {n: Estimate(30 / n, 28 / n, 32 / n) for n in (10, 100, 1000)}
    >>> ax = curves_against("N", {"32 x 32": gap}, "Average gap (dB)", scale=0.1)
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('Training images N', 'Average gap (dB)')
    """
    check_choice("abscissa", abscissa, ABSCISSAS)
    curves = _checked(curves, at)
    if scale not in ("linear", "log"):
        check_number("scale", scale, low=1e-12)
    _check_expected(curves, expected)
    check_type("level", level, tuple | None, "a tuple of a name and a number")
    check_type("legend", legend, bool | str, "True, False or 'beside'")
    shade = None if shade is None else check_range("shade", shade)
    check_type("mark", mark, Estimate | None, "an estimate, with its interval")
    palette = look.colors(curves)
    with look.on_axes(ax) as ax:
        look.vertical_scale(ax, scale)
        for label, curve in curves.items():
            x, value, low, high = _points(curve)
            marker = "o" if isinstance(curve, Mapping) else None  # it is known at single abscissas
            ax.plot(x, value, color=palette[label], marker=marker)
            look.band(ax, x, low, high, palette[label])
        if abscissa == "noise":
            look.noise_axis(ax, torch.cat([_points(curve)[0] for curve in curves.values()]))
        else:
            look.log_axis(ax, counts=abscissa != "sigma")
        look.label_axes(ax, ABSCISSAS[abscissa], y_label)
        if not isinstance(scale, str):
            look.level_line(ax, 0)
        line_styles = _draw_levels(ax, palette, expected, level)
        if shade is not None:
            ax.axvspan(*shade, color=look.GRAY, alpha=0.1, linewidth=0, zorder=0)
        if mark is not None:
            ax.axvline(mark.value, color=look.GRAY, linestyle=look.REFERENCE, zorder=1)
            ax.axvspan(mark.low, mark.high, color=look.GRAY, alpha=0.25, linewidth=0, zorder=1)
        if legend:
            look.legend(ax, palette, line_styles, beside=legend == "beside")
    return ax


def _draw_levels(
    ax: Axes,
    palette: Mapping[Label, Any],
    expected: Mapping[Label, float] | None,
    level: tuple[str, float] | None,
) -> dict[str, Any]:
    """Draw what theory gives for each curve, and one level; return what the legend says of both."""
    line_styles = {}
    if expected is not None:
        line_styles["expected"] = look.REFERENCE
        for label, color in palette.items():
            ax.axhline(expected[label], color=color, ls=look.REFERENCE, lw=1, zorder=1)
    if level is not None:
        line_styles[level[0]] = look.DOTTED
        look.level_line(ax, level[1])
    return line_styles


def _checked(curves: Mapping[Any, Any], at: Sequence[float] | None) -> dict[Label, Curve]:
    """Return curves none of which is empty: those that are sequences, as numbers by abscissa."""
    if at is not None:
        look.check_some("curves", curves, Sized, "a sequence of numbers, one for each of at")
        abscissas = as_numbers("at", at, "a sequence of numbers").tolist()
        check_type("at", abscissas, list, "a sequence of numbers")
        curves = {label: _by_abscissa(label, curves[label], abscissas) for label in curves}
    look.check_some("curves", curves, DRAWN, "a curve, or a mapping of abscissas to numbers")
    for label, curve in curves.items():
        if isinstance(curve, Mapping):
            look.check_some(f"curves[{label!r}]", curve, Estimate | Real, "an estimate or a number")
    return dict(curves)


def _by_abscissa(label: Label, curve: Any, at: Sequence[float]) -> dict[float, float]:
    if len(curve) != len(at):
        given = f"{len(curve)} numbers for {len(at)} abscissas"
        raise ValueError(f"curves[{label!r}]: {given}; accepted: one for each")
    numbers = as_numbers(f"curves[{label!r}]", curve, "a sequence of numbers").tolist()
    return dict(zip(at, numbers, strict=True))


def _check_expected(curves: Mapping[Any, Any], expected: Mapping[Label, float] | None) -> None:
    if expected is None:
        return
    look.check_some("expected", expected, Real, "a number")
    for name in curves:
        if name not in expected:
            raise ValueError(f"expected: none for {name!r}; accepted: one for each that is drawn")


def psnr_curves(
    curves: Mapping[Label, Curve],
    ax: Axes | None = None,
    dashed: Mapping[Label, Curve] | None = None,
    *,
    identity: bool = True,
    legend: bool = True,
    dashed_label: str = "exact optimum",
) -> Axes:
    """Draw output PSNR against input PSNR, one curve for each N or name (Figure 1).

    The noise falls from left to right; sigma is written above. The ``identity`` is the line of a
    denoiser that changes nothing. The curves ``dashed``, which the legend calls ``dashed_label``,
    have the colors of the others and do not widen the range of the axes: an optimum that has
    memorized its images leaves through the top.

    Examples
    --------
    >>> levels = torch.arange(0.0, 45.0, 5.0)
    >>> curve = Curve.of(levels, 18 + 0.5 * levels[:, None] + torch.rand(9, 20))
    >>> ax = psnr_curves({10000: curve})
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('Input PSNR (dB)', 'Output PSNR (dB)')
    """
    references = {} if dashed is None else dashed
    check_type("dashed", references, Mapping, "a mapping of labels to curves")
    for label, curve in references.items():
        check_type(f"dashed[{label!r}]", curve, Curve, "a curve")
    look.check_some("curves", curves)
    palette = look.colors([*curves, *(label for label in references if label not in curves)])
    line_styles = {dashed_label: look.REFERENCE} if references else {}
    ax = curves_against("noise", curves, "Output PSNR (dB)", ax, legend=False)
    with look.style():
        if identity:
            ends = ax.get_xlim()
            ax.plot(ends, ends, color=look.GRAY, linestyle=look.DOTTED, zorder=1)
            line_styles["identity"] = look.DOTTED
        for label, curve in references.items():
            x, value, _, _ = _points(curve)
            # As a mere artist it does not count for the range of the axes.
            ax.add_artist(Line2D(x, value, color=palette[label], linestyle=look.REFERENCE))
        if legend:
            look.legend(ax, palette, line_styles)
    return ax


def gaps(gaps: Mapping[Label, Curve], ax: Axes | None = None, *, legend: bool = True) -> Axes:
    """Draw train minus test PSNR against input PSNR, for each training set size or name.

    The scale is linear up to 1 dB and logarithmic beyond: both the tenths of a denoiser that
    generalizes and the tens of one that memorizes can be read.

    Examples
    --------
    >>> levels = torch.arange(0.0, 45.0, 5.0)
    >>> ax = gaps({100: Curve.of(levels, levels[:, None] * torch.rand(20))})
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('Input PSNR (dB)', 'Train − test PSNR (dB)')
    """
    look.check_some("gaps", gaps, DRAWN, "a curve")
    y_label, place = "Train − test PSNR (dB)", legend and "beside"
    ax = curves_against("noise", gaps, y_label, ax, scale=1, legend=place)
    if max(map(abs, ax.get_ylim())) > 0.5:  # two of the ticks are seen
        ax.yaxis.set_major_locator(FixedLocator(GAP_TICKS))
    else:
        ax.yaxis.set_major_locator(MaxNLocator())
    ax.yaxis.set_minor_locator(NullLocator())
    return ax


def psnr_slopes(
    curves: Mapping[Label, Curve],
    expected: Mapping[Label, float],
    over: tuple[float, float],
    ax: Axes | None = None,
) -> Axes:
    """Draw output PSNR against input PSNR, and lines of the slopes of the theory (Figure 4).

    The legend has the slope that is fitted to each curve ``over`` a range of input PSNR in dB and,
    in parentheses, the expected one, which the dashed line through the middle of the fit has.

    Examples
    --------
    >>> levels = torch.arange(0.0, 45.0, 5.0)
    >>> curve = Curve.of(levels, 0.6 * levels[:, None] + torch.arange(18.0, 20.0))
    >>> ax = psnr_slopes({"α = 2": curve}, {"α = 2": 2 / 3}, over=(5, 30))
    >>> ax.get_legend().get_texts()[0].get_text()
    'α = 2, slope 0.60 (0.67)'
    """
    look.check_some("curves", curves, Curve, "a curve")
    _check_expected(curves, expected)
    over = check_range("over", over)
    ends = tensor(over, dtype=torch.float32)
    drawn: dict[Label, Curve] = {}
    lines: dict[Label, Curve] = {}
    for name, curve in curves.items():
        label = f"{name}, slope {curve.slope(*over).value:.2f} ({expected[name]:.2f})"
        inside = curve.between(*over)
        line = inside.mean().value + expected[name] * (ends - float(inside.x.mean()))
        drawn[label], lines[label] = curve, Curve.of(ends, line[:, None])
    return psnr_curves(drawn, ax, dashed=lines, dashed_label="expected slope")


def curve_against_updates(
    histories: Mapping[Label, History], sigma: float, ax: Axes | None = None
) -> Axes:
    """Draw output PSNR on training and test images at one noise level, against updates.

    Where the two lines of a training set size part, the network begins to memorize; the shade
    between them is the gap.

    Examples
    --------
    >>> from gahb.training import History
    >>> few = History(train={10: 20.0, 1000: 31.0}, test={10: 20.0, 1000: 24.0})
    >>> ax = curve_against_updates({100: few}, sigma=0.1)
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('Updates', 'Output PSNR at σ = 0.1 (dB)')
    """
    _check_histories(histories, sigma)
    palette = look.colors(histories)
    with look.on_axes(ax) as ax:
        for label, history in histories.items():
            updates, train, _, _ = _points(history.train)
            _, test, _, _ = _points(history.test)
            color = palette[label]
            ax.plot(updates, train, color=color, linestyle=look.REFERENCE, marker="o", mfc="white")
            ax.plot(updates, test, color=color, marker="o")
            look.band(ax, updates, test, train, color)
        look.log_axis(ax)
        look.label_axes(ax, "Updates", f"Output PSNR at σ = {sigma:.2g} (dB)")
        look.legend(ax, palette, {"training images": look.REFERENCE, "test images": "-"})
    return ax


def gap_map(histories: Mapping[Label, History], sigma: float, ax: Axes | None = None) -> Axes:
    """Draw the train-test gap at one noise level in the plane of set size and updates.

    Each cell is one snapshot of one training: pale where seen and unseen images are denoised
    alike, dark where the network has memorized.

    Examples
    --------
    >>> from gahb.training import History
    >>> few = History(train={10: 20.0, 1000: 31.0}, test={10: 20.0, 1000: 24.0})
    >>> [label.get_text() for label in gap_map({100: few}, sigma=0.1).get_yticklabels()]
    ['N = 100']
    """
    _check_histories(histories, sigma)
    gap = {n: {u: h.train[u] - h.test[u] for u in h.train} for n, h in histories.items()}
    return time_map(gap, f"Train − test, σ = {sigma:.2g} (dB)", ax=ax)


def time_map(
    values: Mapping[Label, Mapping[int, float]],
    color_label: str,
    lines: Mapping[str, Sequence[float]] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw what was measured along trainings in the plane of set size and updates.

    The values of each training are by the number of updates; zero is pale, and what a training has
    no value of is empty. Each of the ``lines`` is what happens in every training after so many
    updates; what never does is left out.

    Examples
    --------
    >>> ax = time_map({10: {16: 0.1, 32: 1.0}, 100: {16: 0.0, 32: 0.2}}, "copies")
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['N = 10', 'N = 100']
    """
    look.check_some("values", values, Mapping, "a mapping of updates to numbers")
    if lines is not None:
        look.check_some("lines", lines, Sequence, "updates, one for each training")
    updates = sorted(set().union(*values.values()))
    with look.on_axes(ax, height=1.4 + 0.4 * len(values)) as ax:
        # The updates are spaced evenly on a logarithmic scale, and so are the cells.
        grid = [[float(row.get(u, nan)) for u in updates] for row in values.values()]
        cells = ax.pcolormesh(grid, cmap="magma_r", vmin=0, edgecolors="white", linewidth=0.5)
        middles = np.arange(len(updates)) + 0.5
        ax.set_xticks(middles, [look.count_label(u) for u in updates])
        ax.tick_params(axis="x", rotation=45)
        ax.set_yticks(np.arange(len(grid)) + 0.5, [look.label_text(label) for label in values])
        for (name, at), color in zip((lines or {}).items(), ON_MAP, strict=False):
            x = np.interp(np.log(at), np.log(updates), middles, right=nan)
            ax.plot(x, np.arange(len(grid)) + 0.5, "o-", color=color, mec="white", label=name)
        if lines:
            ax.legend(loc="upper left")
        ax.figure.colorbar(cells, ax=ax, label=color_label)
        look.label_axes(ax, "Updates", "")
        ax.grid(False)
    return ax


def _check_histories(histories: Mapping[Label, History], sigma: float) -> None:
    look.check_some("histories", histories, History, "a history, as gahb.training.history reads it")
    check_number("sigma", sigma, low=SMALLEST)
    for label, h in histories.items():
        if not h.train or h.train.keys() != h.test.keys() or min(h.train) < 1:
            given = f"train at updates {sorted(h.train)}, test at {sorted(h.test)}"
            accepted = "some, the same for both, of at least 1"
            raise ValueError(f"histories[{label!r}]: {given}; accepted: {accepted}")


def rank_against_residual(
    traces: Mapping[str, Tensor],
    residuals: Mapping[str, Tensor],
    sigma: float,
    ax: Axes | None = None,
) -> Axes:
    r"""Draw what denoisers keep against what they leave: the terms of their error (equation 7).

    These are :math:`\operatorname{tr} \nabla f(y)` and :math:`\Vert y - f(y) \Vert^2 - \sigma^2 d`.
    Gray lines join what has the same error, :math:`2 \sigma^2` times the one plus the other. Both
    mappings hold means for each denoiser, (k,): a point for one, a line for a family.

    Examples
    --------
    >>> one = {"identity": torch.tensor([64.0])}
    >>> ax = rank_against_residual(one, {"identity": torch.tensor([-0.64])}, sigma=0.1)
    >>> ax.get_xlabel()
    'Trace of the Jacobian'
    """
    for argument, means in (("traces", traces), ("residuals", residuals)):
        look.check_some(argument, means, Tensor, "a tensor (k,)")
    check_number("sigma", sigma, low=SMALLEST)
    if traces.keys() != residuals.keys():
        raise ValueError(f"residuals: of {list(residuals)}; accepted: of {list(traces)}")
    palette = look.colors(traces)
    with look.on_axes(ax) as ax:
        for name, trace in traces.items():
            marker = "o" if len(trace) == 1 else ""
            ax.plot(trace, residuals[name], marker, color=palette[name], label=name, zorder=3)
        x, y = (np.linspace(*limits, 50) for limits in (ax.get_xlim(), ax.get_ylim()))
        error = 2 * sigma**2 * x + y[:, None]
        levels = MaxNLocator(LINES).tick_values(0, error.max())
        thin: Any = {"colors": "0.75", "linewidths": 0.8, "linestyles": "solid", "zorder": 1}
        ax.clabel(ax.contour(x, y, error, levels, **thin), fontsize=8, colors=look.GRAY)
        ax.grid(False)
        look.label_axes(ax, "Trace of the Jacobian", r"$\Vert y - f(y) \Vert^2 - \sigma^2 d$")
        ax.legend()
    return ax


def variance_and_bias(
    coefficients: Tensor, sigmas: Sequence[float], ax: Axes | None = None
) -> Axes:
    r"""Draw squared coefficients in order, and those that stand above the noise (equation 12).

    The M coefficients above a line of height :math:`\sigma^2` are kept and cost :math:`\sigma^2`
    each. The others, right of the line, are lost. The smallest coefficients are not shown. They
    are those of an image in an orthonormal basis, (d,), in any order.

    Examples
    --------
    >>> ax = variance_and_bias(torch.arange(1, 1000) ** -1.5, sigmas=[0.1, 0.01])
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('Rank k', 'Squared coefficient')
    """
    check_type("coefficients", coefficients, Tensor, "a tensor (d,)")
    check_type("sigmas", sigmas, Sequence, "a sequence of noise levels")
    for sigma in sigmas:
        check_number("sigmas", sigma, low=SMALLEST)
    if coefficients.ndim != 1 or len(coefficients) == 0:
        raise ValueError(f"coefficients: shape {tuple(coefficients.shape)} is not (d,)")
    labels = {f"σ = {sigma:g}": sigma for sigma in sigmas}
    look.check_some("sigmas", labels)
    energies = coefficients.square().sort(descending=True).values
    ranks = torch.arange(1, len(energies) + 1)
    lowest = min(sigmas) ** 2 / 100
    palette = look.colors(labels)
    with look.on_axes(ax) as ax:
        shown = energies > lowest
        ax.loglog(ranks[shown], energies[shown], color=look.GRAY, zorder=3)
        for label, sigma in labels.items():
            kept, color = int((energies > sigma**2).sum()), palette[label]
            corner, label = max(kept, 1), f"{label}: M = {kept}"
            ax.plot([1, corner], [sigma**2] * 2, color=color)
            ax.plot([corner] * 2, [sigma**2, lowest], look.REFERENCE, color=color, label=label)
        ax.set_ylim(bottom=lowest)
        look.label_axes(ax, "Rank k", "Squared coefficient")
        ax.legend()
    return ax
