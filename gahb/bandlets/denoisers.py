"""Denoisers that keep the large coefficients of a noisy image in an orthogonal basis.

floor: 3
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from gahb.bandlets.best_basis import best_approximation, check_squares
from gahb.bandlets.wavelets import WAVELETS, analysis, scales_of_images, synthesis
from gahb.checks import check_choice, check_count, check_images, check_number
from gahb.denoiser import NonBlindDenoiser

__all__ = ["Bandlets", "Wavelets"]


class Wavelets(NonBlindDenoiser):
    """Hard thresholding of the wavelet coefficients of y, the same basis for every image [1]_.

    Coefficients below ``constant`` * sigma are set to zero, those of the coarsest scale are kept.
    Without shifts the denoiser is, at a given y, the orthogonal projection on the vectors that it
    keeps, and the eigenvalues of its Jacobian are 0 and 1. With shifts it averages projections.

    Parameters
    ----------
    sigma : float or Tensor, optional
        Standard deviation of the noise, one for all noisy images or one for each, (n,). Without
        it only :meth:`at` can be called.
    constant : float
        Threshold in units of sigma.
    wavelet : str
        Orthogonal wavelet by its name in PyWavelets: ``haar``, ``db2``, ``sym4``, ``coif1`` ...
    shifts : int
        Average over the denoisers of images shifted by 0 ... shifts - 1 pixels down and across
        (cycle spinning [2]_); 1 for none.

    Raises
    ------
    TypeError, ValueError
        If an argument is unknown or out of range; on a call, if a side of the images is odd or
        below 8, or ``sigma`` not given.

    References
    ----------
    .. [1] D. L. Donoho, I. M. Johnstone. Ideal spatial adaptation by wavelet shrinkage.
       Biometrika 81, 1994.
    .. [2] R. R. Coifman, D. L. Donoho. Translation-invariant de-noising. In: Wavelets and
       Statistics, Springer, 1995.

    Examples
    --------
    >>> y = torch.rand(2, 1, 32, 32)
    >>> Wavelets().at(0.1)(y).shape
    torch.Size([2, 1, 32, 32])
    >>> torch.allclose(Wavelets(sigma=1e-6)(y), y, atol=1e-5)
    True
    """

    def __init__(
        self,
        sigma: float | Tensor | None = None,
        constant: float = 3.0,
        wavelet: str = "sym4",
        shifts: int = 1,
    ) -> None:
        super().__init__(sigma)
        check_number("constant", constant, low=0)
        check_choice("wavelet", wavelet, WAVELETS)
        check_count("shifts", shifts)
        self.constant, self.wavelet, self.shifts = constant, wavelet, shifts

    def forward(self, y: Tensor) -> Tensor:
        """Estimate of the clean images, (n, C, H, W), of the dtype of ``y``."""
        check_images("y", y, finite=False)
        threshold = self.constant * self.noise_levels(len(y)).to(y)
        return _cycle_spun(lambda shifted: self._denoised(shifted, threshold), y, self.shifts)

    def _denoised(self, y: Tensor, threshold: Tensor) -> Tensor:
        approximation, details = analysis(y, self.wavelet, scales_of_images("y", y))
        kept = [self._thresholded(subbands, threshold) for subbands in details]
        return synthesis(approximation, kept, self.wavelet)

    def _thresholded(self, subbands: Tensor, threshold: Tensor) -> Tensor:
        """Subbands of one scale, (n, C, 3, h, w), for the threshold of each image, (n,)."""
        return subbands * (subbands.abs() > threshold.view(-1, 1, 1, 1, 1))


class Bandlets(Wavelets):
    """Hard thresholding in the bandlet basis that fits each noisy image best [1]_, [2]_.

    The wavelet coefficients are cut into squares. In each square those that lie along a direction
    are put together by a further orthogonal transform, where that makes fewer of them large (see
    ``gahb.bandlets.best_basis``). Squares and directions are chosen from y, its noise included.

    For C-alpha images, bandlets are near-optimal as sigma goes to 0 (section 3.2 of the paper). The
    bandlets here are the simplest ones: directions are straight within a square, and the further
    transform is Haar's. Squares at the borders are cut where they do not fit.

    Parameters
    ----------
    sigma, constant, wavelet, shifts
        As for :class:`Wavelets`.
    directions : int
        Number of angles in [0, pi).
    squares : tuple of int
        Sides of the squares in coefficients, each twice the one before.

    Raises
    ------
    TypeError, ValueError
        As for :class:`Wavelets`; also if ``squares`` is no such sequence.

    References
    ----------
    .. [1] G. Peyré, S. Mallat. Orthogonal bandelet bases for geometric images approximation.
       Communications on Pure and Applied Mathematics 61, 2008.
    .. [2] C. Dossal, E. Le Pennec, S. Mallat. Bandlet image estimation with model selection.
       Signal Processing 91, 2011.

    Examples
    --------
    >>> y = torch.rand(2, 1, 32, 32)
    >>> Bandlets().at(0.1)(y).shape
    torch.Size([2, 1, 32, 32])
    """

    def __init__(
        self,
        sigma: float | Tensor | None = None,
        constant: float = 3.0,
        wavelet: str = "sym4",
        shifts: int = 1,
        directions: int = 8,
        squares: tuple[int, ...] = (4, 8, 16),
    ) -> None:
        super().__init__(sigma, constant, wavelet, shifts)
        check_count("directions", directions)
        check_squares(squares)
        self.directions, self.squares = directions, squares

    def _thresholded(self, subbands: Tensor, threshold: Tensor) -> Tensor:
        each = subbands.flatten(0, 2)
        thresholds = threshold.repeat_interleave(len(each) // len(threshold))
        best = best_approximation(each, thresholds, self.directions, self.squares)
        return best.view_as(subbands)


def _cycle_spun(f: Callable[[Tensor], Tensor], y: Tensor, shifts: int) -> Tensor:
    """Average of f over shifts of y, each estimate shifted back."""
    total = torch.zeros_like(y)
    for down in range(shifts):
        for across in range(shifts):
            shifted = f(y.roll((down, across), dims=(-2, -1)))
            total = total + shifted.roll((-down, -across), dims=(-2, -1))
    return total / shifts**2
