"""A user's own images, from a folder or a .zip file, without near-duplicates and in three subsets.

floor: 1
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from gahb.images.cache import read_images, write_images
from gahb.images.duplicates import remove_duplicates
from gahb.images.files import File, opened, pictures, state_of
from gahb.images.pictures import read_picture
from gahb.images.streams import SUBSETS, random_numbers
from gahb.settings import cache_folder, quiet

__all__ = ["counted", "first_images", "read_folder"]

SHARE = 0.45
"""Share of the distinct images in S1, and as large a one in S2; the rest is the test subset."""
MANY = 1000
"""Number of files from which reading them shows its progress."""


def read_folder(path: Path, n: int | None, size: int, subset: str, seed: int) -> Tensor:
    """First ``n`` images, or all, of a subset of the pictures at ``path``, uint8 (n, 1, H, W).

    Pictures are taken in the order of their names, subfolders included. Near-duplicates (centred
    cosine above 0.95) are removed first; then a permutation fixed by the seed splits the others
    into S1 (45%), S2 (45%) and test (10%), so that no image is in two subsets.

    Raises
    ------
    FileNotFoundError
        If there is nothing at ``path``.
    ValueError
        If it is neither a folder nor a .zip file, has no pictures, one of them cannot be read or
        is smaller than ``size``, or the subset has fewer than ``n``.
    """
    images = _distinct_pictures(path, size)
    return first_images(path, images, split(len(images), seed)[subset], n, subset)


def split(count: int, seed: int) -> dict[str, Tensor]:
    """Indices of the images of each subset, out of ``count``.

    Examples
    --------
    >>> {subset: len(indices) for subset, indices in split(100, seed=0).items()}
    {'S1': 45, 'S2': 45, 'test': 10}
    """
    order = random_numbers(seed).permutation(count)
    half = int(SHARE * count)
    parts = np.split(order, [half, 2 * half])
    return {subset: torch.from_numpy(part) for subset, part in zip(SUBSETS, parts, strict=True)}


def first_images(path: Path, images: Tensor, chosen: Tensor, n: int | None, subset: str) -> Tensor:
    """First ``n``, or all, of the images (m, 1, H, W) whose indices were chosen for a subset.

    Raises
    ------
    ValueError
        If there are fewer than ``n``.
    """
    if n is not None and n > len(chosen):
        raise ValueError(
            f"n: {n} is more than the {len(chosen)} images of subset {subset}"
            f" ({path} has {len(images)} distinct ones)"
        )
    return images[chosen[:n]]


def _distinct_pictures(path: Path, size: int) -> Tensor:
    """All pictures at ``path`` but near-duplicates, uint8 (m, 1, size, size), kept in the cache."""
    with opened(path) as files:
        found = pictures(path, files)
        kept = cache_folder() / "images" / f"folder-v1-{size}-{state_of(path, found)}.safetensors"
        images = read_images(kept)
        if images is None:
            read = [read_picture(file.name, file.read(), size) for file in counted(path, found)]
            images = remove_duplicates(torch.from_numpy(np.stack(read)).unsqueeze(1))
            write_images(kept, images)
    return images


def counted(path: Path, files: list[File]) -> Iterable[File]:
    """The files one by one, with a bar that shows the progress if they are many."""
    return tqdm(files, desc=path.name, unit="image", disable=quiet() or len(files) < MANY)
