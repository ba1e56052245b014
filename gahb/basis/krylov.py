"""Leading eigenpairs of a symmetric matrix that is known only by its products.

floor: 3
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from gahb.devices import decomposed

__all__ = ["Pairs", "leading_pairs", "random_block"]

LOOKS = 4  # powers of S times other random vectors, before eigenvalues count as the leading ones


@dataclass(frozen=True, eq=False)
class Pairs:
    """Eigenvalues (k,), descending; eigenvectors e, (k, d); and S e - lambda e for each, (k, d)."""

    values: Tensor
    vectors: Tensor
    remainders: Tensor

    @property
    def residuals(self) -> Tensor:
        """Norms ||S e - lambda e||, (k,)."""
        norms: Tensor = self.remainders.norm(dim=1)
        return norms


def leading_pairs(
    times: Callable[[Tensor], Tensor],
    start: Tensor,
    products: Tensor,
    k: int,
    tolerance: float,
    generator: torch.Generator,
) -> Pairs:
    """Largest eigenvalues of S and their eigenvectors, by a block Krylov method [1]_.

    A space that begins with a few random vectors X grows by what the k leading eigenpairs of S
    within it lack, which at first means by S X, S^2 X, ..., until they are eigenpairs of S. Their
    residuals do not tell whether they lead in all of S: of equal eigenvalues, powers of S reach
    only as many as X has vectors. So other random vectors and a few powers of S times these are
    taken in, until that changes nothing.

    Parameters
    ----------
    times : callable
        Products S v for the rows v of a matrix, (n, d) to (n, d).
    start, products : Tensor
        Random orthonormal vectors X, and their products S X, (n, d).
    k : int
        Number of eigenpairs, at most d.
    tolerance : float
        Largest residual, and largest change of an eigenvalue, that are accepted.
    generator : torch.Generator
        Draws the other random vectors.

    References
    ----------
    .. [1] C. Musco, C. Musco. Randomized block Krylov methods for stronger and faster approximate
       singular value decomposition. NeurIPS 2015.

    Examples
    --------
    >>> S, generator = torch.diag(torch.arange(10.0)), torch.Generator().manual_seed(0)
    >>> start = random_block(S[:2], generator)
    >>> leading_pairs(lambda v: v @ S, start, start @ S, 2, 1e-4, generator).values.round()
    tensor([9., 8.])
    """
    space = KrylovSpace(times, start, products, tolerance / 10, generator)
    pairs = space.converged(k, tolerance)
    while not space.is_whole:
        known = pairs.values
        space.grow(random_block(start, generator))
        for _ in range(LOOKS):
            space.grow(space.newest)
        pairs = space.converged(k, tolerance)
        if (pairs.values - known).abs().max() <= tolerance:
            break
    return pairs


class KrylovSpace:
    """A space that grows by blocks of vectors, the products of S with it, and S within it.

    All of its basis is kept and orthogonalised against, so that rounding does no harm.

    Parameters
    ----------
    times, start, products, generator
        As in :func:`leading_pairs`.
    negligible : float
        Length below which what a vector has outside the space is not worth a direction of it.
    """

    def __init__(
        self,
        times: Callable[[Tensor], Tensor],
        start: Tensor,
        products: Tensor,
        negligible: float,
        generator: torch.Generator,
    ) -> None:
        self.times, self.negligible, self.generator = times, negligible, generator
        self.block, self.basis, self.products, self.newest = len(start), start, products, products
        self.within = start @ products.T  # its upper triangle: S is symmetric

    @property
    def is_whole(self) -> bool:
        """Whether no direction is left outside."""
        return len(self.basis) == self.basis.shape[1]

    def converged(self, k: int, tolerance: float) -> Pairs:
        """Grow by what eigenpairs lack until the residuals of the k leading ones are small."""
        while True:
            pairs = self.pairs(k)
            lacking = pairs.remainders[pairs.residuals > tolerance]
            if self.is_whole or (len(self.basis) >= k and not len(lacking)):
                return pairs
            self.grow(principal_part(lacking, self.block) if len(lacking) else self.newest)

    def grow(self, vectors: Tensor) -> None:
        """Take in vectors (n, d), as far as there is room, and multiply them by S."""
        block = self.new_directions(vectors)
        self.basis = torch.cat([self.basis, block])
        self.newest = self.times(block)
        self.products = torch.cat([self.products, self.newest])
        columns = self.basis @ self.newest.T
        self.within = torch.cat([F.pad(self.within, (0, 0, 0, len(block))), columns], dim=1)

    def new_directions(self, vectors: Tensor) -> Tensor:
        """Orthonormal directions of the vectors outside the space (n, d), else random ones."""
        room = self.basis.shape[1] - len(self.basis)
        block = self.outside(vectors[:room])
        lengths = decomposed(torch.linalg.qr, block.T)[1].diagonal().abs()
        missing = (lengths < self.negligible)[:, None]
        block = torch.where(missing, random_block(block, self.generator), block)
        # What rounding left of the space after the first time goes at the second.
        return decomposed(torch.linalg.qr, self.outside(block).T)[0].T

    def outside(self, vectors: Tensor) -> Tensor:
        """What the vectors (n, d) have outside the space."""
        return vectors - vectors @ self.basis.T @ self.basis

    def pairs(self, k: int) -> Pairs:
        """The k leading eigenpairs of S within the space, and how nearly they are those of S."""
        values, coordinates = decomposed(partial(torch.linalg.eigh, UPLO="U"), self.within)
        values, coordinates = values.flip(0)[:k], coordinates.flip(1)[:, :k].T
        vectors = coordinates @ self.basis
        return Pairs(values, vectors, coordinates @ self.products - values[:, None] * vectors)


def principal_part(vectors: Tensor, n: int) -> Tensor:
    """The at most n orthogonal vectors that together come closest to all ``vectors``, (m, d)."""
    # By their inner products, in a tenth of the time of their singular values.
    weights = decomposed(torch.linalg.eigh, vectors @ vectors.T)[1]
    part: Tensor = weights.T.flip(0)[:n] @ vectors
    return part


def random_block(like: Tensor, generator: torch.Generator) -> Tensor:
    """Random orthonormal vectors, as many as the rows of ``like`` and of their length, (n, d)."""
    drawn = torch.randn(like.shape, generator=generator, dtype=torch.float64)
    orthonormal: Tensor = torch.linalg.qr(drawn.T).Q.T
    return orthonormal.to(like)
