"""How far the density that a denoiser stands for is from the true one, by its errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gahb.checks import as_numbers, check_images
from gahb.devices import in_double
from gahb.intervals import Estimate
from gahb.metrics.curves import Curve, Function, denoised, unit_noise


@dataclass(frozen=True, eq=False)
class Divergence(Estimate):
    """Bound on a Kullback-Leibler divergence, in nats: an integral over noise levels (equation 5).

    Attributes
    ----------
    value, low, high : float
        The integral over the given noise levels, and its interval for the choice of the images.
    integrand : Curve
        Gap between the two errors over sigma^2, against sigma: its integral over log(sigma) is
        ``value``, so that a picture over a logarithmic axis shows what adds to it.
    grid_error : float
        Change of the integral without every second level: several times the error of the grid.
    beyond : float
        What the noise levels below and above the given ones would add if the integrand fell there
        as it does for any smooth density of finite variance, as sigma^2 and as sigma^-2.
    """

    integrand: Curve
    grid_error: float
    beyond: float


def kl_gap(
    f: Function,
    f_star: Function,
    x: Tensor,
    sigma: Sequence[float] | Tensor,
    *,
    exact: bool = True,
    seed: int = 0,
    batch_size: int | None = None,
) -> Divergence:
    r"""Return the Kullback-Leibler divergence that an optimality gap stands for (equation 5).

    .. math:: \mathrm{KL} \le \int \bigl(\mathrm{MSE}(f, \sigma^2) -
              \mathrm{MSE}(f^\star, \sigma^2)\bigr)\, \sigma^{-3}\, d\sigma

    with errors summed over pixels, for the density of the images x and that which the exact reverse
    diffusion draws with f, from infinite noise down to none. It says nothing of what a sampler adds
    by finite steps, such as :func:`gahb.sample`: of an optimal f it is zero, and that is not.
    Where f is itself the posterior mean of a density, the integral is the divergence from it [1]_.
    Over some of the noise levels, it is a lower estimate of that bound.

    Parameters
    ----------
    f, f_star : callable
        The denoiser and the optimal one, called as f(y, sigma), or f(y) where it is blind.
    x : Tensor
        Clean images, drawn from the true density, (n, C, H, W), on the device of both.
    sigma : sequence of float
        At least three noise levels, increasing. The integral is by the trapezoidal rule over their
        logarithms, so that equal ratios are best.
    exact : bool
        ``f_star`` is the posterior mean of the density of x. Then the difference of the errors has
        the same mean as ||f(y) - f*(y)||^2 (equation 24), which varies much less from image to
        image. False takes the difference as it stands, for any reference.
    seed, batch_size : int
        As for :func:`gahb.psnr_curve`: image i meets the same noise at every level, in proportion.

    References
    ----------
    .. [1] S. Verdú. Mismatched estimation and relative entropy. IEEE Transactions on Information
       Theory 56, 2010.

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
    levels = _checked_levels(sigma)
    noise = unit_noise(x, seed)
    gaps = []
    for level in levels.tolist():
        ours, best = (in_double(denoised(g, x, noise, level, batch_size)) for g in (f, f_star))
        difference = (ours - best).square()
        if not exact:
            clean = in_double(x)
            difference = (ours - clean).square() - (best - clean).square()
        gaps.append(difference.flatten(1).sum(1).cpu() / level**2)
    return _integrated(Curve.of(levels, torch.stack(gaps), x))


def _integrated(integrand: Curve) -> Divergence:
    """Return the integral over the logarithms of the noise levels, by the trapezoidal rule."""
    logs = integrand.x.log()
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


def _checked_levels(sigma: Sequence[float] | Tensor) -> Tensor:
    accepted = "at least three positive, finite, increasing noise levels"
    levels = as_numbers("sigma", sigma, accepted).cpu()
    if levels.ndim != 1 or len(levels) < 3:
        raise ValueError(f"sigma: shape {tuple(levels.shape)} is not that of {accepted}")
    if not (levels[0] > 0 and levels.isfinite().all() and (levels.diff() > 0).all()):
        raise ValueError(f"sigma: {levels.tolist()} are not {accepted}")
    return levels
