"""The image distributions by name, and clean images x of each in three disjoint subsets."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from gahb.checks import check_choice, check_count, check_number, shown
from gahb.images import manifolds
from gahb.images.calpha import draw_calpha
from gahb.images.duplicates import DUPLICATES
from gahb.images.faces import SIDE, draw_faces
from gahb.images.folder import read_folder
from gahb.images.leaves import draw_leaves
from gahb.images.photographs import PHOTOGRAPHS
from gahb.images.shuffled import PREFIX, shuffle
from gahb.images.store import cached_images, check_indices, check_stream
from gahb.settings import data_folder

SMALLEST, LARGEST = 8, 1024


class Wanted(NamedTuple):
    """Which images of a class are asked for, their number aside."""

    name: str
    size: int
    subset: str
    seed: int
    path: Path | None
    channels: int
    duplicates: float


@dataclass(frozen=True)
class Drawn:
    """A class without end: image i of a subset is drawn from random numbers of its own.

    ``draw(indices, size, subset, seed)`` gives uint8 images (len(indices), 1, size, size).
    """

    draw: Callable[[Sequence[int], int, str, int], Tensor]
    largest: int = LARGEST  # size that can be drawn, in pixels per side
    version: int = 1  # raised whenever ``draw`` changes its images: cached ones are others then
    takes_path: ClassVar[bool] = False
    channels: ClassVar[tuple[int, ...]] = (1,)

    def images(self, of: Wanted, n: int | None) -> Tensor:
        """Return the first ``n`` images of a subset, uint8 (n, 1, size, size)."""
        check_count("n", n)
        assert n is not None
        key = f"{of.name}-v{self.version}-{of.size}-{of.subset}-seed{of.seed}"
        return cached_images(
            key, n, lambda indices: self.draw(indices, of.size, of.subset, of.seed)
        )


@dataclass(frozen=True)
class Stored:
    """A class of as many images as its user has.

    ``read(path, n, size, subset, seed)`` gives uint8 images (n, 1, size, size).
    """

    read: Callable[..., Tensor]
    largest: int = LARGEST  # size that can be asked for, in pixels per side
    places: tuple[str, ...] = ()  # of a data set in the folder of data sets, best first
    channels: tuple[int, ...] = (1,)  # that it can be read in
    options: tuple[str, ...] = ()  # of what is wanted, that ``read`` takes besides
    takes_path: ClassVar[bool] = True

    def images(self, of: Wanted, n: int | None) -> Tensor:
        """Return the first ``n`` images, or all, of a subset, uint8 (n, channels, size, size)."""
        if n is not None:
            check_count("n", n)
        options = {option: getattr(of, option) for option in self.options}
        path = of.path or self._found(of.name)
        return self.read(path, n, of.size, of.subset, of.seed, **options)

    def _found(self, name: str) -> Path:
        if not self.places:
            raise ValueError(f"path: the class {name!r} needs a folder or a .zip file of images")
        for place in self.places:
            if (data_folder() / place).exists():
                return data_folder() / place
        raise FileNotFoundError(
            f"path: the class {name!r} is not in {data_folder()} (GAHB_DATA chooses another); "
            f"accepted there: {', '.join(self.places)}"
        )


_photographs = {
    name: Stored(p, p.largest, p.places, channels=(1, 3), options=("channels",))
    for name, p in PHOTOGRAPHS.items()
}
CLASSES: dict[str, Drawn | Stored] = {
    "faces": Drawn(draw_faces, largest=SIDE),
    "leaves": Drawn(draw_leaves),
    "folder": Stored(read_folder, channels=(1, 3), options=("channels", "duplicates")),
    **{name: Drawn(draw) for name, draw in manifolds.DRAW.items()},
    **_photographs,
    # Contours as regular as the backgrounds that they part, and less regular ones (Figure 17).
    **{
        f"calpha{name}": Drawn(partial(draw_calpha, contour=contour, background=background))
        for name, contour, background in [
            *((f"{alpha}", alpha, alpha) for alpha in (1, 2, 3, 4, 5)),
            *((f"{alpha}-8", alpha, 8) for alpha in (1.5, 2, 4)),
        ]
    },
}
CLASSES |= {f"{PREFIX}{name}": CLASSES[name] for name in ("faces", "leaves", "celeba")}


def load(
    name: str,
    n: int | None,
    size: int,
    subset: str = "S1",
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
    path: str | Path | None = None,
    channels: int = 1,
    duplicates: float = DUPLICATES,
) -> Tensor:
    """Return the first ``n`` images of a subset of an image class, made or read once and cached.

    The subsets are disjoint, and image i of a subset is the same whatever ``n``.

    Parameters
    ----------
    name : str
        Image class, a key of ``gahb.images.CLASSES``.
    n : int or None
        Number of images; None for all that a class of the user's own images has in the subset.
    size : int
        Pixels per side, from 8; at most 64 for ``faces``, 160 for ``celeba``, 256 for
        ``lsun_bedroom``, and the pictures' own for ``celeba_hq`` and ``folder``.
    subset : str
        ``S1``, ``S2`` or ``test``.
    seed : int
        Chooses another sequence of images, or for ``folder`` another split, in [0, 2^32).
    dtype : torch.dtype
        Floating-point for gray levels in [0, 1], ``torch.uint8`` for the same ones in 0..255.
    path : str or Path, optional
        Folder, .zip file, .npy or .npz array, or lmdb database (``pip install 'gahb[lmdb]'``) of
        the user's images, for the classes that read them.
        A data set of the paper that is downloaded to a folder named by ``GAHB_DATA`` is found
        there. Folders in it that are called S1, S2, train, val or test say what is in a subset.
    channels : int
        1 for gray; 3, for the classes that read pictures, for red, green and blue.
    duplicates : float
        For the class ``folder``, the centered cosine to another image above which one is left out,
        in [-1, 1]; 1 keeps all, which aligned images may need.

    Returns
    -------
    Tensor
        Images, (n, channels, size, size).

    Examples
    --------
    >>> load("leaves", n=2, size=16, subset="test").shape
    torch.Size([2, 1, 16, 16])
    """
    image_class, wanted = _checked(name, size, subset, seed, path, channels, duplicates)
    if not isinstance(dtype, torch.dtype) or not (dtype.is_floating_point or dtype == torch.uint8):
        raise TypeError(
            f"dtype: {shown(dtype)} is not a floating-point type of torch or torch.uint8"
        )
    images = _in_order(name, image_class.images(wanted, n))
    return images if dtype == torch.uint8 else images.to(dtype) / 255


def pick(
    name: str,
    indices: Sequence[int],
    size: int,
    subset: str = "S1",
    seed: int = 0,
    path: str | Path | None = None,
    channels: int = 1,
    duplicates: float = DUPLICATES,
) -> Tensor:
    """Return the images of the given numbers, from 0, without making those before them.

    The other arguments are those of :func:`load`.

    Examples
    --------
    >>> picked = pick("leaves", [5, 2], size=16)
    >>> torch.equal(picked[1], load("leaves", n=3, size=16)[2])
    True
    """
    image_class, wanted = _checked(name, size, subset, seed, path, channels, duplicates)
    check_indices(indices)
    if isinstance(image_class, Drawn):
        images = image_class.draw(indices, size, subset, seed)
    else:
        images = image_class.images(wanted, max(indices) + 1)[list(indices)]
    return _in_order(name, images).float() / 255


def _in_order(name: str, images: Tensor) -> Tensor:
    """Return images as the class of that name has them: shuffled ones are made from plain ones."""
    return shuffle(images) if name.startswith(PREFIX) else images


def _checked(
    name: str, size: int, subset: str, seed: int, path: Any, channels: int, duplicates: float
) -> tuple[Drawn | Stored, Wanted]:
    """Return the class of that name, and what is asked of it, if all arguments fit it."""
    check_choice("name", name, list(CLASSES))
    image_class = CLASSES[name]
    check_count("size", size, SMALLEST, image_class.largest)
    check_stream(subset, seed)
    check_count("channels", channels)
    if channels not in image_class.channels:
        accepted = " or ".join(map(str, image_class.channels))
        raise ValueError(f"channels: {channels}; accepted: {accepted} for the class {name!r}")
    check_number("duplicates", duplicates, -1, 1)
    options = image_class.options if isinstance(image_class, Stored) else ()
    if duplicates != DUPLICATES and "duplicates" not in options:
        raise ValueError(f"duplicates: {duplicates}; accepted: {DUPLICATES} for the class {name!r}")
    if path is not None:
        if not image_class.takes_path:
            raise ValueError(f"path: the class {name!r} takes none")
        if not isinstance(path, str | Path) or not str(path):
            raise TypeError(f"path: {shown(path)} is not the name of a folder or a .zip file")
        path = Path(path).expanduser()
    plain = name.removeprefix(PREFIX)
    return image_class, Wanted(plain, size, subset, seed, path, channels, duplicates)
