"""The numbers that an edition sets: nothing else tells its trainings from those of another.

floor: 4
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

__all__ = ["SCALES", "Scale"]


@dataclass(frozen=True)
class Scale:
    """The numbers that an edition sets: classes, training sets, images, networks and budget.

    ``faces`` is the class of faces that each kind of network is trained on, ``others`` the second
    class of images. ``unet`` and ``bfcnn`` hold the size of the images and of the network,
    ``resolutions`` the depth of the UNet for each size of images, which grow together (Table 1).
    ``others_bfcnn`` is what BF-CNNs on the second class have of their own. Of the classes that
    formulas draw, ``synthetic`` is the number of training images, ``synthetic_bfcnn`` the size of
    the BF-CNNs, ``synthetic_weight`` the weight in the loss, and ``manifolds_bfcnn`` those of few
    parameters on which BF-CNNs are trained as well.
    """

    faces: dict[str, str]
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
    synthetic_bfcnn: dict[str, Any]
    budget: dict[str, Any]
    others_bfcnn_sizes: tuple[int, ...] = ()
    others_bfcnn: dict[str, Any] = field(default_factory=dict)
    manifolds_bfcnn: tuple[str, ...] = ()
    # The slope of a PSNR curve is read at small noise, where the plain loss hardly sees an error.
    synthetic_weight: str = "1/(sigma + 0.01)"


DRAWN_FACES = {"unet": "faces", "bfcnn": "faces"}

SCALES = {
    "smoke": Scale(
        faces=DRAWN_FACES,
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
        synthetic_bfcnn={"size": 16, "depth": 5, "width": 8},
        budget={"updates": 200, "batch": 16},
    ),
    # The sizes and widths of the last two families are what two CPU cores allow.
    "laptop": Scale(
        faces=DRAWN_FACES,
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
        synthetic_bfcnn={"size": 32, "depth": 21, "width": 32, "updates": 1_000},
        budget={"updates": 3_000, "batch": 32, "optimiser": "muon-1"},
    ),
    "colab": Scale(
        faces=DRAWN_FACES,
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
        synthetic_bfcnn={"size": 40, "depth": 21, "width": 64},
        budget={"updates": 8_000, "batch": 128},
    ),
    # 1,000 epochs of 250,000 images, in batches of 512: those of the released code, up to N = 10^4.
    "paper": Scale(
        faces={"unet": "celeba", "bfcnn": "celeba_hq"},
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
        synthetic_bfcnn={"size": 40, "depth": 21, "width": 64},
        budget={
            "updates": 488_281,
            "batch": 512,
            "optimiser": "adam",
            "learning_rate": 1e-3,
            "schedule": "halving",
        },
        others_bfcnn_sizes=(20_000,),
        others_bfcnn={"size": 32},
        manifolds_bfcnn=("ray", "sines"),
        synthetic_weight="none",
    ),
}
