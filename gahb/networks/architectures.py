"""The paper's two bias-free networks, UNet and BF-CNN, and how far they see."""

from __future__ import annotations

import copy
from itertools import pairwise
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from gahb.checks import check_count, check_images

__all__ = ["BFCNN", "UNet", "receptive_field"]


VARIANCE_FLOOR = 1e-5  # of the released code: the released running deviations contain it
MOMENTUM = 0.1


def convolution(inputs: int, outputs: int) -> nn.Conv2d:
    """Return a 3x3 convolution with zero padding and without a bias."""
    layer = nn.Conv2d(inputs, outputs, kernel_size=3, padding=1, bias=False)
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    return layer


class DividedByDeviation(torch.autograd.Function):
    r"""x (gamma / sd(x)) with its gradient, in three quarters of the passes that autograd needs.

    With :math:`u = (x - m) / s`, for the mean m and the deviation s, the output is
    :math:`\gamma (u + m / s)`: batch normalization, whose kernels torch has, plus a constant per
    channel. So the gradient is that of batch normalization plus
    :math:`(\gamma / s) \, \bar g \, (1 - u m / s)`, for g the gradient of the output.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, gamma: Tensor) -> tuple[Tensor, Tensor]:
        mean, variance = torch.batch_norm_update_stats(x, None, None, 0.0)
        deviation = torch.sqrt(variance + VARIANCE_FLOOR)
        ctx.save_for_backward(x, gamma, mean, deviation)
        ctx.mark_non_differentiable(deviation)
        return x * (gamma / deviation)[:, None, None], deviation

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        x, gamma, mean, deviation = ctx.saved_tensors
        grad_x, grad_gamma, grad_sum = torch.ops.aten.native_batch_norm_backward(
            gradients[0], x, gamma, None, None, mean, 1 / deviation, True, 0.0, [True] * 3
        )
        center = mean / deviation
        common = gamma / deviation * grad_sum * (x.shape[1] / x.numel())
        slope = -common * center / deviation
        constant = common * (1 + center**2)
        grad_x.addcmul_(x, slope[:, None, None]).add_(constant[:, None, None])
        return grad_x, grad_gamma + center * grad_sum


class MeanOverProcesses(torch.autograd.Function):
    """Mean of a tensor over the processes of a training, and of its gradient on the way back."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.clone()
        dist.all_reduce(total)
        return total / dist.get_world_size()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return MeanOverProcesses.forward(ctx, gradients[0])


def divided_by_deviation(x: Tensor, gamma: Tensor) -> tuple[Tensor, Tensor]:
    """Return x (gamma / sd(x)), and the deviation sd (C,) over images, pixels and processes."""
    several = dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1
    single = x.dtype == gamma.dtype  # not so under autocast
    if x.device.type == "cpu" and single and not several:
        output, deviation = DividedByDeviation.apply(x, gamma)
        return output, deviation
    variance, mean = torch.var_mean(x.to(gamma.dtype), dim=(0, 2, 3), correction=0)
    if several:
        mean, square = MeanOverProcesses.apply(torch.stack([mean, variance + mean**2]))
        variance = square - mean**2
    deviation = torch.sqrt(variance + VARIANCE_FLOOR)
    return x * (gamma / deviation)[:, None, None].to(x.dtype), deviation.detach()


class BiasFreeNorm(nn.Module):
    """Batch normalization that divides by the deviation but subtracts no mean (Appendix A.1).

    In training the deviation is that of the batch; in evaluation it is the running one, a
    constant, so that the network is homogeneous: f(c y) = c f(y) for c > 0.

    Parameters
    ----------
    channels : int
        Number of channels C of the input, (n, C, H, W).
    """

    running_sd: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(channels))
        self.register_buffer("running_sd", torch.ones(channels))

    def scale(self) -> Tensor:
        """Return the factor of each channel in evaluation, gamma / running deviation, (C,)."""
        return self.gamma / self.running_sd

    def forward(self, x: Tensor) -> Tensor:
        """Normalize ``x``, (n, C, H, W), and in training update the running deviations."""
        if not self.training:
            return x * self.scale()[:, None, None]
        normalized, deviation = divided_by_deviation(x, self.gamma)
        self.running_sd.lerp_(deviation.to(self.running_sd.dtype), MOMENTUM)
        return normalized


class NormalizedConv(nn.Module):
    """Convolution, bias-free normalization, ReLU: the layer that both networks repeat."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = convolution(inputs, outputs)
        self.norm = BiasFreeNorm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, inputs, H, W) to (n, outputs, H, W)."""
        if self.training:
            return F.relu(self.norm(self.conv(x)))
        # A constant factor per channel commutes with the convolution: fold it, and save a pass.
        weight = self.conv.weight * self.norm.scale()[:, None, None, None]
        return F.relu(F.conv2d(x, weight, padding=1))


class UNet(nn.Module):
    """Bias-free UNet of Appendix A.1, whose output is the residual y - f(y).

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

    Examples
    --------
    Table 1 of the paper: 360k, 1.8m, 7.6m, 31m parameters for 1, 2, 3, 4 blocks of width 64.

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
        outer = nn.Sequential(convolution(channels, width), nn.ReLU(), NormalizedConv(width, width))
        self.encoder = nn.ModuleList([outer])
        for inputs, outputs in pairwise(widths[:-1]):
            self.encoder.append(two_convolutions(inputs, outputs))
        self.middle = two_convolutions(widths[-2], widths[-1])
        self.pool = nn.AvgPool2d(2)
        self.upsample = nn.ModuleList(
            nn.ConvTranspose2d(2 * w, w, kernel_size=2, stride=2, bias=False) for w in widths[:-1]
        )
        last = nn.Sequential(NormalizedConv(2 * width, width), convolution(width, channels))
        self.decoder = nn.ModuleList([last])
        self.decoder.extend(two_convolutions(2 * w, w) for w in widths[1:-1])

    def forward(self, y: Tensor) -> Tensor:
        """Return the residual of noisy images ``y``, both (n, channels, H, W)."""
        check_images("y", y, self.channels, finite=False)
        multiple = 2**self.blocks
        if y.shape[-2] % multiple or y.shape[-1] % multiple:
            raise ValueError(
                f"y: sides {y.shape[-2]} x {y.shape[-1]} are not multiples of {multiple}, "
                f"as a UNet of {self.blocks} blocks needs"
            )
        x: Tensor = y
        skipped: list[Tensor] = []
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
    """Return two normalized convolutions, the first of which changes the number of channels."""
    return nn.Sequential(NormalizedConv(inputs, outputs), NormalizedConv(outputs, outputs))


class BFCNN(nn.Module):
    """Bias-free network BF-CNN of Appendix A.1, without subsampling: its output is y - f(y).

    All layers but the first and the last are normalized and rectified (Mohan et al., 2020).

    Parameters
    ----------
    layers : int
        Number of 3x3 convolutions, at least 2.
    width : int
        Number of channels of the hidden layers.
    channels : int
        Channels of the images.
    first_linear : bool
        Leave the first layer without a rectification.

    Examples
    --------
    >>> network = BFCNN()
    >>> sum(p.numel() for p in network.parameters())
    702784
    """

    def __init__(
        self, layers: int = 21, width: int = 64, channels: int = 1, *, first_linear: bool = True
    ) -> None:
        super().__init__()
        check_count("layers", layers, minimum=2)
        check_count("width", width)
        check_count("channels", channels)
        self.channels, self.first_linear = channels, first_linear
        self.first = convolution(channels, width)
        self.hidden = nn.Sequential(*(NormalizedConv(width, width) for _ in range(layers - 2)))
        self.last = convolution(width, channels)

    def forward(self, y: Tensor) -> Tensor:
        """Return the residual of noisy images ``y``, both (n, channels, H, W)."""
        check_images("y", y, self.channels, finite=False)
        features = self.first(y) if self.first_linear else F.relu(self.first(y))
        estimate: Tensor = self.last(self.hidden(features))
        return estimate


def receptive_field(
    network: nn.Module, side: int = 256, positions: int = 16, channels: int = 1
) -> tuple[int, int]:
    """Return the sides of the smallest and the largest receptive field, in pixels (Table 1).

    They are measured: the rows of the input on which the gradient of one output pixel is not zero.
    Where a network subsamples, that depends on the pixel: ``positions`` pixels in a row are tried.
    The weights do not matter: all are made positive, so that no path cancels another.

    Parameters
    ----------
    network : torch.nn.Module
        Maps (n, channels, side, side) to the same shape by convolutions, pooling and the like.
    side, channels : int
        Of the input, whose sides are larger than the receptive field.
    positions : int
        Neighboring output pixels to try, at least the factor by which the network subsamples.

    Examples
    --------
    >>> receptive_field(torch.nn.Conv2d(1, 1, kernel_size=3, padding=1), side=16, positions=4)
    (3, 3)
    """
    check_count("side", side)
    check_count("positions", positions, maximum=side)
    check_count("channels", channels)
    positive = copy.deepcopy(network).to("cpu", torch.float64).eval()
    with torch.no_grad():
        for weights in positive.parameters():
            weights.fill_(1 / weights[0].numel())  # which averages: neither huge nor tiny
    y = torch.ones(positions, channels, side, side, dtype=torch.float64, requires_grad=True)
    pixel = (side - positions) // 2 + torch.arange(positions)
    with torch.enable_grad():
        output = positive(y)[torch.arange(positions), 0, pixel, pixel]
    (gradient,) = torch.autograd.grad(output.sum(), y)
    reached = (gradient != 0).any(dim=1).any(dim=2)
    if reached[:, 0].any() or reached[:, -1].any():
        raise ValueError(f"side: {side} is not larger than the receptive field")
    sides = reached.sum(dim=1)
    return int(sides.min()), int(sides.max())
