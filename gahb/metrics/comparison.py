"""A denoiser beside a subspace, the optimal denoiser, or any other, on the same noisy images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from gahb.checks import as_numbers, check_images, check_number, check_shape
from gahb.denoiser import SMALLEST
from gahb.devices import in_double
from gahb.intervals import Estimate
from gahb.metrics.curves import Curve, Function, check_alike, denoised, unit_noise
from gahb.vectors import check_orthonormal

Name = TypeVar("Name")


# --- A subspace, such as a tangent space ---


def error_dimensions(f: Function, x: Tensor, bases: Tensor, sigma: float) -> tuple[Tensor, Tensor]:
    """Return the squared error within and outside of a subspace, over sigma^2 (Figure 5).

    A denoiser that projects on a subspace keeps the noise within it, as many times sigma^2 as it
    has dimensions, and nothing outside. Both errors, (n,), are in such dimensions. The orthonormal
    ``bases`` of the subspaces of all images are (n, k, C, H, W); denoiser, images and noise are as
    for :func:`gahb.psnr_curve`, at one noise level.

    Examples
    --------
    >>> x, z = torch.zeros(500, 1, 2, 2), torch.eye(4).view(4, 1, 2, 2)
    >>> within, outside = error_dimensions(lambda y: y, x, z[:3].expand(500, -1, 1, 2, 2), 0.1)
    >>> round(float(within.mean())), round(float(outside.mean()))
    (3, 1)
    """
    check_images("x", x)
    accepted = f"an orthonormal basis of each image, ({len(x)}, k, C, H, W)"
    check_shape("bases", bases, accepted, lambda s: len(s) == 5 and s[:1] + s[2:] == x.shape)
    check_orthonormal("bases", bases, accepted)
    error = denoised(f, x, unit_noise(x, seed=0), sigma) - x
    error = in_double(error).cpu().flatten(1) / sigma
    vectors = in_double(bases).cpu().flatten(2)
    coordinates = torch.einsum("nkd,nd->nk", vectors, error)
    outside = error - torch.einsum("nk,nkd->nd", coordinates, vectors)
    return coordinates.square().sum(1), outside.square().sum(1)


# --- The optimal denoiser: how far the density that a denoiser stands for is from the true one ---


@dataclass(frozen=True, eq=False)
class Divergence(Estimate):
    """Bound on a Kullback-Leibler divergence, in nats: an integral over noise levels (equation 5).

    Its interval is for the choice of the images.
    """

    #: Gap between the two errors over sigma^2, against sigma: its integral over log(sigma) is
    #: ``value``, so that a picture over a logarithmic axis shows what adds to it.
    integrand: Curve
    #: Change of the integral without every second level: several times the error of the grid.
    grid_error: float
    #: What the noise levels below and above the given ones would add if the integrand fell there
    #: as it does for any smooth density of finite variance, as sigma^2 and as sigma^-2.
    beyond: float


def kl_gap(
    f: Function,
    f_star: Function,
    x: Tensor,
    sigma: Sequence[float] | Tensor,
    *,
    seed: int = 0,
    batch_size: int | None = None,
) -> Divergence:
    r"""Return the Kullback-Leibler divergence that an optimality gap stands for (equation 5).

    .. math:: \mathrm{KL} \le \int \bigl(\mathrm{MSE}(f, \sigma^2) -
              \mathrm{MSE}(f^\star, \sigma^2)\bigr)\, \sigma^{-3}\, d\sigma

    with errors summed over pixels, for the density of the images x and that which the exact reverse
    diffusion draws with f, from infinite noise down to none. It says nothing of what a sampler adds
    by finite steps, such as :func:`gahb.sample`: of an optimal f it is zero, and that is not.
    Where f is itself the posterior mean of a density, the integral is the divergence from it
    (Verdú, 2010). Over some of the noise levels, it is a lower estimate of that bound.

    The difference of the errors has the same mean as ||f(y) - f*(y)||^2 (equation 24), which is
    what is averaged: it varies much less from image to image.

    Parameters
    ----------
    f, f_star : callable
        The denoiser and the optimal one, the posterior mean of the density of x, called as
        f(y, sigma), or f(y) where it is blind.
    x : Tensor
        Clean images, drawn from the true density, (n, C, H, W), on the device of both.
    sigma : sequence of float
        At least three noise levels, increasing. The integral is by the trapezoidal rule over their
        logarithms, so that equal ratios are best.
    seed, batch_size : int
        As for :func:`gahb.psnr_curve`: image i meets the same noise at every level, in proportion.

    Examples
    --------
    The density N(0, 1), taken for N(1, 1): the divergence is 1/2 in each pixel.

    >>> from gahb.optimal import Gaussian
    >>> p, q = (Gaussian(m * torch.ones(1, 1, 2), torch.eye(2)) for m in (0.0, 1.0))
    >>> gap = kl_gap(q, p, p.draw(10), sigma=torch.logspace(-2, 2, 41))
    >>> round(gap.value + gap.beyond, 4)
    1.0
    """
    check_images("x", x)
    accepted = "at least three positive, finite, increasing noise levels"
    levels = as_numbers("sigma", sigma, accepted).cpu()
    if levels.ndim != 1 or len(levels) < 3:
        raise ValueError(f"sigma: shape {tuple(levels.shape)} is not that of {accepted}")
    if not (levels[0] > 0 and levels.isfinite().all() and (levels.diff() > 0).all()):
        raise ValueError(f"sigma: {levels.tolist()} are not {accepted}")
    noise = unit_noise(x, seed)
    gaps = []
    for level in levels.tolist():
        ours, best = (in_double(denoised(g, x, noise, level, batch_size)) for g in (f, f_star))
        gaps.append((ours - best).square().flatten(1).sum(1).cpu() / level**2)
    integrand, logs = Curve.of(levels, torch.stack(gaps), x), levels.log()
    weights = torch.trapezoid(torch.eye(len(logs), dtype=logs.dtype), logs)
    total = integrand.combination(weights)
    fewer = [*range(0, len(logs) - 1, 2), len(logs) - 1]
    coarse = float(torch.trapezoid(integrand.value[fewer], logs[fewer]))
    return Divergence(
        total.value,
        *total.interval,
        integrand,
        grid_error=abs(total.value - coarse),
        beyond=float(integrand.value[0] + integrand.value[-1]) / 2,
    )


# --- Another denoiser: how well it is predicted ---


def r_squared(x_hat: Tensor, x: Tensor) -> Tensor:
    r"""Return the share of each image's variance that a prediction explains, (n,).

    .. math:: r^2 = 1 - \frac{\|\hat x - x\|^2}{\|x - \bar x\|^2}

    It is 1 for a perfect prediction, 0 for one that is no better than the mean gray level of the
    image, and negative for a worse one. Images are (n, C, H, W), and none of x is constant.

    Examples
    --------
    >>> x = torch.tensor([0.0, 1.0]).view(1, 1, 1, 2)
    >>> r_squared(0.9 * x, x)
    tensor([0.9800], dtype=torch.float64)
    """
    check_alike(x_hat, x)
    predicted, actual = in_double(x_hat).flatten(1), in_double(x).flatten(1)
    variance = (actual - actual.mean(1, keepdim=True)).square().sum(1)
    if not variance.all():
        raise ValueError("x: holds a constant image; accepted: images with some variance")
    return 1 - (predicted - actual).square().sum(1) / variance


def best_predictors(
    candidates: Mapping[Name, Function], reference: Function, x: Tensor, sigmas: Sequence[float]
) -> dict[float, Name]:
    """Return at each noise level which of several denoisers agrees best with a reference.

    So the size of the patches of a local machine is chosen, on images that are held out: what is
    said of it later must be measured on others.

    Candidates are denoisers by name, or by the size of their patches; all get the same noisy
    versions of clean images x, (n, C, H, W). The best one has the highest median of
    :func:`r_squared`. At small noise all denoisers give back nearly what they got, and it is high
    for any: compare it with that of ``lambda y: y``, which does nothing.

    Examples
    --------
    >>> blurred = {scale: lambda y, scale=scale: scale * y for scale in (0.1, 0.8)}
    >>> best_predictors(blurred, lambda y: y, torch.rand(4, 1, 8, 8), [0.1, 0.5])
    {0.1: 0.8, 0.5: 0.8}
    """
    for sigma in sigmas:
        check_number("sigmas", sigma, low=SMALLEST)
    best, noise = {}, unit_noise(x, seed=0)
    for sigma in sigmas:
        expected = denoised(reference, x, noise, sigma)
        found = {
            name: float(r_squared(denoised(f, x, noise, sigma), expected).median())
            for name, f in candidates.items()
        }
        best[sigma] = max(found, key=lambda name: found[name])
    return best
