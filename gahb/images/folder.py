"""A user's own pictures: files of a folder or .zip, read, and parted into three subsets."""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor
from tqdm.auto import tqdm

from gahb.images.duplicates import remove_duplicates
from gahb.images.store import SUBSETS, random_numbers, read_images, write_images
from gahb.settings import cache_folder, quiet

__all__ = [
    "File",
    "UnreadableError",
    "counted",
    "decoded",
    "first_images",
    "opened",
    "pictures",
    "read_folder",
    "read_pictures",
    "state_of",
]

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
SHARE = 0.45  # of the distinct images in S1, and as many in S2; the rest is the test subset
MANY = 1000  # files from which reading them shows its progress
LARGEST_FILE = 2**28  # bytes of a picture: what a small .zip file can blow up to has no end
KEPT = 16  # sets of pictures in the cache: those of folders that are gone would stay for ever


def read_folder(
    path: Path, n: int | None, size: int, subset: str, seed: int, channels: int = 1
) -> Tensor:
    """Return the first ``n`` images, or all, of a subset of pictures, uint8 (n, C, size, size).

    Pictures are taken in the order of their names, subfolders included. Near-duplicates (centered
    cosine above 0.95) are removed first; then a permutation fixed by the seed splits the others
    into S1 (45%), S2 (45%) and test (10%), so that no image is in two subsets.
    """
    with opened(path) as files:
        found = pictures(path, files)
        look = f"{size}" if channels == 1 else f"{size}-color"
        kept = cache_folder() / "images" / f"folder-v1-{look}-{state_of(path, found)}.safetensors"
        images = read_images(kept)
        if images is None:
            images = remove_duplicates(_all_of(path, found, size, channels))
            write_images(kept, images)
            with suppress(FileNotFoundError):  # another process removes them
                for old in sorted(kept.parent.glob("folder-*"), key=os.path.getmtime)[:-KEPT]:
                    old.unlink()
    return first_images(path, images, split(len(images), seed)[subset], n, subset)


def read_pictures(path: Path, size: int | None = None, channels: int = 1) -> Tensor:
    """Return all pictures of a folder or .zip file, as they are, uint8 (n, C, size, size).

    They are in the order of their names; the size is by default that of the first.
    """
    with opened(path) as files:
        found = pictures(path, files)
        if size is None:
            size = min(decoded(found[0].name, found[0].read(), _gray).size)
        return _all_of(path, found, size, channels)


def _all_of(path: Path, files: list[File], size: int, channels: int) -> Tensor:
    read = (read_picture(file.name, file.read(), size, channels) for file in counted(path, files))
    images = np.stack([np.atleast_3d(image) for image in read])
    return torch.from_numpy(images).movedim(3, 1).contiguous()


def split(count: int, seed: int) -> dict[str, Tensor]:
    """Return the indices of the images of each subset, out of ``count``.

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
    """Return the first ``n``, or all, of the images whose indices were chosen for a subset."""
    if n is not None and n > len(chosen):
        raise ValueError(
            f"n: {n} is more than the {len(chosen)} images of subset {subset}"
            f" ({path} has {len(images)} distinct ones)"
        )
    if not len(chosen):
        raise ValueError(f"path: {path} has {len(images)} distinct images, none for {subset}")
    return images[chosen[:n]]


# --- Files of a folder or .zip ---


class File(NamedTuple):
    """A file: its name, what tells that it has changed, and how to read it."""

    name: str
    stamp: str
    read: Callable[[], bytes]


@contextmanager
def opened(path: Path) -> Iterator[list[File]]:
    """Yield all files of a folder or .zip file, by name, readable inside the block."""
    if path.is_dir():
        yield sorted(_files_of_folder(path), key=lambda file: file.name)
    elif not path.exists():
        raise FileNotFoundError(f"path: there is nothing at {path}")
    elif not zipfile.is_zipfile(path):
        raise ValueError(f"path: {path} is neither a folder nor a .zip file")
    else:
        with zipfile.ZipFile(path) as archive:
            yield sorted(_files_of_archive(archive), key=lambda file: file.name)


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
            yield File(entry.filename, stamp, partial(_member, archive, entry))


def _member(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    """Return the content of a file in an archive, or raise UnreadableError."""
    if entry.file_size > LARGEST_FILE:
        given = f"{entry.file_size:,} bytes; accepted: at most {LARGEST_FILE:,}"
        raise UnreadableError(f"path: the image {entry.filename} has {given}")
    try:
        return archive.read(entry)
    except Exception as error:  # of zipfile, of what unpacks, of a file that is encrypted
        raise UnreadableError(
            f"path: the image {entry.filename} cannot be read: {error}"
        ) from error


def pictures(path: Path, files: Sequence[File]) -> list[File]:
    """Return the pictures among the files at ``path``."""
    found = [file for file in files if _is_picture(PurePosixPath(file.name))]
    if not found:
        raise ValueError(f"path: {path} has no images; accepted: {', '.join(SUFFIXES)}")
    return found


def _is_picture(name: PurePosixPath) -> bool:
    """Whether a name is a picture's, and not one that a file manager hides (``._a.png``)."""
    parts = [part for part in name.parts if part not in (".", "..")]
    hidden = any(part.startswith((".", "__MACOSX")) for part in parts)
    return name.suffix.lower() in SUFFIXES and not hidden


def state_of(path: Path, files: Sequence[File]) -> str:
    """Return a digest of a place and of its files' names and stamps, which a change changes."""
    stamps = "\n".join(f"{file.name}\t{file.stamp}" for file in files)
    return hashlib.sha256(f"{path.resolve()}\n{stamps}".encode()).hexdigest()[:24]


def counted(path: Path, files: list[File]) -> Iterable[File]:
    """Yield the files one by one, with a bar that shows the progress if they are many."""
    return tqdm(files, desc=path.name, unit="image", disable=quiet() or len(files) < MANY)


# --- One picture file made into one clean image ---


class UnreadableError(ValueError):
    """A picture file cannot be decoded."""


def read_picture(name: str, content: bytes, size: int, channels: int = 1) -> NDArray[np.uint8]:
    """Return the center square of a picture, pixels averaged by area, (size, size) or with RGB."""
    image = decoded(name, content, _gray if channels == 1 else _color)
    side = min(image.size)
    if side < size:
        raise ValueError(
            f"size: {size} is more than the image {name} has, {image.width}x{image.height} pixels"
        )
    left, upper = (image.width - side) // 2, (image.height - side) // 2
    square = (left, upper, left + side, upper + side)
    return np.asarray(image.resize((size, size), Image.Resampling.BOX, box=square))


def decoded(
    name: str, content: bytes, convert: Callable[[Image.Image], Image.Image]
) -> Image.Image:
    """Return the picture of a file, upright and converted, or raise UnreadableError."""
    try:
        with Image.open(BytesIO(content)) as image:
            return convert(ImageOps.exif_transpose(image))
    except Exception as error:  # Decoders meet damaged files with errors of nearly every type.
        reason = str(error) or type(error).__name__
        raise UnreadableError(f"path: the image {name} cannot be read: {reason}") from error


def _gray(image: Image.Image, mode: str = "L") -> Image.Image:
    """Return gray levels 0..255, also of 16 bits; what is transparent shows white."""
    if image.mode.startswith("I;16"):
        levels = np.asarray(image).astype(np.float64)
        image = Image.fromarray(np.rint(levels / 257).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ValueError(f"its mode {image.mode} has no fixed range of gray levels")
    if image.has_transparency_data:
        paper = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(paper, image.convert("RGBA"))
    return image.convert(mode)


def _color(image: Image.Image) -> Image.Image:
    """Return the same for red, green and blue."""
    return _gray(image, "RGB")
