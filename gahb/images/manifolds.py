r"""Image distributions of few parameters, with their tangent spaces: disks, a ray, sine waves.

Each is a smooth manifold of images :math:`x(\theta)`. Gray levels in :math:`\theta` are Gaussian,
four standard deviations from black and white: a denoiser can integrate them in closed form.
"""

from collections.abc import Callable, Sequence
from functools import cache
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.functional import jvp

from gahb.checks import check_choice, check_count, check_shape
from gahb.images.faces import draw_faces
from gahb.images.store import check_indices, check_stream, stream

SMALLEST_SIDE = 8


def tangents(images: Callable[[Tensor, int], Tensor], parameters: Tensor, size: int) -> Tensor:
    r"""Return the derivatives :math:`\partial x / \partial \theta_j` of images (Figure 5).

    Parameters (n, k) give tangent vectors (n, k, 1, size, size), which :func:`orthonormal` makes
    orthonormal; ``images(parameters, size)`` is differentiable, such as :func:`disk_images`.

    Examples
    --------
    >>> tangents(disk_images, disk_parameters(range(3)), size=16).shape
    torch.Size([3, 5, 1, 16, 16])
    """
    images(parameters, size)  # refuses bad arguments before anything is derived
    axes = torch.eye(parameters.shape[1]).to(parameters)
    moved = [jvp(lambda p: images(p, size), parameters, e.expand_as(parameters))[1] for e in axes]
    return torch.stack(moved, dim=1)


def orthonormal(tangents: Tensor) -> Tensor:
    """Return orthonormal bases of the spaces that tangent vectors span (Figure 5).

    Linearly independent derivatives (n, k, C, H, W) of n images by each of k parameters give bases
    of this shape: the first j vectors span what the first j tangents do.

    Examples
    --------
    >>> basis = orthonormal(torch.rand(2, 3, 1, 8, 8)).flatten(2)
    >>> torch.allclose(basis @ basis.mT, torch.eye(3), atol=1e-5)
    True
    """
    accepted = "a float tensor of shape (n, k, C, H, W), k at most C H W"
    check_shape("tangents", tangents, accepted, lambda s: len(s) == 5 and s[1] <= prod(s[2:]))
    basis, triangle = torch.linalg.qr(tangents.flatten(2).mT)
    # Signs are free in QR: each vector is to point to the side of its tangent.
    signs = triangle.diagonal(dim1=1, dim2=2).sign()[:, None]
    vectors: Tensor = (basis * signs).mT
    return vectors.reshape(tangents.shape)


def _sampled(
    draw: Callable[[np.random.RandomState], Sequence[float]],
    indices: Sequence[int],
    subset: str,
    seed: int,
) -> Tensor:
    """Return the k parameters that ``draw`` gives for each index, (len(indices), k) in float64."""
    check_indices(indices)
    check_stream(subset, seed)
    return torch.tensor([draw(stream(seed, subset, i)) for i in indices], dtype=torch.float64)


def _drawn(
    parameters: Callable[[Sequence[int], str, int], Tensor], images: Callable[[Tensor, int], Tensor]
) -> Callable[[Sequence[int], int, str, int], Tensor]:
    """Return the function that draws images of given indices, uint8 (len(indices), 1, size, size).

    Rounding to gray levels takes them off their manifold, by as much as noise at 59 dB does.
    """

    def draw(indices: Sequence[int], size: int, subset: str, seed: int) -> Tensor:
        levels = 255 * images(parameters(indices, subset, seed), size)
        return levels.round().clamp(0, 255).byte()

    return draw


def _pixel_centers(size: int) -> Tensor:
    """Return the positions of the pixels of a row or a column as fractions of the side, (size,)."""
    check_count("size", size, SMALLEST_SIDE)
    return (torch.arange(size, dtype=torch.float64) + 0.5) / size


def _check_parameters(parameters: Any, count: int) -> None:
    accepted = f"a float tensor of shape (n, {count})"
    check_shape("parameters", parameters, accepted, lambda s: len(s) == 2 and s[1] == count)


# --- Disks: one on a plain ground, of any position, radius and two gray levels (Figure 5) ---

CENTER = (0.3, 0.7)  # range of either coordinate, as fractions of the side
RADIUS = (0.125, 0.25)  # range, as fractions of the side
GRAYS = (0.25, 0.75)  # mean gray levels of ground and disk
GRAY_DEVIATION = 1 / 16  # standard deviation of either
EDGE = 0.5  # standard deviation of the step across the contour, in pixels


def disk_parameters(indices: Sequence[int], subset: str = "S1", seed: int = 0) -> Tensor:
    """Return the parameters of the disks of the given indices, (len(indices), 5) in float64.

    Center from the left, center from the top and radius, as fractions of the side, then the gray
    levels of ground and disk. Subset and seed are those of :func:`gahb.images.load`.

    Examples
    --------
    >>> disk_parameters(range(3), "test").shape
    torch.Size([3, 5])
    """

    def one(random: np.random.RandomState) -> list[float]:
        center, radius = random.uniform(*CENTER, size=2), random.uniform(*RADIUS)
        return [*center, radius, *random.normal(GRAYS, GRAY_DEVIATION)]

    return _sampled(one, indices, subset, seed)


def disk_images(parameters: Tensor, size: int) -> Tensor:
    r"""Return disks before they are rounded to gray levels (Figure 5).

    At distance :math:`\rho` (in sides) from the center of a disk of radius r the image is
    :math:`g + (d - g) \, \Phi((r - \rho) \, \text{size} / \text{EDGE})`, with ground g and disk d.

    Parameters (n, 5) as :func:`disk_parameters` gives them make images (n, 1, size, size) of their
    dtype, differentiable in them. A gray level is beyond [0, 1] in one of about 16,000.

    Examples
    --------
    >>> disk_images(torch.tensor([[0.5, 0.5, 0.2, 0.0, 1.0]]), 8)[0, 0, 4].round(decimals=1)
    tensor([0.0000, 0.0000, 0.5000, 1.0000, 1.0000, 0.5000, 0.0000, 0.0000])
    """
    _check_parameters(parameters, 5)
    ground, disk = parameters[:, 3:, None, None, None].unbind(1)
    return ground + (disk - ground) * disk_masks(parameters[:, :3], size)


def disk_masks(geometry: Tensor, size: int) -> Tensor:
    """Return the share of the disk in each pixel, (n, 1, size, size), by geometry (n, 3)."""
    horizontal, vertical, radius = geometry[:, :, None, None, None].unbind(1)
    places = _pixel_centers(size).to(geometry)
    across, down = places - horizontal, places[:, None] - vertical
    # A pixel at the center itself has no direction, and so far within the disk needs none.
    distinct = (across != 0) | (down != 0)
    distance = torch.hypot(across, down.where(distinct, torch.finfo(geometry.dtype).tiny))
    masks: Tensor = torch.special.ndtr((radius - distance) * (size / EDGE))
    return masks


# --- A ray: one face, more or less bright (Figure 19) ---

BRIGHTNESS, BRIGHTNESS_DEVIATION = 0.5, 0.125  # of the factor that multiplies the face


def ray_parameters(indices: Sequence[int], subset: str = "S1", seed: int = 0) -> Tensor:
    """Return the Gaussian factors s of the images s x, (len(indices), 1) in float64.

    Subset and seed choose other factors; the face x is always the same.
    """
    return _sampled(
        lambda random: [random.normal(BRIGHTNESS, BRIGHTNESS_DEVIATION)], indices, subset, seed
    )


def ray_images(parameters: Tensor, size: int) -> Tensor:
    """Return multiples of the face before they are rounded to gray levels (Figure 19).

    Factors (n, 1) give images (n, 1, size, size) of their dtype, linear in them. Beyond 64 pixels
    per side the face is magnified.

    Examples
    --------
    >>> ray_images(ray_parameters(range(3)), size=16).shape
    torch.Size([3, 1, 16, 16])
    """
    _check_parameters(parameters, 1)
    return parameters[..., None, None] * ray_face(size).to(parameters)


@cache
def ray_face(size: int) -> Tensor:
    """Return the face x whose multiples are the images, (1, 1, size, size) in float64."""
    check_count("size", size, SMALLEST_SIDE)
    return draw_faces([0], size, "S1", 0).double() / 255


# --- Sine waves of one frequency (Figure 20) ---

AMPLITUDE, AMPLITUDE_DEVIATION = 0.5, 0.125  # of the amplitude, also the brightest gray level


def sine_parameters(indices: Sequence[int], subset: str = "S1", seed: int = 0) -> Tensor:
    """Return phase, uniform in [0, 2 pi), and Gaussian amplitude, (len(indices), 2) in float64."""

    def one(random: np.random.RandomState) -> list[float]:
        return [random.uniform(0, 2 * np.pi), random.normal(AMPLITUDE, AMPLITUDE_DEVIATION)]

    return _sampled(one, indices, subset, seed)


def sine_images(parameters: Tensor, size: int) -> Tensor:
    r"""Return sine waves before they are rounded to gray levels (Figure 20).

    With phase :math:`\varphi` and amplitude a, the image at (u, v) in the unit square is
    :math:`a \, (1 + \sin(2 \pi (u + v) + \varphi)) / 2`. Phases in radians and amplitudes, (n, 2),
    give images (n, 1, size, size) of their dtype, differentiable in them.

    Examples
    --------
    >>> sine_images(torch.tensor([[0.0, 1.0]]), 8)[0, 0, 0].round(decimals=1)
    tensor([0.9000, 1.0000, 0.9000, 0.5000, 0.1000, 0.0000, 0.1000, 0.5000])
    """
    _check_parameters(parameters, 2)
    phase, amplitude = parameters.unbind(1)
    shares = torch.stack([torch.ones_like(phase), phase.cos(), phase.sin()], dim=1)
    return torch.einsum("n,nk,kchw->nchw", amplitude, shares, sine_waves(size).to(parameters))


def sine_waves(size: int) -> Tensor:
    """Return the constant, the sine and the cosine that span all images, (3, 1, size, size)."""
    angles = 2 * torch.pi * _pixel_centers(size)
    angle = angles + angles[:, None]
    return torch.stack([torch.ones_like(angle), angle.sin(), angle.cos()])[:, None] / 2


# --- All of them ---

MANIFOLDS: dict[str, tuple[Callable[..., Tensor], Callable[[Tensor, int], Tensor]]] = {
    "disks": (disk_parameters, disk_images),
    "ray": (ray_parameters, ray_images),
    "sines": (sine_parameters, sine_images),
}
DRAW = {name: _drawn(*functions) for name, functions in MANIFOLDS.items()}


def with_tangent_spaces(
    name: str, n: int, size: int, subset: str = "test", seed: int = 0
) -> tuple[Tensor, Tensor]:
    """Return images of a manifold and orthonormal bases of their tangent spaces (Figure 5).

    Of ``disks``, ``ray`` or ``sines``, the first ``n`` images (n, 1, size, size) before they are
    rounded to gray levels, and the bases (n, k, 1, size, size), both in float32.

    Examples
    --------
    >>> images, spaces = with_tangent_spaces("sines", 3, size=16)
    >>> spaces.shape
    torch.Size([3, 2, 1, 16, 16])
    """
    check_choice("name", name, MANIFOLDS)
    check_count("n", n)
    parameters, images = MANIFOLDS[name]
    at = parameters(range(n), subset, seed)
    return images(at, size).float(), orthonormal(tangents(images, at, size)).float()
