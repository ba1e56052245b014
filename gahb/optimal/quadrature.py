"""Integrals over a box in which a density may fill all the space or almost none of it.

floor: 2
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

__all__ = ["box_of_mass", "gauss_legendre"]

COARSE = 6
"""Points along each side of the grids that search for the mass."""
NEGLIGIBLE = -14.0
"""Log density, relative to the highest found, of points that are left out."""
RESOLVED = 4
"""Spacings of a grid over which the mass extends when the search ends."""
GRIDS = 60
"""Grids after which a search ends in any case, such as for an image that holds NaN."""


def gauss_legendre(low: Tensor, high: Tensor, order: int) -> tuple[Tensor, Tensor]:
    """Nodes and log weights of Gauss-Legendre quadrature over a box.

    Parameters
    ----------
    low, high : Tensor
        Corners of the box, (q,). With q = 0 there is one node, which has no coordinates.
    order : int
        Nodes along each side.

    Returns
    -------
    tuple of Tensor
        Nodes (order^q, q), and the logarithms of their weights, which sum to 1, (order^q,).

    Examples
    --------
    >>> nodes, log_weights = gauss_legendre(torch.zeros(1), torch.ones(1), order=5)
    >>> (log_weights.exp() @ nodes**9).round(decimals=4)  # the mean of t^9 over [0, 1]
    tensor([0.1000])
    """
    places, weights = (torch.from_numpy(a).to(low) for a in np.polynomial.legendre.leggauss(order))
    nodes = grid(low, high, (places + 1) / 2)
    # Each weight is the product of those of its coordinates.
    logs = grid(torch.zeros_like(low), torch.ones_like(low), (weights / 2).log())
    return nodes, logs.sum(1)


def box_of_mass(
    log_density: Callable[[Tensor], Tensor], low: Tensor, high: Tensor
) -> tuple[Tensor, Tensor]:
    """The smaller box around almost all of the mass of a density, by ever finer grids.

    A box is searched on a coarse grid, and shrunk to the points where the density is not
    negligible and their neighbours, again and again until the grid resolves the mass.

    Parameters
    ----------
    log_density : callable
        Unnormalised log density of points (n, q), (n,).
    low, high : Tensor
        Corners of a box outside of which there is no mass, (q,).

    Returns
    -------
    tuple of Tensor
        Corners of a box within it, (q,).

    Examples
    --------
    >>> corners = torch.zeros(1, dtype=torch.float64), torch.ones(1, dtype=torch.float64)
    >>> low, high = box_of_mass(lambda t: -1e8 * (t[:, 0] - 0.3) ** 2, *corners)
    >>> bool((high - low < 1e-3) and low < 0.3 < high)
    True
    """
    middles = (torch.arange(COARSE).to(low) + 0.5) / COARSE
    for _ in range(GRIDS):
        points, spacing = grid(low, high, middles), (high - low) / COARSE
        logs = log_density(points)
        counts = (logs > logs.max() + NEGLIGIBLE)[:, None]
        first = points.where(counts, torch.inf).amin(0)
        last = points.where(counts, -torch.inf).amax(0)
        if (last - first > (RESOLVED - 0.5) * spacing).all():
            break
        low, high = torch.maximum(low, first - spacing), torch.minimum(high, last + spacing)
    return torch.maximum(low, first - spacing / 2), torch.minimum(high, last + spacing / 2)


def grid(low: Tensor, high: Tensor, shares: Tensor) -> Tensor:
    """Points of a regular grid, (len(shares)^q, q), at these shares of each side of a box (q,)."""
    points = low.new_zeros(1, 0)
    for start, stop in zip(low, high, strict=True):
        along = start + (stop - start) * shares
        each = along.repeat(len(points))[:, None]
        points = torch.cat([points.repeat_interleave(len(along), dim=0), each], dim=1)
    return points
