"""The image classes by name, and where the images of each come from.

floor: 1
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

from torch import Tensor

from gahb.images.cache import cached_images
from gahb.images.calpha import draw_calpha
from gahb.images.disks import draw_disks
from gahb.images.faces import SIDE, draw_faces
from gahb.images.folder import read_folder
from gahb.images.leaves import draw_leaves
from gahb.images.photographs import PHOTOGRAPHS
from gahb.images.ray import draw_ray
from gahb.images.shuffled import draw_shuffled, read_shuffled
from gahb.images.sines import draw_sines
from gahb.settings import data_folder

__all__ = ["CLASSES", "SMALLEST", "Drawn", "Stored"]

SMALLEST, LARGEST = 8, 1024


@dataclass(frozen=True)
class Drawn:
    """A class without end: image i of a subset is drawn from random numbers of its own.

    Parameters
    ----------
    draw : callable
        ``draw(indices, size, subset, seed)`` gives uint8 images (len(indices), 1, size, size).
    largest : int
        Largest size that can be drawn, in pixels a side.
    version : int
        Raised whenever ``draw`` changes its images, so that cached ones are not mistaken for them.
    """

    draw: Callable[[Sequence[int], int, str, int], Tensor]
    largest: int = LARGEST
    version: int = 1
    takes_path: ClassVar[bool] = False

    def images(
        self, name: str, n: int | None, size: int, subset: str, seed: int, path: Path | None
    ) -> Tensor:
        """First ``n`` images of a subset, uint8 (n, 1, size, size)."""
        assert n is not None
        key = f"{name}-v{self.version}-{size}-{subset}-seed{seed}"
        return cached_images(key, n, lambda indices: self.draw(indices, size, subset, seed))


@dataclass(frozen=True)
class Stored:
    """A class of as many images as its user has.

    Parameters
    ----------
    read : callable
        ``read(path, n, size, subset, seed)`` gives uint8 images (n, 1, size, size).
    largest : int
        Largest size that can be asked for, in pixels a side.
    places : tuple of str
        Where a downloaded data set may be in the folder of data sets, best first.
    """

    read: Callable[[Path, int | None, int, str, int], Tensor]
    largest: int = LARGEST
    places: tuple[str, ...] = ()
    takes_path: ClassVar[bool] = True

    def images(
        self, name: str, n: int | None, size: int, subset: str, seed: int, path: Path | None
    ) -> Tensor:
        """First ``n`` images of a subset, uint8 (n, 1, size, size)."""
        return self.read(path or self.found(name), n, size, subset, seed)

    def found(self, name: str) -> Path:
        """Folder or .zip file of a downloaded data set."""
        if not self.places:
            raise ValueError(f"path: the class {name!r} needs a folder or a .zip file of images")
        for place in self.places:
            if (data_folder() / place).exists():
                return data_folder() / place
        raise FileNotFoundError(
            f"path: the class {name!r} is not in {data_folder()} (GAHB_DATA chooses another); "
            f"accepted there: {', '.join(self.places)}"
        )


CLASSES: dict[str, Drawn | Stored] = {
    "faces": Drawn(draw_faces, largest=SIDE),
    "leaves": Drawn(draw_leaves),
    "folder": Stored(read_folder),
    "disks": Drawn(draw_disks),
    "ray": Drawn(draw_ray),
    "sines": Drawn(draw_sines),
    **{
        name: Stored(photographs, photographs.largest, photographs.places)
        for name, photographs in PHOTOGRAPHS.items()
    },
    "shuffled-celeba": Stored(
        partial(read_shuffled, PHOTOGRAPHS["celeba"]),
        PHOTOGRAPHS["celeba"].largest,
        PHOTOGRAPHS["celeba"].places,
    ),
    "shuffled-faces": Drawn(partial(draw_shuffled, draw_faces), largest=SIDE),
    "shuffled-leaves": Drawn(partial(draw_shuffled, draw_leaves)),
    **{
        f"calpha{alpha}": Drawn(partial(draw_calpha, contour=alpha, background=alpha))
        for alpha in (1, 2, 3, 4, 5)
    },
    # Contours less regular than the backgrounds that they part (Figure 17).
    **{
        f"calpha{alpha}-8": Drawn(partial(draw_calpha, contour=alpha, background=8))
        for alpha in (1.5, 2, 4)
    },
}
