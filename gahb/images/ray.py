"""A ray: one face, more or less bright (Figure 19).

floor: 1
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from gahb.images.faces import draw_faces
from gahb.images.parameters import check_parameters, check_size, draw_parameters, grey_levels

__all__ = [
    "BRIGHTNESS",
    "BRIGHTNESS_DEVIATION",
    "draw_ray",
    "ray_face",
    "ray_images",
    "ray_parameters",
    "ray_tangents",
]

BRIGHTNESS, BRIGHTNESS_DEVIATION = 0.5, 0.125
"""Mean and standard deviation of the factor that multiplies the face."""


def draw_ray(indices: Sequence[int], size: int, subset: str, seed: int) -> Tensor:
    """The face at the brightness of the given indices, uint8 (len(indices), 1, size, size).

    Examples
    --------
    >>> draw_ray([7], size=16, subset="S1", seed=0).shape
    torch.Size([1, 1, 16, 16])
    """
    return grey_levels(ray_images(ray_parameters(indices, subset, seed), size))


def ray_parameters(indices: Sequence[int], subset: str = "S1", seed: int = 0) -> Tensor:
    """Factors s of the images s x of the given indices, (len(indices), 1) in float64.

    They are Gaussian. Subset and seed choose other factors; the face x is always the same.

    Raises
    ------
    TypeError, ValueError
        If an argument is unknown or out of range.

    Examples
    --------
    >>> ray_parameters(range(3), "test").shape
    torch.Size([3, 1])
    """
    return draw_parameters(_one_factor, indices, subset, seed)


def _one_factor(random: np.random.RandomState) -> NDArray[np.float64]:
    return random.normal(BRIGHTNESS, BRIGHTNESS_DEVIATION, size=1)


def ray_images(parameters: Tensor, size: int) -> Tensor:
    """Multiples of the face before they are rounded to grey levels (Figure 19).

    Parameters
    ----------
    parameters : Tensor
        Factors, (n, 1).
    size : int
        Pixels a side, from 8; beyond 64 the face is magnified.

    Returns
    -------
    Tensor
        Images, (n, 1, size, size), of the dtype of ``parameters`` and linear in them.

    Raises
    ------
    TypeError, ValueError
        If ``parameters`` is not such a finite tensor, or ``size`` too small.

    Examples
    --------
    >>> ray_images(ray_parameters(range(3)), size=16).shape
    torch.Size([3, 1, 16, 16])
    """
    check_parameters(parameters, 1)
    return parameters[..., None, None] * ray_face(size).to(parameters)


def ray_tangents(parameters: Tensor, size: int) -> Tensor:
    """Derivatives of multiples of the face: the face itself, (n, 1, 1, size, size).

    Raises
    ------
    TypeError, ValueError
        As :func:`ray_images` does.

    Examples
    --------
    >>> ray_tangents(ray_parameters(range(3)), size=16).shape
    torch.Size([3, 1, 1, 16, 16])
    """
    check_parameters(parameters, 1)
    return ray_face(size).to(parameters).expand(len(parameters), 1, 1, size, size)


@cache
def ray_face(size: int) -> Tensor:
    """The face x whose multiples are the class, (1, 1, size, size) in float64."""
    check_size(size)
    return draw_faces([0], size, "S1", 0).double() / 255
