"""What has been trained: load it, and check that it still is what its manifest says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gahb import recipes, settings, training
from gahb.denoiser import Denoiser
from gahb.devices import best_device
from gahb.released import released_network
from gahb.training import Recipe, train
from gahb.training.monitor import FINAL_IMAGES, measured
from gahb.training.record import (
    LOG,
    MANIFEST,
    History,
    folder_of,
    load_network,
    read_log,
    read_manifest,
    sha256,
)

__all__ = ["Verdict", "history", "load", "log", "manifest", "verify"]

TOLERANCE = 0.01  # dB, between the stored and the measured PSNR


def load(name: str, edition: str | None = None) -> Denoiser:
    """The trained denoiser of a recipe, on the GPU where there is one.

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

    Raises
    ------
    ValueError
        If there is no such recipe, if the weights are of another version of it, or if they do
        not have the checksum of their manifest.
    FileNotFoundError
        In the laptop edition, if the weights are missing: the line says how to make them.
    """
    recipe = recipes.get(name, edition)
    if network := released_network(recipe):
        return Denoiser(network)
    if recipe.edition != "laptop":
        return train(recipe)
    require(recipe)
    return Denoiser(load_network(folder_of(recipe), recipe)).to(best_device())


def manifest(name: str, edition: str | None = None) -> dict[str, Any]:
    """The manifest of a training: recipe, checksums, measured PSNR, wall time, versions."""
    return require(recipes.get(name, edition))


def log(name: str, edition: str | None = None) -> list[dict[str, Any]]:
    """The log of a recipe's training, line by line.

    A line holds the number of the update and either the loss and the PSNR of the training batches
    since the line before, or a ``snapshot``: the PSNR on training and test images.
    """
    recipe = recipes.get(name, edition)
    require(recipe)
    return read_log(folder_of(recipe))


def history(name: str, input_psnr: float = 20.0, edition: str | None = None) -> History:
    """PSNR by number of updates of a recipe's training, at one input PSNR in dB."""
    recipe = recipes.get(name, edition)
    require(recipe)
    return training.history(folder_of(recipe), input_psnr)


def require(recipe: Recipe) -> dict[str, Any]:
    """The manifest of a finished training of this very recipe."""
    found = read_manifest(folder_of(recipe))
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
    difference = largest_difference(stored["measured"], new)
    problem = None
    if not difference <= TOLERANCE:
        problem = f"the PSNR measured now differs by {difference:.3f} dB from the stored one"
    return Verdict(name, difference, problem)


def largest_difference(stored: dict[str, list[float]], new: dict[str, list[float]]) -> float:
    """Largest difference in dB between two measurements of the same network."""
    pairs = (zip(stored[name], new[name], strict=True) for name in ("train", "test"))
    return max(abs(a - b) for curve in pairs for a, b in curve)
