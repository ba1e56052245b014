r"""Numbers measured on samples, and their 95% intervals: means, medians, fractions, extremes.

What is drawn independently is a *unit*: an image, or a pair of samples of one noise. Values of one
unit, such as an image under several noises, tell the spread within it and not that between units:
they count once. One unit has no interval.
"""

import math
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

import torch
from scipy.special import ndtri, stdtrit
from torch import Tensor

from gahb.devices import in_double

__all__ = [
    "FEWEST",
    "UNKNOWN",
    "Estimate",
    "by_unit",
    "fraction",
    "mean",
    "median",
    "of_means",
    "resampled",
]

LEVEL = 0.95
FEWEST = 8  # units: of fewer, no bootstrap and no order statistics have 95%
RESAMPLES = 1000
LARGEST_DRAW = 1_000_000  # numbers drawn at a time
Z = float(ndtri((1 + LEVEL) / 2))
UNKNOWN = math.nan, math.nan  # both ends, where there is no interval


@dataclass(frozen=True)
class Estimate:
    """A number measured on a sample, and its 95% interval; NaN where there is none.

    Examples
    --------
    >>> print(Estimate(1.2, 1.1, 1.3), Estimate(1.2, *UNKNOWN))
    1.20 [1.10, 1.30] 1.20 (no interval)
    """

    value: float
    low: float
    high: float

    @property
    def interval(self) -> tuple[float, float]:
        """Both ends of the interval."""
        return self.low, self.high

    def __format__(self, spec: str) -> str:
        value, low, high = (format(x, spec or ".2f") for x in (self.value, self.low, self.high))
        return f"{value} (no interval)" if math.isnan(self.low) else f"{value} [{low}, {high}]"

    def __str__(self) -> str:
        return format(self)


# --- Means ---


def mean(values: Tensor) -> Estimate:
    """Return the mean of finite values (n,), or of k values of each of n units, (n, k).

    Examples
    --------
    >>> print(mean(torch.tensor([1.0, 2.0, 3.0])))
    2.00 [-0.48, 4.48]
    """
    units = _checked(values).mean(1)
    low, high = of_means([units[None]])
    return Estimate(float(units.mean()), float(low), float(high))


def of_means(parts: Sequence[Tensor], together: int = 1) -> tuple[Tensor, Tensor]:
    r"""Return the bounds, (k,) and (k,), of sums of the means of independent sets of units.

    Student's t interval, made wider on the side of a tail: it is joined with that of Hall's
    transformation (Hall, 1992), which takes the skewness :math:`a` of the mean from
    :math:`t = (\hat\mu - \mu) / \mathrm{se}` by
    :math:`t + a t^2 / 3 + a^2 t^3 / 27 + a / 6`. For normal values it covers 95 to 97%, for
    log-normal ones (of deviation 1/2 of the logarithm) 94 to 96%, from 3 units on.

    There are values of each unit, (k, n), in each set of n units; a set of one unit leaves NaN. So
    many intervals as ``together`` says hold at once, by Bonferroni's inequality.

    Examples
    --------
    >>> of_means([torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[5.0, 5.0]])])[0]
    tensor([4.5159], dtype=torch.float64)
    """
    parts = [in_double(part).cpu() for part in parts]
    value = torch.stack([part.mean(1) for part in parts]).sum(0)
    sizes = [part.shape[1] for part in parts]
    if min(sizes) == 1:
        return torch.full_like(value, torch.nan), torch.full_like(value, torch.nan)
    variances = torch.stack([part.var(1) / n for part, n in zip(parts, sizes, strict=True)])
    error = variances.sum(0).sqrt()
    # Welch's degrees of freedom; of values without any spread they do not matter.
    shares = (variances / error**2).nan_to_num(1 / len(parts))
    freedom = 1 / (shares**2 / torch.tensor(sizes)[:, None].sub(1)).sum(0)
    beyond = (1 - LEVEL) / 2 / together
    t = torch.from_numpy(stdtrit(freedom.numpy(), 1 - beyond))
    skewness = (_third_cumulants(parts) / error**3).nan_to_num(0)
    below = torch.maximum(t, _transformed_back(t, skewness))
    above = torch.minimum(-t, _transformed_back(-t, skewness))
    return value - below * error, value - above * error


def _third_cumulants(parts: Sequence[Tensor]) -> Tensor:
    """Return unbiased third cumulants of the sums of means, (k,); of two units nothing is known."""
    total = torch.zeros(len(parts[0]), dtype=torch.float64)
    for part in parts:
        if (n := part.shape[1]) > 2:
            cubes = (part - part.mean(1, keepdim=True)).pow(3).mean(1)
            total += cubes * n**2 / ((n - 1) * (n - 2)) / n**2
    return total


def _transformed_back(t: Tensor, skewness: Tensor) -> Tensor:
    """Return the t that Hall's transformation takes to the given one, (k,)."""
    a = torch.where(skewness.abs() < 1e-6, torch.nan, skewness)  # rounding: t as it is
    cubed = 1 + a * (t - a / 6)
    return torch.where(a.isnan(), t, 3 * (cubed.sign() * cubed.abs() ** (1 / 3) - 1) / a)


def by_unit(values: Tensor, units: Sequence[Hashable]) -> Tensor:
    """Return the values of each unit, (k, u), of those of its members, (k, n), with the same mean.

    Examples
    --------
    >>> by_unit(torch.tensor([[1.0, 2.0, 6.0, 4.0]]), "abab")
    tensor([[3.5000, 3.0000]], dtype=torch.float64)
    """
    values = in_double(values).cpu()
    numbers = {unit: number for number, unit in enumerate(dict.fromkeys(units))}
    if len(numbers) == len(units):
        return values
    member = torch.tensor([numbers[unit] for unit in units])
    middle = values.mean(1, keepdim=True)
    # Deviations, not sums: units with more members than others are no better for that.
    sums = torch.zeros(len(values), len(numbers), dtype=torch.float64)
    sums.index_add_(1, member, values - middle)
    return middle + sums * len(numbers) / len(units)


# --- Medians and fractions ---


def median(values: Tensor) -> Estimate:
    """Return the median of finite values (n,), or of k values of each of n units, (n, k).

    Its interval lies between the quantiles at both ends of the interval of the fraction of values
    below it (Woodruff, 1952); of fewer than 8 units there is none.

    Examples
    --------
    >>> print(median(torch.arange(101.0)))
    50.00 [40.15, 59.85]
    """
    checked = _checked(values)
    ordered = checked.flatten().sort().values
    value = ordered.quantile(0.5)
    if len(checked) < FEWEST:
        return Estimate(float(value), *UNKNOWN)
    below = (checked < value).double() + (checked == value).double() / 2
    margin = Z * math.sqrt(0.25 / _independent(below))
    ends = ordered.new_tensor([0.5 - margin, 0.5 + margin])
    # The i-th of n ordered values stands for the fraction (i - 1/2) / n.
    position = (ends * len(ordered) - 0.5).clamp(0, len(ordered) - 1)
    first, last = position.floor().long(), position.ceil().long()
    low, high = torch.lerp(ordered[first], ordered[last], position - first).tolist()
    return Estimate(float(value), min(low, float(value)), max(high, float(value)))


def fraction(hits: Tensor) -> Estimate:
    """Return the fraction that is true of hits (n,), or of k hits of each of n units, (n, k).

    The interval is Wilson's (1927), for the number of independent hits that would say as much.

    Examples
    --------
    >>> print(fraction(torch.zeros(48)))
    0.00 [0.00, 0.07]
    """
    checked = _checked(hits.double())
    share, n = float(checked.mean()), _independent(checked)
    middle = (share + Z**2 / (2 * n)) / (1 + Z**2 / n)
    margin = Z / (1 + Z**2 / n) * math.sqrt(share * (1 - share) / n + Z**2 / (4 * n**2))
    return Estimate(share, min(max(middle - margin, 0), share), max(min(middle + margin, 1), share))


def _independent(hits: Tensor) -> float:
    """Return how many independent hits would say as much as k of each of n units, (n, k)."""
    n, k = hits.shape
    share = hits.mean()
    spread = share * (1 - share)
    if k == 1 or n == 1 or spread == 0:
        return n  # nothing seen tells members of a unit apart
    equivalent = float(spread * n / hits.mean(1).var())
    return min(max(equivalent, n), n * k)


def _checked(values: Tensor) -> Tensor:
    """Return values of n units, (n, k), finite and at least one, in float64 on the CPU."""
    if not isinstance(values, Tensor) or not values.is_floating_point():
        raise TypeError("values: is not a float tensor of shape (n,) or (n, k)")
    if values.ndim not in (1, 2) or not values.numel() or not values.isfinite().all():
        shape = tuple(values.shape)
        raise ValueError(f"values: {shape} is not (n,) or (n, k), finite, with n at least 1")
    return in_double(values).cpu().reshape(len(values), -1)


# --- Anything else ---


def resampled(n: int, seed: int = 0) -> Iterator[Tensor]:
    """Yield numbers of n units drawn with replacement, (r, n), until there are 1,000 rows."""
    generator = torch.Generator().manual_seed(int(seed))
    for part in torch.arange(RESAMPLES).split(max(1, LARGEST_DRAW // n)):
        yield torch.randint(n, (len(part), n), generator=generator)
