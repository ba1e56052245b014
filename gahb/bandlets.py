"""Denoising by thresholding in orthogonal bases: wavelets, and bandlets that follow geometry.

All is periodic at the borders, and differentiable: a product with one matrix per side and scale.
"""

import math
from collections.abc import Callable
from functools import cache
from itertools import pairwise, product

import numpy as np
import pywt
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from gahb.checks import check_count, check_images
from gahb.denoiser import BaseDenoiser, Sigma, noise_levels
from gahb.devices import in_double
from gahb.optimal.densities import Oracle

__all__ = ["Bandlets", "OracleBandlets", "Wavelets", "wavelet_basis"]

WAVELET = "sym4"  # an orthogonal one of PyWavelets
CONSTANT = 3.0  # the threshold, in units of sigma
DIRECTIONS = 8  # angles in [0, pi) along which coefficients of a square are put together
SQUARES = (4, 8, 16)  # their sides in coefficients, each twice the one before
COARSEST = 4  # coefficients per side that the coarsest scale keeps, at least
DECIMALS = 9  # to which distances are compared: pixels of one line are equally far


def scales_of(side: int) -> int:
    """Return how often a side can be halved and keep at least ``COARSEST`` coefficients."""
    halves = side % 2 == 0 and side >= 2 * COARSEST
    return 1 + scales_of(side // 2) if halves else 0


def scales_of_images(argument: str, x: Tensor) -> int:
    """Return the number of scales of images, (..., H, W), at least 1."""
    scales = min(scales_of(side) for side in x.shape[-2:])
    if scales == 0:
        accepted = "even sides of at least 8 pixels"
        raise ValueError(f"{argument}: shape {tuple(x.shape)}; accepted: {accepted}")
    return scales


def analysis(x: Tensor, scales: int) -> tuple[Tensor, list[Tensor]]:
    """Return the wavelet coefficients of images, (..., H, W), on a number of scales.

    Each halves the sides. They are those of the coarsest scale, (..., H / 2^scales, W / 2^scales),
    and the three subbands of each scale j = 1 ... scales, the finest first, (..., 3, H / 2^j, W /
    2^j).
    """
    details = []
    for _ in range(scales):
        rows, columns = _one_scale(x, -2), _one_scale(x, -1)
        halves = (rows @ x @ columns.mT).unflatten(-1, (2, -1)).unflatten(-3, (2, -1))
        quarters = halves.movedim(-2, -3).flatten(-4, -3)
        x = quarters[..., 0, :, :]
        details.append(quarters[..., 1:, :, :])
    return x, details


def synthesis(approximation: Tensor, details: list[Tensor]) -> Tensor:
    """Return the images (..., H, W) whose coefficients :func:`analysis` gives."""
    x = approximation
    for subbands in reversed(details):
        quarters = torch.cat([x.unsqueeze(-3), subbands], dim=-3)
        halves = quarters.unflatten(-3, (2, 2)).movedim(-3, -2)
        x = halves.flatten(-2, -1).flatten(-3, -2)
        x = _one_scale(x, -2).mT @ x @ _one_scale(x, -1)
    return x


def wavelet_basis(size: int) -> Tensor:
    """Return the wavelets of images, (size^2, 1, size, size) in float64, the coarsest first.

    The size is even, from 8 pixels.

    Examples
    --------
    >>> basis = wavelet_basis(16)
    >>> x = torch.rand(1, 16, 16).double()
    >>> coefficients = (basis * x).sum(dim=(1, 2, 3))
    >>> torch.allclose(coefficients[:16], analysis(x, scales=2)[0].flatten())
    True
    """
    check_count("size", size, minimum=2 * COARSEST)
    if size % 2:
        raise ValueError(f"size: {size} is odd; accepted: an even number of pixels")
    pixels = torch.eye(size**2, dtype=torch.float64).view(-1, size, size)
    approximation, details = analysis(pixels, scales_of(size))
    coefficients = [part.flatten(1) for part in (approximation, *reversed(details))]
    return torch.cat(coefficients, dim=1).T.reshape(-1, 1, size, size)


def _one_scale(x: Tensor, dim: int) -> Tensor:
    return torch.from_numpy(_one_scale_matrix(x.shape[dim])).to(x)


@cache
def _one_scale_matrix(side: int) -> NDArray[np.float64]:
    """Return one scale of the transform of a line, orthogonal: low frequencies above high ones."""
    low, high = pywt.dwt(np.eye(side), WAVELET, mode="periodization", axis=0)
    return np.concatenate([low, high])


# --- Orthogonal bases of small rectangles of coefficients, each adapted to one direction ---


@cache
def bases(height: int, width: int, directions: int) -> NDArray[np.float64]:
    """Return bases of a rectangle of d pixels, (directions + 1, d, d): these, and one per angle."""
    pixels = np.eye(height * width)
    wavelets = haar(height * width)
    angles = math.pi * np.arange(directions) / directions
    # Row by row, entry i of the sequence belongs to pixel order[i].
    adapted = [wavelets @ pixels[order(height, width, angle)] for angle in angles]
    return np.stack([pixels, *adapted])


def order(height: int, width: int, angle: float) -> NDArray[np.int64]:
    """Return the pixels of a rectangle by distance from a line, ties along the line.

    Its angle, in radians, is counted from the rows.
    """
    row, column = np.indices((height, width)).reshape(2, -1)
    distance = math.cos(angle) * row - math.sin(angle) * column
    along = math.sin(angle) * row + math.cos(angle) * column
    return np.lexsort((along.round(DECIMALS), distance.round(DECIMALS)))


@cache
def haar(n: int) -> NDArray[np.float64]:
    """Return the Haar transform of sequences of any length n >= 1, orthogonal, coarse to fine.

    A run is split into halves, the first the longer where its length is odd: a wavelet is constant
    on either half and of mean zero.
    """
    rows, runs = [np.full(n, n**-0.5)], [(0, n)]
    for start, stop in runs:
        if stop - start > 1:
            middle = (start + stop + 1) // 2
            first, second = middle - start, stop - middle
            wavelet = np.zeros(n)
            wavelet[start:middle] = math.sqrt(second / first / (first + second))
            wavelet[middle:stop] = -math.sqrt(first / second / (first + second))
            rows.append(wavelet)
            runs.extend([(start, middle), (middle, stop)])
    return np.stack(rows)


# --- The bandlet basis that fits coefficients best ---


Rule = Callable[[Tensor], tuple[Tensor, Tensor]]
"""From coefficients in each basis of each square, (n, rows, columns, k, d), to the factors that
multiply them, of the same shape, and to the cost of each basis, (n, rows, columns, k)."""


def best_approximation(
    coefficients: Tensor, threshold: Tensor, directions: int, squares: tuple[int, ...]
) -> Tensor:
    """Return subbands, (n, h, w), hard thresholded in the orthogonal basis of lowest Lagrangian.

    This projects them on the basis vectors above the positive ``threshold`` of each, (n,).
    Gradients pass through the projection, not through the choice. ``directions`` and ``squares``
    are as for :class:`OracleBandlets`; squares that borders cut become rectangles.
    """
    limit = threshold.view(-1, 1, 1, 1, 1)

    def thresholding(c: Tensor) -> tuple[Tensor, Tensor]:
        has_direction = torch.arange(c.shape[-2], device=c.device) > 0
        price = limit.squeeze(-1) ** 2 * has_direction
        return c.abs() > limit, c.square().clamp(max=limit**2).sum(-1) + price

    return _in_best_basis(coefficients[None], thresholding, directions, squares)[0]


def best_shrinkage(
    noisy: Tensor, clean: Tensor, sigma: Tensor, directions: int, squares: tuple[int, ...]
) -> tuple[Tensor, Tensor]:
    """Return noisy subbands, (n, h, w), shrunk in the basis and by the factors best for clean ones.

    Of all these bases, it is in this one that the factors of equation 12 have the smallest
    expected error, which is returned as well: a sum over coefficients, (n,).

    The noise of each has the standard deviation ``sigma``, (n,); ``directions`` and ``squares`` are
    as for :class:`OracleBandlets`. Without directions there is only one basis.
    """
    variance = sigma.view(-1, 1, 1, 1, 1) ** 2

    def shrinking(c: Tensor) -> tuple[Tensor, Tensor]:
        factors = c.square() / (c.square() + variance)
        return factors, (variance * factors).sum(-1)

    pair = torch.stack([clean, noisy])
    estimates, costs = _in_best_basis(pair, shrinking, directions, squares)
    return estimates, costs.sum(dim=(1, 2))


def _in_best_basis(
    coefficients: Tensor, rule: Rule, directions: int, squares: tuple[int, ...]
) -> tuple[Tensor, Tensor]:
    """Apply the rule to subbands, (n, h, w), in the basis of lowest cost; return its costs too.

    ``coefficients`` are (m, n, h, w): the first of m versions of the subbands, which may be the
    only one, chooses basis and factors, and the last one is multiplied.
    """
    rows, columns = coefficients.shape[-2:]
    best, cost = _in_squares(coefficients, rule, directions, squares[0])
    for smaller, larger in pairwise(squares):
        if smaller >= max(rows, columns):
            break
        other, other_cost = _in_squares(coefficients, rule, directions, larger)
        # The cost of four smaller squares, or of as many as there are at a border.
        cost = F.avg_pool2d(cost, 2, ceil_mode=True, divisor_override=1)
        better = other_cost <= cost
        cost = torch.where(better, other_cost, cost)
        better = better.repeat_interleave(larger, -2).repeat_interleave(larger, -1)
        best = torch.where(better[:, :rows, :columns], other, best)
    return best, cost


def _in_squares(
    coefficients: Tensor, rule: Rule, directions: int, side: int
) -> tuple[Tensor, Tensor]:
    """Apply the rule in squares of one side; return the cost of each too, (n, rows, columns)."""
    strips = []
    for strip in _cut(coefficients, side, dim=-2):
        parts = _cut(strip, side, dim=-1)
        estimated = [_in_rectangles(part, rule, directions, side) for part in parts]
        strips.append([torch.cat(halves, dim=-1) for halves in zip(*estimated, strict=True)])
    estimates, costs = zip(*strips, strict=True)
    return torch.cat(estimates, dim=-2), torch.cat(costs, dim=-2)


def _cut(coefficients: Tensor, side: int, dim: int) -> list[Tensor]:
    """Return the part that whole squares fill, and the rest that is narrower, where there are."""
    length = coefficients.shape[dim]
    whole = length - length % side
    return [part for part in coefficients.split([whole, length - whole], dim) if part.shape[dim]]


def _in_rectangles(part: Tensor, rule: Rule, directions: int, side: int) -> tuple[Tensor, Tensor]:
    """Apply the rule to a part that squares fill, or equal rectangles narrower than they are."""
    height, width = min(side, part.shape[-2]), min(side, part.shape[-1])
    basis = torch.from_numpy(bases(height, width, directions)).to(part)
    rectangles = part.unflatten(-1, (-1, width)).unflatten(-3, (-1, height)).transpose(-2, -3)
    expanded = torch.einsum("kij,mnabj->mnabki", basis, rectangles.flatten(-2))
    factors, costs = rule(expanded[0])
    cost, chosen = costs.min(-1, keepdim=True)
    factors = factors * (torch.arange(len(basis), device=part.device) == chosen).unsqueeze(-1)
    estimate = torch.einsum("kij,nabki->nabj", basis, expanded[-1] * factors)
    estimate = estimate.unflatten(-1, (height, width)).transpose(-2, -3)
    return estimate.flatten(-2).flatten(-3, -2), cost.squeeze(-1)


# --- Denoisers that keep or shrink the coefficients in these bases ---


class Wavelets(BaseDenoiser):
    """Hard thresholding of wavelet coefficients, the same basis for every image.

    Coefficients below 3 sigma are set to zero (Donoho and Johnstone, 1994), those of the coarsest
    scale are kept. Without shifts the denoiser is, at a given y, the orthogonal projection on the
    vectors that it keeps, and the eigenvalues of its Jacobian are 0 and 1. With ``shifts`` it
    averages projections: those of images shifted by 0 ... shifts - 1 pixels down and across (cycle
    spinning; Coifman and Donoho, 1995).

    Examples
    --------
    >>> y = torch.rand(2, 1, 32, 32)
    >>> Wavelets()(y, sigma=0.1).shape
    torch.Size([2, 1, 32, 32])
    """

    def __init__(self, shifts: int = 1) -> None:
        super().__init__()
        check_count("shifts", shifts)
        self.shifts = shifts

    def forward(self, y: Tensor, sigma: Sigma | None = None) -> Tensor:
        """Return the estimate of the clean images, (n, C, H, W), of the dtype of ``y``."""
        check_images("y", y, finite=False)
        threshold = CONSTANT * noise_levels(sigma, len(y)).to(y)
        total = torch.zeros_like(y)
        for down, across in product(range(self.shifts), repeat=2):
            shifted = self._denoised(y.roll((down, across), dims=(-2, -1)), threshold)
            total = total + shifted.roll((-down, -across), dims=(-2, -1))
        return total / self.shifts**2

    def _denoised(self, y: Tensor, threshold: Tensor) -> Tensor:
        approximation, details = analysis(y, scales_of_images("y", y))
        kept = [self._thresholded(subbands, threshold) for subbands in details]
        return synthesis(approximation, kept)

    def _thresholded(self, subbands: Tensor, threshold: Tensor) -> Tensor:
        """Return subbands of one scale, (n, C, 3, h, w), for the threshold of each image, (n,)."""
        return subbands * (subbands.abs() > threshold.view(-1, 1, 1, 1, 1))


class Bandlets(Wavelets):
    """Hard thresholding in the bandlet basis that fits each noisy image best.

    The wavelet coefficients are cut into squares. In each square those that lie along a direction
    are put together by a further orthogonal transform, where that makes fewer of them large.
    Squares and directions are chosen from y, its noise included.

    For C-alpha images, bandlets (Peyré and Mallat, 2008; Dossal et al., 2011) are near-optimal as
    sigma goes to 0 (section 3.2 of the paper). These are the simplest ones: directions are straight
    within a square, the transform is Haar's. Squares have sides of 4, 8 or 16 coefficients, and
    directions are at 8 angles. The ``shifts`` are those of :class:`Wavelets`.

    Examples
    --------
    >>> y = torch.rand(2, 1, 32, 32)
    >>> Bandlets()(y, sigma=0.1).shape
    torch.Size([2, 1, 32, 32])
    """

    def _thresholded(self, subbands: Tensor, threshold: Tensor) -> Tensor:
        each = subbands.flatten(0, 2)
        thresholds = threshold.repeat_interleave(len(each) // len(threshold))
        best = best_approximation(each, thresholds, DIRECTIONS, SQUARES)
        return best.view_as(subbands)


class OracleBandlets(Oracle):
    """Shrinkage by the best factors in the bandlet basis that is best for each clean image.

    As in :class:`gahb.optimal.OracleBasis`, the factors are those of equation 12. Squares and
    directions are chosen as by :class:`Bandlets`, but from x and sigma, so that the expected error
    is smallest. It is at most that of the oracle in wavelets, which are among the bases.

    Clean images x, (n, C, H, W), have even sides of at least 8 pixels. ``directions``
    is the number of angles in [0, pi), without any it is the oracle in wavelets; ``squares`` are
    the sides of the squares in coefficients, each twice the one before.

    Examples
    --------
    >>> from gahb.bandlets import wavelet_basis
    >>> from gahb.optimal import OracleBasis
    >>> edge = (torch.arange(32)[:, None] > torch.arange(32)).double().view(1, 1, 32, 32)
    >>> in_bandlets, in_wavelets = OracleBandlets(edge), OracleBasis(edge, wavelet_basis(32))
    >>> bool(in_bandlets.expected_mse(0.1) < 0.7 * in_wavelets.expected_mse(0.1))
    True
    """

    def __init__(
        self, x: Tensor, directions: int = DIRECTIONS, squares: tuple[int, ...] = SQUARES
    ) -> None:
        super().__init__(x)
        check_count("directions", directions, minimum=0)
        doubling = "sides from 2, each twice the one before"
        if not isinstance(squares, tuple) or not squares:
            raise TypeError(f"squares: {squares!r} is not a tuple of {doubling}")
        for side in squares:
            check_count("squares", side, minimum=2)
        if squares != tuple(squares[0] * 2**i for i in range(len(squares))):
            raise ValueError(f"squares: {squares} is not a tuple of {doubling}")
        self.scales = scales_of_images("x", x)
        self.directions, self.squares = directions, squares

    def expected_mse(self, sigma: Sigma) -> Tensor:
        """Return the expected squared error (equation 12), a mean over pixels, (n,)."""
        return self._shrunk(in_double(self.images), sigma)[1] / self.images[0].numel()

    def _estimate(self, y: Tensor, sigma: Sigma | None) -> Tensor:
        return self._shrunk(y, sigma)[0]

    def _shrunk(self, y: Tensor, sigma: Sigma | None) -> tuple[Tensor, Tensor]:
        """Return estimates, (n, C, H, W), and their expected error, a sum over pixels, (n,)."""
        pair = torch.stack([in_double(self.images).to(y), y])
        approximation, details = analysis(pair, self.scales)
        # In the coarsest scale there is nothing to choose, here as in Bandlets.
        coarsest, expected = self._subbands(approximation, sigma, directions=0)
        finer = [self._subbands(subbands, sigma, self.directions) for subbands in details]
        estimate = synthesis(coarsest, [subbands for subbands, _ in finer])
        return estimate, sum((error for _, error in finer), start=expected)

    def _subbands(
        self, pair: Tensor, sigma: Sigma | None, directions: int
    ) -> tuple[Tensor, Tensor]:
        """Return the same for the clean and noisy subbands of one scale, (2, n, ..., h, w)."""
        clean, noisy = pair.flatten(1, -3)
        n = pair.shape[1]
        levels = noise_levels(sigma, n).to(pair).repeat_interleave(len(clean) // n)
        estimate, expected = best_shrinkage(noisy, clean, levels, directions, self.squares)
        return estimate.view(pair.shape[1:]), expected.view(n, -1).sum(dim=1)
