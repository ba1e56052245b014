"""The photographs on which the paper trains, from what their publishers let one download.

Pictures are cut, made smaller and made gray as the paper's released code does it: a square of
their pixels, bicubic interpolation, the mean of the three colors, or these as they are if they are
asked for. Near-duplicates (centered cosine above 0.95) are removed as in the paper.
The sets are those of Liu et al. (2015), Karras et al. (2018) and Yu et al. (2015).
"""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from gahb.devices import best_device, with_double
from gahb.images.duplicates import distinct_images
from gahb.images.files import File, UnreadableError, counted, opened, pictures, state_of
from gahb.images.folder import decoded, first_images, folder_parts
from gahb.images.store import cached_if_possible, random_numbers, read_images, write_images
from gahb.settings import cache_folder

HELD_OUT = 1_000  # files for the test subset: two sets of 100,000 leave 2,599 of CelebA
READABLE = 1_000  # at most one file in so many may be unreadable and is left out
# CelebA's list of files and partitions, 2 being for tests, as published and as from Kaggle.
PARTITIONS = ("list_eval_partition.txt", "list_eval_partition.csv")


@dataclass(frozen=True)
class Photographs:
    """A published data set: where it lies, and which square of each picture is used.

    Examples
    --------
    >>> PHOTOGRAPHS["celeba"].pixels, PHOTOGRAPHS["celeba"].largest
    ((178, 218), 160)
    """

    name: str
    places: tuple[str, ...]  # of its folder or .zip file in the folder of data sets, best first
    largest: int  # side of the square in pixels: larger sizes would be enlargements
    corner: tuple[int, int] = (0, 0)  # pixels to the left of the square and above it
    pixels: tuple[int, int] | None = None  # that every picture has; None: the square fits into it
    whole: bool = False  # the square is the whole picture, of whatever side
    most: int | None = None  # files by name that are used: duplicates take time as their square

    def __call__(
        self, path: Path, n: int | None, size: int, subset: str, seed: int, channels: int = 1
    ) -> Tensor:
        """Return the first ``n`` images, or all, of a subset, uint8 (n, channels, size, size).

        The last 1,000 files by name, or a tenth of fewer than 10,000, are the test subset; where
        CelebA's list of partitions is present, they are the last ones of its test partition, and
        where there are folders train/ and val/ or test/, all files of the latter. A
        permutation fixed by the seed deals the others to S1 and S2, half each. Files that cannot be
        read are left out with a warning, if they are at most one in a thousand.
        """
        training, test = self._distinct(path, size, channels)
        if subset == "test":
            return first_images(path, test, torch.arange(len(test)), n, subset)
        order = random_numbers(seed).permutation(len(training))
        half = len(order) // 2
        chosen = order[:half] if subset == "S1" else order[half:]
        return first_images(path, training, torch.from_numpy(chosen), n, subset)

    def _distinct(self, path: Path, size: int, channels: int) -> tuple[Tensor, Tensor]:
        """Return training and test images without near-duplicates, (m, channels, size, size)."""
        with opened(path) as files:
            found = pictures(path, files)[: self.most]
            found, held_out = _test_files_last(found, _partition(path, files))
            look = f"{size}" if channels == 1 else f"{size}-color"
            key = f"{self.name}-v1-{look}-{state_of(path, found)}-{held_out}"
            folder = cache_folder() / "images"
            kept = [folder / f"{key}-{part}.safetensors" for part in ("training", "test")]
            training, test = (read_images(file) for file in kept)
            if training is None or test is None:
                images, numbers = self._read(path, found, size, channels)
                distinct = distinct_images(images.to(with_double(best_device()))).cpu()
                for_test = numbers[distinct] >= len(found) - held_out
                training, test = images[distinct[~for_test]], images[distinct[for_test]]
                with cached_if_possible(key, "read"):
                    for file, part in zip(kept, (training, test), strict=True):
                        write_images(file, part)
        return training, test

    def _read(
        self, path: Path, files: list[File], size: int, channels: int
    ) -> tuple[Tensor, Tensor]:
        """Return the images of all readable files, (m, C, size, size), and their numbers (m,)."""
        images = torch.empty(len(files), channels, size, size, dtype=torch.uint8)
        numbers: list[int] = []
        unreadable: list[str] = []
        for number, file in enumerate(counted(path, files)):
            try:
                picture = decoded(file.name, file.read(), lambda image: image.convert("RGB"))
            except UnreadableError as error:
                unreadable.append(str(error).removeprefix("path: the image "))
                if len(unreadable) > len(files) // READABLE:
                    given, accepted = "; ".join(unreadable), "at most one unreadable image in"
                    raise ValueError(f"path: {given}; accepted: {accepted} {READABLE:,}") from error
                continue
            colors = torch.from_numpy(self._cut(file.name, picture, size)).movedim(2, 0)
            images[len(numbers)] = colors if channels == 3 else _gray(colors)
            numbers.append(number)
        if unreadable:
            warnings.warn(f"path: left out {'; '.join(unreadable)}", stacklevel=2)
        return images[: len(numbers)], torch.tensor(numbers)

    def _cut(self, name: str, picture: Image.Image, size: int) -> NDArray[np.uint8]:
        """Return the square of a picture, (size, size, 3)."""
        left, upper = self.corner
        side = picture.width if self.whole else self.largest
        fits = (left + side <= picture.width) and (upper + side <= picture.height)
        if self.whole:
            fits = size <= picture.width == picture.height
        if not fits or picture.size != (self.pixels or picture.size):
            accepted = f"squares from {size}" if self.whole else f"at least {self.largest} a side"
            if self.pixels:
                accepted = f"{self.pixels[0]}x{self.pixels[1]}, as all of {self.name}"
            given = f"{picture.width}x{picture.height} pixels"
            raise ValueError(f"path: the image {name} has {given}; accepted: {accepted}")
        square = picture.crop((left, upper, left + side, upper + side))
        return np.array(square.resize((size, size), Image.Resampling.BICUBIC))


def _gray(colors: Tensor) -> Tensor:
    """Return the rounded mean of red, green and blue, (3, size, size) uint8."""
    return ((colors.sum(0, dtype=torch.int16) + 1) // 3).to(torch.uint8)


PHOTOGRAPHS = {
    photographs.name: photographs
    for photographs in (
        Photographs(
            name="celeba",
            places=(
                "celeba/img_align_celeba",
                "celeba/img_align_celeba.zip",
                "CelebA/Img/img_align_celeba.zip",
                "celeba",
                "img_align_celeba",
                "img_align_celeba.zip",
                "celeba.zip",
                "celeba-dataset",
            ),
            largest=160,
            corner=(9, 29),
            pixels=(178, 218),
        ),
        Photographs(
            name="celeba_hq",
            places=(
                "celeba_hq",
                "CelebAMask-HQ/CelebA-HQ-img",
                "CelebA-HQ-img",
                "celeba_hq.zip",
                "celeba_hq_256",
            ),
            largest=1024,
            whole=True,
        ),
        Photographs(
            name="lsun_bedroom",
            places=(
                "lsun_bedroom",
                "bedroom_train_lmdb",
                "lsun/bedroom_train_lmdb",
                "bedroom_train",
                "lsun_bedroom.zip",
                "bedroom_train.zip",
                "data0/lsun/bedroom",
            ),
            largest=256,
            most=300_000,
        ),
    )
}


def _partition(path: Path, files: Sequence[File]) -> set[str]:
    """Return the stems of CelebA's test partition, if its list is among the files or near."""
    folders = (path.parent, *(folder / "Eval" for folder in path.parents[:2]))
    near = [folder / name for folder in folders for name in PARTITIONS]
    lists = [file.read for file in files if Path(file.name).name in PARTITIONS]
    lists += [file.read_bytes for file in near if file.is_file()]
    lines = lists[0]().decode().replace(",", " ").splitlines() if lists else []
    return {Path(line.split()[0]).stem for line in lines if line.split()[1:] == ["2"]}


def _test_files_last(files: list[File], partition: set[str]) -> tuple[list[File], int]:
    """Return files, those of the test partition last, and how many of the last are held out."""
    listed = [Path(file.name).stem in partition for file in files]
    most = HELD_OUT
    if not partition:
        listed = [part == "test" for part in folder_parts([file.name for file in files])]
        most = len(files)
        if not any(listed):
            return files, min(HELD_OUT, math.ceil(len(files) / 10))
    for_test = list(compress(files, listed))
    others = [file for file, there in zip(files, listed, strict=True) if not there]
    return others + for_test, min(most, len(for_test))
