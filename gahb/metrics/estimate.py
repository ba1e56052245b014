"""A number measured on a sample, and how sure it is.

floor: 3
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Estimate"]


@dataclass(frozen=True)
class Estimate:
    """A number measured on a sample, with the 95% interval of its bootstrap (NaN for n = 1)."""

    value: float
    interval: tuple[float, float]

    def __str__(self) -> str:
        return "{:.2f} [{:.2f}, {:.2f}]".format(self.value, *self.interval)
