"""One stream of random numbers for every image, so that no image depends on how many are asked for.

floor: 1
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gahb.checks import check_choice, check_count

__all__ = ["SUBSETS", "check_indices", "check_stream", "random_numbers", "stream"]

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
