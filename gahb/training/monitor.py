"""What is measured while a training runs, and at its end."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gahb.denoiser import Denoiser
from gahb.metrics import psnr_curve

__all__ = [
    "FINAL_IMAGES",
    "INPUT_PSNR",
    "SNAPSHOT_IMAGES",
    "Window",
    "measured",
    "snapshot_updates",
]

INPUT_PSNR = tuple(range(0, 41, 5))  # dB, at which every training is measured
SNAPSHOT_IMAGES, FINAL_IMAGES = 64, 256


class Window:
    """Means of loss and PSNR over some updates, summed on the device: no wait at each update."""

    def __init__(self, device: torch.device) -> None:
        self.sums, self.count = torch.zeros(2, device=device), 0

    def add(self, loss: Tensor, output_psnr: Tensor) -> None:
        """Count one update."""
        self.sums += torch.stack([loss, output_psnr])
        self.count += 1

    def take(self) -> Tensor:
        """Means since the last call, (2,)."""
        means = self.sums / self.count
        self.sums.zero_()
        self.count = 0
        return means


def measured(network: nn.Module, train: Tensor, test: Tensor, n: int) -> dict[str, list[float]]:
    """Output PSNR in dB on up to ``n`` uint8 training and test images each, at all noise levels."""
    f = Denoiser(network)
    curves = {
        name: psnr_curve(f, among[:n].float() / 255, INPUT_PSNR).output_psnr.tolist()
        for name, among in (("train", train), ("test", test))
    }
    rounded = {name: [round(value, 4) for value in curve] for name, curve in curves.items()}
    return {"input_psnr": [float(p) for p in INPUT_PSNR], **rounded}


def snapshot_updates(updates: int) -> set[int]:
    """Updates after which the PSNR is logged: half-octaves from 16, and the last."""
    octaves = (round(16 * 2 ** (k / 2)) for k in range(60))
    return {u for u in octaves if u < updates} | {updates}
