"""Sine waves of one frequency, of any phase and amplitude: a cone of two dimensions (Figure 20).

An image is a (1 + sin(2 pi (u + v) + phase)) / 2 at the point (u, v) of the unit square, one period
along either side. Without the constant, which keeps grey levels positive, the images would be a
plane; with it they are a cone, curved around its axis.

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
    "AMPLITUDE",
    "AMPLITUDE_DEVIATION",
    "draw_sines",
    "sine_images",
    "sine_parameters",
    "sine_tangents",
    "sine_waves",
]

AMPLITUDE, AMPLITUDE_DEVIATION = 0.5, 0.125
"""Mean and standard deviation of the amplitude, which is also the brightest grey level."""
PARAMETERS = 2


def draw_sines(indices: Sequence[int], size: int, subset: str, seed: int) -> Tensor:
    """Sine waves of the given indices, uint8 (len(indices), 1, size, size).

    Examples
    --------
    >>> draw_sines([7], size=16, subset="S1", seed=0).shape
    torch.Size([1, 1, 16, 16])
    """
    return grey_levels(sine_images(sine_parameters(indices, subset, seed), size))


def sine_parameters(indices: Sequence[int], subset: str = "S1", seed: int = 0) -> Tensor:
    """Phase and amplitude of the images of the given indices, (len(indices), 2) in float64.

    The phase is uniform in [0, 2 pi), the amplitude Gaussian.

    Raises
    ------
    TypeError, ValueError
        If an argument is unknown or out of range.

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
    """Sine waves before they are rounded to grey levels (Figure 20).

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

    Raises
    ------
    TypeError, ValueError
        If ``parameters`` is not such a finite tensor, or ``size`` too small.

    Examples
    --------
    >>> sine_images(torch.tensor([[0.0, 1.0]]), 8)[0, 0, 0].round(decimals=1)
    tensor([0.9000, 1.0000, 0.9000, 0.5000, 0.1000, 0.0000, 0.1000, 0.5000])
    """
    check_parameters(parameters, PARAMETERS)
    waves = sine_waves(size).to(parameters)
    phase, amplitude = parameters.unbind(1)
    shares = torch.stack([torch.ones_like(phase), phase.cos(), phase.sin()], dim=1)
    return torch.einsum("n,nk,kchw->nchw", amplitude, shares, waves)


def sine_tangents(parameters: Tensor, size: int) -> Tensor:
    """Derivatives of sine waves by phase and amplitude, (n, 2, 1, size, size).

    Raises
    ------
    TypeError, ValueError
        As :func:`sine_images` does.

    Examples
    --------
    >>> sine_tangents(sine_parameters(range(3)), size=16).shape
    torch.Size([3, 2, 1, 16, 16])
    """
    check_parameters(parameters, PARAMETERS)
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
    angles = 2 * torch.pi * pixel_centres(size)
    angle = angles + angles[:, None]
    return torch.stack([torch.ones_like(angle), angle.sin(), angle.cos()])[:, None] / 2
