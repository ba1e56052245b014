"""A denoiser of shuffled images, as one of images whose pixels are in their own order.

floor: 2
"""

from __future__ import annotations

from torch import Tensor

from gahb.denoiser import BaseDenoiser
from gahb.images.shuffled import shuffle, unshuffle

__all__ = ["Unshuffled"]


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
