"""How far the density that a denoiser stands for is from the true one, told by its errors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gahb.checks import check_images
from gahb.devices import in_double
from gahb.metrics.curves import Estimate, estimates, interval, resampled_means, unit_noise

__all__ = ["Divergence", "kl_gap"]


@dataclass(frozen=True, eq=False)
class Divergence(Estimate):
    """Integral over noise levels that bounds a Kullback-Leibler divergence, in nats (equation 5).

    Attributes
    ----------
    value : float
        The integral over the given noise levels.
    interval : tuple of float
        Its 95% interval for the choice of the images (NaN for one image).
    sigma : Tensor
        Noise levels, (k,).
    integrand, low, high : Tensor
        Gap between the two errors over sigma^2, and its 95% interval, (k,): its integral over
        log(sigma) is ``value``, so that a picture over a logarithmic axis shows what adds to it.
    grid_error : float
        How much the integral changes when every second noise level is left out, several times what
        it would change if there were infinitely many.
    beyond : float
        What the noise levels below and above the given ones would add if the integrand fell there
        as it does for any smooth density of finite variance, as sigma^2 and as sigma^-2.
    """

    sigma: Tensor
    integrand: Tensor
    low: Tensor
    high: Tensor
    grid_error: float
    beyond: float


def kl_gap(
    f: Callable[..., Tensor],
    f_star: Callable[..., Tensor],
    x: Tensor,
    sigma: Sequence[float] | Tensor,
    *,
    exact: bool = True,
    seed: int = 0,
    batch_size: int | None = None,
) -> Divergence:
    """Kullback-Leibler divergence that a denoiser's optimality gap stands for (equation 5).

    The integral of (MSE(f) - MSE(f*)) sigma^-3 over sigma, with errors summed over pixels as in the
    paper, bounds the divergence of the density that is sampled with f from that of the images x.
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
    seed : int
        Fixes the noise, which image i meets at every level in proportion.
    batch_size : int, optional
        Images that are denoised at a time; by default 64, on a GPU as many as its memory holds.

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
        both = (estimates(g, x, noise, level, batch_size) for g in (f, f_star))
        ours, best = map(in_double, both)
        difference = (ours - best).square()
        if not exact:
            clean = in_double(x)
            difference = (ours - clean).square() - (best - clean).square()
        gaps.append(difference.flatten(1).sum(1).cpu() / level**2)
    return _integrated(levels, torch.stack(gaps))


def _integrated(sigma: Tensor, per_image: Tensor) -> Divergence:
    """Integral of each image's integrand, (k, n), over the logarithms of the noise levels, (k,)."""
    integrand = per_image.mean(1)
    values = torch.trapezoid(per_image.T, sigma.log())
    low, high = interval(resampled_means(values[None]))
    fewer = torch.arange(len(sigma)) % 2 == 0
    fewer[-1] = True
    coarse = torch.trapezoid(integrand[fewer], sigma[fewer].log())
    return Divergence(
        float(values.mean()),
        (float(low), float(high)),
        sigma,
        integrand,
        *interval(resampled_means(per_image)),
        grid_error=float((values.mean() - coarse).abs()),
        beyond=float(integrand[0] + integrand[-1]) / 2,
    )


def _checked_levels(sigma: Sequence[float] | Tensor) -> Tensor:
    levels = torch.as_tensor(sigma, dtype=torch.float64).cpu()
    accepted = "at least three positive, finite, increasing noise levels"
    if levels.ndim != 1 or len(levels) < 3:
        raise ValueError(f"sigma: shape {tuple(levels.shape)} is not that of {accepted}")
    if not (levels[0] > 0 and levels.isfinite().all() and (levels.diff() > 0).all()):
        raise ValueError(f"sigma: {levels.tolist()} are not {accepted}")
    return levels
