"""Whether two denoisers memorize their training sets or have learned the same density."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gahb.checks import check_count, check_number
from gahb.devices import device_of
from gahb.intervals import Estimate
from gahb.metrics import Curve, psnr_curve
from gahb.sampling import sample
from gahb.settings import read_json, write_json
from gahb.similarity import VERDICTS, closest, cosine_similarity, fractions, median, verdicts
from gahb.vectors import check_batch, gray_levels, repeated

__all__ = ["Report", "memorization_report"]

INPUT_PSNR = tuple(range(0, 41, 5))  # dB
MEASURED = 128  # images of a set on which the PSNR is measured
COMPARED = 1000  # images of one set, at most, that are compared with all of the other
FIRST, COLUMN = 36, 22  # widths of the columns of a printed report
NO_IMAGES = torch.empty(2, 0, 1, 1, 1)


@dataclass(frozen=True, eq=False)
class Report:
    """What two denoisers, A and B, trained on N images each, have in common.

    ``print`` shows the numbers, ``gahb.book.figures`` draws them: ``report_images``,
    ``report_similarities`` and ``report_curves``. All similarities are cosines of images whose
    means are removed. What is (2, m) or a pair is of A, then of B; their samples i started from the
    same noise, and met the same on their way.

    Attributes
    ----------
    between : Tensor
        Similarity of the two samples from the same noise, (m,).
    to_train : Tensor
        Similarity of each sample to the closest image of its denoiser's training set, (2, m).
    closest : Tensor
        The number of that image in the training set, (2, m).
    ratio : Tensor
        See :func:`gahb.similarity.distance_ratio`, (2, m); NaN for N = 1.
    verdicts : tuple of tuple of str
        Whether each sample is memorized, spurious or new.
    steps : Tensor
        Steps that each sample took, (2, m).
    between_sets : Tensor
        Similarity of training images of A to the closest one of B, at most (N,) (Figure 6).
    n : int
        Number of training images N of each.
    samples, nearest : Tensor, optional
        The samples, and the closest training image of each, (2, m, C, H, W); both, and the curves,
        only where they have just been measured.
    on_train, on_test : tuple of Curve
        Output PSNR on images that each was trained on, and on images that it has not seen.
    """

    between: Tensor
    to_train: Tensor
    closest: Tensor
    ratio: Tensor
    verdicts: tuple[tuple[str, ...], ...]
    steps: Tensor
    between_sets: Tensor
    n: int
    samples: Tensor = NO_IMAGES
    nearest: Tensor = NO_IMAGES
    on_train: tuple[Curve, ...] = ()
    on_test: tuple[Curve, ...] = ()

    @property
    def gaps(self) -> tuple[Curve, ...]:
        """Train minus test PSNR, in dB, of A and of B."""
        pairs = zip(self.on_train, self.on_test, strict=True)
        return tuple(on_train - on_test for on_train, on_test in pairs)

    @property
    def fractions(self) -> dict[str, Estimate]:
        """Fraction of the samples of both that are memorized, spurious or new."""
        return fractions(list(zip(*self.verdicts, strict=True)))

    @property
    def verdict(self) -> str:
        """What more samples of the two are than anything else: memorized, spurious or new."""
        found = self.fractions
        return max(found, key=lambda verdict: found[verdict].value)

    @property
    def nearer(self) -> str:
        """What samples resemble more (Figure 2), by the medians and their intervals.

        ``training set``, ``other denoiser``, or ``undecided`` where the intervals overlap.
        """
        other, own = median(self.between), median(self.to_train.T)
        if other.interval[0] > own.interval[1]:
            return "other denoiser"
        if own.interval[0] > other.interval[1]:
            return "training set"
        return "undecided"

    def __str__(self) -> str:
        shares = [fractions(each) for each in self.verdicts]
        numbers: dict[str, list[Any]] = {
            "": ["A", "B"],
            **{f"samples that are {name}": [each[name] for each in shares] for name in VERDICTS},
            "similarity to training set": [median(values) for values in self.to_train],
            "distance ratio": [
                "undefined for N = 1" if ratio.isnan().any() else median(ratio)
                for ratio in self.ratio
            ],
            "largest train - test gap, dB": [gap.largest() for gap in self.gaps],
            "similarity of A's and B's samples": [median(self.between)],
            "similarity of A's and B's sets": [median(self.between_sets)],
        }
        table = [
            "".join([f"{name:{FIRST}}", *(f"{value!s:{COLUMN}}" for value in values)]).rstrip()
            for name, values in numbers.items()
            if values
        ]
        return "\n".join(
            [
                f"A and B were trained on {self.n:,} images each, none in common.",
                f"{len(self.between):,} samples each, from the same noise;"
                " fractions and medians, with 95% intervals.",
                "",
                *table,
                "",
                f"Verdict: {self.verdict} ({self.fractions[self.verdict].value:.0%} of samples).",
                f"Samples are more like: {self.nearer}.",
            ]
        )

    def save(self, path: Path, **origin: Any) -> None:
        """Write the numbers as JSON, after their origin, without the images and the curves."""
        content = {
            **origin,
            "between": _rounded(self.between),
            "to_train": _rounded(self.to_train),
            "closest": self.closest.tolist(),
            "ratio": None if self.n == 1 else _rounded(self.ratio),  # JSON has no NaN
            "verdicts": self.verdicts,
            "steps": self.steps.tolist(),
            "between_sets": _rounded(self.between_sets, decimals=4),
        }
        if self.n != len(self.between_sets):
            content["n"] = self.n
        write_json(path, content, indent=None)

    @classmethod
    def load(cls, path: Path) -> Report:
        """Return the report that ``save`` has written."""
        content = read_json(path)
        floats = partial(torch.tensor, dtype=torch.float64)
        to_train, ratio = floats(content["to_train"]), content["ratio"]
        return cls(
            between=floats(content["between"]),
            to_train=to_train,
            closest=torch.tensor(content["closest"]),
            ratio=torch.full_like(to_train, torch.nan) if ratio is None else floats(ratio),
            verdicts=tuple(tuple(each) for each in content["verdicts"]),
            steps=torch.tensor(content["steps"]),
            between_sets=floats(content["between_sets"]),
            n=content.get("n", len(content["between_sets"])),
        )


def _rounded(values: Tensor, decimals: int = 5) -> Any:
    return torch.round(values, decimals=decimals).tolist()


def memorization_report(
    model_a: Callable[..., Tensor],
    model_b: Callable[..., Tensor],
    train_a: Tensor,
    train_b: Tensor,
    test: Tensor | None = None,
    *,
    samples: int = 64,
    seed: int = 0,
    input_psnr: Sequence[float] | Tensor | None = INPUT_PSNR,
    compared: int = COMPARED,
    **sampling: Any,
) -> Report:
    """Measure whether two denoisers memorize, by what they sample and how they do (Figures 1, 2).

    Parameters
    ----------
    model_a, model_b : callable
        Denoisers f(y) or f(y, sigma), such as :func:`gahb.wrap` makes of other networks.
    train_a, train_b : Tensor
        What each was trained on, (N, C, H, W), in [0, 1] or uint8: as many images, none in common.
    test : Tensor, optional
        Images that neither has seen. Without them, each is tested on the training set of the other.
    samples, seed : int
        Number m of samples of each, and what fixes the noise.
    input_psnr : sequence of float, optional
        Noise levels of the PSNR curves, in dB; None for no curves.
    compared : int
        Images of A, at most, that are compared with all of B.
    **sampling
        What else :func:`gahb.sample` takes, such as ``beta`` or ``sigma_end``.

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
    models, sets = (model_a, model_b), (train_a, train_b)
    drawn = [
        sample(f, samples, (height, width), seed, channels=channels, **sampling) for f in models
    ]
    images = torch.stack([found.images for found in drawn])
    judged = [verdicts(*of_one) for of_one in zip(images, sets, reversed(sets), strict=True)]
    index = torch.stack([found.closest for found in judged])
    nearest = [gray_levels(x[i.to(x.device)]).cpu() for x, i in zip(sets, index, strict=True)]
    return Report(
        between=cosine_similarity(*images),
        to_train=torch.stack([found.to_train for found in judged]),
        closest=index,
        ratio=torch.stack([found.ratio for found in judged]),
        verdicts=tuple(found.each for found in judged),
        steps=torch.stack([found.steps for found in drawn]),
        between_sets=closest(train_a[:compared], train_b).value[:, 0].cpu(),
        n=len(train_a),
        samples=images,
        nearest=torch.stack(nearest),
        on_train=_curves(models, sets, input_psnr, seed),
        on_test=_curves(models, sets[::-1] if test is None else (test, test), input_psnr, seed),
    )


def _check_sets(train_a: Tensor, train_b: Tensor, test: Tensor | None) -> None:
    """Raise unless the training sets are of one size, and no two sets share an image."""
    given = {"train_a": train_a, "train_b": train_b, "test": test}
    sets = {name: x for name, x in given.items() if x is not None}
    for name, x in sets.items():
        check_batch(name, x, like=None if name == "train_a" else train_a)
        for extreme in x.aminmax() if x.is_floating_point() else ():
            check_number(name, float(extreme), low=0, high=1)
    if len(train_a) != len(train_b):
        raise ValueError(f"train_b: {len(train_b)} images; accepted: {len(train_a)}, as in train_a")
    digests = {name: _digests(x) for name, x in sets.items()}
    for earlier, name in combinations(sets, 2):
        if shared := len(digests[earlier] & digests[name]):
            problem = f"{shared} of its images are in {earlier}"
            raise ValueError(f"{name}: {problem}; accepted: none in common")


def _digests(x: Tensor) -> set[bytes]:
    """Return what tells images apart, the same for bytes and for gray levels in [0, 1]."""
    stored = (
        image if image.dtype == torch.uint8 else (255 * image).round().to(torch.uint8)
        for image in x.cpu()
    )
    return {hashlib.sha256(image.numpy().tobytes()).digest() for image in stored}


def _curves(
    models: Sequence[Callable[[Tensor], Tensor]],
    sets: Sequence[Tensor],
    input_psnr: Sequence[float] | Tensor | None,
    seed: int,
) -> tuple[Curve, ...]:
    """Return the curve of each model on the first images of its set, repeated if they are few."""
    if input_psnr is None:
        return ()
    clean = [gray_levels(repeated(x, MEASURED)) for x in sets]
    return tuple(
        psnr_curve(f, x.to(device_of(f, otherwise=x.device)), input_psnr, seed)
        for f, x in zip(models, clean, strict=True)
    )
