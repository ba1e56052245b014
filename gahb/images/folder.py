"""A user's own images, from a folder or a .zip file, without near-duplicates and in three subsets.

floor: 1
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from gahb.images.cache import read_images, write_images
from gahb.images.duplicates import remove_duplicates
from gahb.images.pictures import SUFFIXES, read_picture
from gahb.images.streams import SUBSETS
from gahb.settings import cache_folder, quiet

__all__ = ["read_folder"]

SHARE = 0.45
"""Share of the distinct images in S1, and as large a one in S2; the rest is the test subset."""
MANY = 1000
"""Number of files from which reading them shows its progress."""


class File(NamedTuple):
    """A picture file: its name, what tells that it has changed, and how to read it."""

    name: str
    stamp: str
    read: Callable[[], bytes]


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
    chosen = split(len(images), seed)[subset]
    if n is not None and n > len(chosen):
        raise ValueError(
            f"n: {n} is more than the {len(chosen)} images of subset {subset}"
            f" ({path} has {len(images)} distinct ones)"
        )
    return images[chosen[:n]]


def split(count: int, seed: int) -> dict[str, Tensor]:
    """Indices of the images of each subset, out of ``count``.

    Examples
    --------
    >>> {subset: len(indices) for subset, indices in split(100, seed=0).items()}
    {'S1': 45, 'S2': 45, 'test': 10}
    """
    order = np.random.RandomState(np.random.Philox(seed)).permutation(count)
    half = int(SHARE * count)
    parts = np.split(order, [half, 2 * half])
    return {subset: torch.from_numpy(part) for subset, part in zip(SUBSETS, parts, strict=True)}


def _distinct_pictures(path: Path, size: int) -> Tensor:
    """All pictures at ``path`` but near-duplicates, uint8 (m, 1, size, size), kept in the cache."""
    with _opened(path) as files:
        stamps = "\n".join(f"{file.name}\t{file.stamp}" for file in files)
        key = hashlib.sha256(f"{path.resolve()}\n{stamps}".encode()).hexdigest()[:24]
        kept = cache_folder() / "images" / f"folder-v1-{size}-{key}.safetensors"
        images = read_images(kept)
        if images is None:
            hidden = quiet() or len(files) < MANY
            bar = tqdm(files, desc=path.name, unit="image", disable=hidden)
            pictures = np.stack([read_picture(file.name, file.read(), size) for file in bar])
            images = remove_duplicates(torch.from_numpy(pictures).unsqueeze(1))
            write_images(kept, images)
    return images


@contextmanager
def _opened(path: Path) -> Iterator[list[File]]:
    """Picture files at ``path`` in the order of their names, readable inside the block."""
    if path.is_dir():
        yield _pictures(path, _files_of_folder(path))
    elif not path.exists():
        raise FileNotFoundError(f"path: there is nothing at {path}")
    elif not zipfile.is_zipfile(path):
        raise ValueError(f"path: {path} is neither a folder nor a .zip file")
    else:
        with zipfile.ZipFile(path) as archive:
            yield _pictures(path, _files_of_archive(archive))


def _files_of_folder(path: Path) -> Iterator[File]:
    for file in path.rglob("*"):
        if file.is_file():
            status = file.stat()
            stamp = f"{status.st_size} {status.st_mtime_ns}"
            yield File(file.relative_to(path).as_posix(), stamp, file.read_bytes)


def _files_of_archive(archive: zipfile.ZipFile) -> Iterator[File]:
    for entry in archive.infolist():
        if not entry.is_dir():
            stamp = f"{entry.file_size} {entry.CRC}"
            yield File(entry.filename, stamp, partial(archive.read, entry))


def _pictures(path: Path, files: Iterator[File]) -> list[File]:
    found = sorted((file for file in files if _is_picture(file.name)), key=lambda file: file.name)
    if not found:
        raise ValueError(f"path: {path} has no images; accepted: {', '.join(SUFFIXES)}")
    return found


def _is_picture(name: str) -> bool:
    """Whether a name is a picture's, and not one that a file manager hides (``._a.png``)."""
    parts = PurePosixPath(name)
    hidden = any(part.startswith((".", "__MACOSX")) for part in parts.parts)
    return parts.suffix.lower() in SUFFIXES and not hidden
