"""Output PSNR of a denoiser against input PSNR, and the slope of that curve.

floor: 3
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gahb.checks import check_images, check_number
from gahb.metrics.bootstrap import interval, resampled_means
from gahb.metrics.decibels import psnr, sigma_from_psnr
from gahb.metrics.noisy import estimates, unit_noise

__all__ = ["PsnrCurve", "Slope", "psnr_curve"]


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

        Raises
        ------
        ValueError
            If fewer than three distinct noise levels lie in the range.
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
        centred = levels - levels.mean()
        per_image = (centred / centred.square().sum()) @ self.per_image[inside]
        bounds = interval(resampled_means(per_image[None]))
        return Slope(
            value=float(per_image.mean()),
            interval=(float(bounds[0]), float(bounds[1])),
            over=(float(low), float(high)),
            through=(float(levels.mean()), float(self.output_psnr[inside].mean())),
        )


def psnr_curve(
    f: Callable[[Tensor], Tensor],
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
    f : BaseDenoiser or callable
        ``f.at(sigma)`` is used where it exists; a plain callable maps noisy images to estimates.
    x : Tensor
        Clean images in [0, 1], (n, C, H, W), on the device of ``f``.
    input_psnr : sequence of float
        Noise levels as input PSNR, -20 log10(sigma), in dB.
    seed : int
        Fixes the noise.
    batch_size : int, optional
        Images that are denoised at a time; by default 64, on a GPU as many as its memory holds.

    Raises
    ------
    TypeError, ValueError
        If ``x`` is not such a batch, ``input_psnr`` empty or not finite, or if ``f`` gives
        another shape or values that are not finite.

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
