"""The adaptive basis: eigenvectors of a denoiser's Jacobian, and what they say of an image."""

from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from gahb.basis.jacobian import Function, Jacobian, jacobian_at
from gahb.checks import check_count, check_images, check_number, check_seed, check_type
from gahb.denoiser import at
from gahb.devices import decomposed, in_double
from gahb.vectors import check_batch

BLOCK_SIZE = 4  # vectors at a time: few need fewer products in all, many take less time each
LOOKS = 4  # powers of S times other random vectors, before eigenvalues count as the leading ones


@dataclass(frozen=True, eq=False)
class Basis:
    r"""Shrinkage factors :math:`\lambda_k(y)` and adaptive basis :math:`e_k(y)` at an image y.

    They are eigenvalues and eigenvectors of the symmetric part :math:`S = (J + J^T) / 2` of the
    denoiser's Jacobian.
    """

    #: Largest first, (k,). Those of a network may be above 1 or below 0: none is clipped.
    eigenvalues: Tensor
    #: Orthonormal images, (k, C, H, W), the entry of largest magnitude of each positive.
    eigenvectors: Tensor
    #: ||J - J^T|| / ||J + J^T|| in the Frobenius norm: 0 for an exact posterior mean.
    asymmetry: float
    #: ||S e_k - lambda_k e_k||, (k,): within this distance of lambda_k, S has an eigenvalue.
    residuals: Tensor
    method: str  #: ``dense``, or ``krylov`` (whose asymmetry is an estimate)


def adaptive_basis(
    f: Function,
    y: Tensor,
    k: int | None = None,
    *,
    sigma: float | Tensor | None = None,
    tolerance: float = 0.01,
    seed: int = 0,
) -> Basis:
    r"""Return the basis in which a denoiser shrinks an image, with its factors (Figure 3).

    .. math:: f(y) = J y = \sum_k \lambda_k(y) \, \langle y, e_k(y) \rangle \, e_k(y)

    holds for a bias-free denoiser with a symmetric Jacobian J (equation 6).

    Parameters
    ----------
    f : callable
        Denoiser f(y) or f(y, sigma). A network is evaluated in evaluation mode, and left as it was;
        one of half precision, or under autocast, computes in the precision of ``y`` meanwhile.
    y : Tensor
        One noisy image, (1, C, H, W), float32 or float64, on the device of ``f``.
    k : int, optional
        Number of leading eigenpairs, found without forming the Jacobian, in much less time where
        k is far below d = C H W. By default all d, from the whole Jacobian.
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
    check_seed(seed)
    with jacobian_at(at(f, sigma), y) as jacobian, torch.no_grad():
        if k is None:
            return _dense(jacobian)
        check_count("k", k, maximum=jacobian.size)
        return _krylov(jacobian, k, tolerance, torch.Generator().manual_seed(int(seed)))


def _dense(jacobian: Jacobian) -> Basis:
    """Return all eigenpairs, from the whole Jacobian."""
    J = jacobian.rows(torch.arange(jacobian.size))
    S = (J + J.T) / 2
    values, vectors = decomposed(torch.linalg.eigh, S)
    residuals = (S @ vectors - vectors * values).norm(dim=0)
    images = _signed(vectors.T.flip(0), jacobian)
    return Basis(values.flip(0), images, _asymmetry(J, J.T), residuals.flip(0), "dense")


def _krylov(jacobian: Jacobian, k: int, tolerance: float, generator: torch.Generator) -> Basis:
    """Return the leading eigenpairs, from products of the Jacobian alone."""
    space = KrylovSpace(jacobian, tolerance, generator)
    values, vectors, remainders = space.leading_pairs(k)
    images = _signed(vectors, jacobian)
    return Basis(values, images, space.asymmetry, remainders.norm(dim=1), "krylov")


def _signed(vectors: Tensor, jacobian: Jacobian) -> Tensor:
    """Return vectors (k, d) as images, the sign of each fixed."""
    largest = vectors.gather(1, vectors.abs().argmax(1, keepdim=True))
    return (vectors * largest.sign()).reshape(-1, *jacobian.y.shape[1:])


def _asymmetry(forward: Tensor, backward: Tensor) -> float:
    """Return ||J - J^T|| / ||J + J^T|| from products of both with the same vectors; 0 for J = 0."""
    whole = (forward + backward).norm()
    return float((forward - backward).norm() / whole) if whole > 0 else 0.0


def coefficients(basis: Basis, x: Tensor) -> Tensor:
    r"""Return the coefficients :math:`\langle x, e_k \rangle` of images in a basis (Figure 3).

    Images (n, C, H, W) of the size of the k vectors give (n, k), of the dtype of ``x``.

    Examples
    --------
    >>> y = torch.rand(1, 1, 4, 4)
    >>> basis = adaptive_basis(lambda y: 0.5 * y, y)
    >>> torch.allclose(coefficients(basis, y).norm(), y.norm())
    True
    """
    _check_basis(basis)
    check_images("x", x)
    check_batch("x", x, like=basis.eigenvectors)
    return x.flatten(1) @ basis.eigenvectors.flatten(1).to(x).T


def projection(basis: Basis, x: Tensor, k: int | None = None) -> Tensor:
    """Return the part of images in the span of the first k vectors of a basis, by default of all.

    Images (n, C, H, W) give as many, of the dtype of ``x``.

    Examples
    --------
    >>> y = torch.rand(1, 1, 4, 4)
    >>> basis = adaptive_basis(lambda y: 0.5 * y, y)
    >>> torch.allclose(projection(basis, y), y), bool(projection(basis, y, 3).norm() < y.norm())
    (True, True)
    """
    along = coefficients(basis, x)
    if k is not None:
        check_count("k", k, maximum=along.shape[1])
        along = along[:, :k]
    vectors = basis.eigenvectors[: along.shape[1]].to(x)
    return torch.einsum("nk,kchw->nchw", along, vectors)


def _check_basis(basis: Basis) -> None:
    check_type("basis", basis, Basis, "a basis, as adaptive_basis returns it")


def effective_rank(basis: Basis) -> float:
    r"""Return the sum of the shrinkage factors, tr J: the dimension of a soft projection.

    For the exact denoiser, :math:`\sigma^2` times its average is the mean squared error
    (equation 10). Of a basis of k leading vectors it counts these alone.

    Examples
    --------
    >>> effective_rank(adaptive_basis(lambda y: 0.5 * y, torch.rand(1, 1, 4, 4)))
    8.0
    """
    _check_basis(basis)
    return float(basis.eigenvalues.sum())


def rank_above(basis: Basis, threshold: float = 0.1) -> int:
    """Return the number of shrinkage factors above a threshold: of dimensions not suppressed.

    Examples
    --------
    >>> rank_above(adaptive_basis(lambda y: 0.5 * y, torch.rand(1, 1, 4, 4)))
    16
    """
    _check_basis(basis)
    check_number("threshold", threshold, low=-float("inf"))
    above = int((basis.eigenvalues > threshold).sum())
    if above == len(basis.eigenvalues) < basis.eigenvectors[0].numel():
        raise ValueError(
            f"threshold: all {above} factors of the basis are above {threshold:g}; "
            "accepted: a basis with more of them, or a higher threshold"
        )
    return above


def principal_angles(a: Tensor, b: Tensor) -> Tensor:
    """Return the principal angles between the subspaces that two sets of images span.

    Single eigenvectors are not unique where eigenvalues are close; the subspaces are. Linearly
    independent images (p, C, H, W) and (q, C, H, W) give min(p, q) angles in radians, smallest
    first, in float64. Cosines alone would lose angles below 1e-8: small ones come from sines
    (Knyazev and Argentati, 2002).

    Examples
    --------
    >>> a, b = torch.tensor([[1.0, 0.0, 0.0, 0.0], [1.0, 1e-5, 0.0, 0.0]]).view(2, 1, 1, 2, 2)
    >>> principal_angles(a, b)
    tensor([1.0000e-05], dtype=torch.float64)
    """
    smaller, larger = sorted((_columns("a", a), _columns("b", b, like=a)), key=lambda q: q.shape[1])
    cosines = torch.linalg.svdvals(smaller.T @ larger).clamp(max=1)
    # scipy.linalg.subspace_angles loses small angles where others are large.
    sines = torch.linalg.svdvals(smaller - larger @ (larger.T @ smaller)).flip(0).clamp(max=1)
    return torch.where(cosines.square() > 0.5, sines.arcsin(), cosines.arccos())


def _columns(argument: str, vectors: Tensor, like: Tensor | None = None) -> Tensor:
    """Return an orthonormal basis of the span of images (p, C, H, W), (d, p) in float64."""
    check_images(argument, vectors)
    check_batch(argument, vectors, like)
    columns = in_double(vectors.detach()).flatten(1).T
    rank = int(torch.linalg.matrix_rank(columns))
    if rank < len(vectors):
        accepted = "images that are linearly independent"
        raise ValueError(f"{argument}: {len(vectors)} images of rank {rank}; accepted: {accepted}")
    basis: Tensor = torch.linalg.qr(columns).Q
    return basis


# --- The search for the leading eigenvectors ---

Pairs = tuple[Tensor, Tensor, Tensor]
"""Eigenvalues (k,), descending; eigenvectors e, (k, d); and S e - lambda e for each, (k, d)."""


class KrylovSpace:
    r"""Space that grows until it holds the leading eigenvectors of S (Musco and Musco, 2015).

    It begins with a few random vectors X and grows by what the k leading eigenpairs of S within it
    lack, which at first means by :math:`S X, S^2 X, \ldots`, until they are eigenpairs of S. Their
    residuals do not tell whether they lead in all of S: of equal eigenvalues, powers of S reach
    only as many as X has vectors. So other random vectors and a few powers of S times these are
    taken in, until that changes nothing. All of the basis is orthogonalized against, so that
    rounding does no harm.

    ``scipy.sparse.linalg.lobpcg`` needs 1.8 times the products (80 x 80 pixels, k = 50), 6 times
    if eigenvalues are far below 0, and misses an eigenvector that is orthogonal to its start.

    ``tolerance`` is the largest residual, and the largest change of an eigenvalue, that is
    accepted. ``generator`` draws the random vectors.
    """

    def __init__(self, jacobian: Jacobian, tolerance: float, generator: torch.Generator) -> None:
        self.jacobian, self.tolerance, self.generator = jacobian, tolerance, generator
        like = jacobian.y.new_empty(min(BLOCK_SIZE, jacobian.size), jacobian.size)
        self.start = self.basis = _random_block(like, generator)
        forward, backward = jacobian.times(self.start), jacobian.transposed_times(self.start)
        # Random vectors have on average the same share of the norm of any matrix.
        self.asymmetry = _asymmetry(forward, backward)
        self.products = self.newest = (forward + backward) / 2
        self.within = self.start @ self.products.T  # its upper triangle: S is symmetric

    @property
    def is_whole(self) -> bool:
        """Whether no direction is left outside."""
        return len(self.basis) == self.basis.shape[1]

    def leading_pairs(self, k: int) -> Pairs:
        """Return the k leading eigenpairs of S, which other random vectors no longer change."""
        pairs = self._converged(k)
        while not self.is_whole:
            known = pairs[0]
            self._grow(_random_block(self.start, self.generator))
            for _ in range(LOOKS):
                self._grow(self.newest)
            pairs = self._converged(k)
            if (pairs[0] - known).abs().max() <= self.tolerance:
                break
        return pairs

    def _converged(self, k: int) -> Pairs:
        """Grow by what eigenpairs lack until the residuals of the k leading ones are small."""
        while True:
            pairs = self._pairs(k)
            lacking = pairs[2][pairs[2].norm(dim=1) > self.tolerance]
            if self.is_whole or (len(self.basis) >= k and not len(lacking)):
                return pairs
            self._grow(_principal_part(lacking, len(self.start)) if len(lacking) else self.newest)

    def _pairs(self, k: int) -> Pairs:
        """Return the k leading eigenpairs of S within the space."""
        values, coordinates = decomposed(partial(torch.linalg.eigh, UPLO="U"), self.within)
        values, coordinates = values.flip(0)[:k], coordinates.flip(1)[:, :k].T
        vectors = coordinates @ self.basis
        return values, vectors, coordinates @ self.products - values[:, None] * vectors

    def _grow(self, vectors: Tensor) -> None:
        """Take in vectors (n, d), as far as there is room, and multiply them by S."""
        if self.is_whole:
            return
        block = self._new_directions(vectors)
        self.basis = torch.cat([self.basis, block])
        self.newest = self.jacobian.symmetric_times(block)
        self.products = torch.cat([self.products, self.newest])
        columns = self.basis @ self.newest.T
        self.within = torch.cat([F.pad(self.within, (0, 0, 0, len(block))), columns], dim=1)

    def _new_directions(self, vectors: Tensor) -> Tensor:
        """Return orthonormal directions of vectors outside the space (n, d), else random ones."""
        room = self.basis.shape[1] - len(self.basis)
        block = self._outside(vectors[:room])
        lengths = decomposed(torch.linalg.qr, block.T)[1].diagonal().abs()
        missing = (lengths < self.tolerance / 10)[:, None]  # not worth a direction
        block = torch.where(missing, _random_block(block, self.generator), block)
        # What rounding left of the space after the first time goes at the second.
        return decomposed(torch.linalg.qr, self._outside(block).T)[0].T

    def _outside(self, vectors: Tensor) -> Tensor:
        return vectors - vectors @ self.basis.T @ self.basis


def _principal_part(vectors: Tensor, n: int) -> Tensor:
    """Return the at most n orthogonal vectors that together come closest to all, (m, d)."""
    # By their inner products, in a tenth of the time of their singular values.
    weights = decomposed(torch.linalg.eigh, vectors @ vectors.T)[1]
    part: Tensor = weights.T.flip(0)[:n] @ vectors
    return part


def _random_block(like: Tensor, generator: torch.Generator) -> Tensor:
    """Return random orthonormal vectors, as many as the rows of ``like``, (n, d)."""
    drawn = torch.randn(like.shape, generator=generator, dtype=torch.float64)
    orthonormal: Tensor = torch.linalg.qr(drawn.T).Q.T
    return orthonormal.to(like)
