"""The numbers of Algorithm 1: how large its steps are, and what they do to the noise level.

floor: 3
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from gahb.checks import check_choice, check_number

__all__ = ["SCHEDULES", "Steps", "exact_steps"]

SCHEDULES = ("accelerated", "fixed")
TINY = torch.finfo(torch.float32).tiny


@dataclass(frozen=True)
class Steps:
    """Steps t = 1, 2, ... of Algorithm 1, from noise level ``sigma_0`` to ``sigma_end``."""

    h: float
    beta: float
    sigma_0: float
    sigma_end: float
    schedule: str

    def __post_init__(self) -> None:
        check_number("h", self.h, low=TINY, high=1)
        check_number("beta", self.beta, low=TINY, high=1)
        check_number("sigma_0", self.sigma_0, low=TINY)
        check_number("sigma_end", self.sigma_end, low=TINY, high=self.sigma_0)
        check_choice("schedule", self.schedule, SCHEDULES)

    def size(self, t: int) -> float:
        """Step size h_t: h itself, or growing from h towards 1."""
        if self.schedule == "fixed":
            return self.h
        return self.h * t / (1 + self.h * (t - 1))

    def shrinkage(self, t: int) -> float:
        """Noise level after step t over the one before, if the denoiser is exact."""
        return 1 - self.beta * self.size(t)

    def injected(self, t: int) -> float:
        """Noise that step t adds, gamma_t, over the noise level before it."""
        return math.sqrt(self.shrinkage(t) ** 2 - (1 - self.size(t)) ** 2)

    @property
    def bound(self) -> float:
        """Noise level beyond which an image has diverged.

        No estimate in [0, 1] of an image of the starting noise is as far from it as this.
        """
        return 2 * max(self.sigma_0, 1.0)

    def exact(self) -> int:
        """Number of steps until the noise level falls below ``sigma_end``, if f is exact."""
        sigma, t = self.sigma_0, 0
        while sigma >= self.sigma_end:
            t += 1
            sigma *= self.shrinkage(t)
        return t


def exact_steps(
    h: float = 0.01,
    beta: float = 0.1,
    sigma_0: float = 1.0,
    sigma_end: float = 0.05,
    schedule: str = "accelerated",
) -> int:
    """Number of steps that Algorithm 1 takes with an exact denoiser.

    Each step t then multiplies the noise level by 1 - beta h_t.

    Examples
    --------
    >>> exact_steps(), exact_steps(schedule="fixed")
    (97, 2995)
    """
    return Steps(h, beta, sigma_0, sigma_end, schedule).exact()
