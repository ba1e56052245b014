"""Disks: one on a plain ground, of any position, radius and two grey levels (Figure 5).

Position and radius are uniform, such that every disk lies within its image, and both grey levels
Gaussian. The paper leaves these laws open, and how the contour crosses a pixel: here it is a
normal distribution function of the distance to the contour. So the images are a smooth manifold of
five dimensions, whose tangent vectors are formulas.

floor: 1
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gahb.images.parameters import (
    check_parameters,
    check_size,
    draw_parameters,
    grey_levels,
    pixel_centres,
)

__all__ = [
    "CENTRE",
    "GREYS",
    "GREY_DEVIATION",
    "RADIUS",
    "disk_images",
    "disk_masks",
    "disk_parameters",
    "disk_tangents",
    "draw_disks",
]

CENTRE = (0.3, 0.7)
"""Range of either coordinate of the centre, as fractions of the side."""
RADIUS = (0.125, 0.25)
"""Range of the radius, as fractions of the side."""
GREYS = (0.25, 0.75)
"""Mean grey levels of ground and disk."""
GREY_DEVIATION = 1 / 16
"""Standard deviation of either grey level."""
EDGE = 0.5
"""Standard deviation of the step across the contour, in pixels."""
PARAMETERS = 5


def draw_disks(indices: Sequence[int], size: int, subset: str, seed: int) -> Tensor:
    """Disks of the given indices, rounded to grey levels, uint8 (len(indices), 1, size, size).

    Rounding takes them off their manifold, by as much as noise at 59 dB does.

    Examples
    --------
    >>> draw_disks([7], size=16, subset="S1", seed=0).shape
    torch.Size([1, 1, 16, 16])
    """
    return grey_levels(disk_images(disk_parameters(indices, subset, seed), size))


def disk_parameters(indices: Sequence[int], subset: str = "S1", seed: int = 0) -> Tensor:
    """Parameters of the disks of the given indices, whatever their size in pixels.

    Parameters
    ----------
    indices : sequence of int
        Numbers of images of the subset, from 0.
    subset, seed : str, int
        As for :func:`gahb.images.load`.

    Returns
    -------
    Tensor
        Centre from the left, centre from the top and radius, as fractions of the side, then the
        grey levels of ground and disk, (len(indices), 5) in float64.

    Raises
    ------
    TypeError, ValueError
        If an argument is unknown or out of range.

    Examples
    --------
    >>> disk_parameters(range(3), "test").shape
    torch.Size([3, 5])
    """
    return draw_parameters(_one_disk, indices, subset, seed)


def _one_disk(random: np.random.RandomState) -> NDArray[np.float64]:
    centre, radius = random.uniform(*CENTRE, size=2), random.uniform(*RADIUS, size=1)
    return np.concatenate([centre, radius, random.normal(GREYS, GREY_DEVIATION)])


def disk_images(parameters: Tensor, size: int) -> Tensor:
    """Disks before they are rounded to grey levels (Figure 5).

    Parameters
    ----------
    parameters : Tensor
        Centre, radius and grey levels as :func:`disk_parameters` gives them, (n, 5).
    size : int
        Pixels a side, from 8.

    Returns
    -------
    Tensor
        Images, (n, 1, size, size), of the dtype of ``parameters`` and differentiable in them. A
        grey level is beyond [0, 1] in one of about 16,000.

    Raises
    ------
    TypeError, ValueError
        If ``parameters`` is not such a finite tensor, or ``size`` too small.

    Examples
    --------
    >>> disk_images(torch.tensor([[0.5, 0.5, 0.2, 0.0, 1.0]]), 8)[0, 0, 4].round(decimals=1)
    tensor([0.0000, 0.0000, 0.5000, 1.0000, 1.0000, 0.5000, 0.0000, 0.0000])
    """
    check_parameters(parameters, PARAMETERS)
    check_size(size)
    ground, disk = parameters[:, 3:, None, None, None].unbind(1)
    return ground + (disk - ground) * disk_masks(parameters[:, :3], size)


def disk_masks(geometry: Tensor, size: int) -> Tensor:
    """Share of the disk in each pixel, (n, 1, size, size), by centre and radius (n, 3)."""
    across, down, radius = _offsets(geometry, size)
    masks: Tensor = torch.special.ndtr((radius - torch.hypot(across, down)) * (size / EDGE))
    return masks


def disk_tangents(parameters: Tensor, size: int) -> Tensor:
    """Derivatives of disks by their five parameters: they span the tangent space (Figure 5).

    Parameters
    ----------
    parameters, size : Tensor, int
        As for :func:`disk_images`.

    Returns
    -------
    Tensor
        Derivative images by centre, radius and grey levels, (n, 5, 1, size, size);
        :func:`gahb.images.parameters.orthonormal` makes them an orthonormal basis.

    Raises
    ------
    TypeError, ValueError
        As :func:`disk_images` does.

    Examples
    --------
    >>> disk_tangents(disk_parameters(range(3)), size=16).shape
    torch.Size([3, 5, 1, 16, 16])
    """
    check_parameters(parameters, PARAMETERS)
    check_size(size)
    across, down, radius = _offsets(parameters[:, :3], size)
    # A pixel at the centre itself has no direction; so far within the disk none is needed.
    distance = torch.hypot(across, down).clamp(min=1e-9)
    steps = (radius - distance) * (size / EDGE)
    slope = torch.exp(-steps.square() / 2) * size / (EDGE * (2 * torch.pi) ** 0.5)
    contrast = (parameters[:, 4] - parameters[:, 3])[:, None, None, None]
    directions = across / distance, down / distance, torch.ones_like(distance)
    moved = [contrast * slope * direction for direction in directions]
    mask = torch.special.ndtr(steps)
    return torch.stack([*moved, 1 - mask, mask], dim=1)


def _offsets(geometry: Tensor, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Offsets of pixels from the centre, to the right and down, and the radius, to broadcast."""
    horizontal, vertical, radius = geometry[:, :, None, None, None].unbind(1)
    places = pixel_centres(size).to(geometry)
    return places - horizontal, places[:, None] - vertical, radius
