"""What has been trained: load it, fetch it where it was not shipped along, and verify it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import metadata
from importlib.resources import files
from pathlib import Path
from typing import Any

from gahb import settings, training
from gahb.book import recipes
from gahb.book.released import released_network
from gahb.denoiser import Denoiser
from gahb.devices import best_device
from gahb.training import Recipe, train
from gahb.training.loop import FINAL_IMAGES, measured
from gahb.training.record import (
    LOG,
    MANIFEST,
    WEIGHTS,
    History,
    folder_of,
    load_network,
    read_log,
    read_manifest,
    sha256,
)

__all__ = ["Verdict", "fetch", "history", "load", "log", "manifest", "verify"]

TOLERANCE = 0.01  # dB, between the stored and the measured PSNR


def load(name: str, edition: str | None = None) -> Denoiser:
    """Return the trained denoiser of a recipe, on the GPU where there is one.

    The laptop edition ships its weights. The others train them where they are missing: the smoke
    edition in seconds, the colab and paper editions on the GPU that they are meant for. In the
    paper edition the released checkpoint of the recipe, if the folder ``GAHB_RELEASED`` has one,
    takes the place of the training.

    Parameters
    ----------
    name : str
        Name of a recipe, such as ``faces-unet-n10000-s1``.
    edition : str, optional
        By default the edition at which the book runs.
    """
    recipe = recipes.get(name, edition)
    if network := released_network(recipe):
        return Denoiser(network)
    if recipe.edition != "laptop":
        return train(recipe)
    require(recipe)
    return Denoiser(load_network(folder_of(recipe), recipe)).to(best_device())


def manifest(name: str, edition: str | None = None) -> dict[str, Any]:
    """Return the manifest of a training: recipe, checksums, PSNR, wall time, versions."""
    return require(recipes.get(name, edition))


def log(name: str, edition: str | None = None) -> list[dict[str, Any]]:
    """Return the log of a recipe's training, line by line.

    A line holds the number of the update and either the loss and the PSNR of the training batches
    since the line before, or a ``snapshot``: the PSNR on training and test images.
    """
    recipe = recipes.get(name, edition)
    require(recipe)
    return read_log(folder_of(recipe))


def history(name: str, input_psnr: float = 20.0, edition: str | None = None) -> History:
    """Return PSNR by number of updates of a recipe's training, at one input PSNR in dB."""
    recipe = recipes.get(name, edition)
    require(recipe)
    return training.history(folder_of(recipe), input_psnr)


def require(recipe: Recipe) -> dict[str, Any]:
    """Return the manifest of a finished training of this very recipe, fetched if it was shipped."""
    folder = folder_of(recipe)
    fetch(*(folder / name for name in (WEIGHTS, LOG, MANIFEST)))
    found = read_manifest(folder)
    command = f"python -m gahb train {recipe.name}"
    if recipe.edition != settings.edition():
        command += f" --edition {recipe.edition}"
    if found is None:
        raise FileNotFoundError(f"name: {recipe.name} has not been trained; run: {command}")
    if found["hash"] != recipe.hash:
        raise ValueError(
            f"name: {recipe.name} was trained by another version of its recipe; "
            f"run: {command} --again"
        )
    return found


def fetch(*paths: Path) -> None:
    """Fetch shipped files of the artifacts folder that are missing, the last one marking the rest.

    Only an installed package does so, once and into the user's cache: a checkout holds them, and a
    folder of one's own (``GAHB_ARTIFACTS``) is left alone. Each is checked against the SHA-256 that
    the package holds.
    """
    folder = settings.cache_folder() / "artifacts"
    if settings.checkout() or settings.artifacts_folder() != folder or paths[-1].is_file():
        return
    import pooch  # imports requests: only where something is fetched

    pooch.get_logger().setLevel(logging.WARNING)
    names = [path.relative_to(folder).as_posix() for path in paths]
    shipped = {name: registry()[name] for name in names if name in registry()}
    downloader = pooch.HTTPDownloader(progressbar=not settings.quiet(), timeout=30)
    source = pooch.create(folder, address(), registry=shipped, retry_if_failed=2)
    for name in shipped:
        try:
            source.fetch(name, downloader=downloader)
        except (OSError, ValueError) as error:  # no network; other bytes than those shipped
            reason = "not what was shipped" if isinstance(error, ValueError) else "out of reach"
            raise OSError(
                f"name: {address()}{name} is {reason} ({type(error).__name__})"
            ) from error


@cache
def registry() -> dict[str, str]:
    """Return the SHA-256 of all shipped files, by their path in the artifacts folder."""
    text = files("gahb.book").joinpath("registry.txt").read_text(encoding="utf-8")
    return dict(line.split() for line in text.splitlines())


def address() -> str:
    """Return where the files of this version lie: the tag of the repository that it was built from.

    The address of the repository stands in ``pyproject.toml``, and so in the package's metadata.
    """
    package = metadata("gahb")
    urls = dict(entry.split(", ", 1) for entry in package.get_all("Project-URL") or [])
    return f"{urls['Repository']}/raw/v{package['Version']}/artifacts/"


@dataclass(frozen=True)
class Verdict:
    """Result of the verification of one artifact: its largest PSNR difference in dB, or why not."""

    name: str
    difference: float | None
    problem: str | None

    @property
    def good(self) -> bool:
        """Whether nothing is wrong."""
        return self.problem is None


def verify(name: str, edition: str | None = None) -> Verdict:
    """Check an artifact: its checksums, and its PSNR measured anew to 0.01 dB.

    Examples
    --------
    >>> verify("faces-unet-n10000-s1", edition="laptop").good  # doctest: +SKIP
    True
    """
    recipe = recipes.get(name, edition)
    folder = folder_of(recipe)
    try:
        stored = require(recipe)
        network = load_network(folder, recipe)  # which checks the weights
        if sha256(folder / LOG) != stored["sha256"][LOG]:
            raise ValueError(f"{LOG} does not have the checksum of {MANIFEST}")
    except (ValueError, OSError) as error:
        return Verdict(name, None, str(error))
    train_images, test_images = recipe.train_images(FINAL_IMAGES), recipe.test_images(FINAL_IMAGES)
    new = measured(network, train_images, test_images, FINAL_IMAGES)
    difference = max(_differences(stored["measured"], new))
    problem = None
    if not difference <= TOLERANCE:
        problem = f"the PSNR measured now differs by {difference:.3f} dB from the stored one"
    return Verdict(name, difference, problem)


def _differences(stored: dict[str, list[float]], new: dict[str, list[float]]) -> Iterator[float]:
    """Yield the differences in dB between two measurements of the same network."""
    for curve in ("train", "test"):
        yield from (abs(a - b) for a, b in zip(stored[curve], new[curve], strict=True))
