"""What a report on two denoisers says, drawn as in the chapters on memorization and variance."""

from __future__ import annotations

from matplotlib.axes import Axes
from torch import Tensor

from gahb.book.figures.curves import gaps, psnr_curves
from gahb.book.figures.images import image_grid, similarity_histograms
from gahb.book.figures.style import Label, panels
from gahb.checks import check_count
from gahb.report import Report, Side

__all__ = ["report_curves", "report_images", "report_similarities"]


HIGHEST_DRAWN = 50.0  # dB: the curves of perfect memory leave through the top


def report_images(report: Report, count: int = 8, ax: Axes | None = None) -> Axes:
    """What A and B drew from the same noise, between the closest images of their training sets.

    Above each column stands the similarity of the two samples (Figure 2). Colors are drawn gray.

    Parameters
    ----------
    report : Report
        Of :func:`gahb.memorization_report`.
    count : int
        Number of columns, at most that of the samples.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Examples
    --------
    >>> import torch
    >>> from gahb.report import memorization_report
    >>> report = memorization_report(torch.tanh, torch.tanh, *torch.rand(2, 4, 1, 8, 8), samples=2)
    >>> ax = report_images(report, count=2)
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ["closest in A's set", 'sample of A', 'sample of B', "closest in B's set"]
    """
    check_count("count", count, maximum=len(report.between))
    rows = {
        "closest in A's set": report.a.closest,
        "sample of A": report.a.samples,
        "sample of B": report.b.samples,
        "closest in B's set": report.b.closest,
    }
    return image_grid(
        {name: _gray(images[:count]) for name, images in rows.items()},
        columns=[f"{similarity:z.2f}" for similarity in report.between[:count]],
        ax=ax,
        title="Similarity of the two samples",
    )


def report_similarities(report: Report) -> Axes:
    """Histograms of the similarities: between the two denoisers, and to their training sets.

    Parameters
    ----------
    report : Report
        Of :func:`gahb.memorization_report`.

    Examples
    --------
    >>> import torch
    >>> from gahb.report import memorization_report
    >>> report = memorization_report(torch.tanh, torch.tanh, *torch.rand(2, 4, 1, 8, 8), samples=2)
    >>> report_similarities(report).get_ylabel()
    'N = 4'
    """
    (ax,) = similarity_histograms(
        {
            "between A and B": {report.n: report.between},
            "to the closest training image": {report.n: report.to_train},
        }
    )
    return ax


def report_curves(report: Report) -> list[Axes]:
    """Output PSNR on training and on test images, and the gap between them (Figures 1 and 15).

    Parameters
    ----------
    report : Report
        Of :func:`gahb.memorization_report`.

    Examples
    --------
    >>> import torch
    >>> from gahb.report import memorization_report
    >>> report = memorization_report(torch.tanh, torch.tanh, *torch.rand(2, 4, 1, 8, 8), samples=2)
    >>> [ax.get_ylabel() for ax in report_curves(report)]
    ['Output PSNR (dB)', 'Train − test PSNR (dB)']
    """
    sides: dict[Label, Side] = {"A": report.a, "B": report.b}
    on_train = {name: side.on_train for name, side in sides.items()}
    on_test = {name: side.on_test for name, side in sides.items()}
    _, (left, right) = panels(2, share_y=False)
    psnr_curves(
        on_test, left, dashed=on_train, dashed_label="training images", title="Test images (solid)"
    )
    highest = max(float(curve.value.max()) for curve in [*on_train.values(), *on_test.values()])
    left.set_ylim(top=min(highest, HIGHEST_DRAWN) + 1)
    gaps({name: side.gap for name, side in sides.items()}, right, legend=False, title="Gap")
    return [left, right]


def _gray(images: Tensor) -> Tensor:
    return images.mean(1, keepdim=True)
