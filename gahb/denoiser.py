"""Denoisers: maps from a noisy image y = x + z to an estimate of the clean image x."""

from __future__ import annotations

import copy
from typing import Self

import torch
from torch import Tensor, nn

from gahb.checks import check_images, check_number
from gahb.devices import device_of, in_double
from gahb.images.shuffled import shuffle, unshuffle

__all__ = ["BaseDenoiser", "Denoiser", "NonBlindDenoiser", "Unshuffled"]


class BaseDenoiser(nn.Module):
    """A map f from noisy images to estimates of the clean ones, and the score that it implies.

    Subclasses define ``forward(y)``. Blind denoisers ignore the noise level; others, such as the
    exact posterior means, override ``at`` to give the denoiser for one noise level.
    """

    def residual(self, y: Tensor) -> Tensor:
        """Estimated noise y - f(y), of the shape of ``y``."""
        estimate: Tensor = self(y)
        return y - estimate

    def score(self, y: Tensor, sigma: float) -> Tensor:
        """Estimate of the score of the noisy density, (f(y) - y) / sigma^2 (equation 3).

        Parameters
        ----------
        y : Tensor
            Noisy images, (n, C, H, W).
        sigma : float
            Standard deviation of the noise, on the scale where images lie in [0, 1].
        """
        check_number("sigma", sigma, low=torch.finfo(torch.float32).tiny)
        return -self.at(sigma).residual(y) / sigma**2

    def at(self, sigma: float | Tensor) -> BaseDenoiser:
        """Denoiser for noise of standard deviation ``sigma``: a blind denoiser gives itself.

        A tensor (n,) gives each of n images its own.
        """
        return self


class NonBlindDenoiser(BaseDenoiser):
    """Denoiser that has to be told the noise level; subclasses define ``forward(y)``.

    Parameters
    ----------
    sigma : float or Tensor, optional
        Standard deviation of the noise, one for all noisy images or one for each, (n,). Without
        it only :meth:`at` can be called.
    """

    def __init__(self, sigma: float | Tensor | None = None) -> None:
        super().__init__()
        if sigma is not None:
            _check_sigma(sigma)
        self.sigma = sigma

    def at(self, sigma: float | Tensor) -> Self:
        """Denoiser for noise of standard deviation ``sigma``, sharing all else.

        A tensor (n,) gives each of n noisy images a noise level of its own.
        """
        _check_sigma(sigma)
        denoiser = copy.copy(self)
        denoiser.sigma = sigma
        return denoiser

    def noise_levels(self, n: int) -> Tensor:
        """Noise level of each of ``n`` noisy images, (n,) in float64."""
        if self.sigma is None:
            raise ValueError("sigma: not given; accepted: f.at(sigma)(y), as f is not blind")
        if isinstance(self.sigma, Tensor) and len(self.sigma) != n:
            raise ValueError(f"sigma: {len(self.sigma)} noise levels for {n} noisy images")
        return in_double(self.sigma).expand(n)


class Denoiser(BaseDenoiser):
    """Blind denoiser f(y) = y - network(y), the network's output being the residual.

    It computes on the device of the network, and gives its results on that of ``y``.

    Parameters
    ----------
    network : torch.nn.Module
        Maps noisy images (n, C, H, W) to their estimated noise, such as :class:`gahb.UNet`.
        It is put into evaluation mode: running deviations are used and f is homogeneous,
        f(c y) = c f(y) for c > 0.

    Examples
    --------
    >>> import gahb
    >>> f = Denoiser(gahb.UNet(blocks=1, width=8))
    >>> y = torch.rand(2, 1, 16, 16)
    >>> f(y).shape
    torch.Size([2, 1, 16, 16])
    >>> torch.allclose(f.score(y, sigma=0.5), (f(y) - y) / 0.25, atol=1e-4)
    True
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.eval()

    def forward(self, y: Tensor) -> Tensor:
        """Estimate of the clean images, f(y) = y - network(y), (n, C, H, W)."""
        return y - self.residual(y)

    def residual(self, y: Tensor) -> Tensor:
        """Estimated noise network(y), (n, C, H, W)."""
        check_images("y", y, finite=False)
        home = device_of(self, otherwise=y.device)
        estimate: Tensor = self.network(y.to(home))
        return estimate.to(y.device)

    def train(self, mode: bool = True) -> Self:
        """Keep a denoiser in evaluation mode: only a bare network is trained."""
        return super().train(False)


def _check_sigma(sigma: float | Tensor) -> None:
    if not isinstance(sigma, Tensor):
        check_number("sigma", sigma, low=torch.finfo(torch.float32).tiny)
        return
    if sigma.ndim != 1 or not sigma.is_floating_point() or not len(sigma):
        given = f"{sigma.dtype} of shape {tuple(sigma.shape)}"
        raise ValueError(f"sigma: {given} is not a number or a float tensor of shape (n,)")
    for extreme in sigma.aminmax():
        _check_sigma(float(extreme))


# --- A denoiser of shuffled images, as one of images whose pixels are in their own order ---


class Unshuffled(BaseDenoiser):
    """Shuffle the pixels, denoise, and put them back into their own order (Figure 21).

    Shuffling turns white noise into white noise, so that this has the error that ``denoiser`` has
    on shuffled images, and where one of the two is optimal, so is the other. Its adaptive basis is
    that of ``denoiser`` with the pixels in their own order.

    Parameters
    ----------
    denoiser : BaseDenoiser
        Denoiser of images such as the class ``shuffled-faces``.

    Examples
    --------
    >>> import gahb, torch
    >>> f = Unshuffled(gahb.Denoiser(gahb.UNet(blocks=1, width=4)))
    >>> f(torch.rand(1, 1, 16, 16)).shape
    torch.Size([1, 1, 16, 16])
    """

    def __init__(self, denoiser: BaseDenoiser) -> None:
        super().__init__()
        self.denoiser = denoiser
        self.train(denoiser.training)

    def forward(self, y: Tensor) -> Tensor:
        """Estimate of the clean images, from noisy images (n, C, size, size) in their own order."""
        return unshuffle(self.denoiser(shuffle(y)))

    def at(self, sigma: float | Tensor) -> Unshuffled:
        """Denoiser for noise of standard deviation ``sigma``, as that of shuffled images has it."""
        return Unshuffled(self.denoiser.at(sigma))
