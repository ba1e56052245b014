"""Noise of an image that depends on the seed, the image's number and the step alone.

floor: 3
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from gahb.checks import check_count
from gahb.images.streams import random_numbers

__all__ = ["Noise"]


class Noise:
    """Unit noise for a batch of images, each from a stream of random numbers of its own.

    Two denoisers thus meet the same noise, whatever the batch, the order in which its images
    finish, and the device.

    Examples
    --------
    >>> five, last = Noise(0, range(5), (1, 8, 8)), Noise(0, range(4, 5), (1, 8, 8))
    >>> torch.equal(five.draw([0, 4])[1:], last.draw([4]))
    True
    """

    def __init__(self, seed: int, images: range, shape: tuple[int, ...]) -> None:
        check_count("seed", seed, minimum=0)
        self.streams = {i: random_numbers(np.random.SeedSequence([seed, i])) for i in images}
        self.shape = shape

    def draw(self, which: list[int]) -> Tensor:
        """Next noise of the images ``which``, (len(which), C, H, W) in float32 on the CPU."""
        drawn = np.stack([self.streams[i].standard_normal(self.shape) for i in which])
        return torch.from_numpy(drawn).float()
