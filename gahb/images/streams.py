"""One stream of random numbers for every image, so that no image depends on how many are asked for.

floor: 1
"""

from __future__ import annotations

import numpy as np

__all__ = ["SUBSETS", "stream"]

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
    key = np.random.SeedSequence([seed, SUBSETS.index(subset), index])
    # RandomState, not Generator: numpy promises that its streams never change.
    return np.random.RandomState(np.random.Philox(key))
