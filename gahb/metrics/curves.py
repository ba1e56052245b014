"""Output PSNR against input PSNR: noise, estimates, curves with their intervals and slopes."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from hashlib import sha256
from typing import TypeVar

import torch
from torch import Tensor

from gahb.checks import (
    as_numbers,
    check_count,
    check_images,
    check_number,
    check_seed,
    check_type,
)
from gahb.denoiser import SMALLEST, at, evaluation
from gahb.devices import images_at_a_time, in_batches, in_double
from gahb.intervals import Estimate, by_unit, of_means
from gahb.settings import progress

Function = Callable[..., Tensor]
Level = TypeVar("Level", float, Tensor)

INPUT_PSNR = tuple(range(0, 41, 5))  # dB, at which trainings and reports measure denoisers
HIGHEST_PSNR = 150.0  # dB: a mean squared error of 1e-15, the rounding of float32 images
SAME_LEVEL = 1e-6  # dB, of noise levels that count as the same
LARGEST_PSNR = 758.0  # dB: of the smallest noise level in float32


def sigma_from_psnr(psnr: Level) -> Level:
    r"""Return the noise level :math:`\sigma = 10^{-\mathrm{PSNR} / 20}` of an input PSNR in dB.

    Examples
    --------
    >>> sigma_from_psnr(20.0)
    0.1
    """
    for extreme in map(float, psnr.aminmax()) if isinstance(psnr, Tensor) else (psnr,):
        check_number("psnr", extreme, low=-LARGEST_PSNR, high=LARGEST_PSNR)
    return 10 ** (-psnr / 20)


def psnr_from_sigma(sigma: Level) -> Level:
    r"""Return the input PSNR, :math:`-20 \log_{10} \sigma` in dB, for images in [0, 1].

    Examples
    --------
    >>> psnr_from_sigma(0.1)
    20.0
    """
    for extreme in map(float, sigma.aminmax()) if isinstance(sigma, Tensor) else (sigma,):
        check_number("sigma", extreme, low=SMALLEST)
    # 0 - ..., since -20 times the logarithm of 1 would be -0.0
    return 0 - 20 * (sigma.log10() if isinstance(sigma, Tensor) else math.log10(sigma))


def psnr(x_hat: Tensor, x: Tensor) -> Tensor:
    r"""Return the output PSNR of each image, :math:`-10 \log_{10} \mathrm{MSE}` in dB, (n,).

    Errors below 1e-15, the rounding of float32, count as 1e-15: an exact copy has 150 dB rather
    than infinity, so that averages over images stay finite. In float64, on the CPU where the
    device of ``x`` has none. Images, (n, C, H, W), are on the scale where clean ones are in [0, 1].

    Examples
    --------
    >>> x = torch.full((2, 1, 8, 8), 0.5)
    >>> psnr(x + 0.1, x).round()
    tensor([20., 20.], dtype=torch.float64)
    """
    check_alike(x_hat, x)
    mse = (in_double(x_hat) - in_double(x)).square().flatten(1).mean(1)
    return -10 * mse.clamp(min=10 ** (-HIGHEST_PSNR / 10)).log10()


def check_alike(x_hat: Tensor, x: Tensor) -> None:
    """Raise unless both are images, as many and of one size."""
    check_images("x", x)
    check_images("x_hat", x_hat)
    if x_hat.shape != x.shape:
        raise ValueError(f"x_hat: shape {tuple(x_hat.shape)} is not that of x, {tuple(x.shape)}")


def noisy(x: Tensor, sigma: float | Tensor, seed: int = 0) -> Tensor:
    r"""Return noisy images :math:`y = x + \sigma z` of unit Gaussian noise z.

    The noise is that of :func:`gahb.psnr_curve`: that of image i depends on ``seed`` and i alone.
    There is one noise level, or one for each of the images (n, C, H, W), a tensor (n,).

    Examples
    --------
    >>> x = torch.zeros(1, 1, 4, 4)
    >>> noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(3))
    >>> noisy(x, 0.5, seed=3).equal(0.5 * noise)
    True
    """
    check_images("x", x)
    accepted = f"a finite number of at least 0, or one for each of {len(x)} images"
    levels = as_numbers("sigma", sigma, accepted)
    if levels.shape not in ((), (len(x),)) or not (levels.isfinite() & (levels >= 0)).all():
        raise ValueError(f"sigma: {levels.tolist()} is not {accepted}")
    return x + levels.to(x).view(-1, 1, 1, 1) * unit_noise(x, seed).to(x)


def unit_noise(x: Tensor, seed: int) -> Tensor:
    """Return unit noise (n, C, H, W), image after image from the generator of the CPU."""
    check_seed(seed)
    generator = torch.Generator().manual_seed(int(seed))
    drawn = partial(torch.randn, x.shape[1:], generator=generator, dtype=torch.float32)
    return torch.stack([drawn() for _ in x])


@torch.no_grad()
def denoised(
    f: Function, x: Tensor, noise: Tensor, sigma: float, batch_size: int | None = None
) -> Tensor:
    """Return f(x + sigma noise), (n, C, H, W), by default as many at a time as memory allows."""
    if batch_size is not None:
        check_count("batch_size", batch_size)
    denoise = at(f, sigma)

    def batch(items: slice) -> Tensor:
        clean = x[items]
        estimate = denoise(clean + sigma * noise[items].to(clean))
        check_images("f(y)", estimate)
        if estimate.shape != clean.shape:
            given, accepted = tuple(estimate.shape), tuple(clean.shape)
            raise ValueError(f"f(y): shape {given} is not that of the images, {accepted}")
        return estimate

    with evaluation(denoise):
        return torch.cat(in_batches(batch, len(x), batch_size or images_at_a_time(denoise, x)))


@dataclass(frozen=True, eq=False)
class Curve:
    """Mean over images of what was measured on each, at every noise level (Figure 1).

    The difference of two curves is a curve: ``on_train - on_test`` is the train-test gap
    (Figure 15). Where both were measured on the same images, it is taken image by image, else the
    two sets are independent. The unit of the intervals is an image, however often a set repeats it.

    Examples
    --------
    >>> levels = torch.tensor([10.0, 20.0])
    >>> on_train = Curve.of(levels, torch.tensor([[22.0, 24.0], [30.0, 32.0]]))
    >>> on_test = Curve.of(levels, torch.tensor([[22.0, 23.0], [29.0, 29.0]]))
    >>> gap = on_train - on_test
    >>> print(gap.value, gap.at(20))
    tensor([0.5000, 2.0000]) 2.00 [-10.71, 14.71]
    """

    x: Tensor  #: input PSNR in dB, or another abscissa, (k,)
    #: Values of each image, (k, n), by what tells the n images apart: the curve is the sum of their
    #: means.
    sets: Mapping[tuple[Hashable, ...], Tensor]

    @classmethod
    def of(cls, x: Tensor, per_image: Tensor, images: Tensor | None = None) -> Curve:
        """Return the curve of values (k, n) over ``x``, (k,), measured on ``images``, (n, C, H, W).

        Without ``images``, no other curve counts as measured on the same ones.
        """
        for argument, values, shape in (("x", x, "(k,)"), ("per_image", per_image, "(k, n)")):
            check_type(argument, values, Tensor, f"a tensor {shape}")
        if x.ndim != 1:
            raise ValueError(f"x: shape {tuple(x.shape)} is not (k,)")
        if per_image.ndim != 2 or len(per_image) != len(x):
            raise ValueError(f"per_image: shape {tuple(per_image.shape)} is not ({len(x)}, n)")
        if images is None:
            return cls(x, {tuple(object() for _ in range(per_image.shape[1])): per_image})
        check_images("images", images)
        if len(images) != per_image.shape[1]:
            raise ValueError(f"images: {len(images)}; accepted: {per_image.shape[1]}")
        stored = images.detach().cpu().float().numpy()
        return cls(x, {tuple(sha256(image.tobytes()).digest() for image in stored): per_image})

    @cached_property
    def value(self) -> Tensor:
        """Mean over images, (k,)."""
        return torch.stack([part.mean(1) for part in self.sets.values()]).sum(0)

    @property
    def low(self) -> Tensor:
        """Lower end of the 95% interval of the mean, (k,); NaN where a set has one image."""
        return self._interval[0]

    @property
    def high(self) -> Tensor:
        """Upper end of the 95% interval of the mean, (k,); NaN where a set has one image."""
        return self._interval[1]

    @cached_property
    def _interval(self) -> tuple[Tensor, Tensor]:
        return self._bounds()

    def _bounds(self, together: int = 1) -> tuple[Tensor, Tensor]:
        parts = [by_unit(part, images) for images, part in self.sets.items()]
        low, high = of_means(parts, together)
        return low.to(self.value), high.to(self.value)

    @property
    def per_image(self) -> Tensor:
        """Values of each image, (k, n), if all are of one set."""
        if len(self.sets) != 1:
            raise ValueError(f"per_image: of {len(self.sets)} sets of images; accepted: of one")
        return next(iter(self.sets.values()))

    def __sub__(self, other: Curve) -> Curve:
        """Return the difference, image by image if both have the same images in the same order."""
        check_type("other", other, Curve, "a curve")
        if self.x.shape != other.x.shape or not torch.allclose(self.x.double(), other.x.double()):
            given, accepted = other.x.tolist(), self.x.tolist()
            raise ValueError(f"other: noise levels differ: {given}; accepted: {accepted}")
        sets = dict(self.sets)
        for images, part in other.sets.items():
            sets[images] = sets[images] - part if images in sets else -part
        return Curve(self.x, sets)

    def at(self, x: float) -> Estimate:
        """Return the value at one of the noise levels, with its interval."""
        check_number("x", x, -math.inf)
        distance = (self.x - x).abs()
        k = int(distance.argmin())
        if not distance[k] <= SAME_LEVEL:
            raise ValueError(f"x: {x:g} is none of {self.x.tolist()}")
        return Estimate(float(self.value[k]), float(self.low[k]), float(self.high[k]))

    def largest(self) -> Estimate:
        """Return the largest value over the noise levels; the interval is that of the largest.

        The intervals of all levels, at once, hold it: that of one level chosen for its value would
        leave out the chance of the choice.

        Examples
        --------
        >>> curve = Curve.of(torch.arange(2), torch.tensor([[1.0, 2.0, 3.0], [4.0, 4.0, 4.0]]))
        >>> print(curve.largest(), curve.smallest())
        4.00 [4.00, 5.58] 2.00 [-1.58, 4.00]
        """
        return Estimate(*(float(values.max()) for values in self._together()))

    def smallest(self) -> Estimate:
        """Return the smallest value over the noise levels, as :meth:`largest` does the largest."""
        return Estimate(*(float(values.min()) for values in self._together()))

    def _together(self) -> tuple[Tensor, ...]:
        """Return the values, and bounds that hold at all levels at once, (k,) each."""
        return self.value, *self._bounds(together=len(self.x))

    def between(self, low: float, high: float) -> Curve:
        """Return the curve over the noise levels in [low, high]."""
        check_number("low", low, -math.inf)
        check_number("high", high, low)
        inside = (self.x >= low - SAME_LEVEL) & (self.x <= high + SAME_LEVEL)
        if not inside.any():
            raise ValueError(f"low, high: no noise level in [{low:g}, {high:g}] dB")
        return self._mapped(self.x[inside], lambda part: part[inside])

    def mean(self) -> Estimate:
        """Return the mean over the noise levels, with its interval."""
        return self.combination(torch.ones_like(self.x) / len(self.x))

    def slope(self, low: float, high: float) -> Estimate:
        r"""Return the least-squares slope over the noise levels in [low, high], with its interval.

        On a PSNR curve, a slope of 1 means a mean squared error proportional to :math:`\sigma^2`;
        one of :math:`\alpha / (\alpha + 1)`, proportional to
        :math:`\sigma^{2 \alpha / (\alpha + 1)}` (equation 13).
        """
        inside = self.between(low, high)
        distinct = len(set(inside.x.tolist()))
        if distinct < 3:
            found = f"{distinct} noise levels in [{low:g}, {high:g}] dB"
            raise ValueError(f"low, high: {found}; accepted: a range that holds at least 3")
        # Least squares is linear in the output: the slope of the mean is the mean of the slopes.
        centered = inside.x - inside.x.mean()
        return inside.combination(centered / centered.square().sum())

    def slopes(self) -> Curve:
        """Return the slopes between neighboring noise levels, against their middles, (k - 1,).

        Examples
        --------
        >>> per_image = torch.tensor([[20.0, 21.0], [25.0, 26.0], [35.0, 36.0]])
        >>> slopes = Curve.of(torch.tensor([0.0, 10.0, 20.0]), per_image).slopes()
        >>> slopes.x, slopes.value
        (tensor([ 5., 15.]), tensor([0.5000, 1.0000]))
        """
        steps = self.x.diff()
        if len(self.x) < 2 or not (steps > 0).all():
            accepted = "at least two noise levels of increasing input PSNR"
            raise ValueError(f"curve: over {self.x.tolist()} dB; accepted: {accepted}")
        middles = (self.x[1:] + self.x[:-1]) / 2
        return self._mapped(middles, lambda part: part.diff(dim=0) / steps[:, None])

    def combination(self, weights: Tensor) -> Estimate:
        """Return the sum of the values times ``weights``, (k,), with its interval."""
        check_type("weights", weights, Tensor, "a tensor (k,)")
        if weights.shape != self.x.shape:
            given, accepted = tuple(weights.shape), tuple(self.x.shape)
            raise ValueError(f"weights: shape {given} is not the accepted {accepted}")
        one = self._mapped(self.x[:1], lambda part: (weights.to(part) @ part)[None])
        return Estimate(float(one.value), float(one.low), float(one.high))

    def _mapped(self, x: Tensor, linear: Function) -> Curve:
        return Curve(x, {images: linear(part) for images, part in self.sets.items()})


def psnr_curve(
    f: Function,
    x: Tensor,
    input_psnr: Sequence[float] | Tensor,
    seed: int = 0,
    batch_size: int | None = None,
) -> Curve:
    """Return the output PSNR of a denoiser on images ``x`` against the input PSNR (Figure 1).

    Image i meets the same noise at every level, whatever the grid, the batch size, the device and
    the number of images: it depends on ``seed`` and i alone. For a set of very few images, repeat
    them (``x.repeat(100, 1, 1, 1)``): each copy meets noise of its own, and counts with the others
    as one image.

    Parameters
    ----------
    f : callable
        Denoiser, called as f(y, sigma), or f(y) where it is blind.
    x : Tensor
        Clean images in [0, 1], (n, C, H, W), on the device of ``f``.
    input_psnr : sequence of float
        Noise levels as input PSNR, -20 log10(sigma), in dB.
    seed, batch_size : int
        What fixes the noise; images that are denoised at a time, by default 64, on a GPU as many as
        its memory holds.

    Examples
    --------
    >>> x = torch.rand(8, 1, 16, 16)
    >>> curve = psnr_curve(lambda y: 0.5 * y, x, input_psnr=[0, 10, 20])
    >>> curve.value.shape, curve.per_image.shape
    (torch.Size([3]), torch.Size([3, 8]))
    """
    check_images("x", x)
    for extreme in x.aminmax():
        check_number("x", float(extreme), low=0, high=1)
    accepted = "a non-empty sequence of finite numbers in dB"
    levels = as_numbers("input_psnr", input_psnr, accepted).cpu()
    if levels.ndim != 1 or levels.numel() == 0 or not levels.isfinite().all():
        raise ValueError(f"input_psnr: {levels.tolist()} is not {accepted}")
    noise = unit_noise(x, seed)
    per_image = []
    with progress(len(levels), "PSNR", "noise level") as bar:
        for sigma in map(sigma_from_psnr, levels.tolist()):
            per_image.append(psnr(denoised(f, x, noise, sigma, batch_size), x).cpu())
            bar.update()
    return Curve.of(levels, torch.stack(per_image), x)
