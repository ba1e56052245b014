"""What has been trained: load it, verify it, and see how far the others are."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gahb import settings, training
from gahb.book import recipes
from gahb.book.released import checkpoint, released_network
from gahb.denoiser import Denoiser
from gahb.devices import best_device
from gahb.settings import artifacts_folder, edition, written_whole
from gahb.training import Recipe, train
from gahb.training.loop import FINAL_IMAGES, measured
from gahb.training.record import (
    CHECKPOINT,
    LOG,
    MANIFEST,
    History,
    folder_of,
    load_network,
    read_checkpoint,
    read_log,
    read_manifest,
    sha256,
)

__all__ = [
    "Progress",
    "Verdict",
    "history",
    "jobs_folder",
    "load",
    "log",
    "manifest",
    "progress",
    "record_job",
    "verify",
]


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


# --- How far each training is ---


@dataclass(frozen=True)
class Progress:
    """State of one training.

    Parameters
    ----------
    state : str
        ``trained``; ``released``: a released checkpoint is used; ``outdated``: trained by another
        version of the recipe; ``failed``: its job ended with an error; ``begun``: there is a
        checkpoint; ``submitted``: its job has none yet; ``missing``: nothing of all this.
    updates : int
        Updates that are safe: in the weights or the checkpoint.
    seconds : float, optional
        Time since the checkpoint was written.
    report : Path, optional
        What the job printed before it failed.
    manifest : dict, optional
        What the training has found, once it is finished.
    """

    state: str
    updates: int = 0
    seconds: float | None = None
    report: Path | None = None
    manifest: dict[str, Any] | None = None


def progress(recipe: Recipe) -> Progress:
    """State of the training of a recipe.

    Examples
    --------
    >>> from gahb.book import recipes
    >>> progress(recipes.get("faces-unet-n10000-s1", edition="laptop")).state
    'trained'
    """
    folder, job = folder_of(recipe), _job(recipe)
    if manifest := read_manifest(folder):
        state = "trained" if manifest["hash"] == recipe.hash else "outdated"
        return Progress(state, manifest["recipe"]["updates"], manifest=manifest)
    if checkpoint(recipe):
        return Progress("released")
    begun = read_checkpoint(folder, recipe)
    updates = begun["update"] if begun else 0
    if job is not None and _has_ended(recipe, job):
        return Progress("failed", updates, report=_file(recipe, job, "log.err"))
    if begun:
        return Progress("begun", updates, time.time() - (folder / CHECKPOINT).stat().st_mtime)
    return Progress("missing" if job is None else "submitted")


def jobs_folder(of: str | None = None) -> Path:
    """Folder of the jobs of an edition, by default the present one: numbers, calls and reports."""
    return artifacts_folder() / (of or edition()) / "jobs"


def record_job(name: str, number: str) -> None:
    """Remember the number of the job that trains a recipe of the present edition."""
    with written_whole(jobs_folder() / f"{name}.json") as temporary:
        temporary.write_text(json.dumps(number) + "\n")


def _job(recipe: Recipe) -> str | None:
    record = jobs_folder(recipe.edition) / f"{recipe.name}.json"
    return str(json.loads(record.read_text())) if record.is_file() else None


def _has_ended(recipe: Recipe, job: str) -> bool:
    """Whether the job wrote its result, and no later training went on after that."""
    result, latest = _file(recipe, job, "result.pkl"), folder_of(recipe) / CHECKPOINT
    if not result.is_file():
        return False
    return not latest.is_file() or latest.stat().st_mtime <= result.stat().st_mtime


def _file(recipe: Recipe, job: str, kind: str) -> Path:
    """File of the first and only task of a job, by the name that submitit gives it."""
    return jobs_folder(recipe.edition) / f"{job}_0_{kind}"
