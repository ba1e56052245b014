"""The posterior mean for a Gaussian density: the Wiener filter, the best of all linear denoisers.

floor: 2
"""

from __future__ import annotations

import math
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from gahb.checks import check_count, check_finite, check_float, check_images
from gahb.denoiser import NonBlindDenoiser
from gahb.devices import in_double
from gahb.images.streams import random_numbers
from gahb.vectors import check_batch, rows

__all__ = ["Gaussian"]

SYMMETRY = 1e-6  # relative to the largest entry: a covariance may come from float32


class Gaussian(NonBlindDenoiser):
    """Exact posterior mean for images x ~ N(m, C): shrinkage in the eigenvectors of C.

    With eigenvalues c_k and eigenvectors e_k of the covariance, the optimal denoiser of equation 8
    is the Wiener filter [1]_,

        f*(y) = m + sum_k lambda_k <y - m, e_k> e_k,   lambda_k = c_k / (c_k + sigma^2):

    its basis and its shrinkage factors are the same for every image. For any other density of
    that mean and covariance it is the best affine denoiser. All is computed in float64, and every
    result is differentiable in ``y``.

    Parameters
    ----------
    mean : Tensor
        Mean image m, (C, H, W). A vector of length d is the image (1, 1, d).
    covariance : Tensor
        Covariance C of the flattened images, (d, d), symmetric and without negative eigenvalues;
        those of zero are accepted.
    sigma : float or Tensor, optional
        Standard deviation of the noise, one for all noisy images or one for each, (n,). Without
        it only :meth:`at` and :meth:`draw` can be called.

    Raises
    ------
    TypeError, ValueError
        If ``mean`` is not a finite image, ``covariance`` not such a matrix for it, or ``sigma``
        not positive and finite.

    References
    ----------
    .. [1] N. Wiener. Extrapolation, interpolation, and smoothing of stationary time series.
       MIT Press, 1949.

    Examples
    --------
    >>> f = Gaussian(torch.zeros(1, 1, 2), torch.diag(torch.tensor([1.0, 0.0])))
    >>> f.at(1.0)(torch.ones(1, 1, 1, 2))
    tensor([[[[0.5000, 0.0000]]]])
    """

    mean: Tensor
    variances: Tensor
    basis: Tensor

    def __init__(
        self, mean: Tensor, covariance: Tensor, sigma: float | Tensor | None = None
    ) -> None:
        super().__init__(sigma)
        _check_mean(mean)
        _check_covariance(covariance, mean.numel())
        variances, basis = torch.linalg.eigh(in_double(covariance))
        if variances[0] < -SYMMETRY * variances[-1].abs():
            lowest = f"an eigenvalue of {float(variances[0]):.3g}"
            raise ValueError(f"covariance: has {lowest}; accepted: none below 0")
        self.register_buffer("mean", in_double(mean))
        # Rounding alone leaves variances that are no information, yet may exceed sigma^2.
        rounding = len(basis) * torch.finfo(torch.float64).eps * variances[-1]
        self.register_buffer("variances", variances.where(variances > rounding, 0))
        self.register_buffer("basis", basis)

    @classmethod
    def of(cls, x: Tensor, sigma: float | Tensor | None = None) -> Self:
        """Gaussian with the mean and the covariance of images, the best affine denoiser of them.

        Parameters
        ----------
        x : Tensor
            Images in [0, 1], (n, C, H, W), or uint8 in 0 ... 255. Fewer of them than pixels leave
            directions without variance, in which all is taken for noise.
        sigma : float or Tensor, optional
            As for the class.

        Raises
        ------
        TypeError, ValueError
            If ``x`` is not a finite batch of images.

        Examples
        --------
        >>> f = Gaussian.of(torch.rand(1000, 1, 4, 4), sigma=0.1)
        >>> f(torch.rand(2, 1, 4, 4)).shape
        torch.Size([2, 1, 4, 4])
        """
        check_batch("x", x)
        vectors = rows("x", x, centred=False)
        mean = vectors.mean(0)
        vectors -= mean
        return cls(mean.view(x.shape[1:]), vectors.T @ vectors / len(x), sigma)

    def forward(self, y: Tensor) -> Tensor:
        """Posterior mean f*(y) = E[x | y] of noisy images (n, C, H, W), of the dtype of ``y``."""
        coefficients, noise = self._observed(y)
        shrunk = coefficients * (self.variances / (self.variances + noise))
        return ((shrunk @ self.basis.T).view(y.shape) + self.mean).to(y)

    def log_density(self, y: Tensor) -> Tensor:
        """Log density log p_sigma(y) of noisy images (n, C, H, W), which is N(m, C + sigma^2 Id).

        Returns
        -------
        Tensor
            (n,) in float64, in nats.
        """
        coefficients, noise = self._observed(y)
        variances = self.variances + noise
        terms = coefficients.square() / variances + (2 * math.pi * variances).log()
        return -terms.sum(1) / 2

    def posterior_covariance(self, y: Tensor) -> Tensor:
        """Covariance Cov[x | y] of what an observed image may have been, (n, d, d) in float64.

        It is diagonal in the eigenvectors of C, with entries c_k sigma^2 / (c_k + sigma^2), and
        the same wherever y is.
        """
        _, noise = self._observed(y)
        remaining = self.variances * noise / (self.variances + noise)
        return (self.basis * remaining[:, None]) @ self.basis.T

    def draw(self, n: int, seed: int = 0) -> Tensor:
        """Clean images from the density, (n, C, H, W) in float64, not confined to [0, 1]."""
        check_count("n", n)
        check_count("seed", seed, minimum=0)
        return self.drawn_from(random_numbers(seed), n)

    def drawn_from(self, stream: np.random.RandomState, n: int) -> Tensor:
        """Clean images by a stream of random numbers, (n, C, H, W)."""
        white = torch.from_numpy(stream.standard_normal((n, len(self.variances))))
        coloured = (white.to(self.basis) * self.variances.sqrt()) @ self.basis.T
        return coloured.view(n, *self.mean.shape) + self.mean

    def _observed(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Coefficients of y - m in the basis, (n, d), and variances of the noise, (n, 1)."""
        check_images("y", y, size=self.mean.shape, finite=False)
        noisy = in_double(y)
        noise = self.noise_levels(len(y)).to(noisy)[:, None] ** 2
        return (noisy - self.mean).flatten(1) @ self.basis, noise


def _check_mean(mean: Any) -> None:
    accepted = "a float tensor of shape (C, H, W)"
    check_float("mean", mean, accepted)
    if mean.ndim != 3 or mean.numel() == 0:
        raise ValueError(f"mean: shape {tuple(mean.shape)} is not {accepted}")
    check_finite("mean", mean)


def _check_covariance(covariance: Any, d: int) -> None:
    accepted = f"a symmetric float tensor of shape ({d}, {d})"
    check_float("covariance", covariance, accepted)
    if covariance.shape != (d, d):
        raise ValueError(f"covariance: shape {tuple(covariance.shape)} is not {accepted}")
    check_finite("covariance", covariance)
    asymmetry = float((covariance - covariance.T).abs().max())
    if asymmetry > SYMMETRY * float(covariance.abs().max()):
        raise ValueError(
            f"covariance: differs from its transpose by {asymmetry:.3g}; not {accepted}"
        )
