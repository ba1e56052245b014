"""A user's own pictures: files of a folder or .zip, read, and parted into three subsets."""

import hashlib
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

from gahb.images.duplicates import DUPLICATES, distinct_images
from gahb.images.files import File, UnreadableError, counted, opened, others, pictures, state_of
from gahb.images.store import (
    SUBSETS,
    averaged,
    cached_if_possible,
    read_tensors,
    write_tensors,
)
from gahb.settings import cache_folder, quiet

SHARE = 0.45  # of the distinct images in S1, and as many in S2; the rest is the test subset
USABLE = 0.5  # share of the pictures that must be: else something is wrong with all of them
NAMED = 3  # pictures that are left out and named, rather than counted
SETS_KEPT = 16  # sets of pictures in the cache: those of folders that are gone would stay for ever
SIXTEEN_BITS = ("PNG", "PPM")  # formats of which Pillow may give 16 bits as 32
# Folders that say which subset their pictures are for; "train" is for S1 and S2.
PARTS = {"train": "train", "s1": "S1", "s2": "S2"}
PARTS |= dict.fromkeys(("test", "val", "valid", "validation"), "test")


class Pictures(NamedTuple):
    """Distinct pictures of a folder: images, file names, SHA-256 of the files, and their parts."""

    images: Tensor  # (m, C, size, size) uint8
    names: list[str]
    digests: Tensor  # (m, 32) uint8
    parts: list[str]  # S1, S2, test or train, by the folder they are in; empty where none says


def read_folder(
    path: Path,
    n: int | None,
    size: int,
    subset: str,
    seed: int,
    channels: int = 1,
    duplicates: float = DUPLICATES,
) -> Tensor:
    """Return the first ``n`` images, or all, of a subset of pictures, uint8 (n, C, size, size).

    Where folders say so, S1/ and S2/ or train/ and val/ or test/, a picture is in that subset, or
    in one of S1 and S2. Otherwise a hash of its file and the seed puts it into S1 (45%), S2 (45%)
    or test (10%): more pictures move none. S1 and S2 so dealt are cut to the size of the smaller,
    since models are compared that saw equally many. Of near-duplicates, whose centered cosine is
    above ``duplicates``, the first stays, by name, wherever it is: those of test come last.
    """
    found = _distinct(path, size, channels, duplicates)
    return first_images(path, found.images, split(found, seed)[subset], n, subset)


def file_names(
    path: str | Path, size: int, seed: int = 0, channels: int = 1, duplicates: float = DUPLICATES
) -> dict[str, list[str]]:
    """Return the names of the files that are in each subset of ``load("folder", ...)``, in order.

    Arguments are those of :func:`load`, since near-duplicates depend on the size. Files that are in
    no subset are near-duplicates, could not be used, or would make one half the larger.

    Examples
    --------
    >>> import csv, tempfile
    >>> from PIL import Image
    >>> folder = Path(tempfile.mkdtemp())
    >>> for i in range(3):
    ...     Image.effect_noise((8, 8), 50 + i).save(folder / f"{i}.png")
    >>> names = file_names(folder, size=8)
    >>> len(names["S1"]) == len(names["S2"])
    True
    >>> rows = ((name, subset) for subset in names for name in names[subset])
    >>> with open(folder / "subsets.csv", "w", newline="") as file:
    ...     csv.writer(file).writerows(rows)
    """
    found = _distinct(Path(path).expanduser(), size, channels, duplicates)
    chosen = split(found, seed)
    return {subset: [found.names[i] for i in chosen[subset]] for subset in SUBSETS}


def read_pictures(path: str | Path, size: int | None = None, channels: int = 1) -> Tensor:
    """Return all pictures of a folder or .zip file, as they are, uint8 (n, C, size, size).

    They are in the order of their names; the size is by default that of the first.
    """
    path = Path(path).expanduser()
    with opened(path) as files:
        found = pictures(path, files)
        if size is None:
            size = min(decoded(found[0].name, found[0].read(), _gray).size)
        return _read(path, found, size, channels, usable=1)[0]


def split(found: Pictures, seed: int) -> dict[str, Tensor]:
    """Return the indices of the images of each subset, as many for S1 as for S2 if dealt out."""
    drawn = [
        hashlib.sha256(f"{seed} ".encode() + each.tobytes()).digest()
        for each in found.digests.numpy()
    ]
    chosen: dict[str, list[int]] = {subset: [] for subset in SUBSETS}
    for i in sorted(range(len(drawn)), key=lambda i: drawn[i]):
        u = int.from_bytes(drawn[i][:8]) / 2**64  # uniform on [0, 1)
        dealt = min(int(u / (0.5 if found.parts[i] == "train" else SHARE)), 2)
        chosen[found.parts[i] if found.parts[i] in SUBSETS else SUBSETS[dealt]].append(i)
    if "S1" not in found.parts:
        half = min(len(chosen["S1"]), len(chosen["S2"]))
        chosen |= {subset: chosen[subset][:half] for subset in ("S1", "S2")}
    return {subset: torch.tensor(indices, dtype=torch.long) for subset, indices in chosen.items()}


def folder_parts(names: Sequence[str]) -> list[str]:
    """Return the part of each file by the folders in its name, if these make at least two subsets.

    Examples
    --------
    >>> folder_parts(["a/train/1.png", "a/Val/1.png", "a/1.png"])
    ['train', 'test', '']
    >>> folder_parts(["train/1.png", "more/1.png"])
    ['', '']
    """
    folders = [PurePosixPath(name.lower()).parts[:-1] for name in names]
    parts = [next((PARTS[each] for each in above if each in PARTS), "") for above in folders]
    given = {"train", "test"} <= set(parts) or {"S1", "S2"} <= set(parts)
    return parts if given else [""] * len(names)


def _distinct(path: Path, size: int, channels: int, duplicates: float) -> Pictures:
    """Return the pictures without near-duplicates, read once."""
    with opened(path) as files:
        found = pictures(path, files)
        parts = folder_parts([file.name for file in found])
        left = others(files)
        if any(parts):  # those of test last: they go where they repeat what was trained on
            if outside := parts.count(""):
                left.append(f"{outside} beside the folders of subsets")
            order = [i for i, part in enumerate(parts) if part]
            order.sort(key=lambda i: parts[i] == "test")
            found, parts = [found[i] for i in order], [parts[i] for i in order]
        look = f"{size}" if channels == 1 else f"{size}-color"
        key = f"folder-v3-{look}-{float(duplicates)}-{state_of(path, found)}"
        kept = cache_folder() / "images" / f"{key}.safetensors"
        stored, _ = read_tensors(kept)
        if not stored:
            images, numbers, digests = _read(path, found, size, channels, USABLE, left)
            stay = distinct_images(images, duplicates)
            _say_removed(path, [found[i].name for i in numbers], stay, duplicates)
            stored = {"images": images[stay], "digests": digests[stay], "numbers": numbers[stay]}
            with cached_if_possible(key, "read"):
                write_tensors(kept, stored)
            with suppress(FileNotFoundError):  # another process removes them
                ours = kept.parent.glob(f"folder-v*-{'[0-9a-f]' * 24}.safetensors")
                for old in sorted(ours, key=os.path.getmtime)[:-SETS_KEPT]:
                    old.unlink()
    names = [found[i].name for i in stored["numbers"]]
    parts = [parts[i] for i in stored["numbers"]]
    return Pictures(stored["images"], names, stored["digests"], parts)


def _read(
    path: Path, files: list[File], size: int, channels: int, usable: float, left: Sequence[str] = ()
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the images of all usable pictures, their numbers, and the SHA-256 of their files.

    What is ``left`` out is said in one warning, what of these cannot be used included.
    """
    squares, numbers, digests = [], [], []
    bad: list[Exception] = []
    for number, file in enumerate(counted(path, files)):
        try:
            content = file.read()
            squares.append(read_picture(file.name, content, size, channels))
        except (ValueError, OSError) as error:
            bad.append(error)
            if len(bad) > (1 - usable) * len(files):
                accepted = f"; so for {len(bad)} of {len(files)}; accepted: at most half"
                raise ValueError(f"{bad[0]}{accepted if len(bad) > 1 else ''}") from error
            continue
        numbers.append(number)
        digests.append(list(hashlib.sha256(content).digest()))
    said = [*left, *(str(error).removeprefix("path: ") for error in bad[:NAMED])]
    said += [f"{len(bad) - NAMED} more"] * (len(bad) > NAMED)
    if said:
        warnings.warn(f"path: left out {'; '.join(said)}", stacklevel=2)
    images = torch.from_numpy(_as_bytes(squares)).movedim(3, 1).contiguous()
    return images, torch.tensor(numbers), torch.tensor(digests, dtype=torch.uint8)


def _as_bytes(squares: Sequence[NDArray[Any]]) -> NDArray[np.uint8]:
    """Return squares as one array (n, size, size, C) uint8, the levels of 16 bits scaled down."""
    deep = [square.max() for square in squares if square.dtype == np.uint16]
    most = 65535
    if deep and max(deep) < 4096:  # files do not say how many of their bits are in use
        most = 4095
        warnings.warn("path: no level of 16 bits is above 4095: read as 12 bits", stacklevel=3)
    scaled = [
        square if square.dtype == np.uint8 else np.rint(square * (255 / most)).astype(np.uint8)
        for square in squares
    ]
    return np.stack([np.atleast_3d(square) for square in scaled])


def _say_removed(path: Path, names: Sequence[str], stay: Tensor, duplicates: float) -> None:
    """Say which near-duplicates were removed, in one line."""
    removed = sorted(set(range(len(names))) - set(stay.tolist()))
    if removed and not quiet():
        said = ", ".join(names[i] for i in removed[:NAMED])
        more = ", ..." if len(removed) > NAMED else ""
        count = f"{len(removed)} of {len(names)} images are near-duplicates and left out"
        above = f"centered cosine above {duplicates:g}; duplicates=1 keeps all"
        print(f"gahb: {path.name}: {count}: {said}{more} ({above})", file=sys.stderr)


def first_images(path: Path, images: Tensor, chosen: Tensor, n: int | None, subset: str) -> Tensor:
    """Return the first ``n``, or all, of the images whose indices were chosen for a subset."""
    if n is not None and n > len(chosen):
        raise ValueError(
            f"n: {n} is more than the {len(chosen)} images of subset {subset}"
            f" ({path} has {len(images)} distinct ones)"
        )
    if not len(chosen):
        given = f"{path} has {len(images)} distinct images, none for {subset}"
        raise ValueError(f"path: {given}; accepted: more of them, or folders S1, S2 and test")
    return images[chosen[:n]]


# --- One picture file made into one clean image ---


def read_picture(name: str, content: bytes, size: int, channels: int = 1) -> NDArray[Any]:
    """Return the center square of a picture, pixels averaged by area, (size, size) or with RGB.

    Levels are 0..255, uint8; those of a gray picture of 16 bits stay as they are, uint16.
    """
    image = decoded(name, content, partial(_gray, mode="L" if channels == 1 else "RGB"))
    side = min(image.size)
    if side < size:
        raise ValueError(
            f"size: {size} is more than the image {name} has, {image.width}x{image.height} pixels"
        )
    left, upper = (image.width - side) // 2, (image.height - side) // 2
    square = np.asarray(image)[upper : upper + side, left : left + side]
    levels = np.rint(averaged(square, size)).astype(
        np.uint8 if square.dtype == np.uint8 else np.uint16
    )
    return np.stack([levels] * 3, axis=2) if channels == 3 and levels.ndim == 2 else levels


def decoded(
    name: str, content: bytes, convert: Callable[[Image.Image], Image.Image]
) -> Image.Image:
    """Return the picture of a file, upright and converted, or raise UnreadableError."""
    try:
        with Image.open(BytesIO(content)) as image:
            deep = image.mode == "I" and image.format in SIXTEEN_BITS
            return convert(ImageOps.exif_transpose(image.convert("I;16") if deep else image))
    except Exception as error:  # Decoders meet damaged files with errors of nearly every type.
        reason = str(error) or type(error).__name__
        raise UnreadableError(f"path: the image {name} cannot be read: {reason}") from error


def _gray(image: Image.Image, mode: str = "L") -> Image.Image:
    """Return gray levels 0..255, or 0..65535 in mode F, or RGB; what is transparent is white."""
    if image.mode.startswith("I;16"):
        return Image.fromarray(np.asarray(image).astype(np.float32))
    if image.mode in ("I", "F"):
        raise ValueError(f"its mode {image.mode} has no fixed range of gray levels")
    if image.has_transparency_data:
        paper = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(paper, image.convert("RGBA"))
    return image.convert(mode)
