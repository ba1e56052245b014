"""Linear measurements of images, on which sampling can be conditioned."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from gahb.checks import check_count, check_images

__all__ = ["Measurement", "inpainting", "random_projection", "super_resolution"]

TOLERANCE = 1e-3


@dataclass(frozen=True, eq=False)
class Measurement:
    """What is known of images: c = M^T x, for a matrix M of orthonormal columns.

    Parameters
    ----------
    values : Tensor
        The measurements c of one image (1, ...), or of as many as are to be drawn (n, ...).
    forward : callable
        ``forward(x)`` is M^T x: images (n, C, H, W) to measurements (n, ...).
    adjoint : callable
        ``adjoint(c)`` is M c: measurements to images. ``forward(adjoint(c))`` must be c.

    Examples
    --------
    The mean of an image, known to be that of a gray one:

    >>> d = 16 * 16
    >>> mean = Measurement(
    ...     values=torch.full((1, 1), 0.5 * d**0.5),
    ...     forward=lambda x: x.flatten(1).sum(1, keepdim=True) / d**0.5,
    ...     adjoint=lambda c: (c / d**0.5)[..., None, None].expand(-1, 1, 16, 16),
    ... )
    >>> mean.impose(torch.rand(3, 1, 16, 16)).mean((1, 2, 3))
    tensor([0.5000, 0.5000, 0.5000])
    """

    values: Tensor
    forward: Callable[[Tensor], Tensor]
    adjoint: Callable[[Tensor], Tensor]

    def impose(self, x: Tensor) -> Tensor:
        """Images closest to ``x`` that have these measurements, (Id - M M^T) x + M c."""
        return x + self.adjoint(self.values - self.forward(x))

    def take(self, which: Tensor) -> Measurement:
        """Measurements of the images ``which``; those of a single image are those of all."""
        if len(self.values) == 1:
            return self
        return replace(self, values=self.values[which.to(self.values.device)])

    def of(self, n: int, like: Tensor) -> Measurement:
        """The same on the device and of the dtype of an image, checked to suit n like it."""
        if len(self.values) not in (1, n):
            raise ValueError(f"measurement: {len(self.values)} of them; accepted: 1, or n = {n}")
        moved = replace(self, values=self.values.to(like))
        moved._check_columns(like)
        return moved

    def _check_columns(self, like: Tensor) -> None:
        """Raise unless M^T M = Id and <M c, x> = <c, M^T x>, for random c and x."""
        generator = torch.Generator().manual_seed(0)
        c = torch.randn(self.values[:1].shape, generator=generator).to(like)
        x = torch.randn(1, *like.shape, generator=generator).to(like)
        image = self.adjoint(c)
        if image.shape != x.shape:
            sizes = f"of images {tuple(image.shape[1:])}; accepted: of {tuple(like.shape)}"
            raise ValueError(f"measurement: is {sizes}, as size and channels ask")
        difference = (image * x).sum() - (c * self.forward(x)).sum()
        transposed = difference.abs() <= TOLERANCE * c.norm() * x.norm()
        if not transposed or (self.forward(image) - c).norm() > TOLERANCE * c.norm():
            accepted = "the transpose of forward, and forward(adjoint(c)) = c"
            raise ValueError(f"measurement: adjoint does not fit; accepted: {accepted}")


def inpainting(x: Tensor, mask: Tensor) -> Measurement:
    """The pixels of images ``x``, (n, C, H, W), where ``mask`` is true; the others are not read.

    Parameters
    ----------
    x : Tensor
        Images, (n, C, H, W), right where they are seen.
    mask : Tensor
        Which pixels are seen, bool (H, W) or (C, H, W).

    Examples
    --------
    >>> x = torch.rand(1, 1, 8, 8)
    >>> left = torch.arange(8) < 4
    >>> drawn = inpainting(x, left.expand(8, 8)).impose(torch.zeros(3, 1, 8, 8))
    >>> torch.equal(drawn[2, :, :, :4], x[0, :, :, :4])
    True
    """
    check_images("x", x, finite=False)
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool:
        raise TypeError("mask: is not a bool tensor of shape (H, W) or (C, H, W)")
    if mask.shape not in (x.shape[1:], x.shape[2:]) or not mask.any():
        accepted = f"{tuple(x.shape[2:])} or {tuple(x.shape[1:])}, true somewhere"
        raise ValueError(
            f"mask: shape {tuple(mask.shape)}, {mask.sum()} true; accepted: {accepted}"
        )
    shape = x.shape[1:]
    seen = mask.expand(shape).flatten().nonzero().squeeze(1)

    def forward(images: Tensor) -> Tensor:
        return images.flatten(1).index_select(1, seen.to(images.device))

    def adjoint(values: Tensor) -> Tensor:
        images = values.new_zeros(len(values), shape.numel())
        images[:, seen.to(values.device)] = values
        return images.reshape(-1, *shape)

    return Measurement(forward(x), forward, adjoint)


def super_resolution(x: Tensor, factor: int) -> Measurement:
    """The averages of images ``x`` over blocks of ``factor`` x ``factor`` pixels.

    The measurements are ``factor`` times these averages: M has orthonormal columns. A picture of
    which only the small version is there may be enlarged by repeating its pixels.

    Parameters
    ----------
    x : Tensor
        Images, (n, C, H, W), of sides that are multiples of ``factor``.
    factor : int
        Pixels a side of a block.

    Examples
    --------
    >>> super_resolution(torch.rand(1, 1, 8, 8), factor=4).values.shape
    torch.Size([1, 1, 2, 2])
    """
    check_images("x", x)
    check_count("factor", factor)
    if x.shape[2] % factor or x.shape[3] % factor:
        raise ValueError(f"factor: {factor} does not divide the sides, {tuple(x.shape[2:])}")

    def forward(images: Tensor) -> Tensor:
        averages: Tensor = F.avg_pool2d(images, factor)
        return factor * averages

    def adjoint(values: Tensor) -> Tensor:
        return values.repeat_interleave(factor, -2).repeat_interleave(factor, -1) / factor

    return Measurement(forward(x), forward, adjoint)


def random_projection(x: Tensor, m: int, seed: int = 0) -> Measurement:
    """Inner products of images ``x`` with ``m`` random orthonormal images (compressed sensing).

    Parameters
    ----------
    x : Tensor
        Images, (n, C, H, W).
    m : int
        Number of inner products, at most C H W.
    seed : int
        Fixes the random images.

    Examples
    --------
    >>> random_projection(torch.rand(2, 1, 8, 8), m=6).values.shape
    torch.Size([2, 6])
    """
    check_images("x", x)
    shape = x.shape[1:]
    check_count("m", m, 1, shape.numel())
    check_count("seed", seed, minimum=0)
    generator = torch.Generator().manual_seed(seed)
    basis, _ = torch.linalg.qr(torch.randn(shape.numel(), m, generator=generator))

    def forward(images: Tensor) -> Tensor:
        return torch.matmul(images.flatten(1), basis.to(images))

    def adjoint(values: Tensor) -> Tensor:
        return torch.matmul(values, basis.T.to(values)).reshape(-1, *shape)

    return Measurement(forward(x), forward, adjoint)
