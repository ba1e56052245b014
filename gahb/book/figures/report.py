"""What a report on denoisers says, drawn as in the chapters on memorization and variance."""

import base64
from collections.abc import Iterator
from html import escape
from io import BytesIO
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from gahb.book.figures.curves import gaps, psnr_curves
from gahb.book.figures.images import as_drawn, image_grid, similarity_histograms
from gahb.book.figures.look import Label, panels
from gahb.checks import check_count
from gahb.metrics import Curve
from gahb.report import Report
from gahb.settings import atomic_write
from gahb.similarity import median

DPI = 150
STYLE = """
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse } th, td { padding: .2rem 1.5rem .2rem 0; text-align: left }
tr { border-bottom: 1px solid #8888 } tbody th { font-weight: normal }
div { overflow-x: auto } figure { margin: 2rem 0 } img { max-width: 100%; background: white }
:root { color-scheme: light dark }
"""
HIGHEST_DRAWN = 50.0  # dB: the curves of perfect memory leave through the top


def report_images(report: Report, count: int = 8, ax: Axes | None = None) -> Axes:
    """Draw samples of A and B from the same noise, between their closest training images.

    Above each of the ``count`` columns stands the similarity of the two samples (Figure 2), or that
    of the sample of a single model to the training image.

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
        [as_drawn(each[:count]) for each in images] for images in (report.samples, report.nearest)
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


def report_page(report: Report, path: str | Path, title: str = "Memorization report") -> None:
    """Write a report as one page of HTML that needs no other file: verdict, numbers, figures.

    Examples
    --------
    >>> import tempfile, torch
    >>> from gahb.report import memorization_report
    >>> report = memorization_report(torch.tanh, torch.tanh, *torch.rand(2, 4, 1, 8, 8), samples=2)
    >>> file = Path(tempfile.mkdtemp()) / "report.html"
    >>> report_page(report, file)
    >>> file.read_text(encoding="utf-8").count('<img alt="')
    3
    """
    verdict, *further = map(escape, report.conclusion)
    names = "AB"[: len(report.verdicts)]
    head = "".join(f'<th scope="col">{name}</th>' for name in names)
    rows = "".join(
        f'<tr><th scope="row">{escape(name)}</th>'
        + "".join(f"<td>{escape(value)}</td>" for value in values)
        + "</tr>\n"
        for name, values in report.table.items()
    )
    page = f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title><style>{STYLE}</style></head><body>
<h1>{escape(title)}</h1>
<p><strong>{verdict}</strong> {" ".join(further)}</p>
<p>{escape(" ".join(report.conditions))}</p>
<div><table><thead><tr><td></td>{head}</tr></thead><tbody>
{rows}</tbody></table></div>
{"".join(_pictures(report))}</body></html>
"""
    with atomic_write(Path(path)) as temporary:
        temporary.write_text(page, encoding="utf-8")


def _pictures(report: Report) -> Iterator[str]:
    """Yield the figures of a report, as far as it has what they show, with a text for each."""
    two = len(report.verdicts) == 2
    shown = report.between if two else report.to_train[0]
    similar = f"{median(report.to_train.T)} to the closest training image"
    if two:
        similar = f"{median(shown)} between the two samples, {similar}"
    if count := min(8, report.samples.shape[1]):
        drawn = "Samples of A and of B from the same noise" if two else "Samples of A"
        values = ", ".join(f"{value:.2f}" for value in shown[:count])
        yield _picture(
            report_images(report, count),
            f"{drawn}, and the closest training image of each",
            f"{count} columns of images, of similarity {values}",
        )
    yield _picture(report_similarities(report), "Similarities", f"Histograms; medians {similar}")
    if report.on_test:
        largest = ", ".join(str(gap.largest()) for gap in report.gaps)
        yield _picture(
            report_curves(report)[0],
            "Output PSNR on images that a model was trained on, and on others",
            f"Curves against input PSNR, and their differences, in dB at most {largest}",
        )


def _picture(ax: Axes, caption: str, text: str) -> str:
    """Return a figure as HTML that holds it, with the text of what it shows, and close it."""
    figure, content = ax.figure, BytesIO()
    assert isinstance(figure, Figure)
    figure.savefig(content, dpi=DPI, bbox_inches="tight")
    plt.close(figure)
    source = f"data:image/png;base64,{base64.b64encode(content.getvalue()).decode()}"
    image = f'<img alt="{escape(text)}" src="{source}">'
    return f"<figure>{image}<figcaption>{escape(caption)}.</figcaption></figure>\n"
