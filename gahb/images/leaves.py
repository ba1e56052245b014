"""Dead leaves: opaque discs falling on one another, the occlusions of photographs and no more.

Radii have density proportional to r^-3, which makes the images statistically the same at every
scale between the smallest and the largest leaf (Lee et al., 2001).
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gahb.images.store import stream

Array = NDArray[np.float64]
Indices = NDArray[np.int64]

SMALLEST, LARGEST = 1 / 16, 1.0  # radii in sides: the same scene is drawn at every size
DEPTH = 12  # mean number of leaves over a point: a share exp(-12) of the area shows the ground
FINENESS = 4  # side of the square of points whose average is a pixel


def draw_leaves(indices: Sequence[int], size: int, subset: str, seed: int) -> Tensor:
    """Return gray dead leaves of the given indices, uint8 (len(indices), 1, size, size)."""
    images = [_pixels(*_scene(stream(seed, subset, i)), size) for i in indices]
    return torch.from_numpy(np.stack(images)).unsqueeze(1)


def number_of_leaves() -> int:
    """Return the number of leaves for ``DEPTH`` of them over every point of the image."""
    mean_square = 2 * math.log(LARGEST / SMALLEST) / (SMALLEST**-2 - LARGEST**-2)
    return math.ceil(DEPTH * (1 + 2 * LARGEST) ** 2 / (math.pi * mean_square))


def _scene(random: np.random.RandomState) -> tuple[Array, Array, Array]:
    """Return centers (k, 2), radii (k,) and grays (k + 1,) from the top down, the ground last.

    Lengths are fractions of the side. Only leaves that may touch the image are returned.
    """
    n = number_of_leaves()
    centers = random.uniform(-LARGEST, 1 + LARGEST, size=(n, 2))
    u = random.uniform(size=n)
    radii = (u * SMALLEST**-2 + (1 - u) * LARGEST**-2) ** -0.5
    grays = random.uniform(size=n + 1)
    near = (np.abs(centers - 0.5) < 0.5 + radii[:, None]).all(axis=1)
    return centers[near], radii[near], grays[np.append(near, True)]


def _pixels(centers: Array, radii: Array, grays: Array, size: int) -> NDArray[np.uint8]:
    """Return the image of a scene, (size, size): the average gray of the points of a pixel."""
    side = size * FINENESS
    starts, lengths, leaf = _chords(centers * side, radii * side, side)
    # All points under all chords in one flat list: consecutive along each chord.
    before = np.cumsum(lengths) - lengths
    points = np.arange(lengths.sum()) + np.repeat(starts - before, lengths)
    top = np.full(side * side, len(radii))
    np.minimum.at(top, points, np.repeat(leaf, lengths))
    fine = grays[top].reshape(size, FINENESS, size, FINENESS)
    levels: Array = 255 * fine.mean(axis=(1, 3))
    return np.rint(levels).astype(np.uint8)


def _chords(centers: Array, radii: Array, side: int) -> tuple[Indices, Indices, Indices]:
    """Return runs of points that each disc covers in each row: first point, length, and disc."""
    first, last = _covered(centers[:, 0], radii, side)
    heights = last - first
    leaf = np.repeat(np.arange(len(radii)), heights)
    rows = np.arange(heights.sum()) + np.repeat(first - np.cumsum(heights) + heights, heights)
    offset = rows + 0.5 - centers[leaf, 0]
    half = np.sqrt(np.maximum(radii[leaf] ** 2 - offset**2, 0))
    start, stop = _covered(centers[leaf, 1], half, side)
    return rows * side + start, stop - start, leaf


def _covered(center: Array, half: Array, side: int) -> tuple[Indices, Indices]:
    """Return the range of the points j + 1/2, j in [0, side), within ``half`` of the center."""
    start = np.clip(np.ceil(center - half - 0.5), 0, side).astype(np.int64)
    stop = np.clip(np.floor(center + half + 0.5), 0, side).astype(np.int64)
    return start, np.maximum(stop, start)
