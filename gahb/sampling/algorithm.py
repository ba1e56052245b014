"""Algorithm 1: images drawn by climbing the log density that a denoiser's residual implies.

floor: 3
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from gahb.checks import check_count
from gahb.devices import device_of, images_at_a_time, in_batches
from gahb.sampling.measurement import Measurement
from gahb.sampling.noise import Noise
from gahb.sampling.samples import Collector, Samples, State
from gahb.sampling.steps import Steps

__all__ = ["sample"]

PATIENCE = 3  # times the steps of an exact denoiser, before an image is given up


@torch.no_grad()
def sample(
    f: Callable[[Tensor], Tensor],
    n: int,
    size: int | tuple[int, int],
    seed: int,
    h: float = 0.01,
    beta: float = 0.1,
    sigma_0: float = 1.0,
    sigma_end: float = 0.05,
    schedule: str = "accelerated",
    *,
    mean: float | Tensor = 0.5,
    channels: int = 1,
    measurement: Measurement | None = None,
    keep: Iterable[int] = (),
    batch_size: int | None = None,
    max_steps: int | None = None,
) -> Samples:
    """Draw images from the density that a denoiser implies (Algorithm 1).

    From x_0 ~ N(m, sigma_0^2 Id), each step goes a part of the way to the denoised image and adds
    less noise than it removed. With sigma_t = ||f(x_t) - x_t|| / sqrt(d) the noise level of x_t,

        x_t = x_{t-1} + h_t (f(x_{t-1}) - x_{t-1}) + gamma_t z_t,
        gamma_t^2 = ((1 - beta h_t)^2 - (1 - h_t)^2) sigma_{t-1}^2,

    so that sigma_t = (1 - beta h_t) sigma_{t-1} for an exact denoiser. Each image stops by itself,
    at the first sigma_t below ``sigma_end``, and gives f(x_t). Its noise z_0, z_1, ... depends on
    ``seed`` and its number alone, so that two denoisers meet the same noise.

    Parameters
    ----------
    f : BaseDenoiser or callable
        Maps noisy images (m, C, H, W) to estimates of the clean ones. Where it has ``f.at``, that
        gets the noise levels (m,) which the last step aimed at; a blind denoiser ignores them.
    n : int
        Number of images.
    size : int or tuple of int
        Pixels a side, or (H, W).
    seed : int
        Fixes the noise.
    h, beta : float
        Step size and stochasticity, in (0, 1]; with ``beta=1`` no noise is added.
    sigma_0, sigma_end : float
        First and last noise level, on the scale where images lie in [0, 1].
    schedule : str
        ``fixed``: h_t = h, as the paper prints it. ``accelerated``: h_t = h t / (1 + h (t - 1)),
        as its code does, which takes 97 steps where the other takes 2,995.
    mean : float or Tensor
        Mean m of the images, a number or a tensor that broadcasts to (C, H, W).
    channels : int
        Number of channels C.
    measurement : Measurement, optional
        Linear measurements that the images must have [1]_. They replace those of every estimate:
        f(x) becomes (Id - M M^T) f(x) + M c, and so does the mean. Random projections leave a
        visible grain at the default ``sigma_end``, which 0.01 removes.
    keep : iterable of int
        Steps t at which x_t and f(x_t) are kept, 0 being the start.
    batch_size : int, optional
        Images that are denoised at a time, which bounds the memory, not the result; by default 64,
        on a GPU as many as its memory holds.
    max_steps : int, optional
        Steps after which an image is given up; by default three times those of an exact denoiser.

    Returns
    -------
    Samples
        The images, the steps and noise levels of each, and the trajectory if one was kept.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range or does not fit the others.
    RuntimeError
        If images diverge or are given up: it names them, and nothing is returned.

    References
    ----------
    .. [1] Z. Kadkhodaie and E. P. Simoncelli, "Stochastic solutions for linear inverse problems
       using the prior implicit in a denoiser", NeurIPS 2021, Algorithm 2.

    Examples
    --------
    >>> drawn = sample(lambda y: torch.full_like(y, 0.25), n=2, size=16, seed=0)
    >>> drawn.images.shape, drawn.images.unique()
    (torch.Size([2, 1, 16, 16]), tensor([0.2500]))
    """
    shape = _checked_shape(n, size, channels)
    steps = Steps(h, beta, sigma_0, sigma_end, schedule)
    if batch_size is not None:
        check_count("batch_size", batch_size)
    if max_steps is None:
        max_steps = PATIENCE * replace(steps, sigma_0=max(sigma_0, 1.0)).exact()
    check_count("max_steps", max_steps)
    middle = _checked_mean(mean, shape, _home(f))
    if measurement is not None:
        measurement = measurement.of(n, like=middle)
    collector = Collector(n, shape, keep)

    def draw(items: slice) -> None:
        numbers = range(items.start, items.stop)
        noise, which = Noise(seed, numbers, shape), torch.tensor(numbers)
        for state in _ascent(f, which, middle, noise, measurement, steps, max_steps):
            collector.add(state, sigma_end)
        collector.require(which, steps)

    first = partial(_estimate, f, sigma=middle.new_full((1,), sigma_0))
    in_batches(draw, n, batch_size or images_at_a_time(first, middle[None]))
    return collector.samples()


def _ascent(
    f: Callable[[Tensor], Tensor],
    which: Tensor,
    mean: Tensor,
    noise: Noise,
    measurement: Measurement | None,
    steps: Steps,
    max_steps: int,
) -> Iterator[State]:
    """Algorithm 1 on the images ``which``, state by state; those that finish leave the batch."""

    def constrained(estimate: Tensor) -> Tensor:
        if measurement is None:
            return estimate
        return measurement.take(which).impose(estimate)

    x = constrained(mean.expand(len(which), *mean.shape))
    x = x + steps.sigma_0 * noise.draw(which.tolist()).to(x)
    expected = x.new_full((len(x),), steps.sigma_0)
    for t in range(max_steps + 1):
        estimate = constrained(_estimate(f, x, expected))
        direction = estimate - x
        sigma = direction.square().flatten(1).mean(1).sqrt()
        yield State(t, which, x, estimate, sigma)
        going = (sigma >= steps.sigma_end) & (sigma <= steps.bound)
        if not going.any():
            return
        which = which[going.cpu()]
        x, direction, sigma = x[going], direction[going], sigma[going]
        gamma = steps.injected(t + 1) * sigma[:, None, None, None]
        x = x + steps.size(t + 1) * direction + gamma * noise.draw(which.tolist()).to(x)
        expected = steps.shrinkage(t + 1) * sigma


def _estimate(f: Callable[[Tensor], Tensor], x: Tensor, sigma: Tensor) -> Tensor:
    estimate = (f.at(sigma) if hasattr(f, "at") else f)(x)
    if not isinstance(estimate, Tensor) or estimate.shape != x.shape:
        given = tuple(estimate.shape) if isinstance(estimate, Tensor) else type(estimate).__name__
        raise ValueError(f"f: gives {given} for images of shape {tuple(x.shape)}")
    return estimate


def _checked_shape(n: int, size: Any, channels: int) -> tuple[int, int, int]:
    check_count("n", n)
    sides = size if isinstance(size, tuple) else (size, size)
    if len(sides) != 2:
        raise ValueError(f"size: {size!r} is not a whole number or (height, width)")
    for side in sides:
        check_count("size", side)
    check_count("channels", channels)
    return channels, *sides


def _checked_mean(mean: Any, shape: tuple[int, ...], home: Tensor) -> Tensor:
    """Mean image m, (C, H, W), on the device and of the dtype of ``home``."""
    accepted = f"a finite number, or a tensor that broadcasts to {shape}"
    if isinstance(mean, bool) or not isinstance(mean, int | float | Tensor):
        raise TypeError(f"mean: {type(mean).__name__} is not {accepted}")
    middle = torch.as_tensor(mean).to(home)
    try:
        middle = middle.expand(shape)
    except RuntimeError:
        raise ValueError(f"mean: shape {tuple(middle.shape)} is not {accepted}") from None
    if not middle.isfinite().all():
        raise ValueError(f"mean: is not finite; accepted: {accepted}")
    return middle


def _home(f: Any) -> Tensor:
    """A tensor on the device and of the dtype in which ``f`` computes, as far as it shows."""
    held = [*f.parameters(), *f.buffers()] if isinstance(f, nn.Module) else []
    dtypes = [tensor.dtype for tensor in held if tensor.is_floating_point()]
    device = device_of(f, otherwise=torch.device("cpu"))
    return torch.empty(0, device=device, dtype=dtypes[0] if dtypes else torch.float32)
