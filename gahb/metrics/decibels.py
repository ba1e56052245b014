"""Decibels: noise levels as input PSNR, errors as output PSNR, for images in [0, 1].

floor: 3
"""

from __future__ import annotations

import math
from typing import TypeVar

import torch
from torch import Tensor

from gahb.checks import check_images, check_number
from gahb.devices import in_double

__all__ = ["HIGHEST_PSNR", "psnr", "psnr_from_sigma", "sigma_from_psnr"]

HIGHEST_PSNR = 150.0  # dB: a mean squared error of 1e-15, the rounding of float32 images
Level = TypeVar("Level", float, Tensor)


def sigma_from_psnr(psnr: Level) -> Level:
    """Noise level sigma = 10^(-PSNR / 20), for images in [0, 1], of an input PSNR in dB.

    Examples
    --------
    >>> sigma_from_psnr(20.0)
    0.1
    """
    return 10 ** (-psnr / 20)


def psnr_from_sigma(sigma: Level) -> Level:
    """Input PSNR -20 log10(sigma), in dB, of a noise level on images in [0, 1].

    Raises
    ------
    ValueError
        If ``sigma`` is not positive.

    Examples
    --------
    >>> psnr_from_sigma(0.1)
    20.0
    """
    smallest = float(sigma.min()) if isinstance(sigma, Tensor) else sigma
    check_number("sigma", smallest, low=torch.finfo(torch.float32).tiny)
    # 0 - ..., since -20 times the logarithm of 1 would be -0.0
    return 0 - 20 * (sigma.log10() if isinstance(sigma, Tensor) else math.log10(sigma))


def psnr(x_hat: Tensor, x: Tensor) -> Tensor:
    """Output PSNR of each image, -10 log10 of its mean squared error, in dB.

    Errors below 1e-15, the rounding of float32, count as 1e-15: an exact copy has 150 dB rather
    than infinity, so that averages over images stay finite.

    Parameters
    ----------
    x_hat, x : Tensor
        Estimated and clean images, on the scale where images lie in [0, 1], (n, C, H, W).

    Returns
    -------
    Tensor
        (n,) in float64, on the device of ``x`` if that has float64, else on the CPU.

    Raises
    ------
    TypeError, ValueError
        If either is not a finite batch of images, or their shapes differ.

    Examples
    --------
    >>> x = torch.full((2, 1, 8, 8), 0.5)
    >>> psnr(x + 0.1, x).round()
    tensor([20., 20.], dtype=torch.float64)
    """
    check_images("x", x)
    check_images("x_hat", x_hat)
    if x_hat.shape != x.shape:
        raise ValueError(f"x_hat: shape {tuple(x_hat.shape)} is not that of x, {tuple(x.shape)}")
    mse = (in_double(x_hat) - in_double(x)).square().flatten(1).mean(1)
    return -10 * mse.clamp(min=10 ** (-HIGHEST_PSNR / 10)).log10()
