"""Linear measurements of images, on which sampling can be conditioned."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from gahb.checks import check_count, check_images

RELATIVE_ERROR = 1e-3


@dataclass(frozen=True, eq=False)
class Measurement:
    r"""What is known of images: :math:`c = M^\top x`, for a matrix M of orthonormal columns."""

    values: Tensor  #: c of one image (1, ...), or of as many as are sampled (n, ...)
    #: :math:`M^\top x`, from images (n, C, H, W) to measurements (n, ...).
    forward: Callable[[Tensor], Tensor]
    #: :math:`M c`, back to images; ``forward(adjoint(c))`` must be c.
    adjoint: Callable[[Tensor], Tensor]

    def impose(self, x: Tensor) -> Tensor:
        r"""Return the closest images that have these, :math:`(\mathrm{Id} - M M^\top)\,x + M c`."""
        return x + self.adjoint(self.values - self.forward(x))

    def take(self, which: Tensor) -> Measurement:
        """Return those of the images ``which``; those of a single image are those of all."""
        own = which.to(self.values.device) if len(self.values) > 1 else slice(None)
        return replace(self, values=self.values[own])

    def of(self, n: int, like: Tensor) -> Measurement:
        """Return the same, checked to suit n images like this one, on its device, of its dtype."""
        if len(self.values) not in (1, n):
            raise ValueError(f"measurement: {len(self.values)} of them; accepted: 1, or n = {n}")
        generator = torch.Generator().manual_seed(0)
        c = torch.randn(self.values[:1].shape, generator=generator).to(like)
        x = torch.randn(1, *like.shape, generator=generator).to(like)
        image = self.adjoint(c)
        if image.shape != x.shape:
            sizes = f"of images {tuple(image.shape[1:])}; accepted: of {tuple(like.shape)}"
            raise ValueError(f"measurement: is {sizes}, as size and channels ask")
        difference = (image * x).sum() - (c * self.forward(x)).sum()  # <M c, x> - <c, M^T x>
        transposed = difference.abs() <= RELATIVE_ERROR * c.norm() * x.norm()
        if not transposed or (self.forward(image) - c).norm() > RELATIVE_ERROR * c.norm():
            accepted = "the transpose of forward, and forward(adjoint(c)) = c"
            raise ValueError(f"measurement: adjoint does not fit; accepted: {accepted}")
        return replace(self, values=self.values.to(like))


def inpainting(x: Tensor, mask: Tensor) -> Measurement:
    """Measure images (n, C, H, W) where a bool mask, (H, W) or (C, H, W), is true; read no others.

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
    shape = x.shape[1:]
    if mask.shape not in (shape, shape[1:]) or not mask.any():
        given = f"shape {tuple(mask.shape)}, {mask.sum()} true"
        accepted = f"{tuple(shape[1:])} or {tuple(shape)}, true somewhere"
        raise ValueError(f"mask: {given}; accepted: {accepted}")
    seen = mask.expand(shape).flatten().nonzero().squeeze(1)

    def forward(images: Tensor) -> Tensor:
        return images.flatten(1).index_select(1, seen.to(images.device))

    def adjoint(values: Tensor) -> Tensor:
        images = values.new_zeros(len(values), shape.numel())
        return images.index_copy_(1, seen.to(values.device), values).reshape(-1, *shape)

    return Measurement(forward(x), forward, adjoint)


def super_resolution(x: Tensor, factor: int) -> Measurement:
    """Measure the averages of images (n, C, H, W) over blocks of ``factor`` x ``factor`` pixels.

    The measurements are ``factor`` times these, for M to have orthonormal columns. A small picture
    may be given enlarged, by repeating its pixels.

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
        return torch.mul(F.avg_pool2d(images, factor), factor)

    def adjoint(values: Tensor) -> Tensor:
        return values.repeat_interleave(factor, -2).repeat_interleave(factor, -1) / factor

    return Measurement(forward(x), forward, adjoint)


def random_projection(x: Tensor, m: int) -> Measurement:
    """Measure the inner products of images (n, C, H, W) with m random orthonormal images.

    Samples then have a visible grain at the default ``sigma_end``, which 0.01 removes.

    Examples
    --------
    >>> random_projection(torch.rand(2, 1, 8, 8), m=6).values.shape
    torch.Size([2, 6])
    """
    check_images("x", x)
    shape = x.shape[1:]
    check_count("m", m, 1, shape.numel())
    generator = torch.Generator().manual_seed(0)
    basis, _ = torch.linalg.qr(torch.randn(shape.numel(), m, generator=generator))

    def forward(images: Tensor) -> Tensor:
        return torch.matmul(images.flatten(1), basis.to(images))

    return Measurement(forward(x), forward, lambda c: (c @ basis.T.to(c)).reshape(-1, *shape))
