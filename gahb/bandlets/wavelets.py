"""Orthogonal wavelet transform of images, periodic at the borders.

Each scale is a product with one matrix a side, so that gradients pass and every device serves.

floor: 3
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pywt
import torch
from numpy.typing import NDArray
from torch import Tensor

from gahb.checks import check_choice, check_count

__all__ = ["WAVELETS", "analysis", "scales_of", "scales_of_images", "synthesis", "wavelet_basis"]

FAMILIES = ("haar", "db", "sym", "coif")
"""The orthogonal families of PyWavelets: its discrete Meyer wavelet is only nearly so."""
WAVELETS = tuple(name for family in FAMILIES for name in pywt.wavelist(family))
COARSEST = 4
"""Fewest coefficients a side that the coarsest scale keeps."""


def scales_of(side: int) -> int:
    """Number of scales: how often a side can be halved and keep at least ``COARSEST`` coefficients.

    Examples
    --------
    >>> scales_of(80), scales_of(32), scales_of(7)
    (4, 3, 0)
    """
    scales = 0
    while side % 2 == 0 and side >= 2 * COARSEST:
        side, scales = side // 2, scales + 1
    return scales


def scales_of_images(argument: str, x: Tensor) -> int:
    """Number of scales of images, (..., H, W).

    Raises
    ------
    ValueError
        If there is none, as a side is odd or below 8 pixels.
    """
    scales = min(scales_of(side) for side in x.shape[-2:])
    if scales == 0:
        accepted = "even sides of at least 8 pixels"
        raise ValueError(f"{argument}: shape {tuple(x.shape)}; accepted: {accepted}")
    return scales


def analysis(x: Tensor, wavelet: str, scales: int) -> tuple[Tensor, list[Tensor]]:
    """Wavelet coefficients of images.

    Parameters
    ----------
    x : Tensor
        Images, (..., H, W), whose sides can be halved ``scales`` times.
    wavelet : str
        Orthogonal wavelet, a name of PyWavelets.
    scales : int
        Number of scales.

    Returns
    -------
    approximation : Tensor
        Coefficients of the coarsest scale, (..., H / 2^scales, W / 2^scales).
    details : list of Tensor
        Three subbands a scale, the finest first, (..., 3, H / 2^j, W / 2^j), j = 1 ... scales.

    Examples
    --------
    >>> approximation, details = analysis(torch.rand(5, 32, 16), "sym4", scales=2)
    >>> approximation.shape, details[0].shape
    (torch.Size([5, 8, 4]), torch.Size([5, 3, 16, 8]))
    """
    details = []
    for _ in range(scales):
        rows, columns = _one_scale(x, -2, wavelet), _one_scale(x, -1, wavelet)
        halves = (rows @ x @ columns.mT).unflatten(-1, (2, -1)).unflatten(-3, (2, -1))
        quarters = halves.movedim(-2, -3).flatten(-4, -3)
        x = quarters[..., 0, :, :]
        details.append(quarters[..., 1:, :, :])
    return x, details


def synthesis(approximation: Tensor, details: list[Tensor], wavelet: str) -> Tensor:
    """Images (..., H, W) of the coefficients that :func:`analysis` gives.

    Examples
    --------
    >>> x = torch.rand(5, 32, 16)
    >>> torch.allclose(synthesis(*analysis(x, "sym4", scales=2), "sym4"), x, atol=1e-5)
    True
    """
    x = approximation
    for subbands in reversed(details):
        quarters = torch.cat([x.unsqueeze(-3), subbands], dim=-3)
        halves = quarters.unflatten(-3, (2, 2)).movedim(-3, -2)
        x = halves.flatten(-2, -1).flatten(-3, -2)
        x = _one_scale(x, -2, wavelet).mT @ x @ _one_scale(x, -1, wavelet)
    return x


def wavelet_basis(size: int, wavelet: str = "sym4") -> Tensor:
    """Orthonormal wavelets of images of size x size pixels, the coarsest first.

    Parameters
    ----------
    size : int
        Pixels a side, from 8 and even.
    wavelet : str
        Orthogonal wavelet, a name of PyWavelets.

    Returns
    -------
    Tensor
        The vectors as images, (size^2, 1, size, size) in float64.

    Raises
    ------
    TypeError, ValueError
        If ``size`` is odd or below 8, or ``wavelet`` unknown.

    Examples
    --------
    >>> basis = wavelet_basis(16)
    >>> x = torch.rand(1, 16, 16).double()
    >>> coefficients = (basis * x).sum(dim=(1, 2, 3))
    >>> torch.allclose(coefficients[:16], analysis(x, "sym4", scales=2)[0].flatten())
    True
    """
    check_count("size", size, minimum=2 * COARSEST)
    check_choice("wavelet", wavelet, WAVELETS)
    if size % 2:
        raise ValueError(f"size: {size} is odd; accepted: an even number of pixels")
    pixels = torch.eye(size**2, dtype=torch.float64).view(-1, size, size)
    approximation, details = analysis(pixels, wavelet, scales_of(size))
    coefficients = [part.flatten(1) for part in (approximation, *reversed(details))]
    return torch.cat(coefficients, dim=1).T.reshape(-1, 1, size, size)


def _one_scale(x: Tensor, dim: int, wavelet: str) -> Tensor:
    return torch.from_numpy(_one_scale_matrix(x.shape[dim], wavelet)).to(x)


@cache
def _one_scale_matrix(side: int, wavelet: str) -> NDArray[np.float64]:
    """One scale of the transform of a line, orthogonal: low frequencies above high ones."""
    low, high = pywt.dwt(np.eye(side), wavelet, mode="periodization", axis=0)
    return np.concatenate([low, high])
