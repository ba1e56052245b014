"""Several trainings side by side, each a process of its own.

floor: 5
"""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

from gahb import recipes
from gahb.checks import check_count

__all__ = ["sweep"]


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

    Raises
    ------
    ValueError
        If no recipe matches, or ``jobs`` is below 1.
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
