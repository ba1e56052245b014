"""What a report on two denoisers says, drawn as in the chapters on memorization and variance."""

from __future__ import annotations

from matplotlib.axes import Axes
from torch import Tensor

from gahb.book.figures.curves import gaps, psnr_curves
from gahb.book.figures.images import image_grid, similarity_histograms
from gahb.book.figures.look import Label, panels
from gahb.checks import check_count
from gahb.metrics import Curve
from gahb.report import Report

__all__ = ["report_curves", "report_images", "report_similarities"]

HIGHEST_DRAWN = 50.0  # dB: the curves of perfect memory leave through the top


def report_images(report: Report, count: int = 8, ax: Axes | None = None) -> Axes:
    """Draw samples of A and B from the same noise, between their closest training images.

    Above each of the ``count`` columns stands the similarity of the two samples (Figure 2), or that
    of the sample of a single model to the training image. Colors are drawn gray.

    Examples
    --------
    >>> import torch
    >>> from gahb.report import memorization_report
    >>> report = memorization_report(torch.tanh, torch.tanh, *torch.rand(2, 4, 1, 8, 8), samples=2)
    >>> ax = report_images(report, count=2)
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ["closest in A's set", 'sample of A', 'sample of B', "closest in B's set"]
    >>> report_similarities(report).get_ylabel()
    'N = 4'
    >>> [ax.get_ylabel() for ax in report_curves(report)]
    ['Output PSNR (dB)', 'Train − test PSNR (dB)']
    """
    check_count("count", count, maximum=report.samples.shape[1])
    samples, nearest = (
        images[:, :count].mean(2, keepdim=True) for images in (report.samples, report.nearest)
    )
    rows: dict[Label, Tensor] = {"closest in A's set": nearest[0], "sample of A": samples[0]}
    two = len(samples) == 2
    if two:
        rows |= {"sample of B": samples[1], "closest in B's set": nearest[1]}
    shown = report.between if two else report.to_train[0]
    ax = image_grid(rows, columns=[f"{similarity:z.2f}" for similarity in shown[:count]], ax=ax)
    ax.set_title("Similarity of the two" + (" samples" if two else ""))
    return ax


def report_similarities(report: Report) -> Axes:
    """Draw histograms of the similarities between the denoisers and to their training sets."""
    (ax,) = similarity_histograms(
        {
            **({"between A and B": {report.n: report.between}} if len(report.between) else {}),
            "to the closest training image": {report.n: report.to_train.flatten()},
        }
    )
    return ax


def report_curves(report: Report) -> list[Axes]:
    """Draw output PSNR on training and on test images, and the gaps (Figures 1 and 15)."""
    on_train: dict[Label, Curve] = dict(zip("AB", report.on_train, strict=False))
    on_test: dict[Label, Curve] = dict(zip("AB", report.on_test, strict=False))
    by_name: dict[Label, Curve] = dict(zip("AB", report.gaps, strict=False))
    _, (left, right) = panels(2, share_y=False)
    psnr_curves(on_test, left, dashed=on_train, dashed_label="training images")
    left.set_title("Test images (solid)")
    highest = max(float(curve.value.max()) for curve in report.on_train + report.on_test)
    left.set_ylim(top=min(highest, HIGHEST_DRAWN) + 1)
    gaps(by_name, right, legend=False)
    right.set_title("Gap")
    return [left, right]
