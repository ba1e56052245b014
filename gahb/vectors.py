"""Images as vectors: checked, in double precision, centered, of unit length, orthonormal."""

import torch
from torch import Tensor

from gahb.checks import check_count, check_finite, check_images, check_number
from gahb.devices import in_double, with_double

ORTHONORMALITY = 1e-4  # of float32 vectors: inner products are this close to 0 and 1


def check_batch(argument: str, x: Tensor, like: Tensor | None = None) -> None:
    """Raise unless ``x`` is a batch of images, float or uint8, of the size of those of ``like``.

    Values are not looked at: :func:`rows` does so, block by block.
    """
    # Nothing is allocated on the meta device: a set of bytes is checked without a larger copy.
    is_bytes = isinstance(x, Tensor) and x.dtype == torch.uint8
    check_images(argument, x.to("meta", torch.float32) if is_bytes else x, finite=False)
    if like is not None and x.shape[1:] != like.shape[1:]:
        given, accepted = tuple(x.shape[1:]), tuple(like.shape[1:])
        raise ValueError(f"{argument}: images of {given}; accepted: of {accepted}, as the others")


def check_gray(argument: str, x: Tensor, like: Tensor | None = None) -> None:
    """Raise unless ``x`` is such a batch, of bytes or of gray levels in [0, 1]."""
    check_batch(argument, x, like)
    if x.is_floating_point():
        check_finite(argument, x)
        for extreme in x.aminmax():
            check_number(argument, float(extreme), low=0, high=1)


def check_orthonormal(argument: str, vectors: Tensor, accepted: str) -> None:
    """Raise ValueError unless the k images of each set, (..., k, C, H, W), are orthonormal."""
    flat = in_double(vectors).flatten(-3)
    products = flat @ flat.mT
    errors = products - torch.eye(products.shape[-1]).to(products)
    # Not "above": NaN is no better.
    if not errors.abs().max() <= ORTHONORMALITY:
        given = f"not orthonormal within {ORTHONORMALITY:g}"
        raise ValueError(f"{argument}: {given}; accepted: {accepted}")


def gray_levels(x: Tensor) -> Tensor:
    """Return images, float or uint8, as gray levels in [0, 1]."""
    return x if x.is_floating_point() else x.float() / 255


def repeated(x: Tensor, n: int) -> Tensor:
    """Return the first n images of a set, which is repeated if it has fewer.

    Examples
    --------
    >>> repeated(torch.tensor([3, 5]).view(2, 1, 1, 1), n=3).flatten()
    tensor([3, 5, 3])
    """
    check_count("n", n)
    return x[:n].repeat(-(-n // len(x)), 1, 1, 1)[:n]


def rows(argument: str, x: Tensor, centered: bool) -> Tensor:
    """Return images as rows of gray levels in double precision, centered if asked, (n, d)."""
    return _filled(argument, x, centered, x.shape[1:].numel())


def directions(argument: str, x: Tensor, centered: bool) -> Tensor:
    """Return unit vectors of images, (n, d + 1), whose inner products are their cosines.

    The last coordinate is 1 for an image without direction and 0 for all others.
    """
    vectors = _filled(argument, x, centered, x.shape[1:].numel() + 1)
    levels = vectors[:, : x.shape[1:].numel()]
    lengths = levels.norm(dim=1, keepdim=True)
    without = lengths == 0
    levels /= lengths.masked_fill_(without, 1)
    vectors[:, -1:] = without
    return vectors


def _filled(argument: str, x: Tensor, centered: bool, columns: int) -> Tensor:
    """Return the rows, (n, columns), written in place, for images may be many; the rest is free."""
    vectors = torch.empty(len(x), columns, dtype=torch.float64, device=with_double(x.device))
    levels = vectors[:, : x.shape[1:].numel()]
    levels.copy_(x.flatten(1).to(levels.device))
    check_finite(argument, levels)
    if x.dtype == torch.uint8:
        levels /= 255
    if centered:
        constant = (levels == levels[:, :1]).all(dim=1, keepdim=True)
        levels -= levels.mean(dim=1, keepdim=True)
        levels.masked_fill_(constant, 0)
    return vectors
