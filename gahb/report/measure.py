"""Measure whether denoisers memorize: samples, their verdicts, and curves."""

import hashlib
import warnings
from collections.abc import Callable, Sequence
from inspect import signature
from itertools import combinations
from typing import Any

import torch
from torch import Tensor

from gahb.checks import as_numbers, check_choice, check_count, check_number, listed, shown
from gahb.denoiser import limits_of
from gahb.devices import device_of
from gahb.intervals import Estimate, fraction
from gahb.metrics import Curve, psnr_curve
from gahb.metrics.curves import INPUT_PSNR
from gahb.optimal import Gaussian
from gahb.report.result import CAUSES, LETTERS, Report
from gahb.sampling import reverse_diffusion, sample
from gahb.similarity import closest, cosine_similarity, same_image, verdicts
from gahb.vectors import check_batch, check_gray, gray_levels, repeated, rows

MEASURED = 128  # images of a set on which the PSNR is measured
COMPARED = 1000  # images of one set, at most, that are compared with all of the other
KNOWN = 10_000  # images of one set, at most, that its mean and covariance are taken from
LARGEST_AFFINE = 4096  # values of an image: the affine denoiser of larger ones takes minutes
NOT_ENDED, NOT_COUNTED = -1, 0  # steps, of gahb.sample and of other samplers
SAMPLERS = ("algorithm 1", "ancestral", "ode")

Model = Callable[..., Tensor]


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
    """
    check_choice("sampler", sampler, SAMPLERS)
    if sampling and isinstance(samples, Tensor | Sequence):
        raise TypeError(f"{next(iter(sampling))}: has no use where the samples are given")
    models, sets = _checked_models(model_a, model_b, train_a, train_b, samples)
    _check_sets(sets, test)
    draw = sample if sampler == SAMPLERS[0] else reverse_diffusion
    input_psnr, sampling = _within_reach(models, input_psnr, draw, sampling)
    if isinstance(samples, Tensor | Sequence):
        images = _checked_samples(samples, len(sets), sets[0])
        steps = torch.full(images.shape[:2], NOT_COUNTED)
    else:
        images, steps = _drawn(models, sets, samples, seed, sampler, sampling)
    ended = images.isfinite().flatten(2).all(2).all(0) & (steps != NOT_ENDED).all(0)
    if not ended.any():
        raise RuntimeError(f"samples: all {len(ended)} diverged. {' '.join(CAUSES)}")
    images = images[:, ended]
    given = [] if test is None else [test]
    others = [[*sets[:i], *sets[i + 1 :], *given] for i in range(len(sets))]
    tested = [unseen[-1] if unseen else None for unseen in others]
    same = same_image(tested[0]) if same is None else same
    two, nothing = len(sets) == 2, torch.empty(0, dtype=torch.float64)
    return Report(
        between=cosine_similarity(*images) if two else nothing,
        between_sets=closest(sets[0][:compared], sets[1]).value[:, 0].cpu() if two else nothing,
        steps=steps[:, ended],
        n=len(sets[0]),
        samples=images,
        left_out=tuple((~ended).nonzero().flatten().tolist()),
        **_judged(images, sets, others, same, flips=flips, shifts=shifts),
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
        for name, model in zip(LETTERS, models, strict=False):
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
    cut = [f"left out: {listed(beyond)} dB"] if beyond else []
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
        raise ValueError(f"input_psnr: {listed(beyond)}; accepted: some; {takes}")
    if cut:
        warnings.warn(f"noise levels: {takes}; {'; '.join(cut)}", stacklevel=3)
    return input_psnr, sampling


def _drawn(
    models: Sequence[Any],
    sets: Sequence[Tensor],
    m: int,
    seed: int,
    sampler: str,
    sampling: dict[str, Any],
) -> tuple[Tensor, Tensor]:
    """Return m samples of each model, (k, m, C, H, W), and the steps that they took, (k, m)."""
    if sampler == SAMPLERS[0]:
        channels, height, width = sets[0].shape[1:]
        drawn = [
            sample(f, m, (height, width), seed, channels=channels, strict=False, **sampling)
            for f in models
        ]
        return torch.stack([x.images for x in drawn]), torch.stack([x.steps for x in drawn])
    start = _gaussian_draws(_joined([x[:KNOWN] for x in sets]), m, seed)
    images = [reverse_diffusion(f, start, seed, method=sampler, **sampling) for f in models]
    return torch.stack(images), torch.full((len(models), m), NOT_COUNTED)


def _judged(
    images: Tensor, sets: Sequence[Tensor], others: Sequence[Any], same: float, **copies: Any
) -> dict[str, Any]:
    """Return the verdicts on the samples of each model, and what they rest on, by attribute."""
    unseen = [_joined(each) if each else None for each in others]
    of_each = zip(images, sets, unseen, strict=True)
    judged = [verdicts(*of_one, same=same, **copies) for of_one in of_each]
    index = torch.stack([found.closest for found in judged])
    nearest = [gray_levels(x[i.to(x.device)]).cpu() for x, i in zip(sets, index, strict=True)]
    return {
        "to_train": torch.stack([found.to_train for found in judged]),
        "closest": index,
        "ratio": torch.stack([found.ratio for found in judged]),
        "verdicts": tuple(found.each for found in judged),
        "nearest": torch.stack(nearest),
        "duplicated": tuple(_duplicated(x, same) for x in sets),
    }


def _gaussian_draws(x: Tensor, m: int, seed: int) -> Tensor:
    """Return draws of the Gaussian of the mean and covariance of images, without its matrix."""
    vectors = rows("train", x, centered=False).cpu()
    mean = vectors.mean(0)
    # Another stream than that of the sampler's noise, which is numpy's.
    generator = torch.Generator().manual_seed(int(seed))
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
    sets = {f"train_{name.lower()}": x for name, x in zip(LETTERS, train, strict=False)}
    if test is not None:
        sets["test"] = test
    for name, x in sets.items():
        check_gray(name, x, like=None if name == "train_a" else train[0])
    first, last = train[0], train[-1]
    if len(first) != len(last):
        raise ValueError(f"train_b: {len(last)} images; accepted: {len(first)}, as in train_a")
    digests = {}
    for name, x in sets.items():
        # The same for bytes and for gray levels in [0, 1].
        scale = 1 if x.dtype == torch.uint8 else 255
        stored = ((scale * image).round().to(torch.uint8) for image in x.cpu())
        digests[name] = {hashlib.sha256(image.numpy().tobytes()).digest() for image in stored}
    for earlier, name in combinations(sets, 2):
        if shared := len(digests[earlier] & digests[name]):
            problem = f"{shared} of its images are in {earlier}"
            raise ValueError(f"{name}: {problem}; accepted: none in common")


def _curves(
    models: Sequence[Model | None],
    sets: Sequence[Tensor],
    tested: Sequence[Tensor | None],
    input_psnr: Sequence[float] | Tensor | None,
    seed: int,
) -> dict[str, Any]:
    """Return the curves of each model on the first of its training images and others, by name."""
    if input_psnr is None or any(x is None for x in (*models, *tested)):
        return {}

    def curves(functions: Sequence[Any], sets: Sequence[Any]) -> tuple[Curve, ...]:
        clean = [gray_levels(repeated(x, MEASURED)) for x in sets]
        return tuple(
            psnr_curve(f, x.to(device_of(f, otherwise=x.device)), input_psnr, seed)
            for f, x in zip(functions, clean, strict=True)
        )

    found = {"on_train": curves(models, sets), "on_test": curves(models, tested)}
    if sets[0].shape[1:].numel() <= LARGEST_AFFINE:
        found["affine"] = curves([Gaussian.of(x[:KNOWN]) for x in sets], tested)
    return found
