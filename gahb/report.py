"""Whether two denoisers memorize their training sets or have learned the same density."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gahb.checks import check_count, check_number
from gahb.devices import device_of
from gahb.metrics import Estimate, Gap, PsnrCurve, psnr_curve, train_test_gap
from gahb.sampling import sample
from gahb.similarity import Verdicts, closest, cosine_similarity, fractions, median, verdicts
from gahb.vectors import check_batch

__all__ = ["Report", "Side", "memorization_report"]


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

    ``print`` shows the numbers, ``gahb.book.figures`` draws them: ``report_images``,
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


# --- Measuring whether two denoisers memorize their training sets ---


INPUT_PSNR = tuple(range(0, 41, 5))  # dB
MEASURED = 128
"""Images of a set on which the PSNR is measured; a smaller set is repeated, with other noise."""
COMPARED = 1000
"""Images of one set, at most, that are compared with all of the other."""


def memorization_report(
    model_a: Callable[..., Tensor],
    model_b: Callable[..., Tensor],
    train_a: Tensor,
    train_b: Tensor,
    test: Tensor | None = None,
    *,
    samples: int = 64,
    seed: int = 0,
    input_psnr: Sequence[float] | Tensor = INPUT_PSNR,
    **sampling: Any,
) -> Report:
    """Tell whether two denoisers memorize, by what they draw and how they do (Figures 1 and 2).

    Parameters
    ----------
    model_a, model_b : callable
        Denoisers f(y) or f(y, sigma), such as :func:`gahb.wrap` makes of other networks.
    train_a, train_b : Tensor
        What each was trained on, (N, C, H, W), in [0, 1] or uint8: as many images, none in common.
    test : Tensor, optional
        Images that neither has seen. Without them, each is tested on the training set of the other.
    samples : int
        Number m of images that each draws.
    seed : int
        Fixes the noise.
    input_psnr : sequence of float
        Noise levels of the PSNR curves, in dB.
    **sampling
        What else :func:`gahb.sample` takes, such as ``beta`` or ``sigma_end``.

    Raises
    ------
    TypeError, ValueError
        If a set is not such a batch, the sets differ in size or share images, or another argument
        is out of range.
    RuntimeError
        If images that are drawn diverge, or do not end.

    Examples
    --------
    Two exact memorizers:

    >>> from gahb.optimal import EmpiricalBayes
    >>> sets = torch.rand(2, 4, 1, 8, 8)
    >>> a, b = (EmpiricalBayes(x) for x in sets)
    >>> memorization_report(a, b, *sets, samples=8).verdict
    'memorized'
    """
    check_count("samples", samples)
    _check_sets(train_a, train_b, test)
    channels, height, width = train_a.shape[1:]

    def side(f: Callable[..., Tensor], own: Tensor, other: Tensor) -> Side:
        drawn = sample(f, samples, (height, width), seed, channels=channels, **sampling).images
        unseen = other if test is None else test
        return Side(
            drawn,
            closest=_gray_levels(own[closest(drawn, own).index[:, 0].to(own.device)]).cpu(),
            verdicts=verdicts(drawn, own, other),
            on_train=psnr_curve(f, _measured(own, f), input_psnr, seed),
            on_test=psnr_curve(f, _measured(unseen, f), input_psnr, seed),
        )

    a, b = side(model_a, train_a, train_b), side(model_b, train_b, train_a)
    between_sets = closest(train_a[:COMPARED], train_b).value[:, 0].cpu()
    return Report(len(train_a), a, b, cosine_similarity(a.samples, b.samples), between_sets)


def _check_sets(train_a: Tensor, train_b: Tensor, test: Tensor | None) -> None:
    """Raise unless the training sets are of one size, and no two sets share an image."""
    sets = {"train_a": train_a, "train_b": train_b, "test": test}
    given = {name: x for name, x in sets.items() if x is not None}
    for name, x in given.items():
        check_batch(name, x, like=None if name == "train_a" else train_a)
        if x.is_floating_point():
            for extreme in x.aminmax():
                check_number(name, float(extreme), low=0, high=1)
    if len(train_a) != len(train_b):
        raise ValueError(f"train_b: {len(train_b)} images; accepted: {len(train_a)}, as in train_a")
    seen: dict[str, set[bytes]] = {}
    for name, x in given.items():
        digests = _digests(x)
        for earlier, others in seen.items():
            if shared := len(digests & others):
                raise ValueError(
                    f"{name}: {shared} of its images are in {earlier}; accepted: none in common"
                )
        seen[name] = digests


def _digests(x: Tensor) -> set[bytes]:
    """What tells images apart: the same for an image as bytes and as gray levels in [0, 1]."""
    stored = (
        image if image.dtype == torch.uint8 else (255 * image).round().to(torch.uint8)
        for image in x.cpu()
    )
    return {hashlib.sha256(image.numpy().tobytes()).digest() for image in stored}


def _measured(x: Tensor, f: Any) -> Tensor:
    """The first images of a set, repeated if they are few, where ``f`` computes."""
    copies = -(-MEASURED // len(x))
    return (
        _gray_levels(x[:MEASURED])
        .repeat(copies, 1, 1, 1)[:MEASURED]
        .to(device_of(f, otherwise=x.device))
    )


def _gray_levels(x: Tensor) -> Tensor:
    """Images as gray levels in [0, 1]."""
    return x if x.is_floating_point() else x.float() / 255
