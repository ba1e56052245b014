"""How much better a denoiser does on its training images than on others.

floor: 3
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gahb.metrics.bootstrap import interval, resampled_means
from gahb.metrics.curves import PsnrCurve

__all__ = ["Gap", "train_test_gap"]


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

    Raises
    ------
    ValueError
        If the noise levels of the two curves differ.

    Examples
    --------
    >>> levels = torch.tensor([10.0, 20.0])
    >>> train = PsnrCurve.of(levels, torch.tensor([[22.0, 24.0], [30.0, 32.0]]))
    >>> test = PsnrCurve.of(levels, torch.tensor([[22.0, 23.0], [29.0, 29.0]]))
    >>> train_test_gap(train, test).value
    tensor([0.5000, 2.0000])
    """
    same_size = train.input_psnr.shape == test.input_psnr.shape
    if not same_size or not torch.allclose(train.input_psnr, test.input_psnr):
        raise ValueError("test: noise levels differ from those of train; accepted: the same ones")
    resampled = resampled_means(train.per_image, seed=1) - resampled_means(test.per_image, seed=2)
    return Gap(train.input_psnr, train.output_psnr - test.output_psnr, *interval(resampled))
