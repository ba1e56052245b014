"""Images whose pixels are put in another order, the same for all: no neighbor stays one.

What is optimal for the images themselves, shuffled likewise, is optimal for these. A network that
looks for geometry finds none (Figure 21).
"""

from collections.abc import Callable
from functools import cache

import numpy as np
import torch
from torch import Tensor

from gahb.images.store import random_numbers
from gahb.vectors import check_batch

PREFIX = "shuffled-"  # of the names of classes whose images are those of another one, shuffled


def shuffle(x: Tensor) -> Tensor:
    """Return images with their pixels in another order, which depends on their size alone.

    Images (n, C, size, size) may be noisy ones or basis vectors, floating-point or uint8. All
    channels are shuffled alike.

    Examples
    --------
    >>> x = torch.rand(2, 1, 16, 16)
    >>> torch.equal(unshuffle(shuffle(x)), x)
    True
    """
    return _reordered(x, _order)


def unshuffle(x: Tensor) -> Tensor:
    """Return images whose pixels :func:`shuffle` had put in another order, (n, C, size, size).

    Examples
    --------
    >>> shuffled = shuffle(torch.eye(16).view(1, 1, 16, 16))
    >>> unshuffle(shuffled)[0, 0].trace()
    tensor(16.)
    """
    return _reordered(x, lambda size: _order(size).argsort())


def _reordered(x: Tensor, order: Callable[[int], Tensor]) -> Tensor:
    check_batch("x", x)
    if x.shape[-2] != x.shape[-1]:
        raise ValueError(f"x: shape {tuple(x.shape)}; accepted: square images")
    return x.flatten(-2)[..., order(x.shape[-1]).to(x.device)].view(x.shape)


@cache
def _order(size: int) -> Tensor:
    """Return which pixel comes to each place, row by row, (size^2,)."""
    return torch.from_numpy(random_numbers(np.random.SeedSequence(size)).permutation(size**2))
