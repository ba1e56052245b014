"""A bias-free denoiser as the linear map that it is at one image (equation 6).

floor: 3
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from gahb.basis.jacobian import Function, jacobian_at
from gahb.checks import check_count

__all__ = ["equivalent_filters", "linearity_error"]


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
