"""The bandlet basis that fits coefficients best: which squares, and which direction in each.

Every basis has a cost, which is a sum over its squares. Squares of a dyadic tree compete from the
bottom up: one of twice the side replaces the four within it where its cost is not higher.

Given a threshold T, the best basis minimises the Lagrangian [1]_, [2]_

    sum of c^2 over coefficients c below T  +  T^2 (number of those above T + number of directions),

so that a direction pays for itself as one more coefficient would. An oracle, who sees the clean
image, minimises the expected error of shrinkage itself, and directions are free.

References
----------
.. [1] G. Peyré, S. Mallat. Orthogonal bandelet bases for geometric images approximation.
   Communications on Pure and Applied Mathematics 61, 2008.
.. [2] C. Dossal, E. Le Pennec, S. Mallat. Bandlet image estimation with model selection. Signal
   Processing 91, 2011.

floor: 3
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional

from gahb.bandlets.geometry import bases
from gahb.checks import check_count

__all__ = ["best_approximation", "best_shrinkage", "check_squares"]

Rule = Callable[[Tensor], tuple[Tensor, Tensor]]
"""From coefficients in each basis of each square, (n, rows, columns, k, d), to the factors that
multiply them, of the same shape, and to the cost of each basis, (n, rows, columns, k)."""


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
    limit = threshold.view(-1, 1, 1, 1, 1)

    def thresholding(c: Tensor) -> tuple[Tensor, Tensor]:
        has_direction = torch.arange(c.shape[-2], device=c.device) > 0
        price = limit.squeeze(-1) ** 2 * has_direction
        return c.abs() > limit, c.square().clamp(max=limit**2).sum(-1) + price

    return _in_best_basis(coefficients[None], thresholding, directions, squares)[0]


def best_shrinkage(
    noisy: Tensor, clean: Tensor, sigma: Tensor, directions: int, squares: tuple[int, ...]
) -> tuple[Tensor, Tensor]:
    """Shrinkage of subbands in the orthogonal basis, and by the factors, best for the clean ones.

    Of all these bases, it is in this one that the factors of equation 12 have the smallest
    expected error.

    Parameters
    ----------
    noisy, clean : Tensor
        Subbands with and without noise, (n, h, w).
    sigma : Tensor
        Standard deviation of the noise of each, positive, (n,).
    directions, squares
        As for :func:`best_approximation`; without directions there is only one basis.

    Returns
    -------
    estimates : Tensor
        The clean subbands as estimated from the noisy ones, (n, h, w).
    expected : Tensor
        Squared error that the noise causes on average, a sum over coefficients, (n,).

    Examples
    --------
    >>> clean, sigma = torch.tensor([[[3.0, 0.0]]]), torch.tensor([1.0])
    >>> best_shrinkage(torch.ones(1, 1, 2), clean, sigma, directions=0, squares=(2,))
    (tensor([[[0.9000, 0.0000]]]), tensor([0.9000]))
    """
    variance = sigma.view(-1, 1, 1, 1, 1) ** 2

    def shrinking(c: Tensor) -> tuple[Tensor, Tensor]:
        factors = c.square() / (c.square() + variance)
        return factors, (variance * factors).sum(-1)

    pair = torch.stack([clean, noisy])
    estimates, costs = _in_best_basis(pair, shrinking, directions, squares)
    return estimates, costs.sum(dim=(1, 2))


def check_squares(squares: tuple[int, ...]) -> None:
    """Raise unless ``squares`` is a tuple of sides from 2, each twice the one before."""
    doubling = "sides from 2, each twice the one before"
    if not isinstance(squares, tuple) or not squares:
        raise TypeError(f"squares: {squares!r} is not a tuple of {doubling}")
    for side in squares:
        check_count("squares", side, minimum=2)
    if squares != tuple(squares[0] * 2**i for i in range(len(squares))):
        raise ValueError(f"squares: {squares} is not a tuple of {doubling}")


def _in_best_basis(
    coefficients: Tensor, rule: Rule, directions: int, squares: tuple[int, ...]
) -> tuple[Tensor, Tensor]:
    """What the rule makes of subbands, (n, h, w), and its costs in the basis of lowest cost.

    ``coefficients`` are (m, n, h, w): the first of m versions of the subbands, which may be the
    only one, chooses basis and factors, and the last one is multiplied.
    """
    best, cost = _in_squares(coefficients, rule, directions, squares[0])
    for smaller, larger in pairwise(squares):
        if smaller >= max(coefficients.shape[-2:]):
            break
        other, other_cost = _in_squares(coefficients, rule, directions, larger)
        cost = _sum_of_four(cost)
        better = other_cost <= cost
        cost = torch.where(better, other_cost, cost)
        best = torch.where(_enlarged(better, larger, best), other, best)
    return best, cost


def _in_squares(
    coefficients: Tensor, rule: Rule, directions: int, side: int
) -> tuple[Tensor, Tensor]:
    """Estimate in squares of one side, and the cost of each, (n, rows, columns)."""
    strips = []
    for strip in _cut(coefficients, side, dim=-2):
        parts = _cut(strip, side, dim=-1)
        estimated = [_in_rectangles(part, rule, directions, side) for part in parts]
        strips.append([torch.cat(halves, dim=-1) for halves in zip(*estimated, strict=True)])
    estimates, costs = zip(*strips, strict=True)
    return torch.cat(estimates, dim=-2), torch.cat(costs, dim=-2)


def _cut(coefficients: Tensor, side: int, dim: int) -> list[Tensor]:
    """The part that whole squares fill, and the rest that is narrower than one; either may lack."""
    length = coefficients.shape[dim]
    whole = length - length % side
    return [part for part in coefficients.split([whole, length - whole], dim) if part.shape[dim]]


def _in_rectangles(part: Tensor, rule: Rule, directions: int, side: int) -> tuple[Tensor, Tensor]:
    """The same for a part that squares, or equal rectangles narrower than they are, fill."""
    height, width = min(side, part.shape[-2]), min(side, part.shape[-1])
    basis = torch.from_numpy(bases(height, width, directions)).to(part)
    rectangles = part.unflatten(-1, (-1, width)).unflatten(-3, (-1, height)).transpose(-2, -3)
    expanded = torch.einsum("kij,mnabj->mnabki", basis, rectangles.flatten(-2))
    factors, costs = rule(expanded[0])
    cost, chosen = costs.min(-1, keepdim=True)
    factors = factors * (torch.arange(len(basis), device=part.device) == chosen).unsqueeze(-1)
    estimate = torch.einsum("kij,nabki->nabj", basis, expanded[-1] * factors)
    estimate = estimate.unflatten(-1, (height, width)).transpose(-2, -3)
    return estimate.flatten(-2).flatten(-3, -2), cost.squeeze(-1)


def _sum_of_four(cost: Tensor) -> Tensor:
    """Cost of squares of one side in each square of twice that side."""
    return functional.avg_pool2d(cost, 2, ceil_mode=True, divisor_override=1)


def _enlarged(choice: Tensor, side: int, like: Tensor) -> Tensor:
    """The choice of each square given to all its coefficients."""
    rows, columns = like.shape[-2:]
    return choice.repeat_interleave(side, -2)[:, :rows].repeat_interleave(side, -1)[..., :columns]
