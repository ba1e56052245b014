"""Images on demand: random numbers of their own, the size asked for, and files that keep them."""

import hashlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor
from tqdm.auto import tqdm

from gahb.checks import check_choice, check_count, check_seed, shown
from gahb.settings import atomic_write, cache_folder, quiet

SUBSETS = ("S1", "S2", "test")
CHUNK = 2048  # images drawn between two writings: what an interruption can lose


def stream(seed: int, subset: str, index: int) -> np.random.RandomState:
    """Return the random numbers of image ``index`` of a subset, from the three arguments alone."""
    return random_numbers(np.random.SeedSequence([seed, SUBSETS.index(subset), index]))


def random_numbers(key: int | np.random.SeedSequence) -> np.random.RandomState:
    """Return random numbers that depend on a key alone, and that torch gives for no seed."""
    # RandomState, not Generator: numpy promises that its streams never change.
    return np.random.RandomState(np.random.Philox(key))


def check_stream(subset: str, seed: int) -> None:
    """Raise unless there is such a subset, and ``seed`` is in [0, 2^32)."""
    check_choice("subset", subset, SUBSETS)
    check_seed(seed)


def check_indices(indices: Sequence[int]) -> None:
    """Raise unless there is at least one index, and all are whole numbers from 0."""
    if not hasattr(indices, "__len__"):
        raise TypeError(f"indices: {shown(indices)} is not a sequence of whole numbers")
    if not len(indices):
        raise ValueError("indices: there are none; accepted: at least one whole number from 0")
    for index in indices:
        check_count("indices", index, minimum=0)


def averaged(square: NDArray[Any], size: int) -> NDArray[np.float64]:
    """Return the averages of a square, (side, side, ...), over size x size squares, as they lie.

    Pillow's own box counts a pixel whole to one of the two that it lies in.
    """
    side = len(square)
    edges = np.arange(size + 1) * (side / size)
    whole = np.minimum(edges.astype(int), side - 1)
    for _ in range(2):  # the rows, then the columns
        # Up to each edge: whole rows, less what of the last one lies beyond it.
        beyond = (1 - edges + whole).reshape(-1, *[1] * (square.ndim - 1)) * square[whole]
        sums = np.cumsum(square, axis=0, dtype=np.float64)[whole] - beyond
        square = np.diff(sums, axis=0).swapaxes(0, 1) * (size / side)
    return square


def cached_images(key: str, n: int, draw: Callable[[Sequence[int]], Tensor]) -> Tensor:
    """Return the first ``n`` images of the sequence ``key``, drawing only those its file lacks.

    ``draw(indices)`` makes the images of these indices, uint8 (len(indices), 1, H, W).
    """
    file = cache_folder() / "images" / f"{key}.safetensors"
    images = read_images(file)
    have = 0 if images is None else len(images)
    hidden = quiet() or n - have <= CHUNK
    with tqdm(total=n, initial=have, desc=key, unit="image", disable=hidden) as bar:
        while images is None or len(images) < n:
            start = 0 if images is None else len(images)
            drawn = draw(range(start, min(start + CHUNK, n)))
            images = drawn if images is None else torch.cat([images, drawn])
            others = read_images(file)
            if others is not None and len(others) >= len(images):
                images = others  # another process has come further
            else:
                with cached_if_possible(key, "drawn"):
                    write_images(file, images)
            bar.update(len(images) - bar.n)
    return images[:n]


@contextmanager
def cached_if_possible(key: str, made: str) -> Iterator[None]:
    """Warn where images cannot be kept: they are what was asked for, a cache is not."""
    try:
        yield
    except OSError as error:
        warnings.warn(f"{key}: will be {made} again each time: {error}", stacklevel=4)


def read_images(file: Path) -> Tensor | None:
    """Return the images of a file, or None if it is missing, truncated or damaged."""
    return read_tensors(file)[0].get("images")


def write_images(file: Path, images: Tensor) -> None:
    """Replace a file of images atomically, its checksum within."""
    write_tensors(file, {"images": images})


def read_tensors(file: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors and the facts of a file by name; none if it is missing or damaged."""
    try:
        with safe_open(file, framework="pt") as content:
            tensors = {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118
            facts = content.metadata() or {}
    except (FileNotFoundError, SafetensorError):
        return {}, {}
    whole = _checksum(tensors) == facts.pop("sha256", None)
    return (tensors, facts) if whole else ({}, {})


def write_tensors(file: Path, tensors: dict[str, Tensor], **facts: str) -> None:
    """Replace a file of tensors and facts atomically, the checksum of the tensors within."""
    with atomic_write(file) as temporary:
        content = {name: tensor.contiguous() for name, tensor in tensors.items()}
        facts["sha256"] = _checksum(content)
        temporary.write_bytes(save(content, metadata=facts))


def _checksum(tensors: dict[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(tensors[name].contiguous().numpy().data)
    return digest.hexdigest()
