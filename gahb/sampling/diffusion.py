r"""Standard samplers of diffusion models: from much noise to none along a fixed list of levels.

Algorithm 1 finds its noise levels on the way, from the estimates of the denoiser. Here they are
fixed beforehand, as in Karras et al. [1]_: the sampler is exact in the limit of many steps.

.. math:: \sigma_t = \bigl(\sigma_0^{1/\rho} + \tfrac{t}{T - 1}
          (\sigma_\mathrm{end}^{1/\rho} - \sigma_0^{1/\rho})\bigr)^\rho, \quad \rho = 7.

References
----------
.. [1] T. Karras, M. Aittala, T. Aila and S. Laine, "Elucidating the design space of
   diffusion-based generative models", NeurIPS 2022.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

from gahb.checks import check_choice, check_count, check_images, check_number
from gahb.denoiser import at, check_levels, evaluation
from gahb.devices import device_of, images_at_a_time, in_batches
from gahb.sampling.algorithm import Noise
from gahb.settings import progress

RHO = 7.0


def noise_schedule(steps: int, sigma_0: float, sigma_end: float) -> Tensor:
    """Return the noise levels of Karras et al., from ``sigma_0`` to ``sigma_end``, (steps,).

    Examples
    --------
    >>> noise_schedule(3, 1.0, 0.01)
    tensor([1.0000, 0.1451, 0.0100], dtype=torch.float64)
    """
    check_count("steps", steps, minimum=2)
    check_number("sigma_end", sigma_end, low=1e-6)
    check_number("sigma_0", sigma_0, low=sigma_end)
    ends = torch.tensor([sigma_0, sigma_end], dtype=torch.float64) ** (1 / RHO)
    return (ends[0] + torch.linspace(0, 1, steps).double() * (ends[1] - ends[0])) ** RHO


@torch.no_grad()
def reverse_diffusion(
    f: Callable[..., Tensor],
    start: Tensor,
    seed: int,
    *,
    method: str = "ancestral",
    steps: int = 100,
    sigma_0: float = 1.0,
    sigma_end: float = 0.01,
    batch_size: int | None = None,
) -> Tensor:
    r"""Sample images by the reverse of the diffusion that adds noise to ``start``, (n, C, H, W).

    They are on the CPU, and not clipped to [0, 1].

    Parameters
    ----------
    f : callable
        Denoiser f(y, sigma), or f(y) where it is blind.
    start : Tensor
        Images to which noise of level ``sigma_0`` is added first, (n, C, H, W). A constant gray is
        right only where ``sigma_0`` is far above the spread of the images; at level 1, which is as
        far as the networks of this book are trained, draws of the Gaussian of the training set
        (:class:`gahb.optimal.Gaussian`) are much nearer.
    seed : int
        Fixes the noise of image i together with i, so that two denoisers meet the same noise.
    method : str
        ``ancestral``: from level s to t, draws what was there before more noise was added,
        :math:`\hat x + (t/s)^2 (x - \hat x) + t \sqrt{1 - (t/s)^2}\, z`; ``ode``: follows the
        probability flow :math:`dx / d\sigma = (x - \hat x) / \sigma` by Heun's steps.
    steps : int
        Number of noise levels. Variances of a Gaussian are too small by 5% with 100 ancestral
        steps, by 2% with 500, and right within 1% with 50 of ``ode``, which denoises twice in each.
    sigma_0, sigma_end : float
        First and last noise level; the estimate at the last is returned.
    batch_size : int, optional
        Images at a time; by default 64, on a GPU as many as its memory holds.

    Examples
    --------
    >>> gray = torch.full((2, 1, 8, 8), 0.5)
    >>> reverse_diffusion(lambda y: torch.full_like(y, 0.25), gray, seed=0).unique()
    tensor([0.2500])
    """
    check_images("start", start)
    check_choice("method", method, ("ancestral", "ode"))
    check_count("batch_size", 1 if batch_size is None else batch_size)
    levels = noise_schedule(steps, sigma_0, sigma_end).tolist()
    check_levels(f, sigma_0=sigma_0, sigma_end=sigma_end)
    home = device_of(f, otherwise=start.device)
    walk = _ancestral if method == "ancestral" else _heun

    def run(items: slice) -> Tensor:
        numbers = range(items.start, items.stop)
        noise = Noise(seed, numbers, tuple(start.shape[1:]))
        x = start[items].to(home)
        x = x + sigma_0 * noise.draw(list(numbers)).to(x)
        for s, t in pairwise(levels):
            x = walk(f, x, s, t, noise)
            bar.update(len(x))
        return at(f, levels[-1])(x).cpu()

    some = start[:1].to(home)
    with evaluation(f), progress(len(start) * (steps - 1), "sampling", "step") as bar:
        size = batch_size or images_at_a_time(at(f, sigma_0), some)
        return torch.cat(in_batches(run, len(start), size))


def _ancestral(f: Callable[..., Tensor], x: Tensor, s: float, t: float, noise: Noise) -> Tensor:
    """Return images of level t drawn given those of level s, as if the estimate were exact."""
    estimate, ratio = at(f, s)(x), (t / s) ** 2
    z = noise.draw(list(noise.streams)).to(x)
    return estimate + ratio * (x - estimate) + t * math.sqrt(1 - ratio) * z


def _heun(f: Callable[..., Tensor], x: Tensor, s: float, t: float, noise: Noise) -> Tensor:
    """Return images after a step of the probability flow from level s to t, of second order."""
    slope = (x - at(f, s)(x)) / s
    ahead = x + (t - s) * slope
    return x + (t - s) * (slope + (ahead - at(f, t)(ahead)) / t) / 2
