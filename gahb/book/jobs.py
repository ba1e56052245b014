"""Many trainings: side by side on this machine or as jobs of a cluster, and how far each is."""

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from gahb.book import recipes
from gahb.book.artifacts import mending, trained
from gahb.book.released import checkpoint
from gahb.checks import check_choice, check_count, check_number
from gahb.settings import DamagedError, artifacts_folder, edition, read_json, write_json
from gahb.training import Recipe, train
from gahb.training.record import CHECKPOINT, folder_of, read_checkpoint

CLUSTERS = ("local", "slurm")
SIGNAL = "USR1"  # tells a job to make room, as many Slurm sites send it
TIME_LIMITS = 100  # how often a job may reach its time limit and go on from its checkpoint


def sweep(pattern: str, jobs: int = 1) -> list[str]:
    """Train the recipes that match a pattern in processes that share the cores; return failures."""
    names = _names(pattern, jobs)
    threads = max(1, (os.cpu_count() or 1) // jobs)
    with ThreadPoolExecutor(jobs) as pool:
        try:
            statuses = list(pool.map(lambda name: train_alone(name, threads), names))
        except BaseException:  # at which the map has given up those that had not begun
            for process in list(RUNNING):
                process.terminate()
            raise
    return [name for name, status in zip(names, statuses, strict=True) if status != 0]


def train_alone(name: str, threads: int) -> int:
    """Train one recipe in a process of its own, and return its exit status."""
    command = [sys.executable, "-m", "gahb", "train", name, "--threads", str(threads)]
    # OpenMP reads its variable once, at the start: set it before as well.
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    with subprocess.Popen(command, env=environment) as process:
        RUNNING.add(process)
        status = process.wait()
    RUNNING.discard(process)
    return status


RUNNING: set[subprocess.Popen[bytes]] = set()  # the processes of a sweep


@dataclass(frozen=True)
class Job:
    """A training as a job, called on the machine where it runs, on as many threads as cores."""

    edition: str
    cpus: int

    def __call__(self, name: str) -> None:
        """Train the recipe of that name, or go on with its training."""
        torch.set_num_threads(self.cpus)
        train(recipes.get(name, self.edition))

    def checkpoint(self, name: str) -> Any:
        """Return what is queued again: the same call, since the training keeps its state."""
        return _submitit().helpers.DelayedSubmission(self, name)


def submit(
    pattern: str, jobs: int = 1, cluster: str = "slurm", *, cpus: int = 2, **resources: Any
) -> dict[str, Any]:
    """Train the recipes that match a pattern as jobs of submitit, and return these by name.

    On ``cluster="slurm"`` they are one array job, ``jobs`` of them at a time; ``"local"`` runs them
    on this machine and waits. Each has ``cpus`` cores. ``resources`` are ``hours`` (24) after which
    a job is queued again, ``gpus`` (0) of each, and options of sbatch such as ``partition="gpu"``.
    """
    names = _names(pattern, jobs)
    executor = _executor(cluster, jobs, cpus, **resources)
    job = Job(edition(), cpus)
    if cluster == "slurm":
        submitted = dict(zip(names, executor.map_array(job, names), strict=True))
        for name, started in submitted.items():
            record_job(name, started.job_id)
        return submitted

    def finished(name: str) -> Any:
        started = executor.submit(job, name)
        record_job(name, started.job_id)
        started.wait()
        return started

    with ThreadPoolExecutor(jobs) as pool:
        return dict(zip(names, pool.map(finished, names), strict=True))


def _names(pattern: str, jobs: int) -> list[str]:
    check_count("jobs", jobs)
    return [recipe.name for recipe in recipes.find(pattern)]


def _executor(
    cluster: str, jobs: int, cpus: int, hours: float = 24.0, gpus: int = 0, **slurm: str
) -> Any:
    """Return submitit's executor, its files beside the artifacts, which all machines share."""
    check_choice("cluster", cluster, CLUSTERS)
    check_number("hours", hours, low=0.05)
    check_count("cpus", cpus)
    check_count("gpus", gpus, minimum=0)
    options = {f"slurm_{option}": value for option, value in slurm.items()}
    minutes = max(1, round(60 * hours))
    each = {"name": "gahb", "timeout_min": minutes, "cpus_per_task": cpus, "gpus_per_node": gpus}
    try:
        executor = _submitit().AutoExecutor(
            folder=jobs_folder(), cluster=cluster, slurm_max_num_timeout=TIME_LIMITS
        )
        executor.update_parameters(**each, slurm_array_parallelism=jobs, **options)
    except (RuntimeError, NameError) as error:  # no Slurm here; an option that is none
        raise ValueError(f"cluster: {' '.join(str(error).split())}") from error
    return executor


def _submitit() -> Any:
    # Read by submitit when it is imported, and by the jobs, which inherit it.
    os.environ.setdefault("SUBMITIT_PREEMPT_SIGNAL", SIGNAL)
    try:
        import submitit
    except ModuleNotFoundError as error:
        missing = "cluster: submitit is missing; run: pip install 'gahb[cluster]'"
        raise ValueError(missing) from error
    return submitit


@dataclass(frozen=True)
class Progress:
    """State of one training, its safe updates, and the age of its checkpoint in seconds.

    ``state`` is ``trained``; ``released``: a released checkpoint is used; ``outdated``: trained by
    another version of the recipe; ``damaged``: a file is not what was written, as ``report`` says;
    ``failed``: its job ended with an error, of which ``report`` is the file; ``begun``: there is a
    checkpoint; ``submitted``: its job has none yet; ``missing``.
    """

    state: str
    updates: int = 0
    seconds: float | None = None
    report: Path | str | None = None
    manifest: dict[str, Any] | None = None


def progress(recipe: Recipe) -> Progress:
    """Return how far the training of a recipe is."""
    try:
        with mending(recipe):
            return _progress(recipe)
    except DamagedError as error:
        return Progress("damaged", report=str(error).removeprefix(f"{recipe.name}: "))


def _progress(recipe: Recipe) -> Progress:
    folder, jobs = folder_of(recipe), jobs_folder(recipe.edition)
    if manifest := trained(recipe):
        state = "trained" if manifest["hash"] == recipe.hash else "outdated"
        return Progress(state, manifest["recipe"]["updates"], manifest=manifest)
    if checkpoint(recipe):
        return Progress("released")
    try:
        updates = (read_checkpoint(folder, recipe) or {}).get("update", 0)
    except DamagedError:
        raise
    except ValueError:  # of another recipe: the next training says so
        updates = 0
    latest, file = folder / CHECKPOINT, jobs / f"{recipe.name}.json"
    with mending(file):
        number = read_json(file)
    written = latest.stat().st_mtime if latest.is_file() else 0.0
    # The files of the first and only task of a job, by the names that submitit gives them.
    result, report = jobs / f"{number}_0_result.pkl", jobs / f"{number}_0_log.err"
    if result.is_file() and written <= result.stat().st_mtime:
        return Progress("failed", updates, report=report)
    if written:
        return Progress("begun", updates, max(0.0, time.time() - written))
    return Progress("submitted" if number else "missing")


def jobs_folder(of: str | None = None) -> Path:
    """Return the folder of an edition's jobs, by default the present one's."""
    return artifacts_folder() / (of or edition()) / "jobs"


def record_job(name: str, number: str) -> None:
    """Remember the number of the job that trains a recipe of the present edition."""
    write_json(jobs_folder() / f"{name}.json", number)
