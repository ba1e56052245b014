"""Whether denoisers memorize their training sets or have learned the same density."""

from __future__ import annotations

import hashlib
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from inspect import signature
from itertools import combinations
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from gahb.checks import as_numbers, check_choice, check_count, check_number, shown
from gahb.denoiser import limits_of
from gahb.devices import device_of
from gahb.intervals import Estimate, fraction
from gahb.metrics import Curve, psnr_curve
from gahb.optimal import Gaussian
from gahb.sampling import reverse_diffusion, sample
from gahb.settings import atomic_write, damaged, read_json, write_json
from gahb.similarity import (
    VERDICTS,
    closest,
    cosine_similarity,
    fractions,
    median,
    same_image,
    verdicts,
)
from gahb.vectors import check_batch, gray_levels, repeated, rows

__all__ = ["NOT_A_DENOISER", "Report", "memorization_report"]

INPUT_PSNR = tuple(range(0, 41, 5))  # dB
MEASURED = 128  # images of a set on which the PSNR is measured
COMPARED = 1000  # images of one set, at most, that are compared with all of the other
KNOWN = 10_000  # images of one set, at most, that its mean and covariance are taken from
LARGEST_AFFINE = 4096  # values of an image: the affine denoiser of larger ones takes minutes
LEAST_GAIN = 0.1  # dB: a mean of logarithms makes doing nothing gain a few hundredths
NOT_ENDED, NOT_COUNTED = -1, 0  # steps, of gahb.sample and of other samplers
SAMPLERS = ("algorithm 1", "ancestral", "ode")
NOT_A_DENOISER = "not a denoiser"
NAMES = "AB"
IMAGES, CURVES = ("samples", "nearest"), ("on_train", "on_test", "affine")
TENSORS = ".safetensors"
FIRST, COLUMN = 36, 22  # widths of the columns of a printed report
NO_IMAGES = torch.empty(2, 0, 1, 1, 1)
CAUSES = (
    "Likely causes: prediction type, range of gray levels or scheduler given to",
    "gahb.wrap do not fit; weights were not loaded; images are not of this kind.",
)

Model = Callable[..., Tensor]


@dataclass(frozen=True, eq=False, repr=False)
class Report:
    """What one denoiser A, or two, A and B, trained on N images each, have made of them.

    ``print`` shows the numbers, ``gahb.book.figures`` draws them: ``report_images``,
    ``report_similarities`` and ``report_curves``, or all on one page, ``report_page``. All
    similarities are cosines of images whose means are removed. What is (k, m) or a tuple is of each
    of the k models; samples i of two started from the same noise, and met the same on their way:
    the unit of intervals is the pair.

    Attributes
    ----------
    between : Tensor
        Similarity of the two samples from the same noise, (m,); of one model (0,).
    to_train : Tensor
        Similarity of each sample to the closest image of its denoiser's training set, (k, m).
    closest : Tensor
        The number of that image in the training set, (k, m).
    ratio : Tensor
        See :func:`gahb.similarity.distance_ratio`, (k, m); NaN for N = 1.
    verdicts : tuple of tuple of str
        Whether each sample is memorized, spurious or new.
    steps : Tensor
        Steps that each sample took, (k, m); 0 where they were not counted.
    between_sets : Tensor
        Similarity of training images of A to the closest one of B, at most (N,) (Figure 6).
    n : int
        Number of training images N of each.
    samples, nearest : Tensor, optional
        The samples, and the closest training image of each, (k, m, C, H, W); the measurements that
        the book ships lack both, and the curves.
    on_train, on_test : tuple of Curve
        Output PSNR on images that each was trained on, and on images that it has not seen.
    affine : tuple of Curve
        That of the best affine denoiser of its training set on these unseen images.
    duplicated : tuple of Estimate
        Fraction of the images of each training set that have a near-duplicate in it. The verdicts
        take an image and its near-duplicates for one.
    left_out : tuple of int
        Numbers of the samples that diverged or did not finish, in any model.
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
    affine: tuple[Curve, ...] = ()
    duplicated: tuple[Estimate, ...] = ()
    left_out: tuple[int, ...] = ()

    def __repr__(self) -> str:
        return f"<Report on {self._names}, N = {self.n:,}: {self.verdict}>"

    @property
    def _names(self) -> str:
        return " and ".join(NAMES[: len(self.verdicts)])

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
            each = zip(NAMES, leading, strict=True)
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
            "largest train - test gap, dB": [_in_db(gap.largest()) for gap in self.gaps],
            "test PSNR above doing nothing, dB": [_in_db(gain) for gain in self.gains],
            "test PSNR above best affine, dB": [_in_db((own - best).mean()) for own, best in pairs],
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
            told.append(f"Samples that diverged, left out: {_listed(self.left_out)}.")
        return told

    @property
    def conclusion(self) -> list[str]:
        """The verdict: sentences below the table."""
        if not all(self.denoises):
            bad = " and ".join(n for n, good in zip(NAMES, self.denoises, strict=False) if not good)
            return [f"Verdict: {NOT_A_DENOISER}: {bad}.", *CAUSES]
        share = self.fractions.get(self.verdict)
        told = "" if share is None else f" ({share.value:.0%} of samples)"
        found = [f"Verdict: {self.verdict}{told}."]
        if len(self.verdicts) == 2:
            found.append(f"Samples are more like: {self.nearer}.")
        return found

    def __str__(self) -> str:
        rows = {"": NAMES[: len(self.verdicts)], **self.table}
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
        if tensors := self._tensors():
            packed = safetensors.torch.save(tensors)
            content["tensors"] = hashlib.sha256(packed).hexdigest()
            with atomic_write(path.with_suffix(TENSORS)) as temporary:
                temporary.write_bytes(packed)
        write_json(path, content, indent=None)

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
        tensors = {}
        if digest := content.get("tensors"):
            file = path.with_suffix(TENSORS)
            packed = file.read_bytes()
            if hashlib.sha256(packed).hexdigest() != digest:
                raise damaged(file, f"does not belong to {path.name}")
            tensors = safetensors.torch.load(packed)
        floats = partial(torch.tensor, dtype=torch.float64)
        to_train = floats(content["to_train"])
        ratio = [
            [math.nan if value is None else value for value in row]
            for row in content["ratio"] or torch.full_like(to_train, math.nan).tolist()
        ]
        stored: dict[str, Any] = {name: tensors[name] for name in IMAGES if name in tensors}
        stored |= {name: _stored_curves(name, tensors) for name in CURVES}
        return cls(
            between=floats(content["between"]),
            to_train=to_train,
            closest=torch.tensor(content["closest"]),
            ratio=floats(ratio),
            verdicts=tuple(tuple(each) for each in content["verdicts"]),
            steps=torch.tensor(content["steps"]),
            between_sets=floats(content["between_sets"]),
            n=content.get("n", len(content["between_sets"])),
            duplicated=tuple(Estimate(**found) for found in content.get("duplicated", ())),
            left_out=tuple(content.get("left_out", ())),
            **stored,
        )


def _stored_curves(name: str, tensors: Mapping[str, Tensor]) -> tuple[Curve, ...]:
    """Return the curves of A and of B as they were stored, as many as there are."""
    found = []
    for i in range(len(NAMES)):
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


def _in_db(found: Estimate) -> str:
    unknown = math.isnan(found.low)
    bounds = "(no interval)" if unknown else f"[{found.low:.1f}, {found.high:.1f}]"
    return f"{found.value:.1f} {bounds}"


def _listed(numbers: Sequence[float], at_most: int = 8) -> str:
    rest = len(numbers) - at_most
    return ", ".join(f"{number:g}" for number in numbers[:at_most]) + (
        f" and {rest} others" if rest > 0 else ""
    )


def _leading(shares: Mapping[str, Estimate]) -> str:
    return max(shares, key=lambda verdict: shares[verdict].value)


def _apart(a: Estimate, b: Estimate) -> bool:
    return a.low > b.high or b.low > a.high


def _gain(curve: Curve) -> Estimate:
    """Return the output PSNR above the input PSNR, the mean over the noise levels."""
    found, nothing = curve.mean(), float(curve.x.mean())
    return Estimate(*(value - nothing for value in (found.value, *found.interval)))


def memorization_report(
    model_a: Model | None = None,
    model_b: Model | None = None,
    train_a: Tensor | None = None,
    train_b: Tensor | None = None,
    test: Tensor | None = None,
    *,
    samples: int | Tensor | Sequence[Tensor] = 64,
    seed: int = 0,
    input_psnr: Sequence[float] | Tensor | None = INPUT_PSNR,
    compared: int = COMPARED,
    same: float | None = None,
    flips: bool = False,
    shifts: int = 0,
    sampler: str = "algorithm 1",
    **sampling: Any,
) -> Report:
    """Measure whether denoisers memorize, by what they sample and how they do (Figures 1, 2).

    Parameters
    ----------
    model_a, model_b : callable, optional
        Denoisers f(y) or f(y, sigma), such as :func:`gahb.wrap` makes of other networks. One is
        enough, ``memorization_report(a, train_a=x)``: two tell as well whether they agree.
    train_a, train_b : Tensor
        What each was trained on, (N, C, H, W), in [0, 1] or uint8: as many images, none in common.
    test : Tensor, optional
        Images that neither has seen, as many as there are. Without them, each is tested on the
        training set of the other.
    samples, seed : int
        Number m of samples of each, and what fixes the noise. Or the samples themselves, drawn by
        any sampler, (m, C, H, W) of each model, samples i of two from the same noise: then a model
        may be None, and is not measured.
    input_psnr : sequence of float, optional
        Noise levels of the PSNR curves, in dB; None for no curves, and no check that the models
        denoise at all. Levels that a model does not take are left out, with a warning.
    compared : int
        Images of A, at most, that are compared with all of B.
    same, flips, shifts
        When two images count as one, and what else counts as a copy: see
        :func:`gahb.similarity.verdicts`.
    sampler : str
        ``algorithm 1``: :func:`gahb.sample`; ``ancestral`` or ``ode``: those of
        :func:`gahb.sampling.reverse_diffusion`, from draws of the Gaussian of the training sets.
        The share of copies depends on it: of a density with 5% copies, Algorithm 1 at its defaults
        draws about 2%.
    **sampling
        What else the sampler takes, such as ``beta``, ``steps`` or ``sigma_end``.

    Examples
    --------
    Two exact memorizers:

    >>> from gahb.optimal import EmpiricalBayes
    >>> sets = torch.rand(2, 4, 1, 8, 8)
    >>> a, b = (EmpiricalBayes(x) for x in sets)
    >>> memorization_report(a, b, *sets, samples=8).verdict
    'memorized'

    One model, and samples of any origin:

    >>> memorization_report(train_a=sets[0], samples=sets[0][:3]).verdict
    'memorized'
    """
    models, sets = _checked_models(model_a, model_b, train_a, train_b, samples)
    _check_sets(sets, test)
    channels, height, width = sets[0].shape[1:]
    shape = channels, height, width
    draw = sample if sampler == SAMPLERS[0] else reverse_diffusion
    input_psnr, sampling = _within_reach(models, input_psnr, draw, sampling)
    if isinstance(samples, Tensor | Sequence):
        images = _checked_samples(samples, len(sets), sets[0])
        steps = torch.full(images.shape[:2], NOT_COUNTED)
    else:
        images, steps = _drawn(models, sets, samples, seed, sampler, shape, sampling)
    ended = images.isfinite().flatten(2).all(2).all(0) & (steps != NOT_ENDED).all(0)
    if not ended.any():
        raise RuntimeError(f"samples: all {len(ended)} diverged. {' '.join(CAUSES)}")
    images, steps = images[:, ended], steps[:, ended]
    others = [[*sets[:i], *sets[i + 1 :]] for i in range(len(sets))]
    known = [[*other, test] if test is not None else other for other in others]
    unseen = [_joined(found) if found else None for found in known]
    same = same_image(unseen[0] if test is None else test) if same is None else same
    judged = [
        verdicts(*of_one, same=same, flips=flips, shifts=shifts)
        for of_one in zip(images, sets, unseen, strict=True)
    ]
    index = torch.stack([found.closest for found in judged])
    nearest = [gray_levels(x[i.to(x.device)]).cpu() for x, i in zip(sets, index, strict=True)]
    two, nothing = len(sets) == 2, torch.empty(0, dtype=torch.float64)
    tested = [found[-1] if found else None for found in known]
    return Report(
        between=cosine_similarity(*images) if two else nothing,
        to_train=torch.stack([found.to_train for found in judged]),
        closest=index,
        ratio=torch.stack([found.ratio for found in judged]),
        verdicts=tuple(found.each for found in judged),
        steps=steps,
        between_sets=closest(sets[0][:compared], sets[1]).value[:, 0].cpu() if two else nothing,
        n=len(sets[0]),
        samples=images,
        nearest=torch.stack(nearest),
        duplicated=tuple(_duplicated(x, same) for x in sets),
        left_out=tuple((~ended).nonzero().flatten().tolist()),
        **_curves(models, sets, tested, input_psnr, seed),
    )


def _checked_models(
    model_a: Model | None,
    model_b: Model | None,
    train_a: Tensor | None,
    train_b: Tensor | None,
    samples: Any,
) -> tuple[list[Model | None], list[Tensor]]:
    """Return one or two models, and as many training sets."""
    if train_a is None:
        raise TypeError("train_a: None; accepted: what model_a was trained on, (N, C, H, W)")
    if train_b is None and model_b is not None:
        raise TypeError("train_b: None; accepted: what model_b was trained on, (N, C, H, W)")
    sets = [train_a] if train_b is None else [train_a, train_b]
    models = [model_a, model_b][: len(sets)]
    if isinstance(samples, bool) or not isinstance(samples, Tensor | Sequence):
        check_count("samples", samples)
        for name, model in zip(NAMES, models, strict=False):
            if not callable(model):
                accepted = "a denoiser, or samples that it has drawn"
                raise TypeError(f"model_{name.lower()}: {shown(model)}; accepted: {accepted}")
    return models, sets


def _checked_samples(samples: Tensor | Sequence[Tensor], k: int, like: Tensor) -> Tensor:
    """Return samples of k models, (k, m, C, H, W) in gray levels, some of which may be NaN."""
    given = [samples] if isinstance(samples, Tensor) and samples.ndim == 4 else list(samples)
    if len(given) != k:
        raise ValueError(f"samples: of {len(given)} models; accepted: of {k}, (m, C, H, W) of each")
    for x in given:
        check_batch("samples", x, like)
        if len(x) != len(given[0]):
            raise ValueError(f"samples: {len(x)} of B; accepted: {len(given[0])}, as of A")
    return torch.stack([gray_levels(x).float().cpu() for x in given])


def _within_reach(
    models: Sequence[Model | None],
    input_psnr: Sequence[float] | Tensor | None,
    draw: Callable[..., Any],
    sampling: dict[str, Any],
) -> tuple[Any, dict[str, Any]]:
    """Return the levels of the curves, and those of sampling, as far as the models take them."""
    limits = [limits_of(model) for model in models]
    low, high = max(ends[0] for ends in limits), min(ends[1] for ends in limits)
    levels = as_numbers("input_psnr", () if input_psnr is None else input_psnr, "numbers in dB")
    sigma = 10 ** (-levels / 20)
    beyond = levels[(sigma < low) | (sigma > high)].tolist()
    cut = [f"left out: {_listed(beyond)} dB"] if beyond else []
    if beyond:
        input_psnr = [level for level in levels.tolist() if level not in beyond]
    for name in ("sigma_0", "sigma_end"):
        given = sampling.get(name, signature(draw).parameters[name].default)
        check_number(name, given, 0)
        if (taken := min(max(given, low), high)) != given:
            sampling = {**sampling, name: taken}
            cut.append(f"{name} is {taken:.3g}, not {given:g}")
    takes = f"the models take sigma from {low:.3g} to {high:.3g}"
    if beyond and not input_psnr:
        raise ValueError(f"input_psnr: {_listed(beyond)}; accepted: some; {takes}")
    if cut:
        warnings.warn(f"noise levels: {takes}; {'; '.join(cut)}", stacklevel=3)
    return input_psnr, sampling


def _drawn(
    models: Sequence[Any],
    sets: Sequence[Tensor],
    m: int,
    seed: int,
    sampler: str,
    shape: tuple[int, int, int],
    sampling: dict[str, Any],
) -> tuple[Tensor, Tensor]:
    """Return m samples of each model, (k, m, C, H, W), and the steps that they took, (k, m)."""
    check_choice("sampler", sampler, SAMPLERS)
    if sampler == SAMPLERS[0]:
        drawn = [
            sample(f, m, shape[1:], seed, channels=shape[0], strict=False, **sampling)
            for f in models
        ]
        return torch.stack([x.images for x in drawn]), torch.stack([x.steps for x in drawn])
    start = _gaussian_draws(_joined([x[:KNOWN] for x in sets]), m, seed)
    images = [reverse_diffusion(f, start, seed, method=sampler, **sampling) for f in models]
    return torch.stack(images), torch.full((len(models), m), NOT_COUNTED)


def _gaussian_draws(x: Tensor, m: int, seed: int) -> Tensor:
    """Return draws of the Gaussian of the mean and covariance of images, without its matrix."""
    vectors = rows("train", x, centered=False).cpu()
    mean = vectors.mean(0)
    # A key of its own: another stream than that of the sampler's noise.
    generator = torch.Generator().manual_seed(2**32 + int(seed))
    weights = torch.randn(m, len(x), generator=generator, dtype=torch.float64) / len(x) ** 0.5
    drawn: Tensor = (mean + weights @ (vectors - mean)).float().view(m, *x.shape[1:])
    return drawn


def _joined(sets: Sequence[Tensor]) -> Tensor:
    """Return the images of all sets, as bytes if all are bytes."""
    same = len({x.dtype for x in sets}) == 1
    return torch.cat([x if same else gray_levels(x) for x in sets])


def _duplicated(x: Tensor, same: float) -> Estimate:
    """Return the fraction of images that have a near-duplicate in their own set."""
    if len(x) == 1:
        return fraction(torch.zeros(1))
    return fraction(closest(x[:COMPARED], x, 2).value[:, 1] > same)


def _check_sets(train: Sequence[Tensor], test: Tensor | None) -> None:
    """Raise unless the training sets are of one size, and no two sets share an image."""
    sets = {f"train_{name.lower()}": x for name, x in zip(NAMES, train, strict=False)}
    if test is not None:
        sets["test"] = test
    for name, x in sets.items():
        check_batch(name, x, like=None if name == "train_a" else train[0])
        for extreme in x.aminmax() if x.is_floating_point() else ():
            check_number(name, float(extreme), low=0, high=1)
    first, last = train[0], train[-1]
    if len(first) != len(last):
        raise ValueError(f"train_b: {len(last)} images; accepted: {len(first)}, as in train_a")
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
    models: Sequence[Model | None],
    sets: Sequence[Tensor],
    tested: Sequence[Tensor | None],
    input_psnr: Sequence[float] | Tensor | None,
    seed: int,
) -> dict[str, tuple[Curve, ...]]:
    """Return the curves of each model on its training images and on others, by attribute.

    They are of the first images of a set, repeated if they are few.
    """
    if input_psnr is None or any(x is None for x in (*models, *tested)):
        return {}

    def curves(functions: Sequence[Any], sets: Sequence[Any]) -> tuple[Curve, ...]:
        return tuple(
            psnr_curve(f, x.to(device_of(f, otherwise=x.device)), input_psnr, seed)
            for f, x in zip(
                functions, (gray_levels(repeated(x, MEASURED)) for x in sets), strict=True
            )
        )

    found = {"on_train": curves(models, sets), "on_test": curves(models, tested)}
    if sets[0].shape[1:].numel() <= LARGEST_AFFINE:
        found["affine"] = curves([Gaussian.of(x[:KNOWN]) for x in sets], tested)
    return found
