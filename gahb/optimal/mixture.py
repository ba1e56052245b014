"""The posterior mean for a mixture of Gaussians: any density, as well as one likes, in closed form.

floor: 2
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

from gahb.checks import check_count, check_float, check_images
from gahb.denoiser import NonBlindDenoiser
from gahb.devices import in_double
from gahb.images.streams import random_numbers
from gahb.optimal.gaussian import Gaussian

__all__ = ["GaussianMixture"]


class GaussianMixture(NonBlindDenoiser):
    """Exact posterior mean for images x from one of several Gaussians, chosen by chance.

    With weights w_j, means m_j and covariances C_j, the optimal denoiser of equation 8 is that of
    each Gaussian, weighed with the posterior probability that x came from it,

        f*(y) = sum_j p(j | y) f*_j(y),   p(j | y) ∝ w_j N(y; m_j, C_j + sigma^2 Id).

    With covariances of zero it is :class:`EmpiricalBayes`. All is computed in float64, and every
    result is differentiable in ``y``.

    Parameters
    ----------
    weights : Tensor
        Probabilities w_j of the k Gaussians, (k,), positive and of sum 1.
    means : Tensor
        Mean images, (k, C, H, W). A vector of length d is the image (1, 1, d).
    covariances : Tensor
        Covariances of the flattened images, (k, d, d), as for :class:`Gaussian`.
    sigma : float or Tensor, optional
        Standard deviation of the noise, one for all noisy images or one for each, (n,). Without
        it only :meth:`at` and :meth:`draw` can be called.

    Raises
    ------
    TypeError, ValueError
        If the weights are no such probabilities, or the tensors do not fit together.

    Examples
    --------
    Two points at -1 and 1, half way between which either may have been observed:

    >>> means = torch.tensor([-1.0, 1.0]).view(2, 1, 1, 1)
    >>> f = GaussianMixture(torch.tensor([0.5, 0.5]), means, torch.zeros(2, 1, 1), sigma=0.5)
    >>> f(torch.tensor([0.0, 0.1, 1.0]).view(3, 1, 1, 1)).flatten()
    tensor([0.0000, 0.3799, 0.9993])
    """

    log_prior: Tensor

    def __init__(
        self,
        weights: Tensor,
        means: Tensor,
        covariances: Tensor,
        sigma: float | Tensor | None = None,
    ) -> None:
        super().__init__(sigma)
        check_images("means", means)
        _check_weights(weights, len(means))
        if not isinstance(covariances, Tensor) or len(covariances) != len(means):
            raise ValueError(f"covariances: not one for each of the {len(means)} means")
        self.register_buffer("log_prior", in_double(weights).log())
        self.gaussians = nn.ModuleList(
            Gaussian(mean, covariance) for mean, covariance in zip(means, covariances, strict=True)
        )

    def forward(self, y: Tensor) -> Tensor:
        """Posterior mean f*(y) = E[x | y] of noisy images (n, C, H, W), of the dtype of ``y``."""
        means, weights = self._posteriors(y)
        return torch.einsum("nj,nj...->n...", weights, means).to(y)

    def log_density(self, y: Tensor) -> Tensor:
        """Log density log p_sigma(y) of noisy images (n, C, H, W): (n,) in float64, in nats."""
        return self._log_joint(y).logsumexp(1)

    def posterior_covariance(self, y: Tensor) -> Tensor:
        """Covariance Cov[x | y] of what an observed image may have been, (n, d, d) in float64.

        What is unknown within each Gaussian, and how far their posterior means lie apart.
        """
        means, weights = self._posteriors(y)
        mean = torch.einsum("nj,nj...->n...", weights, means)
        apart = (means - mean[:, None]).flatten(2)
        within = torch.stack([g.posterior_covariance(y) for g in self._at_noise(y)], dim=1)
        return torch.einsum(
            "nj,njab->nab", weights, within + apart[..., None] * apart[..., None, :]
        )

    def draw(self, n: int, seed: int = 0) -> Tensor:
        """Clean images from the density, (n, C, H, W) in float64, not confined to [0, 1]."""
        check_count("n", n)
        check_count("seed", seed, minimum=0)
        stream = random_numbers(seed)
        weights = self.log_prior.exp().cpu()
        chosen = stream.choice(len(weights), n, p=(weights / weights.sum()).numpy())
        drawn = torch.stack([g.drawn_from(stream, n) for g in self._each()])
        return drawn[torch.from_numpy(chosen), torch.arange(n)]

    def _each(self) -> list[Gaussian]:
        return cast(list[Gaussian], list(self.gaussians))

    def _at_noise(self, y: Tensor) -> list[Gaussian]:
        check_images("y", y, finite=False)
        return [gaussian.at(self.noise_levels(len(y))) for gaussian in self._each()]

    def _log_joint(self, y: Tensor) -> Tensor:
        """Log of w_j N(y; m_j, C_j + sigma^2 Id), (n, k)."""
        densities = [gaussian.log_density(y) for gaussian in self._at_noise(y)]
        return self.log_prior + torch.stack(densities, dim=1)

    def _posteriors(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Posterior means within each Gaussian, (n, k, C, H, W), and p(j | y), (n, k)."""
        noisy = in_double(y)
        means = [gaussian(noisy) for gaussian in self._at_noise(y)]
        return torch.stack(means, dim=1), self._log_joint(noisy).softmax(1)


def _check_weights(weights: Any, k: int) -> None:
    accepted = f"a float tensor of shape ({k},), positive and of sum 1"
    check_float("weights", weights, accepted)
    if weights.shape != (k,):
        raise ValueError(f"weights: shape {tuple(weights.shape)} is not {accepted}")
    if not (weights > 0).all() or abs(float(weights.sum()) - 1) > 1e-6:
        raise ValueError(f"weights: {weights.tolist()} is not {accepted}")
