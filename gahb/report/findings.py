"""What a report on two denoisers holds, and how it reads.

floor: 4
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gahb.metrics import Estimate, Gap, PsnrCurve, train_test_gap
from gahb.similarity import Verdicts, fractions, median

__all__ = ["Report", "Side"]

FIRST, COLUMN = 36, 22
"""Widths of the columns of a printed report."""


@dataclass(frozen=True, eq=False)
class Side:
    """What one of the two denoisers draws, and how well it denoises.

    Attributes
    ----------
    samples, closest : Tensor
        What it drew, and the image of its training set that is most similar to each sample,
        (m, C, H, W).
    verdicts : Verdicts
        Whether each sample is memorized, spurious or new, and by what that was judged: the
        similarity to the closest training image, and the distance ratio.
    on_train, on_test : PsnrCurve
        Output PSNR on images that it was trained on, and on images that it has not seen.
    """

    samples: Tensor
    closest: Tensor
    verdicts: Verdicts
    on_train: PsnrCurve
    on_test: PsnrCurve

    @property
    def gap(self) -> Gap:
        """Train minus test PSNR, in dB."""
        return train_test_gap(self.on_train, self.on_test)


@dataclass(frozen=True, eq=False)
class Report:
    """What two denoisers, A and B, trained on sets that share no image, have in common.

    ``print`` shows the numbers, ``gahb.figures`` draws them: ``report_images``,
    ``report_similarities`` and ``report_curves``. All similarities are cosines of images whose
    means are removed.

    Attributes
    ----------
    n : int
        Number of training images N of each.
    a, b : Side
        What was measured on each. Their samples i started from the same noise, and met the same
        on their way.
    between : Tensor
        Similarity of the two samples from the same noise, (m,).
    between_sets : Tensor
        Similarity of training images of A to the closest one of B, (min(N, 1000),) (Figure 6).
    """

    n: int
    a: Side
    b: Side
    between: Tensor
    between_sets: Tensor

    @property
    def to_train(self) -> Tensor:
        """Similarity of the samples of A, then of B, to their closest training images, (2 m,)."""
        return torch.cat([side.verdicts.to_train for side in (self.a, self.b)])

    @property
    def fractions(self) -> dict[str, Estimate]:
        """Fraction of the samples of both that are memorized, spurious or new."""
        return fractions(self.a.verdicts.labels + self.b.verdicts.labels)

    @property
    def verdict(self) -> str:
        """What more samples of the two are than anything else: memorized, spurious or new."""
        found = self.fractions
        return max(found, key=lambda label: found[label].value)

    @property
    def nearer(self) -> str:
        """What samples resemble more (Figure 2), by the medians and their intervals.

        ``training set``, ``other denoiser``, or ``undecided`` where the intervals overlap.
        """
        other, own = median(self.between), median(self.to_train)
        if other.interval[0] > own.interval[1]:
            return "other denoiser"
        if own.interval[0] > other.interval[1]:
            return "training set"
        return "undecided"

    def __str__(self) -> str:
        sides = (self.a, self.b)
        shares: dict[str, list[object]] = {
            f"samples that are {label}": [side.verdicts.fractions[label] for side in sides]
            for label in self.fractions
        }
        numbers: dict[str, list[object]] = {
            "": ["A", "B"],
            **shares,
            "similarity to training set": [median(side.verdicts.to_train) for side in sides],
            "distance ratio": [_ratio(side.verdicts.ratio) for side in sides],
            "largest train - test gap, dB": [_largest(side.gap) for side in sides],
            "similarity of A's and B's samples": [median(self.between)],
            "similarity of A's and B's sets": [median(self.between_sets)],
        }
        return "\n".join(
            [
                f"A and B were trained on {self.n:,} images each, none in common.",
                f"{len(self.between):,} samples each, from the same noise;"
                " fractions and medians, with 95% intervals.",
                "",
                *(_line(name, values) for name, values in numbers.items()),
                "",
                f"Verdict: {self.verdict} ({self.fractions[self.verdict].value:.0%} of samples).",
                f"Samples are more like: {self.nearer}.",
            ]
        )


def _ratio(ratio: Tensor) -> str:
    """Median distance ratio; there is none where there is no second training image."""
    return "undefined for N = 1" if bool(ratio.isnan().any()) else str(median(ratio))


def _largest(gap: Gap) -> str:
    """The largest gap over the noise levels, with its interval."""
    k = int(gap.value.argmax())
    return f"{gap.value[k]:.1f} [{gap.low[k]:.1f}, {gap.high[k]:.1f}]"


def _line(name: str, values: list[object]) -> str:
    """One line of a printed report."""
    return "".join([f"{name:{FIRST}}", *(f"{value!s:{COLUMN}}" for value in values)]).rstrip()
