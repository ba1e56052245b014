"""How far each training is, as its files tell: on this machine or on any that shares them.

floor: 4
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gahb.released import checkpoint
from gahb.settings import artifacts_folder, edition, written_whole
from gahb.training import Recipe
from gahb.training.record import CHECKPOINT, folder_of, read_checkpoint, read_manifest

__all__ = ["Progress", "jobs_folder", "progress", "record_job"]


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

    Raises
    ------
    ValueError
        If its manifest is not one.

    Examples
    --------
    >>> from gahb import recipes
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
