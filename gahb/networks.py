"""Networks that map noisy images to their residual: the paper's two, bias-free, and others."""

import copy
import re
from collections.abc import Callable, Mapping
from functools import partial
from itertools import pairwise, product
from os import PathLike
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from gahb.checks import check_count, check_images

__all__ = ["BFCNN", "Dense", "Transformer", "UNet", "from_released", "receptive_field"]

VARIANCE_FLOOR = 1e-5  # of the released code: the released running deviations contain it
MOMENTUM = 0.1


def convolution(inputs: int, outputs: int, kernel: int = 3) -> nn.Conv2d:
    """Return a convolution with zero padding and without a bias."""
    layer = nn.Conv2d(inputs, outputs, kernel_size=kernel, padding=kernel // 2, bias=False)
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
    @once_differentiable  # mean and deviation would count as constants
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
        # Not as a mean square less a squared mean, which is rounding where the mean is large.
        apart = mean - MeanOverProcesses.apply(mean)
        variance = MeanOverProcesses.apply(variance + apart**2)
    deviation = torch.sqrt(variance + VARIANCE_FLOOR)
    return x * (gamma / deviation)[:, None, None].to(x.dtype), deviation.detach()


class BiasFreeNorm(nn.Module):
    """Batch normalization that divides by the deviation but subtracts no mean (Appendix A.1).

    In training the deviation is that of the batch; in evaluation it is the running one, a
    constant, so that the network is homogeneous: f(c y) = c f(y) for c > 0.
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
    """Convolution, bias-free normalization, ReLU: the layer that both networks repeat.

    Variants have no ReLU (``rectified=False``), or add a constant before it (``biased=True``).
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int = 3,
        *,
        rectified: bool = True,
        biased: bool = False,
    ) -> None:
        super().__init__()
        self.conv = convolution(inputs, outputs, kernel)
        self.norm = BiasFreeNorm(outputs)
        self.bias = nn.Parameter(torch.zeros(outputs)) if biased else None
        self.rectified = rectified

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, inputs, H, W) to (n, outputs, H, W)."""
        if self.training:
            x = self.norm(self.conv(x))
        else:
            # A constant factor per channel commutes with the convolution: fold it, save a pass.
            weight = self.conv.weight * self.norm.scale()[:, None, None, None]
            x = F.conv2d(x, weight, padding=self.conv.padding)
        if self.bias is not None:
            x = x + self.bias[:, None, None]
        return F.relu(x) if self.rectified else x


class UNet(nn.Module):
    """Bias-free UNet of Appendix A.1, whose output is the residual y - f(y).

    Each encoder block has two convolutions and is followed by 2x2 average pooling; two middle
    convolutions; each decoder block starts with a 2x2 transposed convolution and joins the
    encoder's output of the same size. Channels double from one block to the next.

    Parameters
    ----------
    blocks, width, channels : int
        Encoder blocks, and as many decoder blocks; channels of the outermost; of the images.
    rectified, biased, placed : bool
        Change one ingredient: no rectifiers, so that the network is linear; additive constants
        after each normalization; the coordinates of each pixel, from -1 to 1, as two channels more
        of the input, so that convolutions know where they are. With ``biased`` or ``placed`` the
        network is not homogeneous any more.

    Examples
    --------
    Table 1 of the paper: 360k, 1.8m, 7.6m, 31m parameters for 1, 2, 3, 4 blocks of width 64.

    >>> network = UNet(blocks=2, width=64)
    >>> sum(p.numel() for p in network.parameters())
    1825024
    >>> network(torch.rand(1, 1, 40, 40)).shape
    torch.Size([1, 1, 40, 40])
    """

    def __init__(
        self,
        blocks: int = 3,
        width: int = 64,
        channels: int = 1,
        *,
        rectified: bool = True,
        biased: bool = False,
        placed: bool = False,
    ) -> None:
        super().__init__()
        check_count("blocks", blocks)
        check_count("width", width)
        check_count("channels", channels)
        self.blocks, self.channels, self.placed = blocks, channels, placed
        layer = partial(NormalizedConv, rectified=rectified, biased=biased)
        widths = [width * 2**b for b in range(blocks + 1)]
        first = convolution(channels + 2 * placed, width)
        outer = nn.Sequential(first, nn.ReLU() if rectified else nn.Identity(), layer(width, width))
        self.encoder = nn.ModuleList([outer])
        for inputs, outputs in pairwise(widths[:-1]):
            self.encoder.append(two_convolutions(inputs, outputs, layer))
        self.middle = two_convolutions(widths[-2], widths[-1], layer)
        self.pool = nn.AvgPool2d(2)
        self.upsample = nn.ModuleList(
            nn.ConvTranspose2d(2 * w, w, kernel_size=2, stride=2, bias=False) for w in widths[:-1]
        )
        last = nn.Sequential(layer(2 * width, width), convolution(width, channels))
        self.decoder = nn.ModuleList([last])
        self.decoder.extend(two_convolutions(2 * w, w, layer) for w in widths[1:-1])

    def forward(self, y: Tensor) -> Tensor:
        """Return the residual of noisy images ``y``, both (n, channels, H, W)."""
        check_images("y", y, self.channels, finite=False)
        multiple = 2**self.blocks
        if y.shape[-2] % multiple or y.shape[-1] % multiple:
            raise ValueError(
                f"y: sides {y.shape[-2]} x {y.shape[-1]} are not multiples of {multiple}, "
                f"as a UNet of {self.blocks} blocks needs"
            )
        x: Tensor = torch.cat([y, coordinates(y)], dim=1) if self.placed else y
        skipped: list[Tensor] = []
        for block in self.encoder:
            skipped.append(block(x))
            x = self.pool(skipped[-1])
        x = self.middle(x)
        for b in reversed(range(self.blocks)):
            x = self.decoder[b](torch.cat([self.upsample[b](x), skipped[b]], dim=1))
        return x


def two_convolutions(
    inputs: int, outputs: int, layer: Callable[[int, int], nn.Module]
) -> nn.Sequential:
    """Return two normalized convolutions, the first of which changes the number of channels."""
    return nn.Sequential(layer(inputs, outputs), layer(outputs, outputs))


def coordinates(y: Tensor) -> Tensor:
    """Return how far down and to the right each pixel is, from -1 to 1, (n, 2, H, W)."""
    sides = [torch.linspace(-1, 1, side, dtype=y.dtype, device=y.device) for side in y.shape[-2:]]
    return torch.stack(torch.meshgrid(*sides, indexing="ij")).expand(len(y), -1, -1, -1)


class BFCNN(nn.Module):
    """Bias-free network BF-CNN of Appendix A.1, without subsampling: its output is y - f(y).

    All ``layers``, at least 2, are 3x3 convolutions; all but the first and the last are normalized
    and rectified (Mohan et al., 2020). The first is rectified unless it is to be ``first_linear``.
    ``width`` is the number of channels of the hidden layers, ``channels`` that of the images.

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


class Dense(nn.Module):
    """Bias-free network without convolutions: every layer joins all pixels, the residual is output.

    All ``layers``, at least 2, but the last are normalized and rectified, as in the other networks.
    The hidden ones have ``width`` units, and gray images ``size`` pixels per side.

    Examples
    --------
    >>> network = Dense(layers=5, width=300, size=16)
    >>> sum(p.numel() for p in network.parameters())
    424800
    """

    def __init__(self, layers: int, width: int, size: int) -> None:
        super().__init__()
        check_count("layers", layers, minimum=2)
        check_count("width", width)
        check_count("size", size)
        self.size = size
        hidden = [NormalizedConv(size**2, width, kernel=1)]
        hidden += [NormalizedConv(width, width, kernel=1) for _ in range(layers - 2)]
        self.layers = nn.Sequential(*hidden, convolution(width, size**2, kernel=1))

    def forward(self, y: Tensor) -> Tensor:
        """Return the residual of noisy images ``y``, both (n, 1, size, size)."""
        check_images("y", y, size=(1, self.size, self.size), finite=False)
        residual: Tensor = self.layers(y.flatten(1)[..., None, None])  # a channel of each pixel
        return residual.view(y.shape)


class Attention(nn.Module):
    """One layer of a transformer: attention, then two dense layers, each added to its input."""

    HEADS = 4

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.join = nn.Linear(width, 3 * width)
        self.mix = nn.Linear(width, width)
        self.dense = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens (n, m, width) to tokens."""
        parts = self.join(self.norms[0](x)).unflatten(-1, (3, self.HEADS, -1))
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(query, key, value)
        x = x + self.mix(attended.transpose(1, 2).flatten(2))
        tokens: Tensor = x + self.dense(self.norms[1](x))
        return tokens


class Transformer(nn.Module):
    """Small diffusion transformer on patches of 2 x 2 pixels (Peebles and Xie, 2023).

    As all networks here it is blind: no noise level modulates its ``layers``. It is neither
    convolutional nor homogeneous. A patch has ``width`` features, a multiple of four, and gray
    images an even ``size`` in pixels per side.

    Examples
    --------
    >>> network = Transformer(layers=4, width=96, size=16)
    >>> sum(p.numel() for p in network.parameters())
    454564
    """

    def __init__(self, layers: int, width: int, size: int) -> None:
        super().__init__()
        check_count("layers", layers)
        check_count("size", size)
        if not isinstance(width, int) or width < 1 or width % Attention.HEADS:
            raise ValueError(f"width: {width}; accepted: a multiple of {Attention.HEADS}")
        if size % 2:
            raise ValueError(f"size: {size} is odd; accepted: an even number of pixels")
        self.size = size
        self.embed = nn.Linear(4, width)
        self.place = nn.Parameter(0.02 * torch.randn(1, (size // 2) ** 2, width))
        self.layers = nn.Sequential(*(Attention(width) for _ in range(layers)))
        self.last = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 4))

    def forward(self, y: Tensor) -> Tensor:
        """Return the residual of noisy images ``y``, both (n, 1, size, size)."""
        check_images("y", y, size=(1, self.size, self.size), finite=False)
        patches = F.pixel_unshuffle(y, 2).flatten(2).mT
        tokens = self.last(self.layers(self.embed(patches) + self.place))
        return F.pixel_shuffle(tokens.mT.unflatten(2, (self.size // 2, self.size // 2)), 2)


def receptive_field(
    network: nn.Module, side: int = 256, positions: int = 16, channels: int = 1
) -> tuple[int, int]:
    """Return the sides of the smallest and the largest receptive field, in pixels (Table 1).

    They are measured: the rows of the input on which the gradient of one output pixel is not zero.
    Where a network subsamples, that depends on the pixel: ``positions`` pixels in a row are tried,
    at least the factor by which it does. The weights do not matter: all are made positive, so that
    no path cancels another. The network maps (n, channels, side, side) to the same shape, by
    convolutions, pooling and the like; ``side`` is larger than the receptive field.

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


# --- The checkpoints that the paper's authors released ---


# Kinds of tensors and parts of networks: their released names, and ours. In each part, the tensors
# of one kind come in the same order, whatever stands between them.
TENSORS = {"weight": "weight", "gammas": "gamma", "running_sd": "running_sd"}
UNET_PARTS = {"mid_block": "middle"} | {part: part for part in ("encoder", "decoder", "upsample")}
BFCNN_PARTS = {"(conv|BN)_layers": ""}


def from_released(
    released: Mapping[str, Tensor] | str | PathLike[str], *, first_layer_linear: bool = True
) -> UNet | BFCNN:
    """Return the network of a released checkpoint, in evaluation mode.

    It is a state dictionary as saved by the released code (keys such as
    ``module.encoder.0.0.weight``), or the path of the ``.pt`` file that holds it. The architecture
    is read off the shapes, but for ``first_layer_linear`` of a BF_CNN, which its weights do not
    show: False, the default of the released ``main.py``, rectifies the first layer. Outputs equal
    those of the released network.
    """
    if isinstance(released, str | PathLike):
        released = _read(Path(released))
    if not isinstance(released, Mapping) or not all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in released.items()
    ):
        raise TypeError("released: not a state dictionary; accepted: names of weights and tensors")
    weights = {key.removeprefix("module."): value for key, value in released.items()}
    if any(key.startswith("conv_layers.") for key in weights):
        parts, first = BFCNN_PARTS, "conv_layers.0.weight"
    elif any(key.startswith("encoder.") for key in weights):
        parts, first = UNET_PARTS, "encoder.0.0.weight"
    else:
        raise ValueError(
            f"released: keys {list(weights)[:3]} are of no released network; "
            "accepted: those of its UNet (encoder...) or BF_CNN (conv_layers...)"
        )
    for key in weights:
        if not re.fullmatch(rf"({'|'.join(parts)})(\.\d+)+\.({'|'.join(TENSORS)})", key):
            raise ValueError(f"released: the key {key} is not one of the released network")
    if first not in weights:
        raise ValueError(f"released: the key {first} is missing")
    numbers = (_numbers(key)[0] for key in weights if key.split(".")[0] == first.split(".")[0])
    sizes = (1 + max(numbers), *weights[first].shape[:2])
    network: UNet | BFCNN = (
        UNet(*sizes) if parts is UNET_PARTS else BFCNN(*sizes, first_linear=first_layer_linear)
    )
    network.load_state_dict(_renamed(weights, network.state_dict(), parts))
    return network.eval()


def _read(path: Path) -> Any:
    """Return what a ``.pt`` file holds, refusing pickled code."""
    if not path.is_file():
        raise FileNotFoundError(f"released: there is no file {path}")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # zip, pickle and torch each have their own kinds
        raise ValueError(
            f"released: {path.name} is not a plain state dictionary; accepted: tensors only, "
            "as saved by torch.save(network.state_dict())"
        ) from error


def _numbers(key: str) -> tuple[int, ...]:
    return tuple(int(part) for part in key.split(".") if part.isdigit())


def _renamed(
    weights: Mapping[str, Tensor], expected: Mapping[str, Tensor], parts: Mapping[str, str]
) -> dict[str, Tensor]:
    """Return released weights by our names and in our shapes: constants (1, C, 1, 1) as (C,)."""
    renamed = {}
    for (part, our_part), (kind, our_kind) in product(parts.items(), TENSORS.items()):
        keys = sorted(filter(re.compile(rf"{part}\..*{kind}").fullmatch, weights), key=_numbers)
        names = [n for n in expected if n.startswith(our_part) and n.endswith(f".{our_kind}")]
        if len(keys) != len(names):
            problem = f"{part}...{kind} is missing or unexpected"
            raise ValueError(f"released: {problem}: {len(keys)}; accepted: {len(names)}")
        for key, name in zip(keys, names, strict=True):
            value, shape = weights[key], expected[name].shape
            if value.numel() != shape.numel():
                accepted = tuple(shape)
                raise ValueError(f"released: {key} has shape {tuple(value.shape)}, not {accepted}")
            renamed[name] = value.reshape(shape)
    return renamed
