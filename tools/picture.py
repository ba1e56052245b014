"""Draw the picture of README.md from what the shipped trainings measured at their end."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import torch

import gahb
from gahb.book import figures

PICTURE = Path(__file__).resolve().parents[1] / "book" / "_static" / "transition.png"


def main() -> None:
    """Write the picture."""
    measured = {
        recipe.n: gahb.book.artifacts.manifest(recipe.name)["measured"]
        for recipe in gahb.book.recipes.find("faces-unet-n*-s1", edition="laptop")
    }
    fig, axes = figures.panels(2)
    for ax, images in zip(axes, ("train", "test"), strict=True):
        curves = {
            n: gahb.Curve.of(
                torch.tensor(curve["input_psnr"]), torch.tensor(curve[images])[:, None]
            )
            for n, curve in measured.items()
        }
        title = {"train": "Training images", "test": "Test images"}[images]
        figures.psnr_curves(curves, ax, legend=images == "test").set_title(title)
    fig.savefig(PICTURE, dpi=150, facecolor="white", metadata={"Software": None})


if __name__ == "__main__":
    main()
