"""The posterior mean for a finite training set: the denoiser that memorises it.

floor: 2
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from gahb.checks import check_count, check_images, check_number
from gahb.denoiser import NonBlindDenoiser
from gahb.devices import in_double

__all__ = ["EmpiricalBayes"]


class EmpiricalBayes(NonBlindDenoiser):
    """Exact minimiser of the denoising error for a finite training set: perfect memorisation.

    When the images x_1 ... x_n are all that can occur, each with probability 1 / n, the optimal
    denoiser of equation 8 is their average under the posterior of which one was observed,

        f*(y) = E[x | y] = sum_i p(x_i | y) x_i,   p(x_i | y) ∝ exp(-||y - x_i||^2 / (2 sigma^2)),

    and its Jacobian is the posterior covariance divided by sigma^2 (equation 9). A network that
    only minimised its training error would end here. Every result is differentiable in ``y``.

    Parameters
    ----------
    x : Tensor
        Training images in [0, 1], (n, C, H, W); or uint8 in 0 ... 255, a quarter of the memory.
    sigma : float or Tensor, optional
        Standard deviation of the noise, one for all noisy images or one for each, (m,). Without
        it only :meth:`at` can be called.
    block : int
        Training images that are compared at a time: this bounds the memory, not the result.

    Raises
    ------
    TypeError, ValueError
        If ``x`` is not such a batch, ``sigma`` not positive and finite, or ``block`` below 1.

    Examples
    --------
    >>> f = EmpiricalBayes(torch.tensor([0.0, 1.0]).view(2, 1, 1, 1))
    >>> y = torch.tensor([0.5, 0.9]).view(2, 1, 1, 1)
    >>> f.at(0.1)(y).flatten()
    tensor([0.5000, 1.0000])
    >>> f.at(10.0)(y).flatten()
    tensor([0.5000, 0.5010])
    """

    images: Tensor

    def __init__(self, x: Tensor, sigma: float | Tensor | None = None, block: int = 1024) -> None:
        super().__init__(sigma)
        _check_training_images(x)
        check_count("block", block)
        self.register_buffer("images", x)
        self.block = block

    def forward(self, y: Tensor) -> Tensor:
        """Posterior mean f*(y) = E[x | y] of noisy images (m, C, H, W), of the dtype of ``y``.

        A running average over blocks keeps the memory at (m + block) images in float64; when
        gradients are recorded, autograd keeps all n of them.
        """
        mean = torch.zeros_like(in_double(y)).flatten(1)
        log_mass = mean.new_full((len(y), 1), -torch.inf)
        for images, logits in self._blocks(y):
            block_mean = logits.softmax(1) @ images
            block_log_mass = logits.logsumexp(1, keepdim=True)
            log_mass = torch.logaddexp(log_mass, block_log_mass)
            mean = mean + (block_log_mass - log_mass).exp() * (block_mean - mean)
        return mean.to(y).reshape(y.shape)

    def log_weights(self, y: Tensor) -> Tensor:
        """Log posterior probabilities log p(x_i | y), (m, n) in float64."""
        logits = [logits for _, logits in self._blocks(y)]
        return torch.cat(logits, dim=1).log_softmax(1)

    def _blocks(self, y: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Flattened training images and their unnormalised log posteriors, block by block.

        The term -||y||^2 / (2 sigma^2) is common to all images and left out. What remains reaches
        10^8 at small noise while differences of order 1 decide, hence float64.
        """
        check_images("y", y, size=self.images.shape[1:], finite=False)
        noisy = in_double(y).flatten(1)
        variance = self.noise_levels(len(y)).to(noisy)[:, None] ** 2
        for stored in self.images.split(self.block):
            images = in_double(stored).flatten(1)
            if not stored.is_floating_point():
                images = images / 255
            half_energies = images.square().sum(1) / 2
            yield images, (noisy @ images.T - half_energies) / variance


def _check_training_images(x: Tensor) -> None:
    if isinstance(x, Tensor) and x.dtype == torch.uint8:
        check_images("x", x[:1].float())
        return
    check_images("x", x)
    for extreme in x.aminmax():
        check_number("x", float(extreme), low=0, high=1)
