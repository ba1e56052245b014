"""Faces drawn from a small published generative adversarial network: nobody's, and any number.

The network is the generator of a DCGAN [1]_ trained on computer-rendered faces. It is evaluated in
double precision, so that an image rounded to uint8 is the same whatever the batch or the processor.

References
----------
.. [1] A. Radford, L. Metz, S. Chintala. Unsupervised representation learning with deep
   convolutional generative adversarial networks. ICLR 2016.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from gahb.images.store import face_weights, stream

__all__ = ["SIDE", "draw_faces"]

SIDE = 64
LATENT_SIZE = 100
BATCH = 32
GRAY = (0.299, 0.587, 0.114)
NORMALIZATION_FLOOR = 1e-5


class Layer(NamedTuple):
    """One transposed convolution, its normalization folded in."""

    kernels: Tensor
    bias: Tensor


@torch.no_grad()
def draw_faces(indices: Sequence[int], size: int, subset: str, seed: int) -> Tensor:
    """Gray faces of the given indices, uint8 (len(indices), 1, size, size).

    Examples
    --------
    >>> draw_faces([7], size=16, subset="S1", seed=0).shape
    torch.Size([1, 1, 16, 16])
    """
    layers = generator()
    batches = [indices[start : start + BATCH] for start in range(0, len(indices), BATCH)]
    return torch.cat([_draw_batch(layers, batch, size, subset, seed) for batch in batches])


def _draw_batch(
    layers: tuple[Layer, ...], indices: Sequence[int], size: int, subset: str, seed: int
) -> Tensor:
    latents = np.stack([stream(seed, subset, i).standard_normal(LATENT_SIZE) for i in indices])
    colors = (generate(layers, torch.from_numpy(latents)) + 1) / 2
    gray = torch.einsum("c,nchw->nhw", torch.tensor(GRAY, dtype=torch.float64), colors)
    average = averaging_matrix(SIDE, size)
    levels = (255 * (average @ gray @ average.T)).round().clamp(0, 255)
    return levels.to(torch.uint8).unsqueeze(1)


def generate(layers: tuple[Layer, ...], latents: Tensor) -> Tensor:
    """Color images (n, 3, 64, 64) in [-1, 1] of latent vectors (n, 100)."""
    first, *others = layers
    # On a single pixel, a transposed convolution is a matrix product, and much faster as one.
    x = torch.einsum("ni,iohw->nohw", latents, first.kernels) + first.bias[:, None, None]
    for layer in others:
        x = functional.conv_transpose2d(x.relu(), *layer, stride=2, padding=1)
    return x.tanh()


@cache
def generator() -> tuple[Layer, ...]:
    """The generator's five layers in double precision, from the input to the image."""
    weights = torch.load(face_weights(), map_location="cpu", weights_only=True)
    named = {key: w.double() for key, w in weights["netG_state_dict"].items()}
    hidden = [_folded(named, f"main.{i}", f"main.{i + 1}") for i in (0, 3, 6, 9)]
    last = named["main.12.weight"]
    return (*hidden, Layer(last, last.new_zeros(last.shape[1])))


def _folded(named: dict[str, Tensor], convolution: str, normalization: str) -> Layer:
    """Fold a normalization by running mean and deviation into the convolution before it."""
    variance = named[f"{normalization}.running_var"]
    scale = named[f"{normalization}.weight"] / (variance + NORMALIZATION_FLOOR).sqrt()
    bias = named[f"{normalization}.bias"] - scale * named[f"{normalization}.running_mean"]
    return Layer(named[f"{convolution}.weight"] * scale[:, None, None], bias)


def averaging_matrix(side: int, size: int) -> Tensor:
    """Averages of ``side`` pixels over the area of each of ``size`` larger ones, (size, side).

    Where ``size`` divides ``side`` this is average pooling; elsewhere the pixels under a border
    are shared in proportion to their overlap.

    Examples
    --------
    >>> averaging_matrix(3, 2) * 3
    tensor([[2., 1., 0.],
            [0., 1., 2.]], dtype=torch.float64)
    """
    borders = torch.arange(size + 1, dtype=torch.float64) * side / size
    pixels = torch.arange(side, dtype=torch.float64)
    start, stop = borders[:-1, None], borders[1:, None]
    overlap = torch.minimum(stop, pixels + 1) - torch.maximum(start, pixels)
    return overlap.clamp(min=0) * size / side
