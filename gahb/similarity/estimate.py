"""Medians, and how sure they are.

floor: 3
"""

from __future__ import annotations

import torch
from torch import Tensor

from gahb.devices import in_double
from gahb.metrics.bootstrap import RESAMPLES, interval
from gahb.metrics.estimate import Estimate

__all__ = ["checked_values", "median", "resampled_medians"]

LARGEST_DRAW = 1_000_000  # values drawn at a time, which bounds the memory


def median(values: Tensor, seed: int = 0) -> Estimate:
    """Median of finite values (n,), such as similarities, with its interval.

    Raises
    ------
    TypeError, ValueError
        If ``values`` is not such a tensor.

    Examples
    --------
    >>> median(torch.arange(101.0)).value
    50.0
    """
    values = checked_values(values)
    low, high = interval(resampled_medians(values, seed)[None])
    return Estimate(float(values.quantile(0.5)), (float(low), float(high)))


def checked_values(values: Tensor) -> Tensor:
    """The values (n,), finite and at least one, in float64 on the CPU."""
    if not isinstance(values, Tensor) or not values.is_floating_point():
        raise TypeError("values: is not a float tensor of shape (n,)")
    if values.ndim != 1 or not len(values) or not values.isfinite().all():
        raise ValueError(f"values: {tuple(values.shape)} is not (n,), finite, with n at least 1")
    return in_double(values).cpu()


def resampled_medians(values: Tensor, seed: int) -> Tensor:
    """Medians of values (n,) drawn with replacement, (RESAMPLES,); NaN for one value."""
    n = len(values)
    if n == 1:
        return values.new_full((RESAMPLES,), torch.nan)
    generator = torch.Generator().manual_seed(seed)
    some = torch.arange(RESAMPLES).split(max(1, LARGEST_DRAW // n))
    drawn = (torch.randint(n, (len(rows), n), generator=generator) for rows in some)
    return torch.cat([values[numbers].quantile(0.5, dim=1) for numbers in drawn])
