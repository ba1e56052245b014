"""Many trainings: side by side on this machine, or as jobs of a cluster."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import torch

from gahb.book import recipes
from gahb.book.artifacts import jobs_folder, record_job
from gahb.checks import check_choice, check_count, check_number
from gahb.settings import edition
from gahb.training import train

__all__ = ["CLUSTERS", "Job", "Resources", "run", "submit", "sweep"]


def sweep(pattern: str, jobs: int = 1) -> list[str]:
    """Train all recipes of the present edition that match a pattern, ``jobs`` at a time.

    The cores are shared out: on two cores, two trainings on one thread each get more done than
    one after the other on two threads. Finished trainings are kept, interrupted ones go on.

    Parameters
    ----------
    pattern : str
        Shell pattern of recipe names, such as ``faces-unet-n*-s1``.
    jobs : int
        Trainings at the same time.

    Returns
    -------
    list of str
        Names of those that failed.
    """
    check_count("jobs", jobs)
    names = [recipe.name for recipe in recipes.find(pattern)]
    threads = max(1, (os.cpu_count() or 1) // jobs)
    with ThreadPoolExecutor(jobs) as pool:
        statuses = list(pool.map(lambda name: train_alone(name, threads), names))
    return [name for name, status in zip(names, statuses, strict=True) if status != 0]


def train_alone(name: str, threads: int) -> int:
    """Train one recipe in a process of its own; give its exit status."""
    command = [sys.executable, "-m", "gahb", "train", name, "--threads", str(threads)]
    # OpenMP reads its variable once, at the start: set it before as well.
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    return subprocess.run(command, env=environment, check=False).returncode


# --- Trainings as jobs ---


CLUSTERS = ("local", "slurm")
SIGNAL = "USR1"
"""Signal by which a job learns that it must make room, as many Slurm sites send it."""

TIME_LIMITS = 100
"""How often a job may reach its time limit and go on: a training comes nearer to its end each time.
"""


@dataclass(frozen=True)
class Resources:
    """What each job may use.

    Parameters
    ----------
    hours : float
        Time after which a job is put into the queue again.
    cpus, gpus : int
        Cores and graphics processors.
    slurm : mapping
        Further options of ``sbatch`` by name, such as ``{"partition": "gpu"}``.
    """

    hours: float = 24.0
    cpus: int = 2
    gpus: int = 0
    slurm: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_number("hours", self.hours, low=0.05)
        check_count("cpus", self.cpus)
        check_count("gpus", self.gpus, minimum=0)


@dataclass(frozen=True)
class Job:
    """One training as a job: called on the machine where it runs, on as many threads as cores."""

    edition: str
    cpus: int

    def __call__(self, name: str) -> None:
        """Train the recipe of that name, or go on with its training."""
        torch.set_num_threads(self.cpus)
        train(recipes.get(name, self.edition))

    def checkpoint(self, name: str) -> Any:
        """What is put into the queue again: the same call, since the training keeps its state."""
        return _submitit().helpers.DelayedSubmission(self, name)


def submit(pattern: str, jobs: int = 1, resources: Resources | None = None) -> dict[str, str]:
    """Submit all recipes of the present edition that match a pattern as one Slurm array job.

    Parameters
    ----------
    pattern : str
        Shell pattern of recipe names.
    jobs : int
        Trainings at the same time.
    resources : Resources, optional
        What each may use.

    Returns
    -------
    dict
        Number of the job of each recipe; ``python -m gahb status`` shows how far they are.
    """
    resources, names = resources or Resources(), _names(pattern, jobs)
    executor = _executor("slurm", resources, slurm_array_parallelism=jobs, **_options(resources))
    submitted = executor.map_array(Job(edition(), resources.cpus), names)
    numbers = {name: job.job_id for name, job in zip(names, submitted, strict=True)}
    for name, number in numbers.items():
        record_job(name, number)
    return numbers


def run(pattern: str, jobs: int = 1, resources: Resources | None = None) -> list[str]:
    """Run the same jobs on this machine, ``jobs`` at a time, and wait for them.

    Returns
    -------
    list of str
        Names of those that failed.
    """
    resources, names = resources or Resources(), _names(pattern, jobs)
    executor = _executor("local", resources)

    def succeeded(name: str) -> bool:
        job = executor.submit(Job(edition(), resources.cpus), name)
        record_job(name, job.job_id)
        return job.exception() is None

    with ThreadPoolExecutor(jobs) as pool:
        return [
            name for name, good in zip(names, pool.map(succeeded, names), strict=True) if not good
        ]


def _names(pattern: str, jobs: int) -> list[str]:
    check_count("jobs", jobs)
    return [recipe.name for recipe in recipes.find(pattern)]


def _options(resources: Resources) -> dict[str, str]:
    return {f"slurm_{option}": value for option, value in resources.slurm.items()}


def _executor(cluster: str, resources: Resources, **options: Any) -> Any:
    """The executor of submitit, its files beside the artifacts, which all machines share."""
    check_choice("cluster", cluster, CLUSTERS)
    try:
        executor = _submitit().AutoExecutor(
            folder=jobs_folder(), cluster=cluster, slurm_max_num_timeout=TIME_LIMITS
        )
        executor.update_parameters(
            name="gahb",
            timeout_min=max(1, round(60 * resources.hours)),
            cpus_per_task=resources.cpus,
            gpus_per_node=resources.gpus,
            **options,
        )
    except (RuntimeError, NameError) as error:  # no Slurm here; an option that is none
        raise ValueError(f"cluster: {' '.join(str(error).split())}") from error
    return executor


def _submitit() -> ModuleType:
    # Read by submitit when it is imported, and by the jobs, which inherit it.
    os.environ.setdefault("SUBMITIT_PREEMPT_SIGNAL", SIGNAL)
    try:
        import submitit
    except ModuleNotFoundError as error:
        raise ValueError(
            "cluster: submitit is missing; run: pip install 'gahb[cluster]'"
        ) from error
    module: ModuleType = submitit
    return module
