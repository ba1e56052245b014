"""Posterior means for smooth families of images: what is linear exactly, the rest by quadrature.

floor: 2
"""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from gahb.checks import check_count, check_images
from gahb.denoiser import NonBlindDenoiser
from gahb.devices import in_double
from gahb.optimal.quadrature import box_of_mass, gauss_legendre

__all__ = ["ManifoldDenoiser"]


class Posterior(NamedTuple):
    """What an observed image says of the geometry, and of the amplitudes given each geometry.

    Attributes
    ----------
    weights : Tensor
        Posterior probabilities of the geometries, (m,).
    designs, products : Tensor
        Images that the amplitudes multiply, for each geometry, (m, k, d), and their inner
        products, (m, k, k).
    amplitudes, covariances : Tensor
        Posterior means and covariances of the amplitudes, (m, k) and (m, k, k).
    """

    weights: Tensor
    designs: Tensor
    products: Tensor
    amplitudes: Tensor
    covariances: Tensor

    def mean(self) -> Tensor:
        """Posterior mean of the image, (d,)."""
        shares = self.weights[:, None] * self.amplitudes
        return shares.flatten() @ self.designs.flatten(0, 1)

    def variance(self) -> Tensor:
        """Trace of the posterior covariance of the image."""
        moments = self.covariances + self.amplitudes[:, :, None] * self.amplitudes[:, None]
        energies = (self.products * moments).sum(dim=(1, 2))
        return self.weights @ energies - self.mean().square().sum()

    def covariance(self) -> Tensor:
        """Posterior covariance of the image, (d, d): within the geometries and between them."""
        roots = self.weights.sqrt()[:, None]
        factors = torch.linalg.cholesky(self.covariances)
        within = factors.mT @ self.designs * roots[..., None]
        images = torch.einsum("mk,mkd->md", self.amplitudes, self.designs)
        deviations = torch.cat([within.flatten(0, 1), roots * (images - self.mean())])
        return deviations.mT @ deviations


class ManifoldDenoiser(NonBlindDenoiser):
    """Posterior mean for images x = sum_k a_k D_k(g) of Gaussian amplitudes a and geometry g.

    Given the geometry, all is Gaussian: amplitudes and evidence p(y | g) are in closed form. The
    geometry is uniform in a box, over which Gauss-Legendre quadrature follows the posterior's mass.
    All is computed in float64, and the results are differentiable in ``y``.

    Subclasses give the box, the law of the amplitudes, and the images D_k(g).

    Parameters
    ----------
    size : int
        Pixels a side of the images, from 8.
    sigma : float or Tensor, optional
        Standard deviation of the noise, one for all noisy images or one for each, (n,). Without
        it only :meth:`at` can be called.
    order : int, optional
        Nodes of the quadrature along each coordinate of the geometry.

    Raises
    ------
    TypeError, ValueError
        If ``size`` or ``order`` is too small, or ``sigma`` not positive and finite.
    """

    ORDER: ClassVar[int]
    low: Tensor
    high: Tensor
    prior: Tensor
    prior_deviation: float

    def __init__(
        self, size: int, sigma: float | Tensor | None = None, order: int | None = None
    ) -> None:
        super().__init__(sigma)
        check_count("size", size, minimum=8)
        self.order = self.ORDER if order is None else order
        check_count("order", self.order)
        self.size = size

    def designs(self, geometry: Tensor) -> Tensor:
        """Images D_k(g) that the amplitudes multiply, (m, k, d), of geometries (m, q)."""
        raise NotImplementedError

    def box(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Corners (q,) of the box of geometries in which those that gave ``y`` (d,) may be."""
        return self.low, self.high

    def forward(self, y: Tensor) -> Tensor:
        """Posterior mean f*(y) = E[x | y] of noisy images (n, 1, H, W), of the dtype of ``y``."""
        means = torch.stack([posterior.mean() for posterior in self._posteriors(y)])
        return means.to(y).view(y.shape)

    def squared_error(self, y: Tensor) -> Tensor:
        """Expected error E[||x - f*(y)||^2 | y], the least there is, (n,) in float64.

        Its mean over noisy images is d times the optimal mean squared error, from far fewer of
        them than the errors themselves would take.
        """
        return torch.stack([posterior.variance() for posterior in self._posteriors(y)])

    def posterior_covariance(self, y: Tensor) -> Tensor:
        """Covariance Cov[x | y] of what an observed image may have been, (n, d, d) in float64."""
        return torch.stack([posterior.covariance() for posterior in self._posteriors(y)])

    def _posteriors(self, y: Tensor) -> list[Posterior]:
        check_images("y", y, size=(1, self.size, self.size), finite=False)
        noise = self.noise_levels(len(y)).tolist()
        return [
            self._posterior(image, sigma)
            for image, sigma in zip(in_double(y).flatten(1), noise, strict=True)
        ]

    def _posterior(self, y: Tensor, sigma: float) -> Posterior:
        """The posterior of one image y (d,), its nodes where the mass is."""
        with torch.no_grad():
            seen = y.detach()
            corners = box_of_mass(
                lambda geometry: self._given(geometry, seen, sigma)[0], *self.box(seen)
            )
            nodes, log_weights = gauss_legendre(*corners, self.order)
        log_evidence, *given = self._given(nodes, y, sigma)
        return Posterior((log_evidence + log_weights).softmax(0), *given)

    def _given(
        self, geometry: Tensor, y: Tensor, sigma: float
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Log evidence of geometries (m, q), up to a constant, and the posterior given each."""
        designs = self.designs(geometry)
        prior_precision = self.prior_deviation**-2
        products = designs @ designs.mT
        precision = products / sigma**2
        precision.diagonal(dim1=1, dim2=2).add_(prior_precision)
        covariances = torch.linalg.inv(precision)
        pull = designs @ y / sigma**2 + prior_precision * self.prior
        amplitudes = torch.einsum("mkl,ml->mk", covariances, pull)
        log_evidence = ((pull * amplitudes).sum(1) + covariances.logdet()) / 2
        return log_evidence, designs, products, amplitudes, covariances
