"""How much of the noisy image one pixel of the estimate depends on."""

from __future__ import annotations

import copy

import torch
from torch import nn

from gahb.checks import check_count

__all__ = ["receptive_field"]


def receptive_field(
    network: nn.Module, side: int = 256, positions: int = 16, channels: int = 1
) -> tuple[int, int]:
    """Sides of the smallest and the largest receptive field of a network, in pixels (Table 1).

    Measured, not counted: the rows of the input on which the gradient of one output pixel is not
    zero. Where a network subsamples, it depends on the pixel: ``positions`` pixels in a row are
    tried. The weights do not matter: all are made positive, so that no path cancels another.

    Parameters
    ----------
    network : torch.nn.Module
        Maps (n, channels, side, side) to the same shape by convolutions, pooling and the like. It
        is left as it is.
    side : int
        Of the input: larger than the receptive field.
    positions : int
        Neighbouring output pixels to try, at least the factor by which the network subsamples.
    channels : int
        Channels of the input.

    Raises
    ------
    ValueError
        If an argument is below 1, or the receptive field reaches the border of the input.

    Examples
    --------
    >>> receptive_field(torch.nn.Conv2d(1, 1, kernel_size=3, padding=1), side=16, positions=4)
    (3, 3)
    """
    check_count("side", side)
    check_count("positions", positions, maximum=side)
    check_count("channels", channels)
    positive = _positive(network)
    y = torch.ones(positions, channels, side, side, dtype=torch.float64, requires_grad=True)
    pixel = (side - positions) // 2 + torch.arange(positions)
    with torch.enable_grad():
        output = positive(y)[torch.arange(positions), 0, pixel, pixel]
    (gradient,) = torch.autograd.grad(output.sum(), y)
    reached = (gradient != 0).any(dim=1).any(dim=2)
    if reached[:, 0].any() or reached[:, -1].any():
        raise ValueError(f"side: {side} is not larger than the receptive field")
    sides = reached.sum(dim=1)
    return int(sides.min()), int(sides.max())


def _positive(network: nn.Module) -> nn.Module:
    """A copy in double precision whose weights average: positive, and neither huge nor tiny."""
    positive = copy.deepcopy(network).to("cpu", torch.float64).eval()
    with torch.no_grad():
        for weights in positive.parameters():
            weights.fill_(1 / weights[0].numel())
    return positive
