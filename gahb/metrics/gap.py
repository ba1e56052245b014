"""How much better a denoiser does on its training images than on others.

floor: 3
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gahb.metrics.bootstrap import interval, resampled_means
from gahb.metrics.curves import PsnrCurve
from gahb.metrics.estimate import Estimate

__all__ = ["Gap", "average_gap", "train_test_gap"]


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

    Raises
    ------
    ValueError
        If the noise levels of the curves differ, or the reference has other numbers of images.

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
