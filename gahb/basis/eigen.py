"""The adaptive basis: eigenvectors of a denoiser's Jacobian, and its shrinkage factors.

floor: 3
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gahb.basis.jacobian import Function, Jacobian, jacobian_at
from gahb.basis.krylov import leading_pairs, random_block
from gahb.checks import check_count, check_number
from gahb.devices import decomposed

__all__ = ["Basis", "adaptive_basis"]

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
    f: Function, y: Tensor, k: int | None = None, *, tolerance: float = 0.01, seed: int = 0
) -> Basis:
    """Basis in which a denoiser shrinks an image, with its factors (equation 6, Figure 3).

    Parameters
    ----------
    f : BaseDenoiser or callable
        Maps noisy images to estimates; one that is not blind is given as ``f.at(sigma)``.
        A network is evaluated in evaluation mode, and left as it was.
    y : Tensor
        One noisy image, (1, C, H, W), float32 or float64, on the device of ``f``.
    k : int, optional
        Number of leading eigenpairs, which are found without forming the Jacobian, in much less
        time where k is far below d = C H W. By default all d, from the whole Jacobian.
    tolerance : float
        Largest residual that is accepted where k is given. Eigenvalues that stand apart are much
        closer: their error is of the order of the residual squared, over their distance.
    seed : int
        Fixes the random vectors from which the search for k eigenpairs starts.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above, or f(y) is not finite, not of the shape of ``y``, or does
        not depend on ``y`` in a way that torch can derive.

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
    with jacobian_at(f, y) as jacobian, torch.no_grad():
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
