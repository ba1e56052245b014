r"""Harmonics of an image's own geometry: the smoothest vectors of graph Laplacians made from it.

On a graph whose vertices are pixels and whose edges (i, j) have weights :math:`w_{ij}`, large where
the image is alike at both ends, the vectors of smallest

.. math:: v^T L v = \tfrac12 \sum_{ij} w_{ij} (v_i - v_j)^2

oscillate slowly within regions and along contours, and jump across them. They are what a
*geometry-adaptive harmonic basis* could mean, and can be compared with that of a denoiser.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from scipy.sparse import coo_array, csgraph, csr_array
from scipy.sparse.linalg import eigsh
from torch import Tensor

from gahb.checks import check_count, check_images, check_number
from gahb.devices import in_double
from gahb.vectors import check_batch, check_orthonormal

__all__ = ["basis_overlap", "grid_laplacian", "patch_laplacian", "smoothest", "spread"]

SHIFT = 1e-8  # keeps the factored matrix regular: constants are in the kernel of every Laplacian


def grid_laplacian(image: Tensor, contrast: float | None = 0.1) -> csr_array:
    r"""Return the Laplacian of the pixel grid with edges that are weak across contours.

    Horizontal and vertical neighbors i, j have the weight
    :math:`w_{ij} = \exp(-(x_i - x_j)^2 / 2 h^2)`, h being the ``contrast``.

    Parameters
    ----------
    image : Tensor
        One image, (1, C, H, W).
    contrast : float, optional
        Difference of gray levels from which an edge counts as a contour; with None all weights
        are 1, and the smoothest vectors are cosines (those of the DCT).

    Returns
    -------
    scipy.sparse.csr_array
        Symmetric and positive semidefinite, (H W, H W).

    Examples
    --------
    >>> grid_laplacian(torch.zeros(1, 1, 2, 2)).toarray()[0]
    array([ 2., -1., -1.,  0.])
    """
    if contrast is not None:
        check_number("contrast", contrast, low=1e-6)
    return _laplacian(image, [(0, 1), (1, 0)], patch=1, contrast=contrast)


def patch_laplacian(
    image: Tensor, radius: float = 3.0, patch: int = 3, contrast: float = 0.1
) -> csr_array:
    r"""Return the Laplacian in which neighbors count by how alike the patches around them are.

    All pixels within ``radius`` of one another have an edge, of the weight
    :math:`w_{ij} = \exp(-\|p_i - p_j\|^2 / 2 h^2)`, the norm being the root mean square over a
    patch, and h the ``contrast``.

    Parameters
    ----------
    image : Tensor
        One image, (1, C, H, W).
    radius : float
        Largest distance of pixels with an edge.
    patch : int
        Side of the patches, odd; beyond the border the image is mirrored.
    contrast : float
        Difference of patches from which they count as different.

    Returns
    -------
    scipy.sparse.csr_array
        Symmetric and positive semidefinite, (H W, H W).

    Examples
    --------
    >>> flat = torch.zeros(1, 1, 4, 4)
    >>> int((patch_laplacian(flat, radius=1) != grid_laplacian(flat)).nnz)
    0
    """
    check_number("radius", radius, low=1.0)
    check_number("contrast", contrast, low=1e-6)
    check_count("patch", patch)
    if patch % 2 == 0:
        raise ValueError(f"patch: {patch} is even; accepted: an odd number of pixels")
    reach = range(-int(radius), int(radius) + 1)
    half = [(i, j) for i in reach for j in reach if (i, j) > (0, 0) and i**2 + j**2 <= radius**2]
    return _laplacian(image, half, patch, contrast)


def _laplacian(
    image: Tensor, offsets: list[tuple[int, int]], patch: int, contrast: float | None
) -> csr_array:
    """Laplacian of the graph with an edge at each of the offsets, (down, right), of every pixel."""
    check_images("image", image)
    if len(image) != 1:
        raise ValueError(f"image: {len(image)} images; accepted: one, (1, C, H, W)")
    x, margin = in_double(image.detach()).cpu(), patch // 2
    patches = F.unfold(F.pad(x, [margin] * 4, mode="reflect"), patch) if margin else x.flatten(2)
    height, width = x.shape[-2:]
    features = patches[0].reshape(-1, height, width)
    number = torch.arange(height * width).view(height, width)
    starts, ends, weights = [], [], []
    for down, right in offsets:
        here = (slice(None, height - down), slice(max(0, -right), width - max(0, right)))
        there = (slice(down, None), slice(max(0, right), width - max(0, -right)))
        difference = (features[:, *here] - features[:, *there]).square().mean(0)
        starts.append(number[here].flatten())
        ends.append(number[there].flatten())
        weight = torch.ones_like(difference)
        if contrast is not None:
            weight = (-difference / (2 * contrast**2)).exp()
        weights.append(weight.flatten())
    edges = (torch.cat(weights).numpy(), (torch.cat(starts).numpy(), torch.cat(ends).numpy()))
    graph = coo_array(edges, shape=(number.numel(),) * 2)
    return csr_array(csgraph.laplacian(graph + graph.T))


def smoothest(laplacian: csr_array, k: int, size: tuple[int, int]) -> Tensor:
    """Return the k orthonormal vectors on which a Laplacian is smallest, smoothest first.

    Parameters
    ----------
    laplacian : scipy.sparse.csr_array
        Of H W pixels.
    k : int
        How many, below H W.
    size : tuple of int
        Height and width of the image, (H, W).

    Returns
    -------
    Tensor
        (k, 1, H, W) in float64.

    Examples
    --------
    >>> first = smoothest(grid_laplacian(torch.rand(1, 1, 4, 4)), 1, (4, 4))
    >>> torch.allclose(first.abs(), torch.tensor(0.25, dtype=torch.float64))  # a constant
    True
    """
    pixels = laplacian.shape[0]
    check_count("k", k, maximum=pixels - 1)
    if size[0] * size[1] != pixels:
        raise ValueError(f"size: {size} has not the {pixels} pixels of the Laplacian")
    # A fixed start: the search draws one of its own otherwise.
    start = np.random.default_rng(0).standard_normal(pixels)
    _, vectors = eigsh(laplacian.tocsc(), k, sigma=-SHIFT, which="LM", v0=start)
    return torch.from_numpy(vectors.T.copy()).view(k, 1, *size)


def basis_overlap(vectors: Tensor, reference: Tensor) -> Tensor:
    r"""Return the mean squared cosine of the principal angles between two spaces.

    .. math:: \frac1k \|V R^T\|_F^2

    for orthonormal rows V, of k vectors, and R. It is 1 where the first space lies in the second,
    and on average l / d for a random second space of l among d dimensions.

    Parameters
    ----------
    vectors : Tensor
        Orthonormal vectors, (k, C, H, W), such as ``basis.eigenvectors[:k]``.
    reference : Tensor
        Orthonormal vectors of the same size, (l, C, H, W).

    Returns
    -------
    Tensor
        A number between 0 and 1, in float64.

    Examples
    --------
    >>> pixels = torch.eye(16).view(16, 1, 4, 4)
    >>> basis_overlap(pixels[:4], pixels[2:8])
    tensor(0.5000, dtype=torch.float64)
    """
    for name, given in (("vectors", vectors), ("reference", reference)):
        check_orthonormal(name, given, "orthonormal vectors, (k, C, H, W)")
    check_batch("reference", reference[:1], like=vectors[:1])
    cosines = in_double(vectors.flatten(1)) @ in_double(reference.flatten(1)).T
    return cosines.square().sum() / len(vectors)


def spread(vectors: Tensor) -> Tensor:
    r"""Return on how many pixels each vector lives, :math:`1 / \sum_i v_i^4`.

    Parameters
    ----------
    vectors : Tensor
        Vectors of unit length, (k, C, H, W).

    Returns
    -------
    Tensor
        (k,) in float64: 1 for a single pixel, d for a constant.

    Examples
    --------
    >>> spread(torch.eye(16).view(16, 1, 4, 4))[0]
    tensor(1., dtype=torch.float64)
    """
    check_images("vectors", vectors)
    return 1 / in_double(vectors.flatten(1)).pow(4).sum(1)
