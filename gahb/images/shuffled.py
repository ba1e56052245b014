"""Images whose pixels are put in another order, the same for all: no neighbor stays one.

What is optimal for the images themselves, shuffled likewise, is optimal for these. A network that
looks for geometry finds none (Figure 21).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gahb.images.store import random_numbers
from gahb.vectors import check_batch

__all__ = ["draw_shuffled", "read_shuffled", "shuffle", "unshuffle"]


def draw_shuffled(
    draw: Callable[[Sequence[int], int, str, int], Tensor],
    indices: Sequence[int],
    size: int,
    subset: str,
    seed: int,
) -> Tensor:
    """Images that ``draw`` gives, shuffled: uint8 (len(indices), 1, size, size)."""
    return shuffle(draw(indices, size, subset, seed))


def read_shuffled(
    read: Callable[[Path, int | None, int, str, int], Tensor],
    path: Path,
    n: int | None,
    size: int,
    subset: str,
    seed: int,
) -> Tensor:
    """Images that ``read`` finds at ``path``, shuffled: uint8 (n, 1, size, size)."""
    return shuffle(read(path, n, size, subset, seed))


def shuffle(x: Tensor) -> Tensor:
    """Images with their pixels in an order that was drawn once and depends on their size alone.

    Parameters
    ----------
    x : Tensor
        Images of any kind, such as noisy ones or basis vectors: (n, C, size, size), floating-point
        or uint8. All channels are shuffled alike.

    Returns
    -------
    Tensor
        Shuffled images, of the shape and dtype of ``x``.

    Examples
    --------
    >>> x = torch.rand(2, 1, 16, 16)
    >>> torch.equal(unshuffle(shuffle(x)), x)
    True
    """
    _check_square(x)
    return _reordered(x, _order(x.shape[-1]))


def unshuffle(x: Tensor) -> Tensor:
    """Images whose pixels :func:`shuffle` had put in another order, (n, C, size, size).

    Examples
    --------
    >>> shuffled = shuffle(torch.eye(16).view(1, 1, 16, 16))
    >>> unshuffle(shuffled)[0, 0].trace()
    tensor(16.)
    """
    _check_square(x)
    return _reordered(x, _order(x.shape[-1]).argsort())


def _reordered(x: Tensor, order: Tensor) -> Tensor:
    return x.flatten(-2)[..., order.to(x.device)].view(x.shape)


@cache
def _order(size: int) -> Tensor:
    """Which pixel comes to each place, row by row, (size^2,)."""
    return torch.from_numpy(random_numbers(np.random.SeedSequence(size)).permutation(size**2))


def _check_square(x: Tensor) -> None:
    check_batch("x", x)
    if x.shape[-2] != x.shape[-1]:
        raise ValueError(f"x: shape {tuple(x.shape)}; accepted: square images")
