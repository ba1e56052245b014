"""Posterior means of densities in closed form, and the oracle that shrinks in a basis.

All is computed in float64; every result is differentiable in ``y``.
"""

import math
from collections.abc import Iterator
from typing import Self, cast

import numpy as np
import torch
from torch import Tensor, nn

from gahb.checks import check_count, check_float, check_images, check_seed, check_shape
from gahb.denoiser import BaseDenoiser, Sigma, noise_levels
from gahb.devices import in_double
from gahb.images.store import random_numbers
from gahb.vectors import check_batch, check_gray, check_orthonormal, rows

BLOCK = 1024  # training images that are compared at a time: this bounds the memory alone
SYMMETRY = 1e-6  # relative to the largest entry: a covariance may come from float32


def numbers_of_draws(seed: int) -> np.random.RandomState:
    """Return other random numbers than those of a sampler, which may start from draws."""
    check_seed(seed)
    return random_numbers(np.random.SeedSequence(int(seed), spawn_key=(0,)))


class Gaussian(BaseDenoiser):
    r"""Exact posterior mean for images x ~ N(m, C): shrinkage in the eigenvectors of C.

    With eigenvalues :math:`c_k` and eigenvectors :math:`e_k` of the covariance, the optimal
    denoiser of equation 8 is the Wiener filter (Wiener, 1949),

    .. math::

        f^\star(y) = m + \sum_k \lambda_k \langle y - m, e_k \rangle e_k, \quad
        \lambda_k = \frac{c_k}{c_k + \sigma^2}:

    its basis and its shrinkage factors are the same for every image. For any other density of
    that mean and covariance it is the best affine denoiser.

    Parameters
    ----------
    mean : Tensor
        Mean image m, (C, H, W). A vector of length d is the image (1, 1, d).
    covariance : Tensor
        Covariance C of the flattened images, (d, d), symmetric, positive semi-definite.

    Examples
    --------
    >>> f = Gaussian(torch.zeros(1, 1, 2), torch.diag(torch.tensor([1.0, 0.0])))
    >>> f(torch.ones(1, 1, 1, 2), sigma=1.0)
    tensor([[[[0.5000, 0.0000]]]])
    """

    mean: Tensor
    variances: Tensor
    basis: Tensor

    def __init__(self, mean: Tensor, covariance: Tensor) -> None:
        super().__init__()
        check_shape("mean", mean, "a float tensor of shape (C, H, W)", lambda s: len(s) == 3)
        d = mean.numel()
        accepted = f"a symmetric float tensor of shape ({d}, {d})"
        check_shape("covariance", covariance, accepted, lambda shape: shape == (d, d))
        asymmetry = float((covariance - covariance.T).abs().max())
        if asymmetry > SYMMETRY * float(covariance.abs().max()):
            given = f"differs from its transpose by {asymmetry:.3g}"
            raise ValueError(f"covariance: {given}; not {accepted}")
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
    def of(cls, x: Tensor) -> Self:
        """Return the Gaussian of the mean and the covariance of images: their best affine denoiser.

        Images are in [0, 1] or uint8, (n, C, H, W). Fewer of them than pixels leave directions
        without variance, in which all is taken for noise.

        Examples
        --------
        >>> f = Gaussian.of(torch.rand(1000, 1, 4, 4))
        >>> f(torch.rand(2, 1, 4, 4), sigma=0.1).shape
        torch.Size([2, 1, 4, 4])
        """
        check_batch("x", x)
        vectors = rows("x", x, centered=False)
        mean = vectors.mean(0)
        vectors -= mean
        return cls(mean.view(x.shape[1:]), vectors.T @ vectors / len(x))

    def forward(self, y: Tensor, sigma: Sigma | None = None) -> Tensor:
        """Return the posterior mean E[x | y] of noisy images (n, C, H, W), of their dtype."""
        coefficients, noise = self._observed(y, sigma)
        shrunk = coefficients * (self.variances / (self.variances + noise))
        return ((shrunk @ self.basis.T).view(y.shape) + self.mean).to(y)

    def log_density(self, y: Tensor, sigma: Sigma) -> Tensor:
        """Return log p_sigma(y), that of N(m, C + sigma^2 Id), of noisy images, (n,) in nats."""
        coefficients, noise = self._observed(y, sigma)
        variances = self.variances + noise
        terms = coefficients.square() / variances + (2 * math.pi * variances).log()
        return -terms.sum(1) / 2

    def posterior_covariance(self, y: Tensor, sigma: Sigma) -> Tensor:
        """Return Cov[x | y], (n, d, d): c_k sigma^2 / (c_k + sigma^2) along each e_k."""
        _, noise = self._observed(y, sigma)
        remaining = self.variances * noise / (self.variances + noise)
        return (self.basis * remaining[:, None]) @ self.basis.T

    def draw(self, n: int, seed: int = 0) -> Tensor:
        """Return clean images from the density, (n, C, H, W), not confined to [0, 1]."""
        check_count("n", n)
        return self.drawn_from(numbers_of_draws(seed), n)

    def drawn_from(self, stream: np.random.RandomState, n: int) -> Tensor:
        """Return clean images by a stream of random numbers, (n, C, H, W)."""
        white = torch.from_numpy(stream.standard_normal((n, len(self.variances))))
        colored = (white.to(self.basis) * self.variances.sqrt()) @ self.basis.T
        return colored.view(n, *self.mean.shape) + self.mean

    def _observed(self, y: Tensor, sigma: Sigma | None) -> tuple[Tensor, Tensor]:
        """Return the coefficients of y - m, (n, d), and the variances of the noise, (n, 1)."""
        check_images("y", y, size=self.mean.shape, finite=False)
        noisy = in_double(y)
        noise = noise_levels(sigma, len(y)).to(noisy)[:, None] ** 2
        return (noisy - self.mean).flatten(1) @ self.basis, noise


class GaussianMixture(BaseDenoiser):
    r"""Exact posterior mean for images x from one of several Gaussians, chosen by chance.

    With weights :math:`w_j`, means :math:`m_j` and covariances :math:`C_j`, the optimal denoiser of
    equation 8 is that of each Gaussian, by the posterior probability that x came from it,

    .. math::

        f^\star(y) = \sum_j p(j \mid y) f^\star_j(y), \quad
        p(j \mid y) \propto w_j \, \mathcal N(y; m_j, C_j + \sigma^2 \mathrm{Id}).

    With covariances of zero it is :class:`EmpiricalBayes`.

    Parameters
    ----------
    weights : Tensor
        Probabilities w_j of the k Gaussians, (k,), positive and of sum 1.
    means : Tensor
        Mean images, (k, C, H, W). A vector of length d is the image (1, 1, d).
    covariances : Tensor
        Covariances of the flattened images, (k, d, d), as for :class:`Gaussian`.

    Examples
    --------
    Two points at -1 and 1, half way between which either may have been observed:

    >>> means = torch.tensor([-1.0, 1.0]).view(2, 1, 1, 1)
    >>> f = GaussianMixture(torch.tensor([0.5, 0.5]), means, torch.zeros(2, 1, 1))
    >>> f(torch.tensor([0.0, 0.1, 1.0]).view(3, 1, 1, 1), sigma=0.5).flatten()
    tensor([0.0000, 0.3799, 0.9993])
    """

    log_prior: Tensor

    def __init__(self, weights: Tensor, means: Tensor, covariances: Tensor) -> None:
        super().__init__()
        check_images("means", means)
        accepted = f"a float tensor of shape ({len(means)},), positive and of sum 1"
        check_shape("weights", weights, accepted, lambda shape: shape == (len(means),))
        if not (weights > 0).all() or abs(float(weights.sum()) - 1) > 1e-6:
            raise ValueError(f"weights: {weights.tolist()} is not {accepted}")
        if not isinstance(covariances, Tensor) or len(covariances) != len(means):
            raise ValueError(f"covariances: not one for each of the {len(means)} means")
        self.register_buffer("log_prior", in_double(weights).log())
        self.gaussians = nn.ModuleList(
            Gaussian(mean, covariance) for mean, covariance in zip(means, covariances, strict=True)
        )

    def forward(self, y: Tensor, sigma: Sigma | None = None) -> Tensor:
        """Return the posterior mean E[x | y] of noisy images (n, C, H, W), of their dtype."""
        means, weights = self._posteriors(y, noise_levels(sigma, len(y)))
        return torch.einsum("nj,nj...->n...", weights, means).to(y)

    def log_density(self, y: Tensor, sigma: Sigma) -> Tensor:
        """Return log p_sigma(y) of noisy images, (n,) in nats."""
        return self._log_joint(y, sigma).logsumexp(1)

    def posterior_covariance(self, y: Tensor, sigma: Sigma) -> Tensor:
        """Return Cov[x | y], (n, d, d): that within each Gaussian, and that of their means."""
        means, weights = self._posteriors(y, sigma)
        mean = torch.einsum("nj,nj...->n...", weights, means)
        apart = (means - mean[:, None]).flatten(2)
        within = torch.stack([g.posterior_covariance(y, sigma) for g in self._each()], dim=1)
        covariances = within + apart[..., None] * apart[..., None, :]
        return torch.einsum("nj,njab->nab", weights, covariances)

    def draw(self, n: int, seed: int = 0) -> Tensor:
        """Return clean images from the density, (n, C, H, W), not confined to [0, 1]."""
        check_count("n", n)
        stream = numbers_of_draws(seed)
        weights = self.log_prior.exp().cpu()
        chosen = stream.choice(len(weights), n, p=(weights / weights.sum()).numpy())
        drawn = torch.stack([g.drawn_from(stream, n) for g in self._each()])
        return drawn[torch.from_numpy(chosen), torch.arange(n)]

    def _each(self) -> list[Gaussian]:
        return cast(list[Gaussian], list(self.gaussians))

    def _log_joint(self, y: Tensor, sigma: Sigma) -> Tensor:
        """Return log(w_j N(y; m_j, C_j + sigma^2 Id)), (n, k)."""
        densities = [gaussian.log_density(y, sigma) for gaussian in self._each()]
        return self.log_prior + torch.stack(densities, dim=1)

    def _posteriors(self, y: Tensor, sigma: Sigma) -> tuple[Tensor, Tensor]:
        """Return the posterior mean within each Gaussian, (n, k, C, H, W), and p(j | y), (n, k)."""
        noisy = in_double(y)
        means = [gaussian(noisy, sigma) for gaussian in self._each()]
        return torch.stack(means, dim=1), self._log_joint(noisy, sigma).softmax(1)


class EmpiricalBayes(BaseDenoiser):
    r"""Exact minimizer of the denoising error for a finite training set: perfect memorization.

    When the images :math:`x_1 \ldots x_n` are all that can occur, each with probability 1 / n, the
    optimal denoiser of equation 8 is their average under the posterior of which one was observed,

    .. math::

        f^\star(y) = \sum_i p(x_i \mid y) \, x_i, \quad
        p(x_i \mid y) \propto \exp \left( - \lVert y - x_i \rVert^2 / 2 \sigma^2 \right),

    and its Jacobian is the posterior covariance divided by sigma^2 (equation 9). A network that
    only minimized its training error would end here. The training images x are in [0, 1],
    (n, C, H, W); or uint8 in 0 ... 255, a quarter of the memory.

    Examples
    --------
    >>> f = EmpiricalBayes(torch.tensor([0.0, 1.0]).view(2, 1, 1, 1))
    >>> y = torch.tensor([0.5, 0.9]).view(2, 1, 1, 1)
    >>> f(y, sigma=0.1).flatten()
    tensor([0.5000, 1.0000])
    >>> f(y, sigma=10.0).flatten()
    tensor([0.5000, 0.5010])
    """

    images: Tensor

    def __init__(self, x: Tensor) -> None:
        super().__init__()
        check_gray("x", x)
        self.register_buffer("images", x)

    def forward(self, y: Tensor, sigma: Sigma | None = None) -> Tensor:
        """Return the posterior mean E[x | y] of noisy images (m, C, H, W), of the dtype of ``y``.

        A running average over blocks keeps the memory at m + 1,024 images in float64; when
        gradients are recorded, autograd keeps all n of them.
        """
        mean = torch.zeros_like(in_double(y)).flatten(1)
        log_mass = mean.new_full((len(y), 1), -torch.inf)
        for images, logits in self._blocks(y, sigma):
            block_mean = logits.softmax(1) @ images
            block_log_mass = logits.logsumexp(1, keepdim=True)
            log_mass = torch.logaddexp(log_mass, block_log_mass)
            mean = mean + (block_log_mass - log_mass).exp() * (block_mean - mean)
        return mean.to(y).reshape(y.shape)

    def _blocks(self, y: Tensor, sigma: Sigma | None) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield flattened training images and their unnormalized log posteriors by blocks.

        The term -||y||^2 / (2 sigma^2) is common to all images and left out. What remains reaches
        10^8 at small noise while differences of order 1 decide, hence float64.
        """
        check_images("y", y, size=self.images.shape[1:], finite=False)
        noisy = in_double(y).flatten(1)
        variance = noise_levels(sigma, len(y)).to(noisy)[:, None] ** 2
        for stored in self.images.split(BLOCK):
            images = in_double(stored).flatten(1)
            if not stored.is_floating_point():
                images = images / 255
            half_energies = images.square().sum(1) / 2
            yield images, (noisy @ images.T - half_energies) / variance


class Oracle(BaseDenoiser):
    """Denoiser of noisy versions of images x, (n, C, H, W); subclasses say how it shrinks them."""

    images: Tensor

    def __init__(self, x: Tensor) -> None:
        super().__init__()
        check_images("x", x)
        self.register_buffer("images", x)

    def forward(self, y: Tensor, sigma: Sigma | None = None) -> Tensor:
        """Return the estimate of the clean images from noisy versions of them, (n, C, H, W)."""
        check_images("y", y, finite=False)
        if y.shape != self.images.shape:
            accepted = f"{tuple(self.images.shape)}, noisy versions of x"
            raise ValueError(f"y: shape {tuple(y.shape)} is not {accepted}")
        return self._estimate(in_double(y), sigma).to(y)

    def _estimate(self, y: Tensor, sigma: Sigma | None) -> Tensor:
        """Return the same for y in float64, in float64."""
        raise NotImplementedError


class OracleBasis(Oracle):
    r"""Shrinkage in an orthonormal basis by the factors that are best for the clean images.

    From noisy versions of the very images x, it estimates

    .. math::

        f(y) = \sum_k \lambda_k \langle y, e_k \rangle e_k, \quad
        \lambda_k = \frac{\langle x, e_k \rangle^2}{\langle x, e_k \rangle^2 + \sigma^2}:

    no factors that do not depend on the noise have a smaller expected error (equations 11 and
    12; Donoho and Johnstone, 1994).
    It is a yardstick, not a bound: the factors of a denoiser may depend on the noise, and one that
    knows the density may do better in the same basis.

    Parameters
    ----------
    x : Tensor
        Clean images, (n, C, H, W).
    basis : Tensor
        Orthonormal vectors e_k as images, (k, C, H, W), or a basis for each image,
        (n, k, C, H, W). With fewer vectors than pixels, what lies outside of them is set to zero.

    Examples
    --------
    >>> x = torch.tensor([3.0, 0.0]).view(1, 1, 1, 2)
    >>> f = OracleBasis(x, basis=torch.eye(2).view(2, 1, 1, 2))
    >>> f(torch.ones(1, 1, 1, 2), sigma=1.0)
    tensor([[[[0.9000, 0.0000]]]])
    """

    basis: Tensor
    energies: Tensor

    def __init__(self, x: Tensor, basis: Tensor) -> None:
        super().__init__(x)
        accepted = "orthonormal images (k, C, H, W), or such for each image, (n, k, C, H, W)"
        check_float("basis", basis, f"a float tensor of {accepted}")
        each = basis.ndim == 5 and len(basis) == len(x)
        if basis.shape[-3:] != x.shape[1:] or not (basis.ndim == 4 or each):
            given = f"shape {tuple(basis.shape)} for x of {tuple(x.shape)}"
            raise ValueError(f"basis: {given}; accepted: {accepted}")
        check_orthonormal("basis", basis, accepted)
        vectors = in_double(basis).flatten(-3)
        self.register_buffer("basis", vectors)
        self.register_buffer("energies", self._coefficients(x).square())

    def shrinkage(self, sigma: Sigma | None) -> Tensor:
        """Return the shrinkage factors lambda_k(x) of each image, (n, k)."""
        return self.energies / (self.energies + self._noise(sigma))

    def expected_mse(self, sigma: Sigma) -> Tensor:
        """Return the expected squared error, a mean over pixels, (n,).

        It is sigma^2 sum_k lambda_k(x) (equation 12), and the energy outside of the basis.
        """
        energy = in_double(self.images).square().flatten(1).sum(1)
        outside = (energy - self.energies.sum(1)).clamp(min=0)
        within = (self._noise(sigma) * self.shrinkage(sigma)).sum(1)
        return (within + outside) / self.images[0].numel()

    def _estimate(self, y: Tensor, sigma: Sigma | None) -> Tensor:
        shrunk = self.shrinkage(sigma) * self._coefficients(y)
        return (shrunk.unsqueeze(-2) @ self.basis).view(y.shape)

    def _noise(self, sigma: Sigma | None) -> Tensor:
        """Return the variance of the noise of each image, (n, 1)."""
        return noise_levels(sigma, len(self.images)).to(self.energies)[:, None] ** 2

    def _coefficients(self, y: Tensor) -> Tensor:
        """Return the inner products <y, e_k>, (n, k)."""
        return (self.basis @ in_double(y).flatten(1).unsqueeze(-1)).squeeze(-1)
