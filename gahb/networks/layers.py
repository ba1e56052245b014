"""Convolutions without additive constants, and the normalisation that goes with them."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["BiasFreeNorm", "NormalisedConv", "convolution"]

VARIANCE_FLOOR = 1e-5  # of the released code: the released running deviations contain it
MOMENTUM = 0.1


def convolution(inputs: int, outputs: int) -> nn.Conv2d:
    """3x3 convolution with zero padding and without a bias."""
    layer = nn.Conv2d(inputs, outputs, kernel_size=3, padding=1, bias=False)
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    return layer


class DividedByDeviation(torch.autograd.Function):
    """x (gamma / sd(x)) with its gradient, in three quarters of the passes that autograd needs.

    With u = (x - m) / sd, the output is gamma (u + m / sd): batch normalisation, whose kernels
    torch has, plus a constant a channel. So the gradient is that of batch normalisation plus
    gamma / sd * mean(g) * (1 - u m / sd), for g the gradient of the output.
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
        centre = mean / deviation
        common = gamma / deviation * grad_sum * (x.shape[1] / x.numel())
        slope = -common * centre / deviation
        constant = common * (1 + centre**2)
        grad_x.addcmul_(x, slope[:, None, None]).add_(constant[:, None, None])
        return grad_x, grad_gamma + centre * grad_sum


class MeanOverProcesses(torch.autograd.Function):
    """Mean of a tensor over the processes of a training, and of its gradient on the way back."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return mean_over_processes(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return mean_over_processes(gradients[0])


def mean_over_processes(x: Tensor) -> Tensor:
    """Mean of a tensor over the processes."""
    total = x.clone()
    dist.all_reduce(total)
    return total / dist.get_world_size()


def divided_by_deviation(x: Tensor, gamma: Tensor) -> tuple[Tensor, Tensor]:
    """x (gamma / sd(x)) for the deviation (C,) over images, pixels and processes; and that."""
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
    """Batch normalisation that divides by the deviation but subtracts no mean (Appendix A.1).

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
        """Factor of each channel in evaluation, gamma / running deviation, (C,)."""
        return self.gamma / self.running_sd

    def forward(self, x: Tensor) -> Tensor:
        """Normalise ``x``, (n, C, H, W), and in training update the running deviations."""
        if not self.training:
            return x * self.scale()[:, None, None]
        normalised, deviation = divided_by_deviation(x, self.gamma)
        self.running_sd.lerp_(deviation.to(self.running_sd.dtype), MOMENTUM)
        return normalised


class NormalisedConv(nn.Module):
    """Convolution, bias-free normalisation, ReLU: the layer that both networks repeat."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = convolution(inputs, outputs)
        self.norm = BiasFreeNorm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, inputs, H, W) to (n, outputs, H, W)."""
        if self.training:
            return F.relu(self.norm(self.conv(x)))
        # A constant factor a channel commutes with the convolution: fold it, and save a pass.
        weight = self.conv.weight * self.norm.scale()[:, None, None, None]
        return F.relu(F.conv2d(x, weight, padding=1))
