"""Read the checkpoints that the paper's authors released."""

from __future__ import annotations

import re
from collections.abc import Mapping
from os import PathLike
from pathlib import Path

import torch
from torch import Tensor

from gahb.networks.architectures import BFCNN, UNet

# Our names of the tensors of a normalized convolution, by the released ones.
NORM = {"gammas": "norm.gamma", "running_sd": "norm.running_sd", "weight": "conv.weight"}


def from_released(
    released: Mapping[str, Tensor] | str | PathLike[str], *, first_layer_linear: bool = True
) -> UNet | BFCNN:
    """Return the network of a released checkpoint, in evaluation mode.

    Its architecture is read off the shapes, but for ``first_layer_linear``, and its outputs equal
    those of the released network.

    Parameters
    ----------
    released : mapping or path
        A state dictionary as saved by the released code (keys such as
        ``module.encoder.0.0.weight``), or the path of the ``.pt`` file that holds it.
    first_layer_linear : bool
        What a BF_CNN was built with, which its weights do not show: False, the default of the
        released ``main.py``, rectifies the first layer.
    """
    if isinstance(released, str | PathLike):
        released = _read(Path(released))
    if not isinstance(released, Mapping) or not all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in released.items()
    ):
        raise TypeError("released: not a state dictionary; accepted: names of weights and tensors")
    weights = {key.removeprefix("module."): value for key, value in released.items()}
    network: UNet | BFCNN
    if any(key.startswith("conv_layers.") for key in weights):
        renamed = {_bfcnn_key(key): value for key, value in weights.items()}
        sizes = _architecture(weights, "conv_layers", "conv_layers.0.weight")
        network = BFCNN(*sizes, first_linear=first_layer_linear)
        # The number of the last convolution depends on the depth.
        last = f"hidden.{len(network.hidden)}.conv.weight"
        renamed = {"last.weight" if key == last else key: v for key, v in renamed.items()}
    elif any(key.startswith("encoder.") for key in weights):
        renamed = {_unet_key(key): value for key, value in weights.items()}
        network = UNet(*_architecture(weights, "encoder", "encoder.0.0.weight"))
    else:
        raise ValueError(
            f"released: keys {list(weights)[:3]} are of no released network; "
            "accepted: those of its UNet (encoder...) or BF_CNN (conv_layers...)"
        )
    _load(network, renamed)
    return network.eval()


def _read(path: Path) -> Mapping[str, Tensor]:
    """Return the state dictionary in a ``.pt`` file, refusing pickled code."""
    if not path.is_file():
        raise FileNotFoundError(f"released: there is no file {path}")
    try:
        content: Mapping[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # zip, pickle and torch each have their own kinds
        raise ValueError(
            f"released: {path.name} is not a plain state dictionary; accepted: tensors only, "
            "as saved by torch.save(network.state_dict())"
        ) from error
    return content


def _architecture(weights: Mapping[str, Tensor], part: str, first: str) -> tuple[int, int, int]:
    """Return the depth, width and channels of a network, by its parts and first convolution."""
    if first not in weights:
        raise ValueError(f"released: the key {first} is missing")
    depth = 1 + max(int(key.split(".")[1]) for key in weights if key.startswith(f"{part}."))
    width, channels = weights[first].shape[:2]
    return depth, width, channels


def _bfcnn_key(key: str) -> str:
    """Return our name of a weight of the released BF_CNN, but for the last convolution's."""
    match = re.fullmatch(r"(conv_layers|BN_layers)\.(\d+)\.(weight|gammas|running_sd)", key)
    if match is None:
        raise ValueError(f"released: the key {key} is not one of the released BF_CNN")
    kind, index, tensor = match[1], int(match[2]), match[3]
    if kind == "BN_layers":
        return f"hidden.{index}.{NORM[tensor]}"
    return "first.weight" if index == 0 else f"hidden.{index - 1}.conv.weight"


def _unet_key(key: str) -> str:
    """Return our name of a weight of the released UNet.

    A released block lists convolution, normalization and ReLU one by one; ours groups them. Only
    the first convolution (no normalization behind it) and the last stand alone in both.
    """
    if match := re.fullmatch(r"upsample\.(\d+)\.weight", key):
        return f"upsample.{match[1]}.weight"
    pattern = r"(?:(encoder|decoder)\.(\d+)|(mid_block))\.(\d+)\.(weight|gammas|running_sd)"
    match = re.fullmatch(pattern, key)
    if match is None:
        raise ValueError(f"released: the key {key} is not one of the released UNet")
    side, block, position, tensor = match[1] or "middle", match[2], int(match[4]), match[5]
    path = side if side == "middle" else f"{side}.{block}"
    if path == "encoder.0":
        return f"{path}.0.weight" if position == 0 else f"{path}.2.{NORM[tensor]}"
    if path == "decoder.0" and position == 3:
        return f"{path}.1.weight"
    return f"{path}.{position // 3}.{NORM[tensor]}"


def _load(network: UNet | BFCNN, weights: Mapping[str, Tensor]) -> None:
    """Load ``weights``, normalization constants (1, C, 1, 1) of the released code as (C,)."""
    expected = network.state_dict()
    if missing := sorted(expected.keys() ^ weights.keys()):
        raise ValueError(f"released: {missing[0]} is missing or unexpected ({len(missing)} in all)")
    for key, value in weights.items():
        if value.numel() != expected[key].numel():
            raise ValueError(
                f"released: {key} has shape {tuple(value.shape)}, not {tuple(expected[key].shape)}"
            )
    network.load_state_dict({k: v.reshape(expected[k].shape) for k, v in weights.items()})
