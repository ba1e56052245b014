"""Networks that run in a page: their weights, folded and as text, and the worker that runs them."""

import hashlib
import json
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from chapters import ROOT
from torch import Tensor, nn

from gahb.networks import UNet

SOURCE = ROOT / "live"
WORKER = ("unet.js", "noise.js", "sample.js", "basis.js", "worker.js")
PRECISIONS = {"half": torch.float16, "single": torch.float32}
BLOCK = 8  # channels that net.c computes together


def kernel() -> str:
    """The compiled layers, in base64."""
    return "".join((SOURCE / "net.wasm.txt").read_text(encoding="utf-8").splitlines()[1:])


def worker() -> str:
    """All that a worker runs, as one script."""
    return "".join((SOURCE / name).read_text(encoding="utf-8") for name in WORKER)


def layers(network: UNet) -> Iterator[tuple[Tensor, int, int]]:
    """Weights of all layers in the order of a pass, gamma / sd folded in.

    With each come the axis of its outputs, and the number of images that its inputs are joined of.
    """

    def convolutions(block: nn.Module, joined: int = 1) -> Iterator[tuple[Tensor, int, int]]:
        for layer in block:
            if isinstance(layer, nn.Conv2d):
                yield layer.weight, 0, joined
            elif not isinstance(layer, nn.ReLU):
                yield layer.conv.weight * layer.norm.scale()[:, None, None, None], 0, joined
            joined = 1

    for block in (*network.encoder, network.middle):
        yield from convolutions(block)
    for b in reversed(range(network.blocks)):
        yield network.upsample[b].weight, 1, 1
        yield from convolutions(network.decoder[b], joined=2)


def padded(weight: Tensor, axis: int, parts: int = 1) -> Tensor:
    """Weights with channels of zeros added, so that each part has a multiple of 8 of them.

    The single channel of an image stays alone.
    """
    if weight.shape[axis] == 1:
        return weight
    split = weight.movedim(axis, 0).unflatten(0, (parts, -1))
    missing = -split.shape[1] % BLOCK
    zeros = split.new_zeros(parts, missing, *split.shape[2:])
    return torch.cat([split, zeros], dim=1).flatten(0, 1).movedim(0, axis)


@torch.no_grad()
def network_data(network: UNet, side: int, precision: str = "half") -> dict[str, Any]:
    """What the worker needs of a network for images of ``side`` pixels: UNet in live/unet.js."""
    if not isinstance(network, UNet) or network.channels != 1:
        raise ValueError(f"network: {type(network).__name__}; accepted: a UNet of gray images")
    weights, widths = [], []
    for weight, outputs, joined in layers(network.cpu().float().eval()):
        wide = padded(padded(weight, outputs), 1 - outputs, joined).contiguous()
        weights.append(wide.to(PRECISIONS[precision]).numpy().tobytes())
        widths.append(wide.shape[outputs])
    return {
        "side": side,
        "widths": widths[: 2 * network.blocks + 1 : 2],
        "precision": precision,
        "weights": b64encode(b"".join(weights)).decode(),
    }


def write_script(folder: Path, name: str, value: Any) -> str:
    """Write a script that lays a value down under a name; return the address, which has its sum.

    A script, for pages that are opened from a disk may not fetch anything else.
    """
    key, content = json.dumps(name), json.dumps(value, separators=(",", ":"))
    text = f"(globalThis.gahbData ??= {{}})[{key}] = {content};\n"
    file = f"{name}.{hashlib.sha256(text.encode()).hexdigest()[:16]}.js"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / file).write_text(text, encoding="utf-8")
    return file
