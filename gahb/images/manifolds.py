"""Image classes of few parameters, with their tangent spaces: disks, a ray, sine waves.

Such a class is a smooth manifold of images. A gray level of it is Gaussian and four standard
deviations away from black and white: a denoiser can integrate it in closed form.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gahb.checks import check_count, check_finite, check_float
from gahb.images.faces import draw_faces
from gahb.images.store import check_indices, check_stream, stream

__all__ = [
    "AMPLITUDE",
    "AMPLITUDE_DEVIATION",
    "BRIGHTNESS",
    "BRIGHTNESS_DEVIATION",
    "CENTER",
    "GRAYS",
    "GRAY_DEVIATION",
    "RADIUS",
    "check_parameters",
    "check_size",
    "disk_images",
    "disk_masks",
    "disk_parameters",
    "disk_tangents",
    "draw_disks",
    "draw_parameters",
    "draw_ray",
    "draw_sines",
    "gray_levels",
    "orthonormal",
    "pixel_centers",
    "ray_face",
    "ray_images",
    "ray_parameters",
    "ray_tangents",
    "sine_images",
    "sine_parameters",
    "sine_tangents",
    "sine_waves",
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


def gray_levels(x: Tensor) -> Tensor:
    """Nearest of 256 gray levels to images (n, 1, H, W), uint8; what lies beyond is cut off."""
    return (255 * x).round().clamp(0, 255).byte()


def pixel_centers(size: int) -> Tensor:
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


# --- Disks: one on a plain ground, of any position, radius and two gray levels (Figure 5) ---


CENTER = (0.3, 0.7)
"""Range of either coordinate of the center, as fractions of the side."""
RADIUS = (0.125, 0.25)
"""Range of the radius, as fractions of the side."""
GRAYS = (0.25, 0.75)
"""Mean gray levels of ground and disk."""
GRAY_DEVIATION = 1 / 16
"""Standard deviation of either gray level."""
EDGE = 0.5
"""Standard deviation of the step across the contour, in pixels."""
DISK_PARAMETERS = 5


def draw_disks(indices: Sequence[int], size: int, subset: str, seed: int) -> Tensor:
    """Disks of the given indices, rounded to gray levels, uint8 (len(indices), 1, size, size).

    Rounding takes them off their manifold, by as much as noise at 59 dB does.

    Examples
    --------
    >>> draw_disks([7], size=16, subset="S1", seed=0).shape
    torch.Size([1, 1, 16, 16])
    """
    return gray_levels(disk_images(disk_parameters(indices, subset, seed), size))


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
        Center from the left, center from the top and radius, as fractions of the side, then the
        gray levels of ground and disk, (len(indices), 5) in float64.

    Examples
    --------
    >>> disk_parameters(range(3), "test").shape
    torch.Size([3, 5])
    """
    return draw_parameters(_one_disk, indices, subset, seed)


def _one_disk(random: np.random.RandomState) -> NDArray[np.float64]:
    center, radius = random.uniform(*CENTER, size=2), random.uniform(*RADIUS, size=1)
    return np.concatenate([center, radius, random.normal(GRAYS, GRAY_DEVIATION)])


def disk_images(parameters: Tensor, size: int) -> Tensor:
    """Disks before they are rounded to gray levels (Figure 5).

    Parameters
    ----------
    parameters : Tensor
        Center, radius and gray levels as :func:`disk_parameters` gives them, (n, 5).
    size : int
        Pixels a side, from 8.

    Returns
    -------
    Tensor
        Images, (n, 1, size, size), of the dtype of ``parameters`` and differentiable in them. A
        gray level is beyond [0, 1] in one of about 16,000.

    Examples
    --------
    >>> disk_images(torch.tensor([[0.5, 0.5, 0.2, 0.0, 1.0]]), 8)[0, 0, 4].round(decimals=1)
    tensor([0.0000, 0.0000, 0.5000, 1.0000, 1.0000, 0.5000, 0.0000, 0.0000])
    """
    check_parameters(parameters, DISK_PARAMETERS)
    check_size(size)
    ground, disk = parameters[:, 3:, None, None, None].unbind(1)
    return ground + (disk - ground) * disk_masks(parameters[:, :3], size)


def disk_masks(geometry: Tensor, size: int) -> Tensor:
    """Share of the disk in each pixel, (n, 1, size, size), by center and radius (n, 3)."""
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
        Derivative images by center, radius and gray levels, (n, 5, 1, size, size);
        :func:`gahb.images.manifolds.orthonormal` makes them an orthonormal basis.

    Examples
    --------
    >>> disk_tangents(disk_parameters(range(3)), size=16).shape
    torch.Size([3, 5, 1, 16, 16])
    """
    check_parameters(parameters, DISK_PARAMETERS)
    check_size(size)
    across, down, radius = _offsets(parameters[:, :3], size)
    # A pixel at the center itself has no direction; so far within the disk none is needed.
    distance = torch.hypot(across, down).clamp(min=1e-9)
    steps = (radius - distance) * (size / EDGE)
    slope = torch.exp(-steps.square() / 2) * size / (EDGE * (2 * torch.pi) ** 0.5)
    contrast = (parameters[:, 4] - parameters[:, 3])[:, None, None, None]
    directions = across / distance, down / distance, torch.ones_like(distance)
    moved = [contrast * slope * direction for direction in directions]
    mask = torch.special.ndtr(steps)
    return torch.stack([*moved, 1 - mask, mask], dim=1)


def _offsets(geometry: Tensor, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Offsets of pixels from the center, to the right and down, and the radius, to broadcast."""
    horizontal, vertical, radius = geometry[:, :, None, None, None].unbind(1)
    places = pixel_centers(size).to(geometry)
    return places - horizontal, places[:, None] - vertical, radius


# --- A ray: one face, more or less bright (Figure 19) ---


BRIGHTNESS, BRIGHTNESS_DEVIATION = 0.5, 0.125
"""Mean and standard deviation of the factor that multiplies the face."""


def draw_ray(indices: Sequence[int], size: int, subset: str, seed: int) -> Tensor:
    """The face at the brightness of the given indices, uint8 (len(indices), 1, size, size).

    Examples
    --------
    >>> draw_ray([7], size=16, subset="S1", seed=0).shape
    torch.Size([1, 1, 16, 16])
    """
    return gray_levels(ray_images(ray_parameters(indices, subset, seed), size))


def ray_parameters(indices: Sequence[int], subset: str = "S1", seed: int = 0) -> Tensor:
    """Factors s of the images s x of the given indices, (len(indices), 1) in float64.

    They are Gaussian. Subset and seed choose other factors; the face x is always the same.

    Examples
    --------
    >>> ray_parameters(range(3), "test").shape
    torch.Size([3, 1])
    """
    return draw_parameters(_one_factor, indices, subset, seed)


def _one_factor(random: np.random.RandomState) -> NDArray[np.float64]:
    return random.normal(BRIGHTNESS, BRIGHTNESS_DEVIATION, size=1)


def ray_images(parameters: Tensor, size: int) -> Tensor:
    """Multiples of the face before they are rounded to gray levels (Figure 19).

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

    Examples
    --------
    >>> ray_images(ray_parameters(range(3)), size=16).shape
    torch.Size([3, 1, 16, 16])
    """
    check_parameters(parameters, 1)
    return parameters[..., None, None] * ray_face(size).to(parameters)


def ray_tangents(parameters: Tensor, size: int) -> Tensor:
    """Derivatives of multiples of the face: the face itself, (n, 1, 1, size, size).

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


# --- Sine waves of one frequency ---


AMPLITUDE, AMPLITUDE_DEVIATION = 0.5, 0.125
"""Mean and standard deviation of the amplitude, which is also the brightest gray level."""
SINE_PARAMETERS = 2


def draw_sines(indices: Sequence[int], size: int, subset: str, seed: int) -> Tensor:
    """Sine waves of the given indices, uint8 (len(indices), 1, size, size).

    Examples
    --------
    >>> draw_sines([7], size=16, subset="S1", seed=0).shape
    torch.Size([1, 1, 16, 16])
    """
    return gray_levels(sine_images(sine_parameters(indices, subset, seed), size))


def sine_parameters(indices: Sequence[int], subset: str = "S1", seed: int = 0) -> Tensor:
    """Phase and amplitude of the images of the given indices, (len(indices), 2) in float64.

    The phase is uniform in [0, 2 pi), the amplitude Gaussian.

    Examples
    --------
    >>> sine_parameters(range(3), "test").shape
    torch.Size([3, 2])
    """
    return draw_parameters(_one_wave, indices, subset, seed)


def _one_wave(random: np.random.RandomState) -> NDArray[np.float64]:
    phase = random.uniform(0, 2 * np.pi)
    return np.array([phase, random.normal(AMPLITUDE, AMPLITUDE_DEVIATION)])


def sine_images(parameters: Tensor, size: int) -> Tensor:
    """Sine waves before they are rounded to gray levels (Figure 20).

    Parameters
    ----------
    parameters : Tensor
        Phase in radians and amplitude, (n, 2).
    size : int
        Pixels a side, from 8.

    Returns
    -------
    Tensor
        Images, (n, 1, size, size), of the dtype of ``parameters`` and differentiable in them.

    Examples
    --------
    >>> sine_images(torch.tensor([[0.0, 1.0]]), 8)[0, 0, 0].round(decimals=1)
    tensor([0.9000, 1.0000, 0.9000, 0.5000, 0.1000, 0.0000, 0.1000, 0.5000])
    """
    check_parameters(parameters, SINE_PARAMETERS)
    waves = sine_waves(size).to(parameters)
    phase, amplitude = parameters.unbind(1)
    shares = torch.stack([torch.ones_like(phase), phase.cos(), phase.sin()], dim=1)
    return torch.einsum("n,nk,kchw->nchw", amplitude, shares, waves)


def sine_tangents(parameters: Tensor, size: int) -> Tensor:
    """Derivatives of sine waves by phase and amplitude, (n, 2, 1, size, size).

    Examples
    --------
    >>> sine_tangents(sine_parameters(range(3)), size=16).shape
    torch.Size([3, 2, 1, 16, 16])
    """
    check_parameters(parameters, SINE_PARAMETERS)
    phase, amplitude = parameters.unbind(1)
    ones = torch.ones_like(amplitude)
    # A quarter of a period further, sine waves are their own derivatives, but for the constant.
    quarter = torch.stack([phase + torch.pi / 2, amplitude], dim=1)
    constant = amplitude[:, None, None, None] * sine_waves(size)[0].to(parameters)
    by_phase = sine_images(quarter, size) - constant
    by_amplitude = sine_images(torch.stack([phase, ones], dim=1), size)
    return torch.stack([by_phase, by_amplitude], dim=1)


def sine_waves(size: int) -> Tensor:
    """The constant, the sine and the cosine whose sums are all images, (3, 1, size, size)."""
    check_size(size)
    angles = 2 * torch.pi * pixel_centers(size)
    angle = angles + angles[:, None]
    return torch.stack([torch.ones_like(angle), angle.sin(), angle.cos()])[:, None] / 2
