"""What an adaptive basis says of an image, and how close two subspaces are.

floor: 3
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from gahb.basis.eigen import Basis
from gahb.basis.jacobian import Function, jacobian_at
from gahb.checks import check_count, check_images, check_number
from gahb.vectors import check_batch

__all__ = [
    "coefficients",
    "effective_rank",
    "equivalent_filters",
    "linearity_error",
    "principal_angles",
    "projection",
    "rank_above",
]


def coefficients(basis: Basis, x: Tensor) -> Tensor:
    """Coefficients <x, e_k> of images in an adaptive basis (Figure 3, blue).

    Parameters
    ----------
    basis : Basis
        Basis of k vectors.
    x : Tensor
        Images of the size of its vectors, (n, C, H, W).

    Returns
    -------
    Tensor
        (n, k), of the dtype of ``x``.

    Raises
    ------
    TypeError, ValueError
        If ``x`` is not such a batch.

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
    """Part of images in the span of the first k vectors of a basis, by default of all it has.

    Parameters
    ----------
    basis : Basis
        Basis of at least k vectors.
    x : Tensor
        Images of the size of its vectors, (n, C, H, W).
    k : int, optional
        Number of vectors.

    Returns
    -------
    Tensor
        (n, C, H, W), of the dtype of ``x``.

    Raises
    ------
    TypeError, ValueError
        If ``x`` is not such a batch, or the basis has fewer than k vectors.

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
    """Sum of the shrinkage factors, tr J: the dimension of a soft projection.

    For the exact denoiser, sigma^2 times its average is the mean squared error (equation 10). Of
    a basis of k leading vectors it counts these alone.

    Examples
    --------
    >>> from gahb.basis import adaptive_basis
    >>> effective_rank(adaptive_basis(lambda y: 0.5 * y, torch.rand(1, 1, 4, 4)))
    8.0
    """
    return float(basis.eigenvalues.sum())


def rank_above(basis: Basis, threshold: float = 0.1) -> int:
    """Number of shrinkage factors above a threshold: the dimension of what is not suppressed.

    Raises
    ------
    ValueError
        If k leading factors are not enough to tell, since all are above it.

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
    """Principal angles between the subspaces that two sets of images span [1]_.

    Single eigenvectors are not unique where eigenvalues are close; the subspaces are. Cosines
    alone would lose angles below 1e-8 (in float32, below 3e-4): small ones come from sines.

    Parameters
    ----------
    a, b : Tensor
        Linearly independent images, (p, C, H, W) and (q, C, H, W), such as eigenvectors.

    Returns
    -------
    Tensor
        Angles in radians, smallest first, (min(p, q),) in float64.

    Raises
    ------
    TypeError, ValueError
        If either is not such a set of images.

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
    smaller, larger = sorted(
        (orthonormal("a", a), orthonormal("b", b, like=a)), key=lambda q: q.shape[1]
    )
    cosines = torch.linalg.svdvals(smaller.T @ larger).clamp(max=1)
    sines = torch.linalg.svdvals(smaller - larger @ (larger.T @ smaller)).flip(0).clamp(max=1)
    return torch.where(cosines.square() > 0.5, sines.arcsin(), cosines.arccos())


def orthonormal(argument: str, vectors: Tensor, like: Tensor | None = None) -> Tensor:
    """Orthonormal basis of the span of images (p, C, H, W), as columns (d, p) in float64."""
    check_images(argument, vectors)
    check_batch(argument, vectors, like)
    columns = vectors.detach().flatten(1).double().T
    rank = int(torch.linalg.matrix_rank(columns))
    if rank < len(vectors):
        accepted = "images that are linearly independent"
        raise ValueError(f"{argument}: {len(vectors)} images of rank {rank}; accepted: {accepted}")
    basis: Tensor = torch.linalg.qr(columns).Q
    return basis


def equivalent_filters(f: Function, y: Tensor, pixels: Sequence[tuple[int, int]]) -> Tensor:
    """Filters by which a denoiser computes pixels of its estimate: rows of its Jacobian [1]_.

    The estimate of pixel (i, j) of a bias-free network is the inner product of its filter and y.

    Parameters
    ----------
    f : BaseDenoiser or callable
        Maps noisy images to estimates; one that is not blind is given as ``f.at(sigma)``.
    y : Tensor
        One noisy image, (1, C, H, W).
    pixels : sequence of (int, int)
        Rows and columns of n pixels, of the first channel where there are several.

    Returns
    -------
    Tensor
        (n, C, H, W).

    Raises
    ------
    TypeError, ValueError
        If a pixel is outside of the image; otherwise as :func:`adaptive_basis`.

    References
    ----------
    .. [1] S. Mohan, Z. Kadkhodaie, E. P. Simoncelli, C. Fernandez-Granda. Robust and interpretable
       blind image denoising via bias-free convolutional neural networks. ICLR 2020.

    Examples
    --------
    >>> equivalent_filters(lambda y: y.flip(3), torch.rand(1, 1, 1, 3), [(0, 2)]).flatten()
    tensor([1., 0., 0.])
    """
    with jacobian_at(f, y) as jacobian:
        height, width = y.shape[2:]
        if not len(pixels):
            raise ValueError("pixels: there are none; accepted: at least one (row, column)")
        for pixel in pixels:
            check_pixel(pixel, height, width)
        rows = jacobian.rows(torch.tensor([row * width + column for row, column in pixels]))
    return rows.reshape(-1, *y.shape[1:])


def check_pixel(pixel: Any, height: int, width: int) -> None:
    """Raise unless ``pixel`` is a row and a column inside images of that size."""
    if not isinstance(pixel, tuple) or len(pixel) != 2:
        raise TypeError(f"pixels: {pixel!r} is not a pair (row, column)")
    for place, size in zip(pixel, (height, width), strict=True):
        check_count("pixels", place, 0, size - 1)


def linearity_error(f: Function, y: Tensor) -> float:
    """Relative error ||f(y) - J y|| / ||f(y)|| of equation 6: rounding alone without biases.

    Raises
    ------
    TypeError, ValueError
        As :func:`adaptive_basis`.

    Examples
    --------
    >>> linearity_error(lambda y: 2 * y, torch.ones(1, 1, 4, 4))
    0.0
    >>> linearity_error(lambda y: 2 * y + 2, torch.ones(1, 1, 4, 4))
    0.5
    """
    with jacobian_at(f, y) as jacobian:
        estimate = jacobian.value.flatten()
        shrunk = jacobian.times(jacobian.y.flatten(1))[0]
    return float((estimate - shrunk).norm() / estimate.norm())
