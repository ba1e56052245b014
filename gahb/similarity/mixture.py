"""How well an image is explained as a mixture of a few images of a set.

floor: 3
"""

from __future__ import annotations

import torch
from torch import Tensor

from gahb.checks import check_count
from gahb.similarity.closest import closest
from gahb.vectors import rows

__all__ = ["MIXED", "mixture_similarity", "similarity_to_mixture"]

MIXED = 4
"""Images in a mixture, unless said otherwise."""
BLOCK = 256


def mixture_similarity(x: Tensor, among: Tensor, k: int = MIXED) -> Tensor:
    """Cosine similarity of each image to the best mixture of its ``k`` closest images, (n,).

    The mixture is the linear combination of these images of ``among`` that is nearest in the
    least-squares sense, all images being centred.

    Parameters
    ----------
    x, among : Tensor
        Images, (n, C, H, W) and (N, C, H, W), floating-point or uint8.
    k : int
        How many are mixed, at most N.

    Raises
    ------
    TypeError, ValueError
        If either is not a finite batch of images, their sizes differ, or ``k`` is out of range.

    Examples
    --------
    >>> among = torch.rand(10, 1, 8, 8)
    >>> float(mixture_similarity(0.3 * among[:1] + 0.7 * among[1:2], among).round(decimals=4))
    1.0
    """
    check_count("k", k, 1)
    return similarity_to_mixture(x, among, closest(x, among, k).index)


@torch.no_grad()
def similarity_to_mixture(x: Tensor, among: Tensor, index: Tensor) -> Tensor:
    """As :func:`mixture_similarity`, for the images ``among[index]``, ``index`` being (n, k)."""
    found = []
    for part, numbers in zip(x.split(BLOCK), index.to(among.device).split(BLOCK), strict=True):
        own = rows("x", part, centred=True)
        mixed = [rows("among", among[c].to(x.device), centred=True) for c in numbers.T]
        columns = torch.stack(mixed, dim=2)
        # Not solved from normal equations: near-duplicates among the columns do no harm here.
        weights = torch.linalg.pinv(columns) @ own[:, :, None]
        explained = (columns @ weights).squeeze(2).norm(dim=1)
        found.append((explained / own.norm(dim=1)).nan_to_num(0).clamp(max=1))
    return torch.cat(found)
