r"""C-alpha images: two regular backgrounds that meet along a regular contour (Algorithm 2).

A contour, or a background, is white noise integrated alpha times: its frequencies are multiplied by
:math:`\omega^{-\alpha}` (Korostelev and Tsybakov, 1993). What Algorithm 2 leaves open is chosen as
follows. Frequencies are counted in periods per side, and the constant one is treated as the lowest.
The contour is drawn ``FINENESS`` times finer than the pixels, and a pixel that it crosses mixes the
two backgrounds by the areas on either side. One background fills the gray levels [u, 1], the other
[0, v], u and v uniform.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gahb.checks import check_count, check_number
from gahb.images.store import check_indices, check_stream, stream

Array = NDArray[np.float64]

FINENESS = 4  # points of the contour across a pixel
# Of the contour's lowest frequency, as a fraction of the side: the RMS modulus of its Fourier
# coefficient, which is half of its RMS amplitude.
EXCURSION = 1 / 16
BATCH = 8  # images drawn at a time: more leave the cache of a processor, and take longer


def draw_calpha(
    indices: Sequence[int], size: int, subset: str, seed: int, contour: float, background: float
) -> Tensor:
    """Return C-alpha images of the given indices, uint8 (len(indices), 1, size, size).

    Rounding to gray levels adds noise of its own, at 59 dB, which bends the PSNR curve of a
    denoiser that comes near: by 0.1 dB at 42 dB, by 0.5 dB at 50 dB.
    """
    images = calpha_images(indices, size, contour, background, subset, seed)
    return images.mul_(255).round_().byte()


def calpha_images(
    indices: Sequence[int],
    size: int,
    contour: float,
    background: float | None = None,
    subset: str = "S1",
    seed: int = 0,
) -> Tensor:
    """Return C-alpha images not rounded to gray levels (Algorithm 2, Figures 4, 16 to 18).

    With the same numbers, images of other regularities are the same scene: the same noise is
    integrated more or fewer times.

    They are in [0, 1], (len(indices), 1, size, size), float64. The regularity alpha of the
    ``contour``, in [0.5, 16], is by default also that of both backgrounds. Indices are from 0;
    size, subset and seed are as for :func:`gahb.images.load`.

    Examples
    --------
    >>> calpha_images(range(3), size=16, contour=1.5, background=8).shape
    torch.Size([3, 1, 16, 16])
    """
    background = contour if background is None else background
    check_indices(indices)
    check_count("size", size, minimum=8)
    check_number("contour", contour, low=0.5, high=16)
    check_number("background", background, low=0.5, high=16)
    check_stream(subset, seed)
    # The side of the brighter background, its range and the other's, the contour, the backgrounds.
    parts = (1, 2, FINENESS * size, 2 * size**2)
    images = np.empty((len(indices), 1, size, size))
    for batch in (slice(start, start + BATCH) for start in range(0, len(indices), BATCH)):
        uniform = [stream(seed, subset, i).random_sample(sum(parts)) for i in indices[batch]]
        side, ranges, line, planes = np.split(np.stack(uniform), np.cumsum(parts)[:-1], axis=1)
        share = shares_below(contours(line - 0.5, contour), size)
        share = np.where(side[..., None] < 0.5, share, 1 - share)
        noise = planes.reshape(-1, 2, size, size) - 0.5
        first, second = backgrounds(noise, background, ranges)
        images[batch, 0] = share * first + (1 - share) * second
    return torch.from_numpy(images)


def contours(noise: Array, alpha: float) -> Array:
    """Return heights of contours as fractions of the side: noise (m, k) integrated, (m, k)."""
    k = noise.shape[-1]
    frequencies = np.maximum(np.arange(k // 2 + 1), 1.0)
    integrated = np.fft.irfft(np.fft.rfft(noise) * frequencies**-alpha, n=k)
    # Uniform noise on an interval of length 1 has variance 1/12, its Fourier coefficients k/12.
    unit: Array = integrated * np.sqrt(12 * k)
    return 0.5 + EXCURSION * unit


def shares_below(heights: Array, size: int) -> Array:
    """Return the share of each pixel that lies below the contour, (m, size, size)."""
    points = heights.reshape(len(heights), 1, size, -1) * size
    edges = np.arange(size)[:, None]
    above = np.zeros((len(heights), size, size))
    for column in np.moveaxis(points, -1, 0):
        above += np.clip(column - edges, 0, 1)
    return 1 - above / points.shape[-1]


def backgrounds(noise: Array, alpha: float, ranges: Array) -> tuple[Array, Array]:
    """Return two backgrounds, (m, size, size) each: noise (m, 2, size, size) integrated.

    The first fills the gray levels [u, 1] and the second [0, v], where ``ranges`` (m, 2) are u, v.
    """
    size = noise.shape[-1]
    vertical, horizontal = np.fft.fftfreq(size, 1 / size), np.fft.rfftfreq(size, 1 / size)
    frequencies = np.maximum(np.hypot(vertical[:, None], horizontal), 1.0)
    integrated = np.fft.irfft2(np.fft.rfft2(noise) * frequencies**-alpha, s=(size, size))
    integrated -= integrated.min(axis=(2, 3), keepdims=True)
    unit = integrated / integrated.max(axis=(2, 3), keepdims=True)
    u, v = ranges[:, 0, None, None], ranges[:, 1, None, None]
    return u + (1 - u) * unit[:, 0], v * unit[:, 1]
