"""The slope of a PSNR curve at each noise level, where it is not the same at all of them.

floor: 3
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from gahb.metrics.bootstrap import interval, resampled_means
from gahb.metrics.curves import PsnrCurve

__all__ = ["LocalSlopes", "local_slopes"]


@dataclass(frozen=True, eq=False)
class LocalSlopes:
    """Slope of a PSNR curve between each two neighbouring noise levels.

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
    """Slope of a PSNR curve between neighbouring noise levels, with its bootstrap over images.

    Where the mean squared error falls as sigma^(2 a / (a + 1)), the slope is a / (a + 1)
    (equation 13). Where the noise is so small that each pixel says more than all others could, the
    error is d sigma^2 for d pixels, and the slope 1.

    Parameters
    ----------
    curve : PsnrCurve
        Curve over at least two noise levels, in increasing order of input PSNR.

    Raises
    ------
    ValueError
        If the noise levels are fewer, or not in order.

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
