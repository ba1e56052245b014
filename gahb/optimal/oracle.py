"""The oracle: the best that shrinkage in a given basis can do, by looking at the clean image.

floor: 2
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from gahb.checks import check_float, check_images
from gahb.denoiser import NonBlindDenoiser
from gahb.devices import in_double
from gahb.vectors import check_orthonormal

__all__ = ["Oracle", "OracleBasis"]


class Oracle(NonBlindDenoiser):
    """Denoiser of noisy versions of images that it knows; subclasses say how it shrinks them.

    Parameters
    ----------
    x : Tensor
        Clean images, (n, C, H, W).
    sigma : float or Tensor, optional
        Standard deviation of the noise, one for all noisy images or one for each, (n,). Without
        it only :meth:`at` can be called.

    Raises
    ------
    TypeError, ValueError
        If ``x`` is not a finite batch of images, or ``sigma`` not positive and finite; on a call,
        if ``y`` is not of the shape of ``x``.
    """

    images: Tensor

    def __init__(self, x: Tensor, sigma: float | Tensor | None = None) -> None:
        super().__init__(sigma)
        check_images("x", x)
        self.register_buffer("images", x)

    def forward(self, y: Tensor) -> Tensor:
        """Estimate of the clean images from noisy versions of them, (n, C, H, W)."""
        check_images("y", y, finite=False)
        if y.shape != self.images.shape:
            accepted = f"{tuple(self.images.shape)}, noisy versions of x"
            raise ValueError(f"y: shape {tuple(y.shape)} is not {accepted}")
        return self._estimate(in_double(y)).to(y)

    def _estimate(self, y: Tensor) -> Tensor:
        """The same for y in float64, in float64."""
        raise NotImplementedError


class OracleBasis(Oracle):
    """Shrinkage in an orthonormal basis by the factors that are best for the clean images [1]_.

    From noisy versions of the very images x, it estimates

        f(y) = sum_k lambda_k <y, e_k> e_k,   lambda_k = <x, e_k>^2 / (<x, e_k>^2 + sigma^2):

    no factors that do not depend on the noise have a smaller expected error (equations 11 and 12).
    Since x is not known, no denoiser can do this; it bounds what the basis is good for.

    Parameters
    ----------
    x : Tensor
        Clean images, (n, C, H, W).
    basis : Tensor
        Orthonormal vectors e_k as images, (k, C, H, W), or a basis for each image,
        (n, k, C, H, W). With fewer vectors than pixels, what lies outside of them is set to zero.
    sigma : float or Tensor, optional
        Standard deviation of the noise, one for all noisy images or one for each, (n,). Without
        it only :meth:`at` can be called.

    Raises
    ------
    TypeError, ValueError
        If ``x`` is not a finite batch of images, ``basis`` not orthonormal or of another size, or
        ``sigma`` not positive and finite; on a call, if ``y`` is not of the shape of ``x``.

    References
    ----------
    .. [1] D. L. Donoho, I. M. Johnstone. Ideal spatial adaptation by wavelet shrinkage.
       Biometrika 81, 1994.

    Examples
    --------
    >>> import torch
    >>> x = torch.tensor([3.0, 0.0]).view(1, 1, 1, 2)
    >>> f = OracleBasis(x, basis=torch.eye(2).view(2, 1, 1, 2))
    >>> f.at(1.0)(torch.ones(1, 1, 1, 2))
    tensor([[[[0.9000, 0.0000]]]])
    """

    basis: Tensor
    energies: Tensor

    def __init__(self, x: Tensor, basis: Tensor, sigma: float | Tensor | None = None) -> None:
        super().__init__(x, sigma)
        _check_basis(basis, x)
        vectors = in_double(basis).flatten(-3)
        self.register_buffer("basis", vectors)
        self.register_buffer("energies", self._coefficients(x).square())

    def shrinkage(self) -> Tensor:
        """Shrinkage factors lambda_k(x) of each image, (n, k) in float64."""
        return self.energies / (self.energies + self._noise())

    def expected_mse(self) -> Tensor:
        """Squared error that the noise causes on average, a mean over pixels, (n,) in float64.

        It is sigma^2 sum_k lambda_k(x) (equation 12), and the energy outside of the basis.
        """
        energy = in_double(self.images).square().flatten(1).sum(1)
        outside = (energy - self.energies.sum(1)).clamp(min=0)
        within = (self._noise() * self.shrinkage()).sum(1)
        return (within + outside) / self.images[0].numel()

    def _estimate(self, y: Tensor) -> Tensor:
        shrunk = self.shrinkage() * self._coefficients(y)
        return (shrunk.unsqueeze(-2) @ self.basis).view(y.shape)

    def _noise(self) -> Tensor:
        """Variance of the noise of each image, (n, 1)."""
        return self.noise_levels(len(self.images)).to(self.energies)[:, None] ** 2

    def _coefficients(self, y: Tensor) -> Tensor:
        """Inner products <y, e_k>, (n, k) in float64."""
        return (self.basis @ in_double(y).flatten(1).unsqueeze(-1)).squeeze(-1)


def _check_basis(basis: Any, x: Tensor) -> None:
    accepted = "orthonormal images (k, C, H, W), or such for each image, (n, k, C, H, W)"
    check_float("basis", basis, f"a float tensor of {accepted}")
    each = basis.ndim == 5 and len(basis) == len(x)
    if basis.shape[-3:] != x.shape[1:] or not (basis.ndim == 4 or each):
        given = f"shape {tuple(basis.shape)} for x of {tuple(x.shape)}"
        raise ValueError(f"basis: {given}; accepted: {accepted}")
    check_orthonormal("basis", basis, accepted)
