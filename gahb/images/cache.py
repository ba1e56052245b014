"""Images made once: a file for each class, size, subset and seed, that grows as more are asked for.

Image i never depends on how many are asked for, so a file is a prefix of one endless sequence and
the longer of two files is always the better. Files are replaced whole and carry a checksum: a
truncated or damaged one counts as empty, and two processes may fill the same file at once.

floor: 1
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor
from tqdm.auto import tqdm

from gahb.settings import cache_folder, quiet, written_whole

__all__ = ["cached_images"]

CHUNK = 2048
"""Images drawn between two writings: what an interruption can lose."""


def cached_images(key: str, n: int, draw: Callable[[Sequence[int]], Tensor]) -> Tensor:
    """First ``n`` images of the sequence ``key``, drawing only those that its file lacks.

    Parameters
    ----------
    key : str
        Name of the sequence, and of its file.
    n : int
        Number of images.
    draw : callable
        ``draw(indices)`` makes the images of these indices, uint8 (len(indices), 1, H, W).
    """
    file = cache_folder() / "images" / f"{key}.safetensors"
    images = read_images(file)
    have = 0 if images is None else len(images)
    hidden = quiet() or n - have <= CHUNK
    with tqdm(total=n, initial=have, desc=key, unit="image", disable=hidden) as bar:
        while images is None or len(images) < n:
            images = _grown(file, images, n, draw)
            bar.update(len(images) - bar.n)
    return images[:n]


def _grown(
    file: Path, images: Tensor | None, n: int, draw: Callable[[Sequence[int]], Tensor]
) -> Tensor:
    """Draw one more chunk and write the file, unless another process has come further."""
    start = 0 if images is None else len(images)
    drawn = draw(range(start, min(start + CHUNK, n)))
    images = drawn if images is None else torch.cat([images, drawn])
    others = read_images(file)
    if others is not None and len(others) >= len(images):
        return others
    write_images(file, images)
    return images


def read_images(file: Path) -> Tensor | None:
    """Images of a file, or None if it is missing, truncated or damaged."""
    try:
        with safe_open(file, framework="pt") as content:
            images: Tensor = content.get_tensor("images")
            expected = (content.metadata() or {}).get("sha256")
    except (FileNotFoundError, SafetensorError):
        return None
    return images if checksum(images) == expected else None


def write_images(file: Path, images: Tensor) -> None:
    """Replace a file whole, its checksum within."""
    with written_whole(file) as temporary:
        content = {"images": images.contiguous()}
        temporary.write_bytes(save(content, metadata={"sha256": checksum(images)}))


def checksum(images: Tensor) -> str:
    """Hexadecimal SHA-256 of the bytes of uint8 images."""
    return hashlib.sha256(images.contiguous().numpy().data).hexdigest()
