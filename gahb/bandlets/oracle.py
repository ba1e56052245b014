"""The oracle in bandlets: it looks at the clean image to choose the basis, and how to shrink in it.

floor: 3
"""

from __future__ import annotations

import torch
from torch import Tensor

from gahb.bandlets.best_basis import best_shrinkage, check_squares
from gahb.bandlets.wavelets import WAVELETS, analysis, scales_of_images, synthesis
from gahb.checks import check_choice, check_count
from gahb.devices import in_double
from gahb.optimal.oracle import Oracle

__all__ = ["OracleBandlets"]


class OracleBandlets(Oracle):
    """Shrinkage by the best factors in the bandlet basis that is best for each clean image.

    As in :class:`gahb.optimal.OracleBasis`, the factors are those of equation 12. Squares and
    directions are chosen as by :class:`Bandlets` [1]_, but from x instead of y, and so that the
    expected error is smallest. They depend on sigma. Wavelets are among the bases to choose from,
    so that the error is at most that of the oracle in wavelets.

    Parameters
    ----------
    x : Tensor
        Clean images, (n, C, H, W), of even sides of at least 8 pixels.
    sigma : float or Tensor, optional
        Standard deviation of the noise, one for all noisy images or one for each, (n,). Without
        it only :meth:`at` can be called.
    wavelet, squares
        As for :class:`Bandlets`.
    directions : int
        Number of angles in [0, pi); 0 for the oracle in wavelets.

    Raises
    ------
    TypeError, ValueError
        If an argument is unknown or out of range; on a call, if ``y`` is not of the shape of ``x``.

    References
    ----------
    .. [1] C. Dossal, E. Le Pennec, S. Mallat. Bandlet image estimation with model selection.
       Signal Processing 91, 2011.

    Examples
    --------
    >>> from gahb.bandlets import wavelet_basis
    >>> from gahb.optimal import OracleBasis
    >>> edge = (torch.arange(32)[:, None] > torch.arange(32)).double().view(1, 1, 32, 32)
    >>> in_bandlets, in_wavelets = OracleBandlets(edge), OracleBasis(edge, wavelet_basis(32))
    >>> bool(in_bandlets.at(0.1).expected_mse() < 0.7 * in_wavelets.at(0.1).expected_mse())
    True
    """

    def __init__(
        self,
        x: Tensor,
        sigma: float | Tensor | None = None,
        wavelet: str = "sym4",
        directions: int = 8,
        squares: tuple[int, ...] = (4, 8, 16),
    ) -> None:
        super().__init__(x, sigma)
        check_choice("wavelet", wavelet, WAVELETS)
        check_count("directions", directions, minimum=0)
        check_squares(squares)
        self.scales = scales_of_images("x", x)
        self.wavelet, self.directions, self.squares = wavelet, directions, squares

    def expected_mse(self) -> Tensor:
        """Squared error that the noise causes on average, a mean over pixels, (n,) in float64.

        It is sigma^2 sum_k lambda_k(x) (equation 12) in the basis of each image.
        """
        return self._shrunk(in_double(self.images))[1] / self.images[0].numel()

    def _estimate(self, y: Tensor) -> Tensor:
        return self._shrunk(y)[0]

    def _shrunk(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Estimates, (n, C, H, W), and their expected error, a sum over pixels, (n,)."""
        pair = torch.stack([in_double(self.images).to(y), y])
        approximation, details = analysis(pair, self.wavelet, self.scales)
        # In the coarsest scale there is nothing to choose, here as in Bandlets.
        coarsest, expected = self._subbands(approximation, directions=0)
        finer = [self._subbands(subbands, self.directions) for subbands in details]
        estimate = synthesis(coarsest, [subbands for subbands, _ in finer], self.wavelet)
        return estimate, sum((error for _, error in finer), start=expected)

    def _subbands(self, pair: Tensor, directions: int) -> tuple[Tensor, Tensor]:
        """The same for the clean and the noisy subbands of one scale, (2, n, ..., h, w)."""
        clean, noisy = pair.flatten(1, -3)
        n = pair.shape[1]
        sigma = self.noise_levels(n).to(pair).repeat_interleave(len(clean) // n)
        estimate, expected = best_shrinkage(noisy, clean, sigma, directions, self.squares)
        return estimate.view(pair.shape[1:]), expected.view(n, -1).sum(dim=1)
