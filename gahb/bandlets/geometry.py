"""Orthogonal bases of small rectangles of coefficients, each adapted to one direction.

Pixels are put in the order of their distance from a line of that direction, and decomposed by the
Haar transform of this sequence [1]_. Where coefficients vary little along the direction, and much
across it, neighbours in the sequence are alike, and few of the coefficients are large.

References
----------
.. [1] G. Peyré, S. Mallat. Orthogonal bandelet bases for geometric images approximation.
   Communications on Pure and Applied Mathematics 61, 2008.

floor: 3
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["bases", "haar", "order"]

ROUNDING = 9
"""Decimals to which distances are compared, so that pixels of one line count as equally far."""


@cache
def bases(height: int, width: int, directions: int) -> NDArray[np.float64]:
    """Bases of a rectangle: its pixels, and one for each of ``directions`` angles in [0, pi).

    Returns
    -------
    ndarray
        Orthogonal matrices, (directions + 1, height * width, height * width), a basis vector a row.

    Examples
    --------
    >>> bases(4, 4, directions=8).shape
    (9, 16, 16)
    """
    pixels = np.eye(height * width)
    wavelets = haar(height * width)
    angles = math.pi * np.arange(directions) / directions
    # Row by row, entry i of the sequence belongs to pixel order[i].
    adapted = [wavelets @ pixels[order(height, width, angle)] for angle in angles]
    return np.stack([pixels, *adapted])


def order(height: int, width: int, angle: float) -> NDArray[np.int64]:
    """Pixels of a rectangle by distance from a line at ``angle`` (radians), ties along the line.

    Angles are counted from the rows; the second row lies at positive distance from the first.

    Examples
    --------
    >>> order(2, 3, angle=0).tolist()
    [0, 1, 2, 3, 4, 5]
    >>> order(2, 3, angle=math.pi / 2).tolist()
    [2, 5, 1, 4, 0, 3]
    """
    row, column = np.indices((height, width)).reshape(2, -1)
    distance = math.cos(angle) * row - math.sin(angle) * column
    along = math.sin(angle) * row + math.cos(angle) * column
    return np.lexsort((along.round(ROUNDING), distance.round(ROUNDING)))


@cache
def haar(n: int) -> NDArray[np.float64]:
    """Haar transform of sequences of any length n >= 1, orthogonal, (n, n), from coarse to fine.

    A run is split into halves, the first the longer where its length is odd: a wavelet is constant
    on either half and of mean zero.

    Examples
    --------
    >>> haar(3).round(2).tolist()
    [[0.58, 0.58, 0.58], [0.41, 0.41, -0.82], [0.71, -0.71, 0.0]]
    """
    rows = [np.full(n, n**-0.5)]
    runs = [(0, n)]
    for start, stop in runs:
        if stop - start > 1:
            middle = (start + stop + 1) // 2
            rows.append(_wavelet(n, start, middle, stop))
            runs.extend([(start, middle), (middle, stop)])
    return np.stack(rows)


def _wavelet(n: int, start: int, middle: int, stop: int) -> NDArray[np.float64]:
    first, second = middle - start, stop - middle
    wavelet = np.zeros(n)
    wavelet[start:middle] = math.sqrt(second / first / (first + second))
    wavelet[middle:stop] = -math.sqrt(first / second / (first + second))
    return wavelet
