"""The images of a set that are closest to others, found in blocks.

floor: 3
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from gahb.checks import check_choice, check_count
from gahb.vectors import check_batch, directions, rows

__all__ = ["Closest", "closest"]

BLOCK = 1024
Vectors = Callable[[str, Tensor, bool], Tensor]


@dataclass(frozen=True, eq=False)
class Closest:
    """The k closest images of a set to each of n images, closest first.

    Attributes
    ----------
    index : Tensor
        Their numbers in the set, (n, k).
    value : Tensor
        Cosine similarity to them, or distance from them, (n, k) in float64.
    """

    index: Tensor
    value: Tensor


@torch.no_grad()
def closest(
    x: Tensor,
    among: Tensor,
    k: int = 1,
    *,
    by: str = "cosine",
    centred: bool = True,
    block: int = BLOCK,
) -> Closest:
    """The ``k`` images of ``among`` that are closest to each image of ``x`` (Figures 2 and 6).

    Both are read in blocks: beyond the result, a handful of blocks are held in memory, below
    0.5 GB for images of 80x80, however many there are. The answer does not depend on ``block``,
    except for the order of equally close ones.

    Parameters
    ----------
    x, among : Tensor
        Images, (n, C, H, W) and (N, C, H, W), floating-point or uint8.
    k : int
        How many, at most N.
    by : str
        ``cosine``; ``distance``: Euclidean, grey levels being in [0, 1]; or ``direction``: the
        distance once images have unit length, sqrt(2 - 2 cosine), exact for near copies as well.
    centred : bool
        Subtract every image's own mean first, see :func:`cosine_similarity`.
    block : int
        Number of images compared with as many others at a time.

    Raises
    ------
    TypeError, ValueError
        If either is not a finite batch of images, their sizes differ, or an argument is out of
        range.

    Examples
    --------
    >>> among = torch.rand(10, 1, 8, 8)
    >>> closest(among[[7, 2]], among).index.flatten()
    tensor([7, 2])
    """
    check_batch("x", x)
    check_batch("among", among, like=x)
    check_count("k", k, 1, len(among))
    check_choice("by", by, MEASURES)
    check_count("block", block)
    found = [MEASURES[by](part, among, k, centred, block) for part in x.split(block)]
    return Closest(torch.cat([c.index for c in found]), torch.cat([c.value for c in found]))


def _closest_by_cosine(x: Tensor, among: Tensor, k: int, centred: bool, block: int) -> Closest:
    own = directions("x", x, centred)
    best = Best(k, own)
    for others in among.split(block):
        best.compare(own @ directions("among", others.to(x.device), centred).T)
    return Closest(best.index, best.score.clamp(-1, 1))


def _closest_by_distance(
    vectors: Vectors, x: Tensor, among: Tensor, k: int, centred: bool, block: int
) -> Closest:
    own = vectors("x", x, centred)
    best = Best(k, own)
    for part in among.split(block):
        others = vectors("among", part.to(x.device), centred)
        # -||x - x_i||^2 / 2, but for ||x||^2, which is common to all
        best.compare(own @ others.T - others.square().sum(1) / 2)
    # The distances of close images are cancelled there: once more, from differences.
    chosen = best.index.to(among.device).T
    found = (vectors("among", among[numbers].to(x.device), centred) for numbers in chosen)
    distance, order = torch.stack([(own - y).norm(dim=1) for y in found], dim=1).sort(dim=1)
    return Closest(best.index.gather(1, order), distance)


MEASURES: dict[str, Callable[..., Closest]] = {
    "cosine": _closest_by_cosine,
    "distance": partial(_closest_by_distance, rows),
    "direction": partial(_closest_by_distance, directions),
}


class Best:
    """The k highest of the scores (n, N) that come block by block, and their numbers, (n, k)."""

    def __init__(self, k: int, like: Tensor) -> None:
        self.k, self.seen = k, 0
        self.score = like.new_empty(len(like), 0)
        self.index = torch.empty(len(like), 0, dtype=torch.long, device=like.device)

    def compare(self, score: Tensor) -> None:
        """Let the next block of scores compete with the best so far."""
        new, where = score.topk(min(self.k, score.shape[1]), dim=1)
        index = torch.cat([self.index, where + self.seen], dim=1)
        self.seen += score.shape[1]
        together = torch.cat([self.score, new], dim=1)
        self.score, best = together.topk(min(self.k, together.shape[1]), dim=1)
        self.index = index.gather(1, best)
