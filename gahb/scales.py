"""The numbers that an edition sets: nothing else tells its trainings from those of another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["SCALES", "Scale"]


@dataclass(frozen=True)
class Scale:
    """The numbers that an edition sets: classes, training sets, images, networks and budget.

    ``unet`` and ``bfcnn`` hold the size of the images and of the network, ``resolutions`` the
    depth of the UNet for each size of images, which grow together (Table 1). ``synthetic`` is
    the number of training images of the classes drawn by formulas, ``calpha_bfcnn`` the size of
    the BF-CNNs trained on C-alpha images.
    """

    faces: str
    others: str
    sizes: tuple[int, ...]
    others_sizes: tuple[int, ...]
    bfcnn_sizes: tuple[int, ...]
    resolution_sizes: tuple[int, ...]
    synthetic: int
    unet: dict[str, Any]
    bfcnn: dict[str, Any]
    resolutions: dict[int, int]
    resolution: dict[str, Any]
    calpha_bfcnn: dict[str, Any]
    budget: dict[str, Any]


SCALES = {
    "smoke": Scale(
        faces="faces",
        others="leaves",
        sizes=(1, 10, 100),
        others_sizes=(1, 10, 100),
        bfcnn_sizes=(1, 10, 100),
        resolution_sizes=(1, 10, 30, 100),
        synthetic=100,
        unet={"size": 16, "depth": 1, "width": 8},
        bfcnn={"size": 16, "depth": 5, "width": 8},
        resolutions={8: 1, 16: 2, 32: 3},
        resolution={"width": 4, "updates": 50},
        calpha_bfcnn={"size": 16, "depth": 5, "width": 8},
        budget={"updates": 200, "batch": 16},
    ),
    # The sizes and widths of the last two families are what two CPU cores allow.
    "laptop": Scale(
        faces="faces",
        others="leaves",
        sizes=(1, 10, 100, 1_000, 10_000),
        others_sizes=(1, 100, 1_000, 10_000),
        bfcnn_sizes=(1, 10, 100, 1_000, 10_000),
        resolution_sizes=(10, 100, 1_000, 10_000),
        synthetic=100_000,
        unet={"size": 32, "depth": 2, "width": 32},
        bfcnn={"size": 16, "depth": 21, "width": 32},
        resolutions={12: 1, 24: 2, 48: 3},
        resolution={"width": 16, "updates": 2_000},
        calpha_bfcnn={"size": 32, "depth": 21, "width": 32, "updates": 1_000},
        budget={"updates": 3_000, "batch": 32},
    ),
    "colab": Scale(
        faces="faces",
        others="leaves",
        sizes=(1, 10, 100, 1_000, 10_000, 100_000),
        others_sizes=(1, 10, 100, 1_000, 10_000),
        bfcnn_sizes=(1, 10, 100, 1_000, 10_000),
        resolution_sizes=(10, 100, 1_000, 10_000),
        synthetic=100_000,
        unet={"size": 40, "depth": 2, "width": 64},
        bfcnn={"size": 40, "depth": 21, "width": 64},
        resolutions={16: 1, 32: 2, 64: 3},
        resolution={"width": 64},
        calpha_bfcnn={"size": 40, "depth": 21, "width": 64},
        budget={"updates": 8_000, "batch": 128},
    ),
    # 1,000 epochs of 250,000 images, in batches of 512, as the released code counts them.
    "paper": Scale(
        faces="celeba",
        others="lsun_bedroom",
        sizes=(1, 10, 100, 1_000, 10_000, 100_000),
        others_sizes=(1, 10, 100, 1_000, 10_000, 100_000),
        bfcnn_sizes=(1, 10, 100, 1_000, 10_000),
        resolution_sizes=(1, 10, 100, 1_000, 10_000, 100_000),
        synthetic=100_000,
        unet={"size": 80, "depth": 3, "width": 64},
        bfcnn={"size": 40, "depth": 21, "width": 64},
        resolutions={20: 1, 40: 2, 80: 3, 160: 4},
        resolution={"width": 64},
        calpha_bfcnn={"size": 80, "depth": 21, "width": 64},
        budget={
            "updates": 488_281,
            "batch": 512,
            "optimiser": "adam",
            "learning_rate": 1e-3,
            "schedule": "halving",
        },
    ),
}
