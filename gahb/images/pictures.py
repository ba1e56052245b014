"""One picture file made into one clean image: its grey centre square, averaged to a small size.

floor: 1
"""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

__all__ = ["SUFFIXES", "UnreadableError", "decoded", "read_picture"]

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")


class UnreadableError(ValueError):
    """A picture file cannot be decoded."""


def read_picture(name: str, content: bytes, size: int) -> NDArray[np.uint8]:
    """Grey centre square of a picture file, each pixel an average over its area, (size, size).

    Raises
    ------
    ValueError
        If the file cannot be decoded or its shorter side has fewer than ``size`` pixels.
    """
    image = decoded(name, content, _grey)
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
    """Picture of a file, upright and converted.

    Raises
    ------
    UnreadableError
        If it cannot be decoded or converted.
    """
    try:
        with Image.open(BytesIO(content)) as opened:
            return convert(ImageOps.exif_transpose(opened))
    except Exception as error:  # Decoders meet damaged files with errors of nearly every type.
        reason = str(error) or type(error).__name__
        raise UnreadableError(f"path: the image {name} cannot be read: {reason}") from error


def _grey(image: Image.Image) -> Image.Image:
    """Grey levels 0..255, also of 16 bits; what is transparent shows white."""
    if image.mode.startswith("I;16"):
        levels = np.asarray(image).astype(np.float64)
        return Image.fromarray(np.rint(levels / 257).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ValueError(f"its mode {image.mode} has no fixed range of grey levels")
    if image.has_transparency_data:
        paper = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(paper, image.convert("RGBA"))
    return image.convert("L")
