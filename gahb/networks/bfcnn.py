"""The bias-free convolutional network BF-CNN (Mohan et al., 2020; Appendix A.1)."""

from __future__ import annotations

from torch import Tensor, nn

from gahb.checks import check_count, check_images
from gahb.networks.layers import NormalisedConv, convolution

__all__ = ["BFCNN"]


class BFCNN(nn.Module):
    """Bias-free convolutional network without subsampling, whose output is the residual y - f(y).

    All layers but the first and the last are normalised and rectified.

    Parameters
    ----------
    layers : int
        Number of 3x3 convolutions, at least 2.
    width : int
        Number of channels of the hidden layers.
    channels : int
        Channels of the images.

    Raises
    ------
    ValueError
        If an argument is too small; in ``forward``, if the number of channels differs.

    Examples
    --------
    >>> network = BFCNN()
    >>> sum(p.numel() for p in network.parameters())
    702784
    """

    def __init__(self, layers: int = 21, width: int = 64, channels: int = 1) -> None:
        super().__init__()
        check_count("layers", layers, minimum=2)
        check_count("width", width)
        check_count("channels", channels)
        self.channels = channels
        self.first = convolution(channels, width)
        self.hidden = nn.Sequential(*(NormalisedConv(width, width) for _ in range(layers - 2)))
        self.last = convolution(width, channels)

    def forward(self, y: Tensor) -> Tensor:
        """Residual of noisy images ``y``, both (n, channels, H, W)."""
        check_images("y", y, self.channels, finite=False)
        estimate: Tensor = self.last(self.hidden(self.first(y)))
        return estimate
