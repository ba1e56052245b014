"""Draw the picture of README.md: the paper's first figure, measured as its chapter does."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import gahb
from gahb.book import figures
from gahb.vectors import repeated

PICTURE = Path(__file__).resolve().parents[1] / "book" / "_static" / "transition.png"
COUNT, LEVELS = 128, range(0, 41, 5)


def main() -> None:
    """Write the picture."""
    recipes = gahb.book.recipes.find("faces-unet-n*-s1", edition="laptop")
    fig, axes = figures.panels(2, height=4.2)
    for ax, subset in zip(axes, ("S1", "test"), strict=True):
        curves = {}
        for recipe in recipes:
            few = COUNT if subset == "test" else min(recipe.n, COUNT)
            x = gahb.images.load(recipe.images, few, recipe.size, subset)
            curves[recipe.n] = gahb.psnr_curve(gahb.load(recipe.name), repeated(x, COUNT), LEVELS)
        title = {"S1": "Training images", "test": "Test images"}[subset]
        figures.psnr_curves(curves, ax, legend=subset == "test").set_title(title)
    fig.savefig(PICTURE, dpi=150, facecolor="white", metadata={"Software": None})


if __name__ == "__main__":
    main()
