"""What an adaptive basis says of an image, and how close two subspaces are."""

from __future__ import annotations

import torch
from torch import Tensor

from gahb.basis.eigen import Basis
from gahb.checks import check_count, check_images, check_number
from gahb.devices import in_double
from gahb.vectors import check_batch

__all__ = [
    "coefficients",
    "effective_rank",
    "principal_angles",
    "projection",
    "rank_above",
]


def coefficients(basis: Basis, x: Tensor) -> Tensor:
    r"""Return the coefficients :math:`\langle x, e_k \rangle` of images in a basis (Figure 3).

    Images (n, C, H, W) of the size of the k vectors give (n, k), of the dtype of ``x``.

    Examples
    --------
    >>> from gahb.basis import adaptive_basis
    >>> y = torch.rand(1, 1, 4, 4)
    >>> basis = adaptive_basis(lambda y: 0.5 * y, y)
    >>> torch.allclose(coefficients(basis, y).norm(), y.norm())
    True
    """
    check_images("x", x)
    check_batch("x", x, like=basis.eigenvectors)
    return x.flatten(1) @ basis.eigenvectors.flatten(1).to(x).T


def projection(basis: Basis, x: Tensor, k: int | None = None) -> Tensor:
    """Return the part of images in the span of the first k vectors of a basis, by default of all.

    Images (n, C, H, W) give as many, of the dtype of ``x``.

    Examples
    --------
    >>> from gahb.basis import adaptive_basis
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


def effective_rank(basis: Basis) -> float:
    r"""Return the sum of the shrinkage factors, tr J: the dimension of a soft projection.

    For the exact denoiser, :math:`\sigma^2` times its average is the mean squared error
    (equation 10). Of a basis of k leading vectors it counts these alone.

    Examples
    --------
    >>> from gahb.basis import adaptive_basis
    >>> effective_rank(adaptive_basis(lambda y: 0.5 * y, torch.rand(1, 1, 4, 4)))
    8.0
    """
    return float(basis.eigenvalues.sum())


def rank_above(basis: Basis, threshold: float = 0.1) -> int:
    """Return the number of shrinkage factors above a threshold: of dimensions not suppressed.

    Examples
    --------
    >>> from gahb.basis import adaptive_basis
    >>> rank_above(adaptive_basis(lambda y: 0.5 * y, torch.rand(1, 1, 4, 4)))
    16
    """
    check_number("threshold", threshold, low=-float("inf"))
    above = int((basis.eigenvalues > threshold).sum())
    if above == len(basis.eigenvalues) < basis.eigenvectors[0].numel():
        raise ValueError(
            f"threshold: all {above} factors of the basis are above {threshold:g}; "
            "accepted: a basis with more of them, or a higher threshold"
        )
    return above


def principal_angles(a: Tensor, b: Tensor) -> Tensor:
    """Return the principal angles between the subspaces that two sets of images span [1]_.

    Single eigenvectors are not unique where eigenvalues are close; the subspaces are. Linearly
    independent images (p, C, H, W) and (q, C, H, W) give min(p, q) angles in radians, smallest
    first, in float64. Cosines alone would lose angles below 1e-8: small ones come from sines.

    References
    ----------
    .. [1] A. V. Knyazev, M. E. Argentati. Principal angles between subspaces in an A-based scalar
       product. SIAM Journal on Scientific Computing 23, 2002.

    Examples
    --------
    >>> a, b = torch.tensor([[1.0, 0.0, 0.0, 0.0], [1.0, 1e-5, 0.0, 0.0]]).view(2, 1, 1, 2, 2)
    >>> principal_angles(a, b)
    tensor([1.0000e-05], dtype=torch.float64)
    """
    smaller, larger = sorted((_columns("a", a), _columns("b", b, like=a)), key=lambda q: q.shape[1])
    cosines = torch.linalg.svdvals(smaller.T @ larger).clamp(max=1)
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
