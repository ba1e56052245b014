r"""Analytic denoisers that compare parts of images: explanations of what a trained network does.

The exact denoiser of a training set, :class:`gahb.optimal.EmpiricalBayes`, compares whole images
and memorizes. If each pixel q of the estimate may depend on a part of the noisy image only, the
best denoiser compares that part with the same part of each training image,

.. math::

    f(y)_q = \sum_i w_i(q) \, x_i(q), \quad
    w_i(q) \propto \exp \left( - \frac{1}{2 \sigma^2} \sum_p M_{qp} (y(p) - x_i(p))^2 \right),

with a mask M of zeros and ones, and composes its estimate from several images.
"""

import math
from collections.abc import Iterator, Mapping
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor

from gahb.checks import check_count, check_images, check_number
from gahb.denoiser import SMALLEST, BaseDenoiser, Sigma, noise_levels
from gahb.devices import in_double
from gahb.optimal.densities import Gaussian
from gahb.vectors import check_gray, gray_levels

PRODUCTS = 2**22  # logits that are held at a time: 32 MB
MIDDLE = 0.5
THRESHOLD = 0.02  # of the largest entry of a row of the Wiener filter, which counts as large
TOGETHER = 16  # pixels whose rows of the Jacobian are found at a time


class RunningMean:
    """Average under weights that are known by their logarithms, block after block."""

    def __init__(self, shape: torch.Size, like: Tensor) -> None:
        self.mean = torch.zeros(shape, dtype=like.dtype, device=like.device)
        self.log_mass = torch.full_like(self.mean[..., :1], -torch.inf)

    def add(self, logits: Tensor, values: Tensor) -> None:
        """Take in values (..., j, C) of log weights (..., m, j); the mean is (..., m, C)."""
        highest = logits.amax(-1, keepdim=True)
        weights = (logits - highest).exp()
        total = weights.sum(-1, keepdim=True)
        log_mass = torch.logaddexp(self.log_mass, highest + total.log())
        share = (highest - log_mass).exp()
        self.mean = self.mean * (self.log_mass - log_mass).exp() + share * (weights @ values)
        self.log_mass = log_mass


class Masked(BaseDenoiser):
    """Posterior mean of each pixel given a part of the noisy image; subclasses give the parts."""

    images: Tensor

    def __init__(self, x: Tensor) -> None:
        super().__init__()
        check_gray("x", x)
        self.register_buffer("images", x)

    def masks(self, sigma: float) -> Tensor:
        """Return which values p the estimate of each value q depends on, (d, d) of q and p."""
        raise NotImplementedError

    def forward(self, y: Tensor, sigma: Sigma | None = None) -> Tensor:
        """Return the estimate of the clean images, (n, C, H, W), of the dtype of ``y``."""
        check_images("y", y, size=self.images.shape[1:], finite=False)
        noisy, levels = in_double(y), noise_levels(sigma, len(y))
        estimate = torch.empty_like(noisy)
        for level in levels.unique().tolist():
            same = levels == level
            estimate[same] = self._denoised(noisy[same], level)
        return estimate.to(y)

    def _denoised(self, y: Tensor, sigma: float) -> Tensor:
        """Return the estimate from images in float64 that have the same noise level."""
        masks = in_double(self.masks(sigma)).T.contiguous()
        flat = y.flatten(1)
        average = RunningMean(torch.Size([len(y), flat.shape[1], 1, 1]), flat)
        for images in self._blocks(len(y) * flat.shape[1]):
            # Of the squared differences, that of y^2 is common to all images, and left out.
            x = images.flatten(1)
            half = (x.square() / 2) @ masks
            products = (flat[:, None] * x).flatten(0, 1) @ masks
            logits = (products.unflatten(0, (len(y), len(x))) - half) / sigma**2
            average.add(logits.permute(0, 2, 1)[:, :, None], x.T[:, :, None])
        return average.mean.view(y.shape)

    def jacobian(self, y: Tensor, sigma: float) -> Tensor:
        r"""Return the Jacobian at one noisy image, (d, d), without automatic differentiation.

        Its entries are posterior covariances,
        :math:`M_{qp} \operatorname{Cov}_{w(q)}(x(q), x(p)) / \sigma^2`.

        Examples
        --------
        >>> machine = Local(torch.rand(9, 1, 2, 2), patch=1)
        >>> machine.jacobian(torch.rand(1, 1, 2, 2), sigma=0.1).count_nonzero()
        tensor(4)
        """
        check_images("y", y, size=self.images.shape[1:])
        if len(y) != 1:
            raise ValueError(f"y: {len(y)} images; accepted: one")
        check_number("sigma", sigma, low=SMALLEST)
        return self._jacobian(in_double(y), sigma)

    def _jacobian(self, y: Tensor, sigma: float) -> Tensor:
        masks = in_double(self.masks(sigma))
        x = in_double(gray_levels(self.images)).flatten(1)
        logits = -(masks @ (y.flatten(1) - x).square().T) / (2 * sigma**2)
        return masks * _covariances(logits, x.T[:, None], x)[:, 0] / sigma**2

    def _blocks(self, products: int) -> Iterator[Tensor]:
        """Yield the training images in float64, as many at a time as have that many products."""
        for part in self.images.split(max(1, PRODUCTS // products)):
            yield in_double(gray_levels(part))


def _covariances(logits: Tensor, x: Tensor, parts: Tensor) -> Tensor:
    """Return those of x, (m, C, j), and parts (j, l) under weights of m logits, (m, C, l)."""
    weights = logits.softmax(-1)[:, None]
    weighted = weights * x
    return weighted @ parts - weighted.sum(-1, keepdim=True) * (weights @ parts)


class Local(Masked):
    r"""Local score machine: the posterior over patches at the same place (Kamb and Ganguli, 2025).

    The part of the image that pixel q depends on is the square of ``patch`` pixels around it, cut
    at the border of the image. A patch as large as twice the image gives
    :class:`gahb.optimal.EmpiricalBayes`.

    Parameters
    ----------
    x : Tensor
        Training images in [0, 1], (n, C, H, W), or uint8.
    patch : int or mapping of float to int
        Side of the patches in pixels, odd; or a side for some noise levels, of which the one that
        is closest (in decibels) counts.

    Examples
    --------
    >>> x = torch.tensor([[0.0, 0.0], [1.0, 1.0]]).view(2, 1, 1, 2)
    >>> y = torch.tensor([0.1, 0.9]).view(1, 1, 1, 2)
    >>> Local(x, patch=1)(y, sigma=0.1).round()  # neither of the images, but their parts
    tensor([[[[0., 1.]]]])
    """

    def __init__(self, x: Tensor, patch: int | Mapping[float, int]) -> None:
        super().__init__(x)
        self.patch = {1.0: patch} if not isinstance(patch, Mapping) else dict(patch)
        if not self.patch:
            raise ValueError("patch: no noise level; accepted: at least one")
        for level, side in self.patch.items():
            check_number("patch", level, low=SMALLEST)
            check_count("patch", side)
            if side % 2 == 0:
                raise ValueError(f"patch: {side} is even; accepted: an odd number of pixels")

    def radius(self, sigma: float) -> int:
        """Return how far the patches of a noise level reach from their center, in pixels."""
        return self.patch[min(self.patch, key=lambda level: abs(math.log(level / sigma)))] // 2

    def masks(self, sigma: float) -> Tensor:
        """Return the squares around each pixel, in all channels, (d, d)."""
        channels, height, width = self.images.shape[1:]
        near = [
            (torch.arange(side)[:, None] - torch.arange(side)).abs() <= self.radius(sigma)
            for side in (height, width)
        ]
        squares = torch.kron(near[0].double(), near[1].double())
        return torch.kron(squares.new_ones(channels, channels), squares).to(self.images.device)


class EquivariantLocal(Local):
    r"""Equivariant local score machine: the posterior over patches of all places.

    A convolution does not know where it is, and so the patch around a pixel is compared with those
    around all pixels of all training images. But zero padding gives borders away: where patches
    reach beyond the image, they are compared only with patches that do so by the same number of
    pixels on the same sides ("boundary-broken", Kamb and Ganguli, 2025). In a corner the place is
    known, and the machine is :class:`Local`, whose arguments it has. A thousand images of 32 x 32
    pixels take some seconds an image.

    Examples
    --------
    >>> x = torch.tensor([0.0, 0.0, 1.0, 1.0]).view(1, 1, 1, 4)
    >>> y = torch.tensor([0.9, 0.1, 0.9, 0.1]).view(1, 1, 1, 4)
    >>> EquivariantLocal(x, patch=1)(y, sigma=0.1).round()
    tensor([[[[1., 0., 1., 0.]]]])
    """

    # In which patches of several places are compared: in half the time of float64, for errors of
    # some 1e-5, and 1e-3 at the least noise, sigma = 0.005.
    precision = torch.float32

    def _denoised(self, y: Tensor, sigma: float) -> Tensor:
        estimate = super()._denoised(y, sigma)
        for down, across in self._groups(y, sigma):
            estimate[..., down[:, None], across] = self._shared(y, sigma, down, across).to(y)
        return estimate

    def _jacobian(self, y: Tensor, sigma: float) -> Tensor:
        side, size = 2 * self.radius(sigma) + 1, y.shape[1:]
        rows = super()._jacobian(y, sigma).view(*size, *size)
        rows = F.pad(rows, [self.radius(sigma)] * 4)
        for down, across in self._groups(y, sigma):
            others = self._patches(gray_levels(self.images), sigma, down, across)
            half = others.square().sum(1) / 2
            centers = others.unflatten(1, (size[0], -1))[:, :, side**2 // 2].T
            places = torch.cartesian_prod(down, across).split(TOGETHER)
            patches = self._patches(y, sigma, down, across).split(TOGETHER)
            for some, own in zip(places, patches, strict=True):
                logits = torch.addmm(-half, own, others.T) / sigma**2
                found = _covariances(logits, centers, others) / sigma**2
                for (i, j), each in zip(some.tolist(), found, strict=True):
                    around = rows[:, i, j, :, i : i + side, j : j + side]
                    around.copy_(each.view(around.shape))
        inside = slice(self.radius(sigma), -self.radius(sigma) or None)
        return rows[..., inside, inside].reshape(math.prod(size), -1)

    def _groups(self, y: Tensor, sigma: float) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the rows and columns of pixels that share patches, where there are several."""
        groups = (_alike(side, self.radius(sigma)) for side in y.shape[-2:])
        for down, across in product(*groups):
            if len(down) > 1 or len(across) > 1:
                yield down, across

    def _shared(self, y: Tensor, sigma: float, down: Tensor, across: Tensor) -> Tensor:
        """Return the estimate at pixels that share patches, (n, C, rows, columns)."""
        patches = self._patches(y, sigma, down, across)
        channels = y.shape[1]
        average = RunningMean(torch.Size([len(patches), channels]), patches)
        for images in self._blocks(len(patches) * len(down) * len(across)):
            others = self._patches(images, sigma, down, across)
            logits = torch.addmm(-others.square().sum(1) / 2, patches, others.T) / sigma**2
            centers = images[..., down[:, None], across].movedim(1, -1).reshape(-1, channels)
            average.add(logits, centers.to(logits))
        return average.mean.view(len(y), len(down), len(across), channels).movedim(-1, 1)

    def _patches(self, images: Tensor, sigma: float, down: Tensor, across: Tensor) -> Tensor:
        """Return the patches around some pixels of images, (n rows columns, C k k)."""
        radius = self.radius(sigma)
        # About their middle, gray levels have smaller products, and these smaller rounding errors.
        padded = F.pad(images.to(self.precision) - MIDDLE, [radius] * 4)
        top, left = int(down[0]), int(across[0])
        part = padded[..., top : int(down[-1]) + 2 * radius + 1, left:]
        part = part[..., : int(across[-1]) - left + 2 * radius + 1]
        return F.unfold(part, 2 * radius + 1).movedim(1, -1).flatten(0, 1)


def _alike(side: int, radius: int) -> list[Tensor]:
    """Return groups of positions along a side whose patches meet the border in the same way."""
    numbers = torch.arange(side)
    inner = numbers[radius : side - radius]
    alone = numbers[(numbers < radius) | (numbers >= side - radius)]
    return [group for group in (inner, *alone.split(1)) if len(group)]


class CovarianceLocal(Masked):
    r"""Analytic denoiser that is as local as the Wiener filter of the training images.

    Pixel q depends on those pixels that the best affine denoiser, :class:`gahb.optimal.Gaussian`,
    uses for it: where row q of the matrix :math:`C (C + \sigma^2)^{-1}` is at least .02 of its
    largest entry (in the code of Lukoianov et al., 2025, of the largest of all rows, each divided
    by its own pixel's entry). No square has to be chosen, and the part need not be one. The
    training images x are in [0, 1], (n, C, H, W), or uint8.

    Examples
    --------
    >>> pixels = torch.rand(100_000, 1, 2, 2)  # independent: each depends on itself alone
    >>> CovarianceLocal(pixels).masks(sigma=0.1)[0]
    tensor([1., 0., 0., 0.], dtype=torch.float64)
    """

    def __init__(self, x: Tensor) -> None:
        super().__init__(x)
        self.gaussian = Gaussian.of(x)

    def masks(self, sigma: float) -> Tensor:
        """Return the large entries of the Wiener filter's rows, (d, d)."""
        basis, variances = self.gaussian.basis, self.gaussian.variances
        weights = ((basis * (variances / (variances + sigma**2))) @ basis.T).abs()
        largest = weights.amax(1, keepdim=True)
        return (weights >= THRESHOLD * largest).double()
