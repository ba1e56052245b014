"""From how many training images on a network generalises.

floor: 3
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from gahb.metrics.estimate import Estimate
from gahb.similarity.estimate import checked_values, resampled_medians

__all__ = ["transition"]


def transition(between: Mapping[int, Tensor], to_train: Mapping[int, Tensor]) -> Estimate:
    """Number of training images N* from which on two networks are closer to one another.

    Below N*, the median sample is more similar to its network's own training set; above it, to what
    a network draws from the same noise that was trained on other images (Figure 2). The difference
    of the two medians is taken as linear in log N between the sizes that were trained. The interval
    is a bootstrap over samples: it does not know how the difference runs between two sizes, and
    cannot be trusted to be narrower than the two.

    Parameters
    ----------
    between : mapping of int to Tensor
        By N: similarity of the samples of the two networks, (m,).
    to_train : mapping of int to Tensor
        By N: similarity of samples to the closest image of the training set, (k,).

    Raises
    ------
    TypeError, ValueError
        If the two do not have the same two or more N, the similarities are not finite, or the
        medians do not cross between the smallest and the largest N.

    Examples
    --------
    >>> between = {10: torch.full((9,), 0.1), 1000: torch.full((9,), 0.9)}
    >>> transition(between, {10: torch.full((9,), 0.9), 1000: torch.full((9,), 0.1)}).value
    100.0
    """
    sizes = sorted(between)
    if len(sizes) < 2 or sizes != sorted(to_train):
        raise ValueError(
            f"to_train: sizes {sorted(to_train)} beside {sizes} of between; accepted: the same, "
            "at least two"
        )
    pairs = [(checked_values(between[n]), checked_values(to_train[n])) for n in sizes]
    difference = torch.stack([a.quantile(0.5) - b.quantile(0.5) for a, b in pairs])
    crossing = _last_crossing(sizes, difference)
    if math.isnan(crossing):
        shown = ", ".join(f"{value:+.2f}" for value in difference)
        raise ValueError(f"between, to_train: medians do not cross: they differ by {shown}")
    resampled = torch.stack(
        [resampled_medians(a, seed=1) - resampled_medians(b, seed=2) for a, b in pairs]
    )
    crossings = torch.tensor([_last_crossing(sizes, drawn) for drawn in resampled.T])
    low, high = crossings.nanquantile(torch.tensor([0.025, 0.975])).tolist()
    return Estimate(crossing, (low, high))


def _last_crossing(sizes: list[int], difference: Tensor) -> float:
    """N at which differences (k,), linear in log N between, become positive for good, or NaN."""
    positive = (difference > 0).tolist()
    if all(positive) or not positive[-1]:
        return math.nan
    last = max(i for i, above in enumerate(positive) if not above)
    below, above = difference[last : last + 2].tolist()
    share = below / (below - above)
    return float(sizes[last] * (sizes[last + 1] / sizes[last]) ** share)
