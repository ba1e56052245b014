"""What image classes of a few parameters share: their parameters, grey levels and tangent spaces.

Such a class is a smooth manifold of images. A grey level of it is Gaussian and four standard
deviations away from black and white: a denoiser can integrate it in closed form.

floor: 1
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gahb.checks import check_count, check_finite, check_float
from gahb.images.streams import check_indices, check_stream, stream

__all__ = [
    "check_parameters",
    "check_size",
    "draw_parameters",
    "grey_levels",
    "orthonormal",
    "pixel_centres",
]

SMALLEST = 8


def draw_parameters(
    draw: Callable[[np.random.RandomState], NDArray[np.float64]],
    indices: Sequence[int],
    subset: str,
    seed: int,
) -> Tensor:
    """Parameters of the images of the given indices, (len(indices), k) in float64.

    ``draw`` gives the k parameters of one image from random numbers that are its own.
    """
    check_indices(indices)
    check_stream(subset, seed)
    return torch.from_numpy(np.stack([draw(stream(seed, subset, i)) for i in indices]))


def grey_levels(x: Tensor) -> Tensor:
    """Nearest of 256 grey levels to images (n, 1, H, W), uint8; what lies beyond is cut off."""
    return (255 * x).round().clamp(0, 255).byte()


def pixel_centres(size: int) -> Tensor:
    """Positions of the pixels of a row or a column as fractions of the side, (size,)."""
    return (torch.arange(size, dtype=torch.float64) + 0.5) / size


def orthonormal(tangents: Tensor) -> Tensor:
    """Orthonormal bases of the spaces that tangent vectors span (Figure 5), in their order.

    Parameters
    ----------
    tangents : Tensor
        Derivatives of n images by each of k parameters, linearly independent, (n, k, C, H, W).

    Returns
    -------
    Tensor
        Bases, (n, k, C, H, W): the first j vectors span what the first j tangents do.

    Raises
    ------
    TypeError, ValueError
        If ``tangents`` is not such a tensor, holds NaN, or has no more pixels than parameters.

    Examples
    --------
    >>> basis = orthonormal(torch.rand(2, 3, 1, 8, 8)).flatten(2)
    >>> torch.allclose(basis @ basis.mT, torch.eye(3), atol=1e-5)
    True
    """
    accepted = "a float tensor of shape (n, k, C, H, W), k at most C H W"
    check_float("tangents", tangents, accepted)
    shape = tuple(tangents.shape)
    if len(shape) != 5 or not tangents.numel() or shape[1] > tangents[0, 0].numel():
        raise ValueError(f"tangents: shape {shape} is not {accepted}")
    check_finite("tangents", tangents)
    basis, triangle = torch.linalg.qr(tangents.flatten(2).mT)
    # Signs are free in QR: each vector is to point to the side of its tangent.
    signs = triangle.diagonal(dim1=1, dim2=2).sign()[:, None]
    vectors: Tensor = (basis * signs).mT
    return vectors.reshape(shape)


def check_parameters(parameters: Any, count: int) -> None:
    """Raise unless ``parameters`` is a finite floating-point tensor of shape (n, count)."""
    accepted = f"a float tensor of shape (n, {count})"
    check_float("parameters", parameters, accepted)
    if parameters.ndim != 2 or not len(parameters) or parameters.shape[1] != count:
        raise ValueError(f"parameters: shape {tuple(parameters.shape)} is not {accepted}")
    check_finite("parameters", parameters)


def check_size(size: Any) -> None:
    """Raise unless ``size`` is a number of pixels a side that an image can have."""
    check_count("size", size, SMALLEST)
