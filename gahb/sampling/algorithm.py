"""Algorithm 1: draw images from the density that a denoiser implies."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gahb.checks import check_choice, check_count, check_number
from gahb.denoiser import at
from gahb.devices import device_of, images_at_a_time, in_batches
from gahb.images.store import random_numbers
from gahb.sampling.measurement import Measurement

__all__ = [
    "SCHEDULES",
    "Collector",
    "Noise",
    "Samples",
    "State",
    "Steps",
    "Trajectory",
    "exact_steps",
    "sample",
]


SCHEDULES = ("accelerated", "fixed")
TINY = torch.finfo(torch.float32).tiny


@dataclass(frozen=True)
class Steps:
    """Steps t = 1, 2, ... of Algorithm 1, from noise level ``sigma_0`` to ``sigma_end``."""

    h: float
    beta: float
    sigma_0: float
    sigma_end: float
    schedule: str

    def __post_init__(self) -> None:
        check_number("h", self.h, low=TINY, high=1)
        check_number("beta", self.beta, low=TINY, high=1)
        check_number("sigma_0", self.sigma_0, low=TINY)
        check_number("sigma_end", self.sigma_end, low=TINY, high=self.sigma_0)
        check_choice("schedule", self.schedule, SCHEDULES)

    def size(self, t: int) -> float:
        """Step size h_t: h itself, or growing from h towards 1."""
        if self.schedule == "fixed":
            return self.h
        return self.h * t / (1 + self.h * (t - 1))

    def shrinkage(self, t: int) -> float:
        """Noise level after step t over the one before, if the denoiser is exact."""
        return 1 - self.beta * self.size(t)

    def injected(self, t: int) -> float:
        """Noise that step t adds, gamma_t, over the noise level before it."""
        return math.sqrt(self.shrinkage(t) ** 2 - (1 - self.size(t)) ** 2)

    @property
    def bound(self) -> float:
        """Noise level beyond which an image has diverged.

        No estimate in [0, 1] of an image of the starting noise is as far from it as this.
        """
        return 2 * max(self.sigma_0, 1.0)

    def exact(self) -> int:
        """Number of steps until the noise level falls below ``sigma_end``, if f is exact."""
        sigma, t = self.sigma_0, 0
        while sigma >= self.sigma_end:
            t += 1
            sigma *= self.shrinkage(t)
        return t


def exact_steps(
    h: float = 0.01,
    beta: float = 0.1,
    sigma_0: float = 1.0,
    sigma_end: float = 0.05,
    schedule: str = "accelerated",
) -> int:
    """Number of steps that Algorithm 1 takes with an exact denoiser.

    Each step t then multiplies the noise level by 1 - beta h_t.

    Examples
    --------
    >>> exact_steps(), exact_steps(schedule="fixed")
    (97, 2995)
    """
    return Steps(h, beta, sigma_0, sigma_end, schedule).exact()


# --- Noise of an image that depends on the seed, the image's number and the step alone ---


class Noise:
    """Unit noise for a batch of images, each from a stream of random numbers of its own.

    Two denoisers thus meet the same noise, whatever the batch, the order in which its images
    finish, and the device.

    Examples
    --------
    >>> five, last = Noise(0, range(5), (1, 8, 8)), Noise(0, range(4, 5), (1, 8, 8))
    >>> torch.equal(five.draw([0, 4])[1:], last.draw([4]))
    True
    """

    def __init__(self, seed: int, images: range, shape: tuple[int, ...]) -> None:
        check_count("seed", seed, minimum=0)
        self.streams = {i: random_numbers(np.random.SeedSequence([seed, i])) for i in images}
        self.shape = shape

    def draw(self, which: list[int]) -> Tensor:
        """Next noise of the images ``which``, (len(which), C, H, W) in float32 on the CPU."""
        drawn = np.stack([self.streams[i].standard_normal(self.shape) for i in which])
        return torch.from_numpy(drawn).float()


# --- What a run of the sampler gives ---


NAMED_AT_MOST = 10


@dataclass(frozen=True, eq=False)
class State:
    """The m images that are under way after t steps.

    ``which`` are their numbers (m,), ``noisy`` is x_t and ``denoised`` f(x_t), both (m, C, H, W),
    and ``sigma`` is the noise level ||f(x_t) - x_t|| / sqrt(d) of each, (m,).
    """

    t: int
    which: Tensor
    noisy: Tensor
    denoised: Tensor
    sigma: Tensor

    def only(self, chosen: Tensor) -> State:
        """The images for which ``chosen``, (m,) bool, is true."""
        which = self.which[chosen.cpu()]
        return State(self.t, which, self.noisy[chosen], self.denoised[chosen], self.sigma[chosen])


@dataclass(frozen=True, eq=False)
class Trajectory:
    """Images on their way, at k chosen steps; one that had finished before stays as it ended.

    Attributes
    ----------
    steps : Tensor
        The steps, (k,).
    noisy, denoised : Tensor
        x_t, and what the denoiser makes of it in one shot, f(x_t), (n, k, C, H, W).
    sigma : Tensor
        Noise level of x_t, (n, k).
    """

    steps: Tensor
    noisy: Tensor
    denoised: Tensor
    sigma: Tensor


@dataclass(frozen=True, eq=False)
class Samples:
    """Images drawn with a denoiser, on the CPU.

    Attributes
    ----------
    images : Tensor
        Denoised images f(x_t) at the end, (n, C, H, W); not clipped to [0, 1].
    steps : Tensor
        Number of steps t that each image took, (n,).
    sigma : Tensor
        Noise level of each image after 0, 1, 2, ... steps, (n, 1 + max(steps)); NaN after its end.
    trajectory : Trajectory or None
        Images on their way, if any were to be kept.
    """

    images: Tensor
    steps: Tensor
    sigma: Tensor
    trajectory: Trajectory | None


class Collector:
    """Gathers the states of images until all have finished."""

    def __init__(self, n: int, shape: tuple[int, ...], keep: Iterable[int]) -> None:
        chosen = list(keep)
        for step in chosen:
            check_count("keep", step, minimum=0)
        self.keep = torch.tensor(chosen, dtype=torch.long)
        self.images = torch.empty(n, *shape)
        self.steps = torch.full((n,), -1)
        self.sigma: list[Tensor] = []
        self.noisy, self.denoised = torch.empty(2, n, len(chosen), *shape)
        self.kept_sigma = torch.empty(n, len(chosen))

    def add(self, state: State, sigma_end: float) -> None:
        """Note a state; images whose noise level is below ``sigma_end`` have finished."""
        if state.t == len(self.sigma):
            self.sigma.append(torch.full((len(self.images),), torch.nan))
        self.sigma[state.t][state.which] = _on_cpu(state.sigma)
        self._keep(state, self.keep == state.t)
        finished = state.only(state.sigma < sigma_end)
        if len(finished.which):
            self.images[finished.which] = _on_cpu(finished.denoised)
            self.steps[finished.which] = state.t
            self._keep(finished, self.keep > state.t)

    def _keep(self, state: State, columns: Tensor) -> None:
        if columns.any():
            there = state.which[:, None], columns.nonzero().T
            self.noisy[there] = _on_cpu(state.noisy)[:, None]
            self.denoised[there] = _on_cpu(state.denoised)[:, None]
            self.kept_sigma[there] = _on_cpu(state.sigma)[:, None]

    def require(self, which: Tensor, steps: Steps) -> None:
        """Raise RuntimeError, naming them, unless the images ``which`` have all finished."""
        failed = which[self.steps[which] < 0]
        if not len(failed):
            return
        last = torch.stack(self.sigma).T[failed]
        went_on = (last <= steps.bound).sum(1) == len(self.sigma)
        slow, diverged = failed[went_on], failed[~went_on]
        problems = []
        if len(diverged):
            problems.append(
                f"f: {_named(diverged)} diverged: their noise level is not finite, or above "
                f"{steps.bound:g}"
            )
        if len(slow):
            problems.append(
                f"max_steps: {_named(slow)} did not fall below sigma_end = {steps.sigma_end:g} "
                f"in {len(self.sigma) - 1} steps"
            )
        raise RuntimeError("; ".join(problems))

    def samples(self) -> Samples:
        """All that was gathered."""
        trajectory = None
        if len(self.keep):
            trajectory = Trajectory(self.keep, self.noisy, self.denoised, self.kept_sigma)
        return Samples(self.images, self.steps, torch.stack(self.sigma, dim=1), trajectory)


def _on_cpu(x: Tensor) -> Tensor:
    return x.to("cpu", torch.float32)


def _named(which: Tensor) -> str:
    listed = ", ".join(str(i) for i in which[:NAMED_AT_MOST].tolist())
    rest = len(which) - NAMED_AT_MOST
    return f"images {listed}" + (f" and {rest} others" if rest > 0 else "")


# --- Algorithm 1 ---


PATIENCE = 3  # times the steps of an exact denoiser, before an image is given up


@torch.no_grad()
def sample(
    f: Callable[..., Tensor],
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
    f : callable
        Denoiser f(y) of noisy images (m, C, H, W), or f(y, sigma) for the noise levels (m,) which
        the last step aimed at.
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
    f: Callable[..., Tensor],
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


def _estimate(f: Callable[..., Tensor], x: Tensor, sigma: Tensor) -> Tensor:
    estimate = at(f, sigma)(x)
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
