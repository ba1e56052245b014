"""Percentile bootstrap over images.

floor: 3
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["interval", "resampled_means"]

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
