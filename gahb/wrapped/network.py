"""A network of another make, on its own range of grey levels and in its own precision.

floor: 2
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import torch
from torch import Tensor, nn

from gahb.checks import check_images

__all__ = ["ForeignNetwork"]


class ForeignNetwork(nn.Module):
    """A network that knows images u = low + (high - low) x, where ours are x in [0, 1].

    It is put into evaluation mode and otherwise left as it is.

    Parameters
    ----------
    model : callable
        Called with images (n, C, H, W), and what else it is told of each.
    data_range : tuple of float
        Its grey levels (low, high) of black and white.
    """

    def __init__(self, model: Callable[..., Any], data_range: tuple[float, float]) -> None:
        super().__init__()
        self.model = model
        self.low, self.span = data_range[0], data_range[1] - data_range[0]
        self.eval()

    def scaled(self, y: Tensor) -> Tensor:
        """Images of ours, (n, C, H, W), on the network's scale."""
        check_images("y", y, finite=False)
        return self.low + self.span * y

    def unscaled(self, u: Tensor) -> Tensor:
        """Images on the network's scale, (n, C, H, W), on ours."""
        return (u - self.low) / self.span

    def forward(self, u: Tensor, *told: Tensor) -> Tensor:
        """What the network makes of images on its scale, (n, C, H, W), of the dtype of ``u``.

        Raises
        ------
        ValueError
            If that is something else than images of the same shape.
        """
        given = self.model(u.to(self.precision(u)), *told)
        given = getattr(given, "sample", given)  # what the networks of diffusers wrap it in
        if not isinstance(given, Tensor) or given.shape != u.shape:
            what = tuple(given.shape) if isinstance(given, Tensor) else type(given).__name__
            raise ValueError(f"model: gives {what} for images of shape {tuple(u.shape)}")
        return given.to(u.dtype)

    def precision(self, u: Tensor) -> torch.dtype:
        """Floating-point type of the network's weights, or else of ``u``."""
        return next((p.dtype for p in self.parameters() if p.is_floating_point()), u.dtype)

    def train(self, mode: bool = True) -> Self:
        """Keep the network in evaluation mode."""
        return super().train(False)
