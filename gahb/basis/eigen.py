"""The adaptive basis: eigenvectors of a denoiser's Jacobian, all of them or the leading ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from gahb.basis.jacobian import Function, Jacobian, jacobian_at
from gahb.checks import check_count, check_number
from gahb.denoiser import at
from gahb.devices import decomposed

__all__ = ["Basis", "Pairs", "adaptive_basis", "leading_pairs", "random_block"]


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

    All of its basis is kept and orthogonalized against, so that rounding does no harm.

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


# --- The adaptive basis: eigenvectors of a denoiser's Jacobian, and its shrinkage factors ---


BLOCK = 4  # vectors at a time: few need fewer products in all, many take less time each


@dataclass(frozen=True, eq=False)
class Basis:
    """Shrinkage factors lambda_k(y) and adaptive basis e_k(y) of a denoiser at an image y.

    They are eigenvalues and eigenvectors of the symmetric part S = (J + J^T) / 2 of the Jacobian.

    Attributes
    ----------
    eigenvalues : Tensor
        Largest first, (k,). Those of a network may be above 1 or below 0: none is clipped.
    eigenvectors : Tensor
        Orthonormal images, (k, C, H, W), the entry of largest magnitude of each positive.
    asymmetry : float
        ||J - J^T|| / ||J + J^T|| in the Frobenius norm: 0 for an exact posterior mean.
    residuals : Tensor
        ||S e_k - lambda_k e_k||, (k,): within this distance of lambda_k, S has an eigenvalue.
    method : str
        ``dense``, or ``krylov`` (whose asymmetry is an estimate).
    """

    eigenvalues: Tensor
    eigenvectors: Tensor
    asymmetry: float
    residuals: Tensor
    method: str


def adaptive_basis(
    f: Function,
    y: Tensor,
    k: int | None = None,
    *,
    sigma: float | Tensor | None = None,
    tolerance: float = 0.01,
    seed: int = 0,
) -> Basis:
    """Basis in which a denoiser shrinks an image, with its factors (equation 6, Figure 3).

    Parameters
    ----------
    f : callable
        Denoiser f(y) or f(y, sigma). A network is evaluated in evaluation mode, and left as it was.
    y : Tensor
        One noisy image, (1, C, H, W), float32 or float64, on the device of ``f``.
    k : int, optional
        Number of leading eigenpairs, which are found without forming the Jacobian, in much less
        time where k is far below d = C H W. By default all d, from the whole Jacobian.
    sigma : float or Tensor, optional
        Noise level, for denoisers that are not blind.
    tolerance : float
        Largest residual that is accepted where k is given. Eigenvalues that stand apart are much
        closer: their error is of the order of the residual squared, over their distance.
    seed : int
        Fixes the random vectors from which the search for k eigenpairs starts.

    Examples
    --------
    >>> def f(y):
    ...     return torch.tensor([0.9, 0.2, 1.1]).view(1, 1, 1, 3) * y
    >>> basis = adaptive_basis(f, torch.ones(1, 1, 1, 3))
    >>> basis.eigenvalues
    tensor([1.1000, 0.9000, 0.2000])
    >>> basis.eigenvectors[0].flatten()
    tensor([0., 0., 1.])
    """
    check_number("tolerance", tolerance, low=torch.finfo(torch.float64).eps)
    check_count("seed", seed, minimum=0)
    with jacobian_at(at(f, sigma), y) as jacobian, torch.no_grad():
        if k is None:
            return dense(jacobian)
        check_count("k", k, maximum=jacobian.size)
        return krylov(jacobian, k, tolerance, torch.Generator().manual_seed(seed))


def dense(jacobian: Jacobian) -> Basis:
    """All eigenpairs, from the whole Jacobian."""
    J = jacobian.rows(torch.arange(jacobian.size))
    S = (J + J.T) / 2
    values, vectors = decomposed(torch.linalg.eigh, S)
    residuals = (S @ vectors - vectors * values).norm(dim=0)
    vectors = vectors.T.flip(0)
    return basis_of(
        jacobian, values.flip(0), vectors, asymmetry_of(J, J.T), residuals.flip(0), "dense"
    )


def krylov(jacobian: Jacobian, k: int, tolerance: float, generator: torch.Generator) -> Basis:
    """Leading eigenpairs, from products of the Jacobian alone."""
    like = jacobian.y.new_empty(min(BLOCK, jacobian.size), jacobian.size)
    start = random_block(like, generator)
    forward, backward = jacobian.times(start), jacobian.transposed_times(start)
    pairs = leading_pairs(
        jacobian.symmetric_times, start, (forward + backward) / 2, k, tolerance, generator
    )
    # Random vectors have on average the same share of the norm of any matrix.
    share = asymmetry_of(forward, backward)
    return basis_of(jacobian, pairs.values, pairs.vectors, share, pairs.residuals, "krylov")


def basis_of(
    jacobian: Jacobian,
    values: Tensor,
    vectors: Tensor,
    asymmetry: float,
    residuals: Tensor,
    method: str,
) -> Basis:
    """Eigenpairs as a basis, the sign of each vector fixed."""
    largest = vectors.gather(1, vectors.abs().argmax(1, keepdim=True))
    images = (vectors * largest.sign()).reshape(-1, *jacobian.y.shape[1:])
    return Basis(values, images, asymmetry, residuals, method)


def asymmetry_of(forward: Tensor, backward: Tensor) -> float:
    """||J - J^T|| / ||J + J^T|| from the products of both with the same vectors; 0 for J = 0."""
    whole = (forward + backward).norm()
    return float((forward - backward).norm() / whole) if whole > 0 else 0.0
