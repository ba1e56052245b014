"""Posterior means of image classes of few parameters: linear parts exactly, others by grids.

All is computed in float64; every result is differentiable in ``y``.
"""

from collections.abc import Callable, Sequence
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor

from gahb.checks import check_count, check_images
from gahb.denoiser import BaseDenoiser, Sigma, noise_levels
from gahb.devices import in_double
from gahb.images.manifolds import (
    AMPLITUDE,
    AMPLITUDE_DEVIATION,
    BRIGHTNESS,
    BRIGHTNESS_DEVIATION,
    CENTER,
    GRAY_DEVIATION,
    GRAYS,
    RADIUS,
    disk_masks,
    ray_face,
    sine_waves,
)

COARSE = 6  # points along each side of the grids that search for the mass
NEGLIGIBLE = -14.0  # log density, relative to the highest found, of points that are left out
RESOLVED = 4  # spacings of a grid over which the mass extends when the search ends
GRIDS = 60  # after which a search ends in any case, such as for an image that holds NaN
SMALLEST = 1e-6  # noise level: below, rounding exceeds what the data say
CHUNK = 128  # masks at a time: what a processor's cache holds is made twice as fast


def gauss_legendre(low: Tensor, high: Tensor, order: int) -> tuple[Tensor, Tensor]:
    """Return the nodes (order^q, q) and log weights of Gauss-Legendre quadrature over a box.

    Its corners are (q,); with q = 0 there is one node, without coordinates. The weights sum to 1.
    """
    places, weights = (torch.from_numpy(a).to(low) for a in np.polynomial.legendre.leggauss(order))
    nodes = grid(low, high, (places + 1) / 2)
    # Each weight is the product of those of its coordinates.
    logs = grid(torch.zeros_like(low), torch.ones_like(low), (weights / 2).log())
    return nodes, logs.sum(1)


def box_of_mass(
    log_density: Callable[[Tensor], Tensor], low: Tensor, high: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the corners (q,) of the box around almost all mass of a density within another box.

    It is searched on a coarse grid, and shrunk to the points where the density is not negligible
    and their neighbors, again and again until the grid resolves the mass. ``log_density`` takes
    points (n, q), and need not be normalized.
    """
    middles = (torch.arange(COARSE).to(low) + 0.5) / COARSE
    for _ in range(GRIDS):
        points, spacing = grid(low, high, middles), (high - low) / COARSE
        logs = log_density(points)
        counts = (logs > logs.max() + NEGLIGIBLE)[:, None]
        first = points.where(counts, torch.inf).amin(0)
        last = points.where(counts, -torch.inf).amax(0)
        if (last - first > (RESOLVED - 0.5) * spacing).all():
            break
        low, high = torch.maximum(low, first - spacing), torch.minimum(high, last + spacing)
    return torch.maximum(low, first - spacing / 2), torch.minimum(high, last + spacing / 2)


def grid(low: Tensor, high: Tensor, shares: Tensor) -> Tensor:
    """Return points (len(shares)^q, q) of a grid, at these shares of each side of a box (q,)."""
    sides = [start + (stop - start) * shares for start, stop in zip(low, high, strict=True)]
    return torch.cartesian_prod(*sides).view(-1, len(sides)) if sides else low.new_zeros(1, 0)


class Posterior(NamedTuple):
    """Posterior of the m geometries, and of the k amplitudes given each of them."""

    weights: Tensor  # posterior probabilities of the geometries, (m,)
    designs: Tensor  # images that the amplitudes multiply, for each geometry, (m, k, d)
    products: Tensor  # their inner products, (m, k, k)
    amplitudes: Tensor  # posterior means of the amplitudes, (m, k)
    covariances: Tensor  # and their posterior covariances, (m, k, k)

    def mean(self) -> Tensor:
        """Return the posterior mean of the image, (d,)."""
        shares = self.weights[:, None] * self.amplitudes
        return shares.flatten() @ self.designs.flatten(0, 1)

    def variance(self) -> Tensor:
        """Return the trace of the posterior covariance of the image."""
        within = (self.products * self.covariances).sum(dim=(1, 2))
        images = torch.einsum("mk,mkd->md", self.amplitudes, self.designs)
        # Not as a difference of second moments, which is rounding where there is little noise.
        return self.weights @ (within + (images - self.mean()).square().sum(1))

    def covariance(self) -> Tensor:
        """Return the posterior covariance of the image, (d, d): within geometries and between."""
        roots = self.weights.sqrt()[:, None]
        factors = torch.linalg.cholesky(self.covariances)
        within = factors.mT @ self.designs * roots[..., None]
        images = torch.einsum("mk,mkd->md", self.amplitudes, self.designs)
        deviations = torch.cat([within.flatten(0, 1), roots * (images - self.mean())])
        return deviations.mT @ deviations


class ManifoldDenoiser(BaseDenoiser):
    """Posterior mean for images x = sum_k a_k D_k(g) of Gaussian amplitudes a and geometry g.

    Given the geometry, all is Gaussian: amplitudes and evidence p(y | g) are in closed form. The
    geometry is uniform in a box, over which Gauss-Legendre quadrature follows the posterior's mass.
    Subclasses give the box, the distribution of the amplitudes, and the images D_k(g). Images have
    ``size`` pixels per side, from 8, and the quadrature ``ORDER`` nodes along each coordinate.
    """

    ORDER: ClassVar[int] = 1
    low: Tensor
    high: Tensor
    prior: Tensor

    def __init__(self, size: int, prior: Sequence[float], prior_deviation: float) -> None:
        super().__init__()
        check_count("size", size, minimum=8)
        self.size, self.prior_deviation = size, prior_deviation
        self.register_buffer("prior", torch.tensor(prior, dtype=torch.float64))

    def designs(self, geometry: Tensor) -> Tensor:
        """Return the images D_k(g), (m, k, d), of geometries (m, q)."""
        raise NotImplementedError

    def box(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return the corners (q,) of the box of the geometries that may have given ``y`` (d,)."""
        return self.low, self.high

    def forward(self, y: Tensor, sigma: Sigma | None = None) -> Tensor:
        """Return the posterior mean E[x | y] of noisy images (n, 1, H, W), of their dtype."""
        means = torch.stack([posterior.mean() for posterior in self._posteriors(y, sigma)])
        return means.to(y).view(y.shape)

    def squared_error(self, y: Tensor, sigma: Sigma) -> Tensor:
        """Return the expected error E[||x - f*(y)||^2 | y], the least there is, (n,).

        It takes far fewer noisy images to average it than to average the errors themselves.
        """
        return torch.stack([posterior.variance() for posterior in self._posteriors(y, sigma)])

    def posterior_covariance(self, y: Tensor, sigma: Sigma) -> Tensor:
        """Return the covariance Cov[x | y] of what an image may have been, (n, d, d)."""
        return torch.stack([posterior.covariance() for posterior in self._posteriors(y, sigma)])

    def _posteriors(self, y: Tensor, sigma: Sigma | None) -> list[Posterior]:
        check_images("y", y, size=(1, self.size, self.size), finite=False)
        levels = noise_levels(sigma, len(y), low=SMALLEST).tolist()
        return list(map(self._posterior, in_double(y).flatten(1), levels))

    def _posterior(self, y: Tensor, sigma: float) -> Posterior:
        """Return the posterior given one image y (d,), its nodes where the mass is."""
        with torch.no_grad():
            seen = y.detach()
            corners = box_of_mass(lambda g: self._given(g, seen, sigma)[0], *self.box(seen))
            nodes, log_weights = gauss_legendre(*corners, self.ORDER)
        log_evidence, *given = self._given(nodes, y, sigma)
        return Posterior((log_evidence + log_weights).softmax(0), *given)

    def _given(
        self, geometry: Tensor, y: Tensor, sigma: float
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Return the log evidence of geometries (m, q), up to a constant, and each posterior."""
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


class Disks(ManifoldDenoiser):
    """Exact posterior mean for disks, the optimum that a network trained on them can reach.

    Both gray levels are integrated in closed form, center and radius by quadrature over the
    posterior's mass. At low noise it projects on the tangent space of the disks: its Jacobian
    has five eigenvalues near 1, and its squared error is 5 sigma^2 (Figure 5).

    At 32 x 32 pixels, more nodes move the estimate by less than a thousandth of its error for sigma
    up to 0.3. At sigma = 1, where the posterior is broad and has several peaks, they move it by up
    to 3%, which costs less than a thousandth in squared error; more nodes than 16 along each of the
    three coordinates do better. Images have ``size`` pixels per side, from 8.

    Examples
    --------
    >>> from gahb.images.manifolds import disk_images, disk_parameters
    >>> x = disk_images(disk_parameters([0]), size=16)
    >>> f = Disks(size=16)
    >>> bool((f(x, sigma=0.01) - x).norm() < 0.005)
    True
    """

    ORDER = 16

    def __init__(self, size: int) -> None:
        super().__init__(size, GRAYS, GRAY_DEVIATION)
        sides = torch.tensor([CENTER, CENTER, RADIUS], dtype=torch.float64)
        self.register_buffer("low", sides[:, 0])
        self.register_buffer("high", sides[:, 1])

    def designs(self, geometry: Tensor) -> Tensor:
        """Return ground and disk, (m, 2, d), of centers and radii (m, 3)."""
        designs = geometry.new_empty(len(geometry), 2, self.size**2)
        for part, some in zip(designs.split(CHUNK), geometry.split(CHUNK), strict=True):
            part[:, 1] = disk_masks(some, self.size).flatten(1)
            part[:, 0] = 1 - part[:, 1]
        return designs


class Ray(ManifoldDenoiser):
    r"""Exact posterior mean for the multiples s x of one face, whose factor s is Gaussian.

    It is affine: for the mean m and the variance v of s,

    .. math::

        f^\star(y) = \left( m + \frac{v \langle y - m x, x \rangle}
        {v \lVert x \rVert^2 + \sigma^2} \right) x .

    At low noise it projects on the ray, with a squared error of sigma^2, so that the PSNR curve is
    a line of slope 1 with intercept 10 log10(d) (Figure 19). Images have ``size`` pixels per side,
    from 8; beyond 64 the face is magnified.

    Examples
    --------
    >>> from gahb.images.manifolds import ray_images, ray_parameters
    >>> x = ray_images(ray_parameters([0]), size=16)
    >>> bool((Ray(size=16)(x, sigma=0.01) - x).norm() < 0.001)
    True
    """

    face: Tensor

    def __init__(self, size: int) -> None:
        super().__init__(size, [BRIGHTNESS], BRIGHTNESS_DEVIATION)
        self.register_buffer("face", ray_face(size).flatten()[None, None])

    def designs(self, geometry: Tensor) -> Tensor:
        """Return the face, (1, 1, d): there is one geometry, without coordinates (1, 0)."""
        return self.face

    def box(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return the corners of a space without dimensions."""
        return y.new_zeros(0), y.new_zeros(0)


class Sines(ManifoldDenoiser):
    """Exact posterior mean for sine waves, whose phase and amplitude are unknown.

    The amplitude is integrated in closed form, the phase by quadrature of 32 nodes. At low
    noise it projects on the tangent plane of the cone, with a squared error of 2 sigma^2 (Figure
    20). Images have ``size`` pixels per side, from 8.

    Examples
    --------
    >>> from gahb.images.manifolds import sine_images, sine_parameters
    >>> x = sine_images(sine_parameters([0]), size=16)
    >>> f = Sines(size=16)
    >>> bool((f(x, sigma=0.01) - x).norm() < 0.005)
    True
    """

    ORDER = 32
    waves: Tensor

    def __init__(self, size: int) -> None:
        super().__init__(size, [AMPLITUDE], AMPLITUDE_DEVIATION)
        self.register_buffer("waves", sine_waves(size).flatten(1))

    def designs(self, geometry: Tensor) -> Tensor:
        """Return waves of amplitude 1, (m, 1, d), of phases (m, 1)."""
        shares = torch.cat([torch.ones_like(geometry), geometry.cos(), geometry.sin()], dim=1)
        return (shares @ self.waves)[:, None]

    def box(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return one period around the phase of the noisy image, at whose ends least mass is."""
        _, sine, cosine = self.waves @ y
        phase = torch.atan2(cosine, sine)[None]
        return phase - torch.pi, phase + torch.pi
