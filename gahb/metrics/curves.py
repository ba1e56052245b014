"""Output PSNR against input PSNR: curves, their slopes and differences, and their intervals."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from gahb.checks import check_count, check_images, check_number
from gahb.denoiser import at
from gahb.devices import images_at_a_time, in_batches, in_double

__all__ = [
    "HIGHEST_PSNR",
    "Estimate",
    "Gap",
    "LocalSlopes",
    "PsnrCurve",
    "Slope",
    "average_gap",
    "estimates",
    "interval",
    "local_slopes",
    "psnr",
    "psnr_curve",
    "psnr_from_sigma",
    "resampled_means",
    "sigma_from_psnr",
    "train_test_gap",
    "unit_noise",
]


RESAMPLES = 1000


def resampled_means(per_image: Tensor, seed: int = 0) -> Tensor:
    """Means over images drawn with replacement, (k, RESAMPLES), of values (k, n).

    One image says nothing about the spread between images: its means are NaN.
    """
    n = per_image.shape[1]
    if n == 1:
        return per_image.new_full((len(per_image), RESAMPLES), torch.nan)
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randint(n, (RESAMPLES, n), generator=generator)
    one = per_image.new_ones(1, 1)
    times_drawn = per_image.new_zeros(RESAMPLES, n).scatter_add_(1, drawn, one.expand_as(drawn))
    return per_image @ times_drawn.T / n


def interval(resampled: Tensor) -> tuple[Tensor, Tensor]:
    """Bounds (k,) and (k,) of the central 95% of each row."""
    low, high = resampled.quantile(resampled.new_tensor([0.025, 0.975]), dim=1)
    return low, high


# --- A number measured on a sample, and how sure it is ---


@dataclass(frozen=True)
class Estimate:
    """A number measured on a sample, with the 95% interval of its bootstrap (NaN for n = 1)."""

    value: float
    interval: tuple[float, float]

    def __str__(self) -> str:
        return "{:.2f} [{:.2f}, {:.2f}]".format(self.value, *self.interval)


# --- Decibels: noise levels as input PSNR, errors as output PSNR, for images in [0, 1] ---


HIGHEST_PSNR = 150.0  # dB: a mean squared error of 1e-15, the rounding of float32 images
Level = TypeVar("Level", float, Tensor)


def sigma_from_psnr(psnr: Level) -> Level:
    """Noise level sigma = 10^(-PSNR / 20), for images in [0, 1], of an input PSNR in dB.

    Examples
    --------
    >>> sigma_from_psnr(20.0)
    0.1
    """
    return 10 ** (-psnr / 20)


def psnr_from_sigma(sigma: Level) -> Level:
    """Input PSNR -20 log10(sigma), in dB, of a noise level on images in [0, 1].

    Examples
    --------
    >>> psnr_from_sigma(0.1)
    20.0
    """
    smallest = float(sigma.min()) if isinstance(sigma, Tensor) else sigma
    check_number("sigma", smallest, low=torch.finfo(torch.float32).tiny)
    # 0 - ..., since -20 times the logarithm of 1 would be -0.0
    return 0 - 20 * (sigma.log10() if isinstance(sigma, Tensor) else math.log10(sigma))


def psnr(x_hat: Tensor, x: Tensor) -> Tensor:
    """Output PSNR of each image, -10 log10 of its mean squared error, in dB.

    Errors below 1e-15, the rounding of float32, count as 1e-15: an exact copy has 150 dB rather
    than infinity, so that averages over images stay finite.

    Parameters
    ----------
    x_hat, x : Tensor
        Estimated and clean images, on the scale where images lie in [0, 1], (n, C, H, W).

    Returns
    -------
    Tensor
        (n,) in float64, on the device of ``x`` if that has float64, else on the CPU.

    Examples
    --------
    >>> x = torch.full((2, 1, 8, 8), 0.5)
    >>> psnr(x + 0.1, x).round()
    tensor([20., 20.], dtype=torch.float64)
    """
    check_images("x", x)
    check_images("x_hat", x_hat)
    if x_hat.shape != x.shape:
        raise ValueError(f"x_hat: shape {tuple(x_hat.shape)} is not that of x, {tuple(x.shape)}")
    mse = (in_double(x_hat) - in_double(x)).square().flatten(1).mean(1)
    return -10 * mse.clamp(min=10 ** (-HIGHEST_PSNR / 10)).log10()


# --- Estimates from noisy images ---


def unit_noise(x: Tensor, seed: int) -> Tensor:
    """Unit noise for each image, one after the other from the CPU's generator, (n, C, H, W)."""
    check_count("seed", seed, minimum=0)
    generator = torch.Generator().manual_seed(seed)
    return torch.stack([torch.randn(x.shape[1:], generator=generator) for _ in x])


@torch.no_grad()
def estimates(
    f: Callable[..., Tensor],
    x: Tensor,
    noise: Tensor,
    sigma: float,
    batch_size: int | None = None,
) -> Tensor:
    """Estimates f(x + sigma noise) of images x, (n, C, H, W), by f(y, sigma).

    They are made ``batch_size`` at a time, by default as many as the memory allows.
    """
    if batch_size is not None:
        check_count("batch_size", batch_size)
    denoise = at(f, sigma)

    def estimated(items: slice) -> Tensor:
        clean = x[items]
        estimate = denoise(clean + sigma * noise[items].to(clean))
        check_images("f(y)", estimate)
        if estimate.shape != clean.shape:
            given, accepted = tuple(estimate.shape), tuple(clean.shape)
            raise ValueError(f"f(y): shape {given} is not that of the images, {accepted}")
        return estimate

    return torch.cat(in_batches(estimated, len(x), batch_size or images_at_a_time(denoise, x)))


# --- Output PSNR of a denoiser against input PSNR, and the slope of that curve ---


@dataclass(frozen=True)
class Slope:
    """Slope of a PSNR curve by a line that is fitted to it.

    Attributes
    ----------
    value : float
        The slope.
    interval : tuple of float
        Its 95% interval.
    over : tuple of float
        The range of input PSNR, in dB, that the line is fitted over.
    through : tuple of float
        Input and output PSNR, in dB, of a point on the line.
    """

    value: float
    interval: tuple[float, float]
    over: tuple[float, float]
    through: tuple[float, float]

    def __str__(self) -> str:
        bounds = "[{:.2f}, {:.2f}]".format(*self.interval)
        return f"{self.value:.2f} {bounds} over {self.over[0]:g} to {self.over[1]:g} dB"


@dataclass(frozen=True, eq=False)
class PsnrCurve:
    """Output PSNR against input PSNR, in dB, averaged over images (Figure 1).

    The intervals are percentile bootstraps over images. One image has none: they are NaN.

    Attributes
    ----------
    input_psnr, output_psnr : Tensor
        Noise levels, and the mean over images of the output PSNR at each, (k,).
    low, high : Tensor
        95% interval of that mean, (k,).
    per_image : Tensor
        Output PSNR of each image at each noise level, (k, n).
    """

    input_psnr: Tensor
    output_psnr: Tensor
    low: Tensor
    high: Tensor
    per_image: Tensor

    @classmethod
    def of(cls, input_psnr: Tensor, per_image: Tensor) -> PsnrCurve:
        """Curve of the output PSNRs ``per_image``, (k, n), at the noise levels, (k,)."""
        low, high = interval(resampled_means(per_image))
        return cls(input_psnr, per_image.mean(1), low, high, per_image)

    @property
    def sigma(self) -> Tensor:
        """Noise levels as standard deviations, (k,)."""
        return sigma_from_psnr(self.input_psnr)

    def slope(self, low: float, high: float) -> Slope:
        """Least-squares slope over the noise levels whose input PSNR lies in [low, high] dB.

        A slope of 1 means a mean squared error proportional to sigma^2; one of a / (a + 1), an
        error proportional to sigma^(2 a / (a + 1)) (equation 13).
        """
        check_number("low", low, -math.inf)
        check_number("high", high, low)
        rounding = 1e-6
        inside = (self.input_psnr >= low - rounding) & (self.input_psnr <= high + rounding)
        levels = self.input_psnr[inside]
        distinct = len(set(levels.tolist()))
        if distinct < 3:
            found = f"{distinct} noise levels in [{low:g}, {high:g}] dB"
            raise ValueError(f"low, high: {found}; accepted: a range that holds at least 3")
        # Least squares is linear in the output: the slope of the mean is the mean of the slopes.
        centered = levels - levels.mean()
        per_image = (centered / centered.square().sum()) @ self.per_image[inside]
        bounds = interval(resampled_means(per_image[None]))
        return Slope(
            value=float(per_image.mean()),
            interval=(float(bounds[0]), float(bounds[1])),
            over=(float(low), float(high)),
            through=(float(levels.mean()), float(self.output_psnr[inside].mean())),
        )


def psnr_curve(
    f: Callable[..., Tensor],
    x: Tensor,
    input_psnr: Sequence[float] | Tensor,
    seed: int = 0,
    batch_size: int | None = None,
) -> PsnrCurve:
    """Output PSNR of a denoiser on images ``x`` over noise levels (Figure 1).

    Image i meets the same noise at every level, whatever the grid, the batch size, the device and
    the number of images: it depends on ``seed`` and i alone. For a set of very few images, repeat
    them (``x.repeat(100, 1, 1, 1)``): each copy meets noise of its own.

    Parameters
    ----------
    f : callable
        Denoiser, called as f(y, sigma), or f(y) where it is blind.
    x : Tensor
        Clean images in [0, 1], (n, C, H, W), on the device of ``f``.
    input_psnr : sequence of float
        Noise levels as input PSNR, -20 log10(sigma), in dB.
    seed : int
        Fixes the noise.
    batch_size : int, optional
        Images that are denoised at a time; by default 64, on a GPU as many as its memory holds.

    Examples
    --------
    >>> x = torch.rand(8, 1, 16, 16)
    >>> curve = psnr_curve(lambda y: 0.5 * y, x, input_psnr=[0, 10, 20])
    >>> curve.output_psnr.shape, curve.per_image.shape
    (torch.Size([3]), torch.Size([3, 8]))
    """
    check_images("x", x)
    for extreme in x.aminmax():
        check_number("x", float(extreme), low=0, high=1)
    levels = _checked_levels(input_psnr)
    noise = unit_noise(x, seed)
    per_image = [
        psnr(estimates(f, x, noise, sigma_from_psnr(level), batch_size), x).cpu()
        for level in levels.tolist()
    ]
    return PsnrCurve.of(levels, torch.stack(per_image))


def _checked_levels(input_psnr: Sequence[float] | Tensor) -> Tensor:
    levels = torch.as_tensor(input_psnr, dtype=torch.float64).cpu()
    if levels.ndim != 1 or levels.numel() == 0 or not levels.isfinite().all():
        accepted = "a non-empty sequence of finite numbers in dB"
        raise ValueError(f"input_psnr: {levels.tolist()} is not {accepted}")
    return levels


# --- The slope of a PSNR curve at each noise level, where it is not the same at all of them ---


@dataclass(frozen=True, eq=False)
class LocalSlopes:
    """Slope of a PSNR curve between each two neighboring noise levels.

    Attributes
    ----------
    input_psnr, value : Tensor
        Middle of the two noise levels in dB, and the slope between them, (k - 1,).
    low, high : Tensor
        95% interval of the slope, (k - 1,); NaN for one image.
    """

    input_psnr: Tensor
    value: Tensor
    low: Tensor
    high: Tensor


def local_slopes(curve: PsnrCurve) -> LocalSlopes:
    """Slope of a PSNR curve between neighboring noise levels, with its bootstrap over images.

    Where the mean squared error falls as sigma^(2 a / (a + 1)), the slope is a / (a + 1)
    (equation 13). Where the noise is so small that each pixel says more than all others could, the
    error is d sigma^2 for d pixels, and the slope 1.

    Parameters
    ----------
    curve : PsnrCurve
        Curve over at least two noise levels, in increasing order of input PSNR.

    Examples
    --------
    >>> import torch
    >>> levels = torch.tensor([0.0, 10.0, 20.0])
    >>> curve = PsnrCurve.of(levels, torch.tensor([[20.0, 21.0], [25.0, 26.0], [35.0, 36.0]]))
    >>> slopes = local_slopes(curve)
    >>> slopes.input_psnr, slopes.value
    (tensor([ 5., 15.]), tensor([0.5000, 1.0000]))
    """
    levels = curve.input_psnr
    if len(levels) < 2 or not (levels.diff() > 0).all():
        accepted = "at least two noise levels of increasing input PSNR"
        raise ValueError(f"curve: over {levels.tolist()} dB; accepted: {accepted}")
    per_image = curve.per_image.diff(dim=0) / levels.diff()[:, None]
    middles = (levels[1:] + levels[:-1]) / 2
    return LocalSlopes(middles, per_image.mean(dim=1), *interval(resampled_means(per_image)))


# --- How much better a denoiser does on its training images than on others ---


@dataclass(frozen=True, eq=False)
class Gap:
    """Train minus test PSNR, in dB, at each noise level: the size of the overfitting.

    Attributes
    ----------
    input_psnr, value : Tensor
        Noise levels, and the gap at each, (k,).
    low, high : Tensor
        95% interval of the gap, (k,); NaN where a set has one image.
    """

    input_psnr: Tensor
    value: Tensor
    low: Tensor
    high: Tensor

    @property
    def max_abs(self) -> float:
        """Largest absolute gap over the noise levels, in dB."""
        return float(self.value.abs().max())


def train_test_gap(train: PsnrCurve, test: PsnrCurve) -> Gap:
    """Gap between two PSNR curves over the same noise levels, train minus test (Figure 15).

    The two sets of images are independent, hence resampled separately.

    Examples
    --------
    >>> levels = torch.tensor([10.0, 20.0])
    >>> train = PsnrCurve.of(levels, torch.tensor([[22.0, 24.0], [30.0, 32.0]]))
    >>> test = PsnrCurve.of(levels, torch.tensor([[22.0, 23.0], [29.0, 29.0]]))
    >>> train_test_gap(train, test).value
    tensor([0.5000, 2.0000])
    """
    _check_same_levels("test", test, train)
    resampled = resampled_means(train.per_image, seed=1) - resampled_means(test.per_image, seed=2)
    return Gap(train.input_psnr, train.output_psnr - test.output_psnr, *interval(resampled))


def average_gap(
    train: PsnrCurve, test: PsnrCurve, reference: Sequence[PsnrCurve] | None = None
) -> Estimate:
    """Train minus test PSNR in dB, averaged over the noise levels of the curves (Figure 15).

    Some images are easier to denoise than others, and the two sets differ in that by chance. A
    ``reference`` takes it out: the curves, on the same training and the same test images, of a
    denoiser that has seen neither. What it gains on the one set counts as ease, not as overfitting.

    Examples
    --------
    >>> levels = torch.tensor([10.0, 20.0])
    >>> train = PsnrCurve.of(levels, torch.tensor([[22.0, 24.0], [30.0, 32.0]]))
    >>> test = PsnrCurve.of(levels, torch.tensor([[22.0, 23.0], [29.0, 29.0]]))
    >>> average_gap(train, test).value
    1.25
    >>> average_gap(train, test, reference=(train, test)).value
    0.0
    """
    _check_same_levels("test", test, train)
    train_reference, test_reference = (None, None) if reference is None else reference
    on_train, on_test = _per_image(train, train_reference), _per_image(test, test_reference)
    resampled = resampled_means(on_train, seed=1) - resampled_means(on_test, seed=2)
    low, high = interval(resampled)
    return Estimate(float(on_train.mean() - on_test.mean()), (float(low), float(high)))


def _per_image(curve: PsnrCurve, reference: PsnrCurve | None) -> Tensor:
    """Output PSNR of each image, averaged over noise levels, less that of a reference, (1, n)."""
    per_image = curve.per_image
    if reference is not None:
        _check_same_levels("reference", reference, curve)
        if reference.per_image.shape != per_image.shape:
            given, accepted = reference.per_image.shape[1], per_image.shape[1]
            raise ValueError(f"reference: {given} images; accepted: the same {accepted}")
        per_image = per_image - reference.per_image
    return per_image.mean(dim=0, keepdim=True)


def _check_same_levels(argument: str, curve: PsnrCurve, other: PsnrCurve) -> None:
    same_size = curve.input_psnr.shape == other.input_psnr.shape
    if not same_size or not torch.allclose(curve.input_psnr, other.input_psnr):
        raise ValueError(
            f"{argument}: noise levels differ from those of train; accepted: the same ones"
        )
