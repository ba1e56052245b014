"""Cosine similarity of pairs of images.

floor: 3
"""

from __future__ import annotations

import torch
from torch import Tensor

from gahb.vectors import check_batch, directions

__all__ = ["cosine_similarity"]


@torch.no_grad()
def cosine_similarity(a: Tensor, b: Tensor, *, centred: bool = True) -> Tensor:
    """Cosine of the angle between image i of ``a`` and image i of ``b`` (Figure 2, blue).

    Parameters
    ----------
    a, b : Tensor
        Images, (n, C, H, W), floating-point or uint8. One image is compared with all of the other.
    centred : bool
        Subtract every image's own mean first, as the released code of the paper does; otherwise
        the plain normalised inner product, which the paper's text states. An image without
        direction (constant if centred, black if not) has cosine 1 to its like and 0 to others.

    Returns
    -------
    Tensor
        (n,) in float64.

    Raises
    ------
    TypeError, ValueError
        If either is not a finite batch of images, or their shapes do not fit.

    Examples
    --------
    >>> x = torch.rand(2, 1, 8, 8)
    >>> cosine_similarity(x, 0.5 * x + 0.2)
    tensor([1.0000, 1.0000], dtype=torch.float64)
    """
    check_batch("a", a)
    check_batch("b", b, like=a)
    if len(a) != len(b) and 1 not in (len(a), len(b)):
        raise ValueError(f"b: {len(b)} images; accepted: 1, or {len(a)} as in a")
    cosines: Tensor = directions("a", a, centred) * directions("b", b.to(a.device), centred)
    return cosines.sum(1).clamp(-1, 1)
