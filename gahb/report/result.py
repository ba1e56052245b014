"""What a report says of denoisers: numbers, verdicts, a text; and how it is stored."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import Tensor

from gahb.checks import listed
from gahb.intervals import Estimate
from gahb.metrics import Curve
from gahb.settings import atomic_write, damaged, read_json, write_json
from gahb.similarity import VERDICTS, fractions, median

LEAST_GAIN = 0.1  # dB: a mean of logarithms makes doing nothing gain a few hundredths
NOT_A_DENOISER = "not a denoiser"
LETTERS = "AB"
IMAGES, CURVES = ("samples", "nearest"), ("on_train", "on_test", "affine")
TENSORS = ".safetensors"
FIRST, COLUMN = 36, 22  # widths of the columns of a printed report
NO_IMAGES = torch.empty(2, 0, 1, 1, 1)
CAUSES = (
    "Likely causes: prediction type, range of gray levels or scheduler given to",
    "gahb.wrap do not fit; weights were not loaded; images are not of this kind.",
)


@dataclass(frozen=True, eq=False, repr=False)
class Report:
    """What one denoiser A, or two, A and B, trained on N images each, have made of them.

    ``print`` shows the numbers, ``gahb.book.figures`` draws them: ``report_images``,
    ``report_similarities`` and ``report_curves``, or all on one page, ``report_page``. All
    similarities are cosines of images whose means are removed. What is (k, m) or a tuple is of each
    of the k models; samples i of two started from the same noise, and met the same on their way:
    the unit of intervals is the pair.

    The measurements that the book ships lack samples, their nearest images, and curves.
    """

    between: Tensor  #: similarity of the two samples from the same noise, (m,); of one model (0,)
    to_train: Tensor  #: similarity of each sample to the closest image of its training set, (k, m)
    closest: Tensor  #: the number of that image in the training set, (k, m)
    ratio: Tensor  #: see :func:`gahb.similarity.distance_ratio`, (k, m); NaN for N = 1
    verdicts: tuple[tuple[str, ...], ...]  #: whether each sample is memorized, spurious or new
    steps: Tensor  #: steps that each sample took, (k, m); 0 where they were not counted
    #: Similarity of training images of A to the closest one of B, at most (N,) (Figure 6).
    between_sets: Tensor
    n: int  #: number of training images N of each
    samples: Tensor = NO_IMAGES  #: the samples, (k, m, C, H, W)
    nearest: Tensor = NO_IMAGES  #: the closest training image of each, (k, m, C, H, W)
    on_train: tuple[Curve, ...] = ()  #: output PSNR on images that each was trained on
    on_test: tuple[Curve, ...] = ()  #: output PSNR on images that it has not seen
    affine: tuple[Curve, ...] = ()  #: that of the best affine denoiser of its training set on these
    #: Fraction of the images of each training set that have a near-duplicate in it. The verdicts
    #: take an image and its near-duplicates for one.
    duplicated: tuple[Estimate, ...] = ()
    left_out: tuple[int, ...] = ()  #: samples that diverged or did not finish, in any model

    def __repr__(self) -> str:
        names = " and ".join(LETTERS[: len(self.verdicts)])
        return f"<Report on {names}, N = {self.n:,}: {self.verdict}>"

    @property
    def gaps(self) -> tuple[Curve, ...]:
        """Train minus test PSNR, in dB, of A and of B."""
        pairs = zip(self.on_train, self.on_test, strict=True)
        return tuple(on_train - on_test for on_train, on_test in pairs)

    @property
    def gains(self) -> tuple[Estimate, ...]:
        """Test PSNR above that of doing nothing, in dB, the mean over the noise levels."""
        return tuple(map(_gain, self.on_test))

    @property
    def denoises(self) -> tuple[bool, ...]:
        """Whether each model denoises at all.

        On the mean over the noise levels, it gains PSNR on the images that it was trained on, or on
        others, and at least half of what the best affine denoiser gains on these. Without curves,
        all count as denoisers.
        """
        if not self.on_test:
            return (True,) * len(self.verdicts)
        best = (
            max(_gain(one).value for one in both)
            for both in zip(self.on_train, self.on_test, strict=True)
        )
        needed = [max(_gain(curve).value / 2, LEAST_GAIN) for curve in self.affine]
        needed = needed or [LEAST_GAIN] * len(self.on_test)
        return tuple(gain > least for gain, least in zip(best, needed, strict=True))

    @property
    def fractions(self) -> dict[str, Estimate]:
        """Fraction of the samples of all models that are memorized, spurious or new."""
        return fractions(list(zip(*self.verdicts, strict=True)))

    @property
    def verdict(self) -> str:
        """What more samples are than anything else: memorized, spurious or new.

        ``A memorized, B new``, or the like, where the two differ by more than chance; and
        ``not a denoiser`` if one is none, see :attr:`denoises`: then nothing follows from samples.
        """
        if not all(self.denoises):
            return NOT_A_DENOISER
        shares = [fractions(each) for each in self.verdicts]
        leading = [_leading(share) for share in shares]
        if len(set(leading)) > 1 and any(_apart(*(s[name] for s in shares)) for name in leading):
            each = zip(LETTERS, leading, strict=True)
            return ", ".join(f"{model} {verdict}" for model, verdict in each)
        return _leading(self.fractions)

    @property
    def nearer(self) -> str:
        """What samples resemble more (Figure 2), by the medians and their intervals.

        ``training set``, ``other denoiser``, or ``undecided`` where the intervals overlap, and of
        one model alone.
        """
        if len(self.verdicts) == 1:
            return "undecided"
        other, own = median(self.between), median(self.to_train.T)
        if other.interval[0] > own.interval[1]:
            return "other denoiser"
        if own.interval[0] > other.interval[1]:
            return "training set"
        return "undecided"

    @property
    def table(self) -> dict[str, list[str]]:
        """What was measured, of A and of B, by its name, as it is printed."""
        shares = [fractions(each) for each in self.verdicts]
        two = len(self.verdicts) == 2
        pairs = zip(self.on_test, self.affine, strict=False)
        numbers: dict[str, list[Any]] = {
            **{f"samples that are {name}": [each[name] for each in shares] for name in VERDICTS},
            "similarity to training set": [median(values) for values in self.to_train],
            "distance ratio": [
                "undefined for N = 1" if ratio.isnan().all() else median(ratio[~ratio.isnan()])
                for ratio in self.ratio
            ],
            "images with a near-duplicate": list(self.duplicated),
            "largest train - test gap, dB": [f"{gap.largest():.1f}" for gap in self.gaps],
            "test PSNR above doing nothing, dB": [f"{gain:.1f}" for gain in self.gains],
            "test PSNR above best affine, dB": [f"{(a - b).mean():.1f}" for a, b in pairs],
            "similarity of A's and B's samples": [median(self.between)] if two else [],
            "similarity of A's and B's sets": [median(self.between_sets)] if two else [],
        }
        return {name: list(map(str, values)) for name, values in numbers.items() if values}

    @property
    def conditions(self) -> list[str]:
        """What was compared: sentences above the table."""
        two = len(self.verdicts) == 2
        told = [
            f"A and B were trained on {self.n:,} images each, none in common."
            if two
            else f"A was trained on {self.n:,} images.",
            f"{self.to_train.shape[1]:,} samples"
            + (" each, from the same noise;" if two else ";")
            + " fractions and medians, with 95% intervals.",
        ]
        if self.left_out:
            told.append(f"Samples that diverged, left out: {listed(self.left_out)}.")
        return told

    @property
    def conclusion(self) -> list[str]:
        """The verdict: sentences below the table."""
        if not all(self.denoises):
            bad = " and ".join(
                n for n, good in zip(LETTERS, self.denoises, strict=False) if not good
            )
            return [f"Verdict: {NOT_A_DENOISER}: {bad}.", *CAUSES]
        share = self.fractions.get(self.verdict)
        told = "" if share is None else f" ({share.value:.0%} of samples)"
        found = [f"Verdict: {self.verdict}{told}."]
        if len(self.verdicts) == 2:
            found.append(f"Samples are more like: {self.nearer}.")
        return found

    def __str__(self) -> str:
        rows = {"": LETTERS[: len(self.verdicts)], **self.table}
        table = [
            "".join([f"{name:{FIRST}}", *(f"{value:{COLUMN}}" for value in values)]).rstrip()
            for name, values in rows.items()
        ]
        return "\n".join([*self.conditions, "", *table, "", *self.conclusion])

    def save(self, path: str | Path, **origin: Any) -> None:
        """Write the report: numbers as JSON, after their origin, images and curves beside it.

        ``report.json`` goes with ``report.safetensors``, unless it has neither images nor curves.
        """
        path = Path(path)
        if path.suffix == TENSORS:
            raise ValueError(f"path: {path.name}; accepted: another ending, such as .json")
        content = {
            **origin,
            "between": _rounded(self.between),
            "to_train": _rounded(self.to_train),
            "closest": self.closest.tolist(),
            "ratio": None if self.n == 1 else _rounded(self.ratio),  # JSON has no NaN
            "verdicts": self.verdicts,
            "steps": self.steps.tolist(),
            "between_sets": _rounded(self.between_sets, decimals=4),
            "duplicated": [asdict(found) for found in self.duplicated],
        }
        if self.n != len(self.between_sets):
            content["n"] = self.n
        if self.left_out:
            content["left_out"] = self.left_out
        if not (tensors := self._tensors()):
            write_json(path, content)
            return
        beside = path.with_suffix(TENSORS)
        if beside.exists() and "tensors" not in (read_json(path) or {}):
            raise ValueError(f"path: {beside.name} is there, and not that of {path.name}")
        packed = safetensors.torch.save(tensors)
        content["tensors"] = hashlib.sha256(packed).hexdigest()
        with atomic_write(beside) as temporary:
            temporary.write_bytes(packed)
            write_json(path, content)  # where this fails, both files stay as they were

    def _tensors(self) -> dict[str, Tensor]:
        """Return images and curves by name; of a curve also the digests of what it is of."""
        found = {name: getattr(self, name) for name in IMAGES if getattr(self, name).numel()}
        for name in CURVES:
            for i, curve in enumerate(getattr(self, name)):
                ((images, values),) = curve.sets.items()
                digests = torch.tensor([list(image) for image in images], dtype=torch.uint8)
                parts = {"input_psnr": curve.x, "per_image": values, "images": digests}
                found |= {f"{name}.{i}.{part}": value for part, value in parts.items()}
        copies = (x.clone(memory_format=torch.contiguous_format) for x in found.values())
        return dict(zip(found, copies, strict=True))

    @classmethod
    def load(cls, path: str | Path) -> Report:
        """Return the report that ``save`` has written."""
        path = Path(path)
        content = read_json(path)
        if content is None:
            raise FileNotFoundError(f"path: there is nothing at {path}")
        if not isinstance(content, dict) or "to_train" not in content:
            raise ValueError(f"path: {path.name} holds no report")
        tensors = {}
        if digest := content.get("tensors"):
            file = path.with_suffix(TENSORS)
            packed = file.read_bytes()
            if hashlib.sha256(packed).hexdigest() != digest:
                raise damaged(file, f"does not belong to {path.name}")
            tensors = safetensors.torch.load(packed)
        to_train = _floats(content["to_train"])
        ratio = content["ratio"]
        stored: dict[str, Any] = {name: tensors[name] for name in IMAGES if name in tensors}
        stored |= {name: _stored_curves(name, tensors) for name in CURVES}
        return cls(
            between=_floats(content["between"]),
            to_train=to_train,
            closest=torch.tensor(content["closest"]),
            ratio=torch.full_like(to_train, math.nan) if ratio is None else _floats(ratio),
            verdicts=tuple(tuple(each) for each in content["verdicts"]),
            steps=torch.tensor(content["steps"]),
            between_sets=_floats(content["between_sets"]),
            n=content.get("n", len(content["between_sets"])),
            duplicated=tuple(Estimate(**found) for found in content.get("duplicated", ())),
            left_out=tuple(content.get("left_out", ())),
            **stored,
        )


def _stored_curves(name: str, tensors: Mapping[str, Tensor]) -> tuple[Curve, ...]:
    """Return the curves of A and of B as they were stored, as many as there are."""
    found = []
    for i in range(len(LETTERS)):
        if f"{name}.{i}.images" in tensors:
            parts = ("input_psnr", "per_image", "images")
            x, values, digests = (tensors[f"{name}.{i}.{part}"] for part in parts)
            found.append(Curve(x, {tuple(map(bytes, digests.tolist())): values}))
    return tuple(found)


def _rounded(values: Tensor, decimals: int = 5) -> Any:
    return [
        [None if math.isnan(value) else value for value in row] if isinstance(row, list) else row
        for row in torch.round(values, decimals=decimals).tolist()
    ]


def _floats(values: Any) -> Tensor:
    """Return numbers of JSON, None being NaN."""
    return torch.from_numpy(np.array(values, dtype=np.float64))


def _leading(shares: Mapping[str, Estimate]) -> str:
    return max(shares, key=lambda verdict: shares[verdict].value)


def _apart(a: Estimate, b: Estimate) -> bool:
    return a.low > b.high or b.low > a.high


def _gain(curve: Curve) -> Estimate:
    """Return the output PSNR above the input PSNR, the mean over the noise levels."""
    found, nothing = curve.mean(), float(curve.x.mean())
    return Estimate(*(value - nothing for value in (found.value, *found.interval)))
