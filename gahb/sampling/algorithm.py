r"""Sample images with a denoiser: Algorithm 1, and standard samplers of diffusion models.

Algorithm 1 finds its noise levels on the way, from the estimates of the denoiser. From
:math:`x_0 \sim \mathcal N(m, \sigma_0^2\,\mathrm{Id})`, each step goes a part of the way to the
denoised image, and adds less noise than it removed:

.. math::
    x_t = x_{t-1} + h_t\,(f(x_{t-1}) - x_{t-1}) + \gamma_t z_t, \qquad
    \gamma_t^2 = \bigl((1 - \beta h_t)^2 - (1 - h_t)^2\bigr)\,\sigma_{t-1}^2,

where :math:`\sigma_t = \lVert f(x_t) - x_t \rVert / \sqrt d` is the noise level of :math:`x_t`, so
that :math:`\sigma_t = (1 - \beta h_t)\,\sigma_{t-1}` where the estimate is the clean image itself.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from gahb.checks import (
    check_choice,
    check_count,
    check_images,
    check_number,
    check_seed,
    check_type,
    listed,
)
from gahb.denoiser import SMALLEST, at, check_levels, evaluation, limits_of
from gahb.devices import device_of, images_at_a_time, in_batches, weight_of
from gahb.images.store import random_numbers
from gahb.sampling.measurement import Measurement
from gahb.settings import progress

SCHEDULES = ("accelerated", "fixed")
empty = partial(torch.empty, dtype=torch.float32)  # whatever the caller's default is
SMALLEST_STEP = 1e-3  # h and beta: smaller ones take millions of steps
PATIENCE = 3  # times the steps towards a constant estimate
RHO = 7.0  # of the schedule of Karras et al.


@dataclass(frozen=True)
class Schedule:
    """Step sizes h_t and noise of Algorithm 1 at its steps t = 1, 2, ..., see :func:`sample`.

    Examples
    --------
    >>> Schedule().exact_steps(), Schedule(kind="fixed").exact_steps()
    (97, 2995)
    """

    h: float = 0.01
    beta: float = 0.1
    sigma_0: float = 1.0
    sigma_end: float = 0.05
    kind: str = "accelerated"

    def __post_init__(self) -> None:
        check_number("h", self.h, low=SMALLEST_STEP, high=1)
        check_number("beta", self.beta, low=SMALLEST_STEP, high=1)
        check_number("sigma_0", self.sigma_0, low=SMALLEST)
        check_number("sigma_end", self.sigma_end, low=SMALLEST, high=self.sigma_0)
        check_choice("schedule", self.kind, SCHEDULES)

    def size(self, t: int) -> float:
        """Return the step size h_t: h itself, or growing from h towards 1."""
        return self.h if self.kind == "fixed" else self.h * t / (1 + self.h * (t - 1))

    def shrinkage(self, t: int) -> float:
        """Return sigma_t / sigma_{t-1} where the estimate does not move, 1 - beta h_t."""
        return 1 - self.beta * self.size(t)

    def injected(self, t: int) -> float:
        """Return the noise that step t adds, gamma_t / sigma_{t-1}."""
        return math.sqrt(self.shrinkage(t) ** 2 - (1 - self.size(t)) ** 2)

    @property
    def bound(self) -> float:
        """Noise level beyond which an image has diverged."""
        # No estimate in [0, 1] of an image of the starting noise is as far from it as this.
        return 2 * max(self.sigma_0, 1.0)

    def exact_steps(self) -> int:
        """Return the number of steps until sigma_t is below sigma_end, if f(x_t) does not move.

        That is so of a denoiser that knows the clean image. Posterior means take fewer: their
        residual is smaller than the noise, by their error.
        """
        sigma, t = self.sigma_0, 0
        while sigma >= self.sigma_end:
            t += 1
            sigma *= self.shrinkage(t)
        return t

    def patience(self) -> int:
        """Return the number of steps after which an image is given up."""
        return PATIENCE * replace(self, sigma_0=max(self.sigma_0, 1.0)).exact_steps()


class Noise:
    """Unit noise of each image from a random stream of its own, whatever the batch and device."""

    def __init__(self, seed: int, images: range, shape: tuple[int, ...]) -> None:
        check_seed(seed)
        self.streams = {i: random_numbers(np.random.SeedSequence([seed, i])) for i in images}
        self.shape = shape

    def draw(self, which: list[int]) -> Tensor:
        """Return the next noise of the images ``which``, (m, C, H, W) in float32 on the CPU."""
        drawn = np.stack([self.streams[i].standard_normal(self.shape) for i in which])
        return torch.from_numpy(drawn).float()


@dataclass(frozen=True, eq=False)
class Trajectory:
    """Images at k chosen steps; one that had finished before stays as it ended."""

    steps: Tensor  #: the steps t, (k,)
    noisy: Tensor  #: x_t, (n, k, C, H, W)
    denoised: Tensor  #: its one-shot estimate f(x_t), (n, k, C, H, W)
    sigma: Tensor  #: the noise level of each x_t, (n, k)


@dataclass(frozen=True, eq=False)
class Samples:
    """Images sampled with a denoiser, on the CPU."""

    images: Tensor  #: denoised images f(x_t) at the end, (n, C, H, W), not clipped to [0, 1]
    #: Number of steps t that each image took, (n,); -1 where it did not end (``strict=False``).
    steps: Tensor
    #: Noise level of each image after 0, 1, 2, ... steps, (n, 1 + max(steps)); NaN after its end.
    sigma: Tensor
    trajectory: Trajectory | None  #: the images at the steps that were to be kept, if any


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
    strict: bool = True,
) -> Samples:
    """Sample images with a denoiser, from near the density that it stands for (Algorithm 1).

    Not from that density: the start lacks the covariance of the images, the noise level is taken
    from the residual, which is smaller than the noise, and the steps are finite. With the posterior
    mean of a Gaussian of 16 x 16 faces, variances are 0.8 of the true ones, and those of ``fixed``
    steps 1.1. :func:`gahb.sampling.reverse_diffusion` is exact in the limit of many steps.

    Each image stops by itself, at the first noise level below ``sigma_end``, and gives f(x_t). Its
    noise depends on ``seed`` and its number alone, so that two denoisers meet the same noise.

    Parameters
    ----------
    f : callable
        Denoiser f(y) of noisy images (m, C, H, W), or f(y, sigma) for the noise levels (m,) which
        the last step aimed at.
    n, channels, seed : int
        Number of images and of their channels C, and what fixes the noise.
    size : int or tuple of int
        Pixels per side, or (H, W).
    h, beta : float
        Step size and stochasticity, in (0, 1]; with ``beta=1`` no noise is added.
    sigma_0, sigma_end : float
        First and last noise level, on the scale where images lie in [0, 1].
    schedule : str
        ``fixed``: h_t = h, as in the paper; ``accelerated``: h_t = h t / (1 + h (t - 1)), as in
        its code, which takes 97 steps where the other takes 2,995, if f(x_t) does not move; with
        posterior means both take fewer.
    mean : float or Tensor
        Mean m of the images, a number or a tensor that broadcasts to (C, H, W).
    measurement : Measurement, optional
        Linear measurements that the images must have, as all estimates and the mean then do
        (Kadkhodaie and Simoncelli, 2021).
    keep : iterable of int
        Steps t at which x_t and f(x_t) are kept, 0 being the start.
    batch_size, max_steps : int, optional
        Images denoised at a time, by default 64, on a GPU as many as its memory holds; steps after
        which an image is given up, by default three times those to a constant estimate.
    strict : bool
        Raise an error where images diverge or are given up; otherwise their ``steps`` are -1.

    Examples
    --------
    >>> drawn = sample(lambda y: torch.full_like(y, 0.25), n=2, size=16, seed=0)
    >>> drawn.images.shape, drawn.images.unique()
    (torch.Size([2, 1, 16, 16]), tensor([0.2500]))
    """
    shape = _checked_shape(n, size, channels)
    steps = Schedule(h, beta, sigma_0, sigma_end, schedule)
    check_levels(f, sigma_0=sigma_0, sigma_end=sigma_end)
    max_steps = steps.patience() if max_steps is None else max_steps
    check_count("max_steps", max_steps)
    check_count("batch_size", 1 if batch_size is None else batch_size)
    middle = _checked_mean(mean, shape, f)
    if measurement is not None:
        measurement = measurement.of(n, like=middle)
    record = Record(n, shape, keep)

    def run(items: slice) -> None:
        numbers = range(items.start, items.stop)
        noise, which = Noise(seed, numbers, shape), torch.tensor(numbers)
        for state in _ascent(f, which, middle, noise, measurement, steps, max_steps):
            record.add(state)
            bar.update(int(state.finished.sum()))
        if strict:
            record.require(which, steps)

    start = partial(_estimate, f, sigma=middle.new_full((1,), sigma_0))
    with evaluation(f), progress(n, "sampling", "image") as bar:
        in_batches(run, n, batch_size or images_at_a_time(start, middle[None]))
    return record.samples()


class State(NamedTuple):
    """The m images that are under way after t steps, and which of them have finished."""

    t: int
    which: Tensor  # their numbers, (m,) on the CPU
    noisy: Tensor  # x_t, (m, C, H, W)
    denoised: Tensor  # f(x_t), (m, C, H, W)
    sigma: Tensor  # ||f(x_t) - x_t|| / sqrt(d), (m,)
    finished: Tensor  # (m,) bool


def _ascent(
    f: Callable[..., Tensor],
    which: Tensor,
    mean: Tensor,
    noise: Noise,
    measurement: Measurement | None,
    steps: Schedule,
    max_steps: int,
) -> Iterator[State]:
    """Run Algorithm 1 on the images ``which``; those that finish or diverge leave the batch."""

    def constrained(estimate: Tensor) -> Tensor:
        return estimate if measurement is None else measurement.take(which).impose(estimate)

    x = constrained(mean.expand(len(which), *mean.shape))
    x = x + steps.sigma_0 * noise.draw(which.tolist()).to(x)
    expected, limits = x.new_full((len(x),), steps.sigma_0), limits_of(f)
    for t in range(max_steps + 1):
        estimate = constrained(_estimate(f, x, expected))
        direction = estimate - x
        sigma = direction.square().flatten(1).mean(1).sqrt()
        finished = sigma < steps.sigma_end
        yield State(t, which, x, estimate, sigma, finished)
        going = (sigma <= steps.bound) & ~finished
        if not going.any():
            return
        which = which[going.cpu()]
        x, direction, sigma = x[going], direction[going], sigma[going]
        gamma = steps.injected(t + 1) * sigma[:, None, None, None]
        x = x + steps.size(t + 1) * direction + gamma * noise.draw(which.tolist()).to(x)
        expected = (steps.shrinkage(t + 1) * sigma).clamp(*limits)


def _estimate(f: Callable[..., Tensor], x: Tensor, sigma: Tensor) -> Tensor:
    estimate = at(f, sigma)(x)
    if not isinstance(estimate, Tensor) or estimate.shape != x.shape:
        given = tuple(estimate.shape) if isinstance(estimate, Tensor) else type(estimate).__name__
        raise ValueError(f"f: gives {given} for images of shape {tuple(x.shape)}")
    return estimate


class Record:
    """What is kept of n images, filled in while they finish one by one."""

    def __init__(self, n: int, shape: tuple[int, ...], keep: Iterable[int]) -> None:
        check_type("keep", keep, Iterable, "a sequence of whole numbers")
        chosen = list(keep)
        for step in chosen:
            check_count("keep", step, minimum=0)
        self.images, self.steps = empty(n, *shape), torch.full((n,), -1)
        self.sigma: list[Tensor] = []
        noisy, denoised = empty(2, n, len(chosen), *shape)
        steps, sigma = torch.tensor(chosen, dtype=torch.long), empty(n, len(chosen))
        self.way = Trajectory(steps, noisy, denoised, sigma)

    def add(self, state: State) -> None:
        """Note the images of a state; what is not overwritten by a later one stays."""
        t, which, *values, finished = state
        noisy, denoised, sigma = (value.to("cpu", torch.float32) for value in values)
        if t == len(self.sigma):
            self.sigma.append(torch.full((len(self.images),), torch.nan, dtype=torch.float32))
        self.sigma[t][which] = sigma
        self.images[which] = denoised
        self.steps[which[finished.cpu()]] = t
        there = which[:, None], (self.way.steps >= t).nonzero().T
        self.way.noisy[there] = noisy[:, None]
        self.way.denoised[there] = denoised[:, None]
        self.way.sigma[there] = sigma[:, None]

    def samples(self) -> Samples:
        """Return what has been kept."""
        way = self.way if len(self.way.steps) else None
        return Samples(self.images, self.steps, torch.stack(self.sigma, dim=1), way)

    def require(self, which: Tensor, steps: Schedule) -> None:
        """Raise RuntimeError, naming them, unless the images ``which`` have all finished."""
        failed = which[self.steps[which] < 0]
        # An image without a noise level at the last step has left the batch before: diverged.
        slow = torch.stack(self.sigma).T[failed].le(steps.bound).all(1)
        level = f"diverged: their noise level is not finite, or above {steps.bound:g}"
        end = f"did not fall below sigma_end = {steps.sigma_end:g} in {len(self.sigma) - 1} steps"
        problems = (("f", failed[~slow], level), ("max_steps", failed[slow], end))
        told = [f"{name}: images {listed(i.tolist())} {why}" for name, i, why in problems if len(i)]
        if told:
            raise RuntimeError("; ".join(told))


def _checked_shape(n: int, size: Any, channels: int) -> tuple[int, int, int]:
    sides = size if isinstance(size, tuple) else (size, size)
    if len(sides) != 2:
        raise ValueError(f"size: {size!r} is not a whole number or (height, width)")
    for name, count in (("n", n), *(("size", side) for side in sides), ("channels", channels)):
        check_count(name, count)
    return channels, *sides


def _checked_mean(mean: Any, shape: tuple[int, ...], f: Any) -> Tensor:
    """Return the mean image m, (C, H, W), on the device and of the dtype of the weights of f."""
    accepted = f"a finite number, or a tensor that broadcasts to {shape}"
    if isinstance(mean, bool) or not isinstance(mean, int | float | Tensor):
        raise TypeError(f"mean: {type(mean).__name__} is not {accepted}")
    middle = torch.as_tensor(mean).to(weight_of(f, otherwise=empty(0)))
    try:
        middle = middle.expand(shape)
    except RuntimeError:
        raise ValueError(f"mean: shape {tuple(middle.shape)} is not {accepted}") from None
    if not middle.isfinite().all():
        raise ValueError(f"mean: is not finite; accepted: {accepted}")
    return middle


# --- Standard samplers: from much noise to none along a fixed list of levels ---


def noise_schedule(steps: int, sigma_0: float, sigma_end: float) -> Tensor:
    r"""Return noise levels as Karras et al. (2022), from ``sigma_0`` to ``sigma_end``, (steps,).

    .. math:: \sigma_t = \bigl(\sigma_0^{1/\rho} + \tfrac{t}{T - 1}
              (\sigma_\mathrm{end}^{1/\rho} - \sigma_0^{1/\rho})\bigr)^\rho, \quad \rho = 7

    Examples
    --------
    >>> noise_schedule(3, 1.0, 0.01)
    tensor([1.0000, 0.1451, 0.0100], dtype=torch.float64)
    """
    check_count("steps", steps, minimum=2)
    check_number("sigma_end", sigma_end, low=1e-6)
    check_number("sigma_0", sigma_0, low=sigma_end)
    ends = torch.tensor([sigma_0, sigma_end], dtype=torch.float64) ** (1 / RHO)
    return (ends[0] + torch.linspace(0, 1, steps, dtype=torch.float64) * (ends[1] - ends[0])) ** RHO


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

    Its noise levels are fixed beforehand, by :func:`noise_schedule`: it is exact in the limit of
    many steps. Images are on the CPU, and not clipped to [0, 1].

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
        As for :func:`sample`.

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
