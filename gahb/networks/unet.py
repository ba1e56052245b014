"""The bias-free UNet (Appendix A.1, Table 1)."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from gahb.checks import check_count, check_images
from gahb.networks.layers import NormalisedConv, convolution

__all__ = ["UNet"]


class UNet(nn.Module):
    """Bias-free UNet, whose output is the residual y - f(y).

    Each encoder block has two convolutions and is followed by 2x2 average pooling; two middle
    convolutions; each decoder block starts with a 2x2 transposed convolution and joins the
    encoder's output of the same size. Channels double from one block to the next.

    Parameters
    ----------
    blocks : int
        Number of encoder blocks, and of decoder blocks.
    width : int
        Number of channels of the outermost block.
    channels : int
        Channels of the images.

    Raises
    ------
    ValueError
        If an argument is below 1; in ``forward``, if a side of the images is not a multiple of
        2^blocks or the number of channels differs.

    References
    ----------
    Table 1 of the paper: 360k, 1.8m, 7.6m, 31m parameters for 1, 2, 3, 4 blocks of width 64.

    Examples
    --------
    >>> network = UNet(blocks=2, width=64)
    >>> sum(p.numel() for p in network.parameters())
    1825024
    >>> network(torch.rand(1, 1, 40, 40)).shape
    torch.Size([1, 1, 40, 40])
    """

    def __init__(self, blocks: int = 3, width: int = 64, channels: int = 1) -> None:
        super().__init__()
        check_count("blocks", blocks)
        check_count("width", width)
        check_count("channels", channels)
        self.blocks, self.channels = blocks, channels
        widths = [width * 2**b for b in range(blocks + 1)]
        outer = nn.Sequential(convolution(channels, width), nn.ReLU(), NormalisedConv(width, width))
        self.encoder = nn.ModuleList([outer])
        for inputs, outputs in pairwise(widths[:-1]):
            self.encoder.append(two_convolutions(inputs, outputs))
        self.middle = two_convolutions(widths[-2], widths[-1])
        self.pool = nn.AvgPool2d(2)
        self.upsample = nn.ModuleList(upsampling(2 * w, w) for w in widths[:-1])
        last = nn.Sequential(NormalisedConv(2 * width, width), convolution(width, channels))
        self.decoder = nn.ModuleList([last])
        self.decoder.extend(two_convolutions(2 * w, w) for w in widths[1:-1])

    def forward(self, y: Tensor) -> Tensor:
        """Residual of noisy images ``y``, both (n, channels, H, W)."""
        check_images("y", y, self.channels, finite=False)
        multiple = 2**self.blocks
        if y.shape[-2] % multiple or y.shape[-1] % multiple:
            raise ValueError(
                f"y: sides {y.shape[-2]} x {y.shape[-1]} are not multiples of {multiple}, "
                f"as a UNet of {self.blocks} blocks needs"
            )
        skipped: list[Tensor] = []
        x: Tensor = y
        for block in self.encoder:
            x = block(x)
            skipped.append(x)
            x = self.pool(x)
        x = self.middle(x)
        for b in reversed(range(self.blocks)):
            x = torch.cat([self.upsample[b](x), skipped[b]], dim=1)
            x = self.decoder[b](x)
        return x


def two_convolutions(inputs: int, outputs: int) -> nn.Sequential:
    """Two normalised convolutions, the first of which changes the number of channels."""
    return nn.Sequential(NormalisedConv(inputs, outputs), NormalisedConv(outputs, outputs))


def upsampling(inputs: int, outputs: int) -> nn.ConvTranspose2d:
    """2x2 transposed convolution that doubles both sides."""
    return nn.ConvTranspose2d(inputs, outputs, kernel_size=2, stride=2, bias=False)
