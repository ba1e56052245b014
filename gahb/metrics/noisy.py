"""Estimates from noisy images, whose noise is the same at every noise level but for its size.

floor: 3
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from gahb.checks import check_count, check_images

__all__ = ["estimates", "unit_noise"]


def unit_noise(x: Tensor, seed: int) -> Tensor:
    """Unit noise for each image, one after the other from the CPU's generator, (n, C, H, W)."""
    check_count("seed", seed, minimum=0)
    generator = torch.Generator().manual_seed(seed)
    return torch.stack([torch.randn(x.shape[1:], generator=generator) for _ in x])


@torch.no_grad()
def estimates(
    f: Callable[[Tensor], Tensor], x: Tensor, noise: Tensor, sigma: float, batch_size: int
) -> Tensor:
    """Estimates f(x + sigma noise) of images x, (n, C, H, W), by ``f.at(sigma)`` where it exists.

    Raises
    ------
    TypeError, ValueError
        If ``f`` gives another shape or values that are not finite.
    """
    denoise = f.at(sigma) if hasattr(f, "at") else f
    results = []
    for clean, z in zip(x.split(batch_size), noise.split(batch_size), strict=True):
        estimate = denoise(clean + sigma * z.to(clean))
        check_images("f(y)", estimate)
        if estimate.shape != clean.shape:
            given, accepted = tuple(estimate.shape), tuple(clean.shape)
            raise ValueError(f"f(y): shape {given} is not that of the images, {accepted}")
        results.append(estimate)
    return torch.cat(results)
