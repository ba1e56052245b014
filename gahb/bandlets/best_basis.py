"""The bandlet basis that fits coefficients best: which squares, and which direction in each.

Given a threshold T, the best basis minimises the Lagrangian [1]_, [2]_

    sum of c^2 over coefficients c below T  +  T^2 (number of those above T + number of directions),

so that a direction pays for itself as one more coefficient would. Squares of a dyadic tree compete
from the bottom up: one of twice the side replaces the four within it where its Lagrangian is lower.

References
----------
.. [1] G. Peyré, S. Mallat. Orthogonal bandelet bases for geometric images approximation.
   Communications on Pure and Applied Mathematics 61, 2008.
.. [2] C. Dossal, E. Le Pennec, S. Mallat. Bandlet image estimation with model selection. Signal
   Processing 91, 2011.

floor: 3
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional

from gahb.bandlets.geometry import bases

__all__ = ["best_approximation"]


def best_approximation(
    coefficients: Tensor, threshold: Tensor, directions: int, squares: tuple[int, ...]
) -> Tensor:
    """Hard thresholding of subbands in the orthogonal basis of lowest Lagrangian.

    The result is the orthogonal projection on the basis vectors that are kept. Gradients pass
    through the projection, not through the choice.

    Parameters
    ----------
    coefficients : Tensor
        Subbands, (n, h, w). Squares that their borders cut become rectangles.
    threshold : Tensor
        Threshold T of each, positive, (n,).
    directions : int
        Number of angles in [0, pi).
    squares : tuple of int
        Sides of the squares, each twice the one before.

    Returns
    -------
    Tensor
        Approximations of the subbands, (n, h, w).

    Examples
    --------
    >>> edge = 4 * (torch.arange(8)[:, None] > torch.arange(8)).float()
    >>> noisy = edge + 0.5 * torch.randn(1, 8, 8, generator=torch.Generator().manual_seed(0))
    >>> best = best_approximation(noisy, torch.tensor([1.5]), directions=8, squares=(4, 8))
    >>> bool((best - edge).square().mean() < 0.2 * (noisy - edge).square().mean())
    True
    """
    best, cost = _in_squares(coefficients, threshold, directions, squares[0])
    for smaller, larger in pairwise(squares):
        if smaller >= max(coefficients.shape[-2:]):
            break
        other, other_cost = _in_squares(coefficients, threshold, directions, larger)
        cost = _sum_of_four(cost)
        better = other_cost <= cost
        cost = torch.where(better, other_cost, cost)
        best = torch.where(_enlarged(better, larger, best), other, best)
    return best


def _in_squares(
    coefficients: Tensor, threshold: Tensor, directions: int, side: int
) -> tuple[Tensor, Tensor]:
    """Approximation in squares of one side, and the Lagrangian of each, (n, rows, columns)."""
    strips = []
    for strip in _cut(coefficients, side, dim=-2):
        parts = _cut(strip, side, dim=-1)
        approximated = [_in_rectangles(part, threshold, directions, side) for part in parts]
        strips.append([torch.cat(halves, dim=-1) for halves in zip(*approximated, strict=True)])
    approximations, costs = zip(*strips, strict=True)
    return torch.cat(approximations, dim=-2), torch.cat(costs, dim=-2)


def _cut(coefficients: Tensor, side: int, dim: int) -> list[Tensor]:
    """The part that whole squares fill, and the rest that is narrower than one; either may lack."""
    length = coefficients.shape[dim]
    whole = length - length % side
    return [part for part in coefficients.split([whole, length - whole], dim) if part.shape[dim]]


def _in_rectangles(
    part: Tensor, threshold: Tensor, directions: int, side: int
) -> tuple[Tensor, Tensor]:
    """The same for a part that squares, or equal rectangles narrower than they are, fill."""
    height, width = min(side, part.shape[-2]), min(side, part.shape[-1])
    basis = torch.from_numpy(bases(height, width, directions)).to(part)
    rectangles = part.unflatten(-1, (-1, width)).unflatten(-3, (-1, height)).transpose(-2, -3)
    expanded = torch.einsum("kij,nabj->nabki", basis, rectangles.flatten(-2))
    limit = threshold.view(-1, 1, 1, 1, 1)
    numbers = torch.arange(len(basis), device=part.device)
    price = limit.squeeze(-1) ** 2 * (numbers > 0)
    costs = expanded.square().clamp(max=limit**2).sum(-1) + price
    cost, chosen = costs.min(-1, keepdim=True)
    kept = (expanded.abs() > limit) & (numbers == chosen).unsqueeze(-1)
    approximation = torch.einsum("kij,nabki->nabj", basis, expanded * kept)
    approximation = approximation.unflatten(-1, (height, width)).transpose(-2, -3)
    return approximation.flatten(-2).flatten(-3, -2), cost.squeeze(-1)


def _sum_of_four(cost: Tensor) -> Tensor:
    """Lagrangian of squares of one side in each square of twice that side."""
    return functional.avg_pool2d(cost, 2, ceil_mode=True, divisor_override=1)


def _enlarged(choice: Tensor, side: int, like: Tensor) -> Tensor:
    """The choice of each square given to all its coefficients."""
    rows, columns = like.shape[-2:]
    return choice.repeat_interleave(side, -2)[:, :rows].repeat_interleave(side, -1)[..., :columns]
