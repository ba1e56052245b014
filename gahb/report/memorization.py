"""Measuring whether two denoisers memorize their training sets.

floor: 4
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from gahb.checks import check_count, check_number
from gahb.devices import device_of
from gahb.metrics import psnr_curve
from gahb.report.findings import Report, Side
from gahb.sampling import sample
from gahb.similarity import closest, cosine_similarity, verdicts
from gahb.vectors import check_batch

__all__ = ["memorization_report"]

INPUT_PSNR = tuple(range(0, 41, 5))  # dB
MEASURED = 128
"""Images of a set on which the PSNR is measured; a smaller set is repeated, with other noise."""
COMPARED = 1000
"""Images of one set, at most, that are compared with all of the other."""


def memorization_report(
    model_a: Callable[[Tensor], Tensor],
    model_b: Callable[[Tensor], Tensor],
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
    model_a, model_b : BaseDenoiser or callable
        Denoisers, such as :func:`gahb.wrap` makes of other networks.
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

    def side(f: Callable[[Tensor], Tensor], own: Tensor, other: Tensor) -> Side:
        drawn = sample(f, samples, (height, width), seed, channels=channels, **sampling).images
        unseen = other if test is None else test
        return Side(
            drawn,
            closest=_grey_levels(own[closest(drawn, own).index[:, 0].to(own.device)]).cpu(),
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
    """What tells images apart: the same for an image as bytes and as grey levels in [0, 1]."""
    stored = (
        image if image.dtype == torch.uint8 else (255 * image).round().to(torch.uint8)
        for image in x.cpu()
    )
    return {hashlib.sha256(image.numpy().tobytes()).digest() for image in stored}


def _measured(x: Tensor, f: Any) -> Tensor:
    """The first images of a set, repeated if they are few, where ``f`` computes."""
    copies = -(-MEASURED // len(x))
    return (
        _grey_levels(x[:MEASURED])
        .repeat(copies, 1, 1, 1)[:MEASURED]
        .to(device_of(f, otherwise=x.device))
    )


def _grey_levels(x: Tensor) -> Tensor:
    """Images as grey levels in [0, 1]."""
    return x if x.is_floating_point() else x.float() / 255
