"""Estimates from noisy images, whose noise is the same at every noise level but for its size.

floor: 3
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from gahb.checks import check_count, check_images
from gahb.devices import images_at_a_time, in_batches

__all__ = ["estimates", "unit_noise"]


def unit_noise(x: Tensor, seed: int) -> Tensor:
    """Unit noise for each image, one after the other from the CPU's generator, (n, C, H, W)."""
    check_count("seed", seed, minimum=0)
    generator = torch.Generator().manual_seed(seed)
    return torch.stack([torch.randn(x.shape[1:], generator=generator) for _ in x])


@torch.no_grad()
def estimates(
    f: Callable[[Tensor], Tensor],
    x: Tensor,
    noise: Tensor,
    sigma: float,
    batch_size: int | None = None,
) -> Tensor:
    """Estimates f(x + sigma noise) of images x, (n, C, H, W), by ``f.at(sigma)`` where it exists.

    They are made ``batch_size`` at a time, by default as many as the memory allows.

    Raises
    ------
    TypeError, ValueError
        If ``batch_size`` is below 1, or ``f`` gives another shape or values that are not finite.
    """
    if batch_size is not None:
        check_count("batch_size", batch_size)
    denoise = f.at(sigma) if hasattr(f, "at") else f

    def estimated(items: slice) -> Tensor:
        clean = x[items]
        estimate = denoise(clean + sigma * noise[items].to(clean))
        check_images("f(y)", estimate)
        if estimate.shape != clean.shape:
            given, accepted = tuple(estimate.shape), tuple(clean.shape)
            raise ValueError(f"f(y): shape {given} is not that of the images, {accepted}")
        return estimate

    return torch.cat(in_batches(estimated, len(x), batch_size or images_at_a_time(denoise, x)))
