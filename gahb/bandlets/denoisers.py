"""Denoisers that keep the large coefficients of a noisy image in an orthogonal basis."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from gahb.bandlets.bases import (
    WAVELETS,
    analysis,
    best_approximation,
    best_shrinkage,
    check_squares,
    scales_of_images,
    synthesis,
)
from gahb.checks import check_choice, check_count, check_images, check_number
from gahb.denoiser import BaseDenoiser, Sigma, noise_levels
from gahb.devices import in_double
from gahb.optimal.densities import Oracle


class Wavelets(BaseDenoiser):
    """Hard thresholding of the wavelet coefficients of y, the same basis for every image [1]_.

    Coefficients below ``constant`` * sigma are set to zero, those of the coarsest scale are kept.
    Without shifts the denoiser is, at a given y, the orthogonal projection on the vectors that it
    keeps, and the eigenvalues of its Jacobian are 0 and 1. With shifts it averages projections.

    Parameters
    ----------
    constant : float
        Threshold in units of sigma.
    wavelet : str
        Orthogonal wavelet by its name in PyWavelets: ``haar``, ``db2``, ``sym4``, ``coif1`` ...
    shifts : int
        Average over the denoisers of images shifted by 0 ... shifts - 1 pixels down and across
        (cycle spinning [2]_); 1 for none.

    References
    ----------
    .. [1] D. L. Donoho, I. M. Johnstone. Ideal spatial adaptation by wavelet shrinkage.
       Biometrika 81, 1994.
    .. [2] R. R. Coifman, D. L. Donoho. Translation-invariant de-noising. In: Wavelets and
       Statistics, Springer, 1995.

    Examples
    --------
    >>> y = torch.rand(2, 1, 32, 32)
    >>> Wavelets()(y, sigma=0.1).shape
    torch.Size([2, 1, 32, 32])
    >>> torch.allclose(Wavelets()(y, sigma=1e-6), y, atol=1e-5)
    True
    """

    def __init__(
        self,
        constant: float = 3.0,
        wavelet: str = "sym4",
        shifts: int = 1,
    ) -> None:
        super().__init__()
        check_number("constant", constant, low=0)
        check_choice("wavelet", wavelet, WAVELETS)
        check_count("shifts", shifts)
        self.constant, self.wavelet, self.shifts = constant, wavelet, shifts

    def forward(self, y: Tensor, sigma: Sigma | None = None) -> Tensor:
        """Return the estimate of the clean images, (n, C, H, W), of the dtype of ``y``."""
        check_images("y", y, finite=False)
        threshold = self.constant * noise_levels(sigma, len(y)).to(y)
        return _cycle_spun(lambda shifted: self._denoised(shifted, threshold), y, self.shifts)

    def _denoised(self, y: Tensor, threshold: Tensor) -> Tensor:
        approximation, details = analysis(y, self.wavelet, scales_of_images("y", y))
        kept = [self._thresholded(subbands, threshold) for subbands in details]
        return synthesis(approximation, kept, self.wavelet)

    def _thresholded(self, subbands: Tensor, threshold: Tensor) -> Tensor:
        """Return subbands of one scale, (n, C, 3, h, w), for the threshold of each image, (n,)."""
        return subbands * (subbands.abs() > threshold.view(-1, 1, 1, 1, 1))


class Bandlets(Wavelets):
    """Hard thresholding in the bandlet basis that fits each noisy image best [1]_, [2]_.

    The wavelet coefficients are cut into squares. In each square those that lie along a direction
    are put together by a further orthogonal transform, where that makes fewer of them large.
    Squares and directions are chosen from y, its noise included.

    For C-alpha images, bandlets are near-optimal as sigma goes to 0 (section 3.2 of the paper).
    These are the simplest ones: directions are straight within a square, and the transform is
    Haar's. Squares at the borders are cut where they do not fit.

    Parameters
    ----------
    constant, wavelet, shifts
        As for :class:`Wavelets`.
    directions : int
        Number of angles in [0, pi).
    squares : tuple of int
        Sides of the squares in coefficients, each twice the one before.

    References
    ----------
    .. [1] G. Peyré, S. Mallat. Orthogonal bandelet bases for geometric images approximation.
       Communications on Pure and Applied Mathematics 61, 2008.
    .. [2] C. Dossal, E. Le Pennec, S. Mallat. Bandlet image estimation with model selection.
       Signal Processing 91, 2011.

    Examples
    --------
    >>> y = torch.rand(2, 1, 32, 32)
    >>> Bandlets()(y, sigma=0.1).shape
    torch.Size([2, 1, 32, 32])
    """

    def __init__(
        self,
        constant: float = 3.0,
        wavelet: str = "sym4",
        shifts: int = 1,
        directions: int = 8,
        squares: tuple[int, ...] = (4, 8, 16),
    ) -> None:
        super().__init__(constant, wavelet, shifts)
        check_count("directions", directions)
        check_squares(squares)
        self.directions, self.squares = directions, squares

    def _thresholded(self, subbands: Tensor, threshold: Tensor) -> Tensor:
        each = subbands.flatten(0, 2)
        thresholds = threshold.repeat_interleave(len(each) // len(threshold))
        best = best_approximation(each, thresholds, self.directions, self.squares)
        return best.view_as(subbands)


def _cycle_spun(f: Callable[[Tensor], Tensor], y: Tensor, shifts: int) -> Tensor:
    """Return the average of f over shifts of y, each estimate shifted back."""
    total = torch.zeros_like(y)
    for down in range(shifts):
        for across in range(shifts):
            shifted = f(y.roll((down, across), dims=(-2, -1)))
            total = total + shifted.roll((-down, -across), dims=(-2, -1))
    return total / shifts**2


class OracleBandlets(Oracle):
    """Shrinkage by the best factors in the bandlet basis that is best for each clean image.

    As in :class:`gahb.optimal.OracleBasis`, the factors are those of equation 12. Squares and
    directions are chosen as by :class:`Bandlets`, but from x and sigma, so that the expected error
    is smallest. It is at most that of the oracle in wavelets, which are among the bases.

    Parameters
    ----------
    x : Tensor
        Clean images, (n, C, H, W), of even sides of at least 8 pixels.
    wavelet, squares
        As for :class:`Bandlets`.
    directions : int
        Number of angles in [0, pi); 0 for the oracle in wavelets.

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
        self,
        x: Tensor,
        wavelet: str = "sym4",
        directions: int = 8,
        squares: tuple[int, ...] = (4, 8, 16),
    ) -> None:
        super().__init__(x)
        check_choice("wavelet", wavelet, WAVELETS)
        check_count("directions", directions, minimum=0)
        check_squares(squares)
        self.scales = scales_of_images("x", x)
        self.wavelet, self.directions, self.squares = wavelet, directions, squares

    def expected_mse(self, sigma: Sigma) -> Tensor:
        """Return the expected squared error (equation 12), a mean over pixels, (n,)."""
        return self._shrunk(in_double(self.images), sigma)[1] / self.images[0].numel()

    def _estimate(self, y: Tensor, sigma: Sigma | None) -> Tensor:
        return self._shrunk(y, sigma)[0]

    def _shrunk(self, y: Tensor, sigma: Sigma | None) -> tuple[Tensor, Tensor]:
        """Return estimates, (n, C, H, W), and their expected error, a sum over pixels, (n,)."""
        pair = torch.stack([in_double(self.images).to(y), y])
        approximation, details = analysis(pair, self.wavelet, self.scales)
        # In the coarsest scale there is nothing to choose, here as in Bandlets.
        coarsest, expected = self._subbands(approximation, sigma, directions=0)
        finer = [self._subbands(subbands, sigma, self.directions) for subbands in details]
        estimate = synthesis(coarsest, [subbands for subbands, _ in finer], self.wavelet)
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
