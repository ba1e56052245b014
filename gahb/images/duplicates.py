"""Near-duplicates of an image set, found in blocks, with the same answer whatever the blocks.

The paper removes images whose cosine similarity to another exceeds 0.95 (appendix B.1, figure 6).
"""

import torch
from torch import Tensor

from gahb.checks import check_number
from gahb.vectors import check_batch, directions

DUPLICATES = 0.95  # centered cosine above which two images are near-duplicates, as in the paper
BLOCK = 1024  # images compared with as many others at a time
TIE = 1e-9  # by how much a cosine must exceed the threshold: more than doubles can blur
# Single precision decides pairs farther than this from the threshold, double precision the rest.
# It also covers the shortened mantissa with which GPUs may multiply matrices.
MARGIN = 1e-3


def remove_duplicates(x: Tensor, threshold: float = DUPLICATES, *, centered: bool = True) -> Tensor:
    """Return the images without near-duplicates: the first of every group stays, in order.

    Image j is dropped if its cosine similarity to an earlier image *that was kept* exceeds
    ``threshold``, in [-1, 1]. Images, (n, C, H, W), and ``centered`` are as for
    :func:`gahb.cosine_similarity`. Beyond the result a few blocks of 1,024 images are held in
    memory: below 0.5 GB for images of 80x80.

    Examples
    --------
    >>> x = torch.rand(10, 1, 8, 8)
    >>> torch.equal(remove_duplicates(torch.cat([x, 0.5 * x])), x)
    True
    """
    kept = distinct_images(x, threshold, centered=centered)
    return x if len(kept) == len(x) else x[kept]


@torch.no_grad()
def distinct_images(x: Tensor, threshold: float = DUPLICATES, *, centered: bool = True) -> Tensor:
    """Return the indices (m,) of the images that :func:`remove_duplicates` keeps, increasing."""
    check_batch("x", x)
    check_number("threshold", threshold, low=-1, high=1)
    kept = torch.empty(0, dtype=torch.long, device=x.device)
    for candidates in torch.arange(len(x), device=x.device).split(BLOCK):
        own = directions("x", x[candidates], centered)
        for earlier in kept.split(BLOCK):
            others = directions("x", x[earlier], centered)
            new = ~_similar(own, others, threshold).any(dim=1)
            candidates, own = candidates[new], own[new]
        first = _first_of_each(_similar(own, own, threshold))
        kept = torch.cat([kept, candidates[first]])
    return kept


def _first_of_each(similar: Tensor) -> Tensor:
    """Choose in order each image that is similar to none chosen before, (n,) bool."""
    chosen = torch.ones(len(similar), dtype=torch.bool, device=similar.device)
    for j in range(len(similar)):
        if chosen[j]:
            chosen[j + 1 :] &= ~similar[j, j + 1 :]
    return chosen


def _similar(a: Tensor, b: Tensor, threshold: float) -> Tensor:
    """Whether the cosine of each pair of unit vectors exceeds the threshold, (len(a), len(b))."""
    cosine = a.float() @ b.float().T
    similar = cosine > threshold
    for pairs in ((cosine - threshold).abs() <= MARGIN).nonzero().split(BLOCK):
        i, j = pairs.unbind(dim=1)
        similar[i, j] = (a[i] * b[j]).sum(dim=1) > threshold + TIE
    return similar
