"""Which part of a denoising error lies within a subspace, such as a tangent space."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from gahb.checks import check_float, check_images
from gahb.devices import in_double
from gahb.metrics.curves import Function, denoised, unit_noise
from gahb.vectors import check_orthonormal


def error_dimensions(
    f: Function,
    x: Tensor,
    bases: Tensor,
    sigma: float,
    seed: int = 0,
    batch_size: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Return the squared error within and outside of a subspace, over sigma^2 (Figure 5).

    A denoiser that projects on a subspace keeps the noise within it, as many times sigma^2 as it
    has dimensions, and nothing outside. Both errors, (n,), are in such dimensions.

    Parameters
    ----------
    f, x, seed, batch_size
        As for :func:`gahb.psnr_curve`, whose noise it is.
    bases : Tensor
        Orthonormal basis of the subspace of each image, (n, k, C, H, W).
    sigma : float
        Noise level.

    Examples
    --------
    >>> x, z = torch.zeros(500, 1, 2, 2), torch.eye(4).view(4, 1, 2, 2)
    >>> within, outside = error_dimensions(lambda y: y, x, z[:3].expand(500, -1, 1, 2, 2), 0.1)
    >>> round(float(within.mean())), round(float(outside.mean()))
    (3, 1)
    """
    check_images("x", x)
    _check_bases(bases, x)
    error = denoised(f, x, unit_noise(x, seed), sigma, batch_size) - x
    error = in_double(error).cpu().flatten(1) / sigma
    vectors = in_double(bases).cpu().flatten(2)
    coordinates = torch.einsum("nkd,nd->nk", vectors, error)
    outside = error - torch.einsum("nk,nkd->nd", coordinates, vectors)
    return coordinates.square().sum(1), outside.square().sum(1)


def _check_bases(bases: Any, x: Tensor) -> None:
    accepted = f"an orthonormal basis of each image, ({len(x)}, k, C, H, W)"
    check_float("bases", bases, accepted)
    shape = tuple(bases.shape)
    if len(shape) != 5 or shape[:1] + shape[2:] != tuple(x.shape) or not shape[1]:
        raise ValueError(f"bases: shape {shape} is not {accepted}")
    check_orthonormal("bases", bases, accepted)
