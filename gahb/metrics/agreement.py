"""How well one denoiser predicts what another makes of the same noisy images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from gahb.checks import check_images, check_number
from gahb.devices import in_double
from gahb.metrics.curves import Curve, Function, denoised, psnr_from_sigma, unit_noise

Name = TypeVar("Name")


def r_squared(x_hat: Tensor, x: Tensor) -> Tensor:
    r"""Return the share of each image's variance that a prediction explains, (n,).

    .. math:: r^2 = 1 - \frac{\|\hat x - x\|^2}{\|x - \bar x\|^2}

    It is 1 for a perfect prediction, 0 for one that is no better than the mean gray level of the
    image, and negative for a worse one.

    Parameters
    ----------
    x_hat, x : Tensor
        Predicted and actual images, (n, C, H, W), none of them constant.

    Examples
    --------
    >>> x = torch.tensor([0.0, 1.0]).view(1, 1, 1, 2)
    >>> r_squared(0.9 * x, x)
    tensor([0.9800], dtype=torch.float64)
    """
    check_images("x", x)
    check_images("x_hat", x_hat)
    if x_hat.shape != x.shape:
        raise ValueError(f"x_hat: shape {tuple(x_hat.shape)} is not that of x, {tuple(x.shape)}")
    predicted, actual = in_double(x_hat).flatten(1), in_double(x).flatten(1)
    variance = (actual - actual.mean(1, keepdim=True)).square().sum(1)
    if not variance.all():
        raise ValueError("x: holds a constant image; accepted: images with some variance")
    return 1 - (predicted - actual).square().sum(1) / variance


def agreement(
    f: Function,
    reference: Function,
    x: Tensor,
    sigmas: Sequence[float],
    seed: int = 0,
    batch_size: int | None = None,
) -> Curve:
    """Return how much of a reference's estimates another denoiser predicts, r^2 by input PSNR.

    Both get the same noisy images. At small noise all denoisers give back nearly what they got, and
    r^2 is high for any: compare it with that of ``lambda y: y``, which does nothing.

    Parameters
    ----------
    f, reference : callable
        Denoisers f(y, sigma), or f(y) where they are blind.
    x, seed, batch_size
        As for :func:`gahb.psnr_curve`, whose noise it is.
    sigmas : sequence of float
        Noise levels.

    Returns
    -------
    Curve
        Over the input PSNR of ``sigmas``; ``curve.per_image`` holds r^2 of each image, (k, n).

    Examples
    --------
    >>> x = torch.rand(8, 1, 16, 16)
    >>> agreement(lambda y: 0.9 * y, lambda y: y, x, sigmas=[0.1, 0.5]).value > 0.8
    tensor([True, True])
    """
    noise = unit_noise(x, seed)
    for sigma in sigmas:
        check_number("sigmas", sigma, low=torch.finfo(torch.float32).tiny)
    per_image = [
        r_squared(*(denoised(g, x, noise, sigma, batch_size) for g in (f, reference))).cpu()
        for sigma in sigmas
    ]
    levels = torch.tensor([psnr_from_sigma(float(sigma)) for sigma in sigmas], dtype=torch.float64)
    return Curve.of(levels, torch.stack(per_image), x)


def best_predictors(
    candidates: Mapping[Name, Function],
    reference: Function,
    x: Tensor,
    sigmas: Sequence[float],
    seed: int = 0,
) -> dict[float, Name]:
    """Return at each noise level which of several denoisers agrees best with a reference.

    So the size of the patches of a local machine is chosen, on images that are held out: what is
    said of it later must be measured on others.

    Parameters
    ----------
    candidates : mapping to callable
        Denoisers by name, or by the size of their patches.
    reference, x, sigmas, seed
        As for :func:`agreement`; the best one has the highest median of r^2 over images.

    Examples
    --------
    >>> blurred = {scale: lambda y, scale=scale: scale * y for scale in (0.1, 0.8)}
    >>> best_predictors(blurred, lambda y: y, torch.rand(4, 1, 8, 8), [0.1, 0.5])
    {0.1: 0.8, 0.5: 0.8}
    """
    names = list(candidates)
    medians = torch.stack(
        [
            agreement(f, reference, x, sigmas, seed).per_image.median(1).values
            for f in candidates.values()
        ]
    )
    return dict(zip(sigmas, [names[i] for i in medians.argmax(0).tolist()], strict=True))
