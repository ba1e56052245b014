"""The trace of a denoiser's Jacobian, and the error estimated from it without clean images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gahb.basis.jacobian import CHUNK, Function, jacobian_at, jacobians_at
from gahb.checks import check_count, check_images, check_number
from gahb.denoiser import SMALLEST, at
from gahb.devices import in_double
from gahb.intervals import Estimate, mean, of_means


@dataclass(frozen=True, eq=False)
class Trace:
    """Trace of the Jacobian at each of n images, and its 95% interval, all (n,) in float64.

    The interval is that of the chance of the probes: NaN for one, of no width for an exact trace.
    """

    value: Tensor
    low: Tensor
    high: Tensor


@dataclass(frozen=True, eq=False)
class Risk(Estimate):
    """Estimated squared error of a denoiser: mean over images, its 95% interval, and each, (n,)."""

    per_image: Tensor


def trace_jacobian(
    f: Function,
    y: Tensor,
    probes: int | None = 16,
    seed: int = 0,
    *,
    sigma: float | Tensor | None = None,
) -> Trace:
    r"""Return the trace of a denoiser's Jacobian at noisy images, the sum of its factors.

    Hutchinson's estimate [1]_ is the mean of :math:`\langle v, J v \rangle` over random signs v.

    Parameters
    ----------
    f : callable
        Denoiser f(y) or f(y, sigma), of each image independently of the others.
    y : Tensor
        Noisy images, (n, C, H, W), float32 or float64, on the device of ``f``.
    probes : int or None
        Number of random vectors per image; None for the exact trace, from d products.
    seed : int
        Fixes the vectors: those of image i depend on it and i alone.
    sigma : float or Tensor, optional
        Noise level, for denoisers that are not blind.

    References
    ----------
    .. [1] M. F. Hutchinson. A stochastic estimator of the trace of the influence matrix for
       Laplacian smoothing splines. Communications in Statistics 18, 1989.

    Examples
    --------
    >>> trace_jacobian(lambda y: 0.5 * y, torch.rand(1, 1, 4, 4)).value
    tensor([8.], dtype=torch.float64)
    """
    products = _estimates_and_products(at(f, sigma), y, probes, seed)[1]
    if probes is None:
        return Trace(*[products[:, 0]] * 3)
    return Trace(products.mean(1), *of_means([products]))


def sure(f: Function, y: Tensor, sigma: float, probes: int | None = 1, seed: int = 0) -> Risk:
    r"""Return Stein's unbiased estimate [1]_ of a denoiser's squared error, without clean images.

    .. math:: \|x - f(y)\|^2 \approx 2 \sigma^2 \, \mathrm{tr} J + \|y - f(y)\|^2 - \sigma^2 d

    is a sum over the d values of an image (equation 7): divided by d it is a mean squared error.
    Single images are estimated poorly, perhaps below 0; the mean over images is unbiased.

    Parameters
    ----------
    f, y, seed
        As for :func:`trace_jacobian`.
    sigma : float
        Standard deviation of the noise in ``y``, on the scale where images lie in [0, 1].
    probes : int or None
        Random vectors per image; None for the exact trace. One is enough for the mean over many
        images, whose interval contains the chance of the probes.

    References
    ----------
    .. [1] C. M. Stein. Estimation of the mean of a multivariate normal distribution. Annals of
       Statistics 9, 1981.

    Examples
    --------
    The identity leaves all the noise, sigma^2 in each of 64 values:

    >>> float(sure(lambda y: 1 * y, torch.rand(5, 1, 8, 8), sigma=0.5).per_image.mean())
    16.0
    """
    check_number("sigma", sigma, low=SMALLEST)
    estimates, products = _estimates_and_products(at(f, sigma), y, probes, seed)
    residuals = (in_double(y.detach()).cpu() - estimates).flatten(1)
    d = residuals.shape[1]
    per_image = 2 * sigma**2 * products.mean(1) + residuals.square().sum(1) - sigma**2 * d
    found = mean(per_image)
    return Risk(found.value, *found.interval, per_image)


def _estimates_and_products(
    f: Function, y: Tensor, probes: int | None, seed: int
) -> tuple[Tensor, Tensor]:
    """Return f(y), (n, C, H, W), and each <v, J v>, (n, probes), or the exact traces, (n, 1).

    Both in float64 on the CPU.
    """
    check_images("y", y)
    check_count("seed", seed, minimum=0)
    if probes is None:
        parts = [_exact(f, image) for image in y.split(1)]
    else:
        check_count("probes", probes)
        signs = torch.stack([random_signs(seed, i, probes, y.shape[1:]) for i in range(len(y))])
        batches = zip(y.split(CHUNK), signs.split(CHUNK), strict=True)
        parts = [_hutchinson(f, *batch) for batch in batches]
    estimates, products = zip(*parts, strict=True)
    return in_double(torch.cat(estimates)).cpu(), in_double(torch.cat(products)).cpu()


def _exact(f: Function, y: Tensor) -> tuple[Tensor, Tensor]:
    """Return estimate and trace for one image, from every row of its Jacobian, some at a time."""
    with jacobian_at(f, y) as jacobian:
        parts = torch.arange(jacobian.size).split(CHUNK)
        diagonal = torch.cat([jacobian.rows(part)[:, part].diagonal() for part in parts])
        return jacobian.value, in_double(diagonal).sum().reshape(1, 1)


def _hutchinson(f: Function, y: Tensor, signs: Tensor) -> tuple[Tensor, Tensor]:
    """Return f(y) of a batch (n, C, H, W), and <v, J v> for its ``signs`` v, (n, probes, d)."""
    probes = signs.to(y).transpose(0, 1).flatten(1)
    with jacobians_at(f, y) as jacobian:
        at_a_time = max(1, CHUNK // len(y))
        images = [jacobian.transposed_times(some) for some in probes.split(at_a_time)]
        terms = in_double(torch.cat(images) * probes)
        return jacobian.value, terms.unflatten(1, (len(y), -1)).sum(2).T


def random_signs(seed: int, image: int, probes: int, shape: torch.Size) -> Tensor:
    """Return random vectors of 1 and -1 for an image of that number, (probes, d) in int8."""
    # A key of its own: noise that was drawn from the same seed must tell nothing of the signs.
    key = np.random.SeedSequence([seed, image], spawn_key=(1,))
    count = probes * shape.numel()
    words = np.random.Philox(key).random_raw(-(-count // 64))
    bits = np.unpackbits(words.view(np.uint8))[:count].astype(np.int8)
    return torch.from_numpy(2 * bits - 1).reshape(probes, -1)
