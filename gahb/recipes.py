"""Which trainings exist, by edition and name.

Names read ``<class>-<network>-n<N>-<subset>``, with what sets a training apart from the edition's
own behind: the optimiser, or the size of the images. ``faces-unet-n100-s1``,
``faces-unet-n100-s1-adam``, ``faces-unet-n100-s1-64px``.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from gahb import settings
from gahb.checks import check_choice
from gahb.training import Recipe

__all__ = ["SUBSETS", "every", "find", "get"]

SUBSETS = ("S1", "S2")


@dataclass(frozen=True)
class Scale:
    """The numbers that an edition sets: classes, training sets, images, networks and budget.

    ``unet`` and ``bfcnn`` hold the size of the images and of the network, ``resolutions`` the
    depth of the UNet for each size of images, which grow together (Table 1). ``synthetic`` is
    the number of training images of the classes drawn by formulas, ``calpha_bfcnn`` the size of
    the BF-CNNs trained on C-alpha images, of the ``regularities`` alpha.
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
    regularities: tuple[int, ...]
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
        regularities=(1, 2, 3, 4, 5),
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
        regularities=(2, 4),
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
        regularities=(1, 2, 3, 4, 5),
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
        regularities=(1, 2, 3, 4, 5),
        budget={
            "updates": 488_281,
            "batch": 512,
            "optimiser": "adam",
            "learning_rate": 1e-3,
            "schedule": "halving",
        },
    ),
}
SMALL_NOISE_COUNTS = {"weight": "1/(sigma + 0.01)"}
"""The slope of a PSNR curve is read at small noise, where the plain loss hardly sees an error."""
ADAM = {"optimiser": "adam", "learning_rate": 2e-3}


def memorization(edition: str) -> list[Recipe]:
    """UNets on faces, N from 1 to the largest, on two disjoint subsets (Figures 1 and 2)."""
    scale = SCALES[edition]
    return family(edition, scale.faces, "unet", scale.sizes, **scale.unet)


def other_optimiser(edition: str) -> list[Recipe]:
    """The same with Adam, at small N and at the largest: does the conclusion depend on it?"""
    if edition == "paper":
        return []  # its own optimiser is Adam
    chosen = {f"faces-unet-n{n}-s1" for n in (10, 100, SCALES[edition].sizes[-1])}
    return [
        recipe.but(name=f"{recipe.name}-adam", **ADAM)
        for recipe in memorization(edition)
        if recipe.name in chosen
    ]


def other_images(edition: str) -> list[Recipe]:
    """UNets on a second class of images, on both subsets (Figures 9 and 10)."""
    scale = SCALES[edition]
    return family(edition, scale.others, "unet", scale.others_sizes, **scale.unet)


def other_network(edition: str) -> list[Recipe]:
    """BF-CNNs, which have no subsampling, on faces, on both subsets (Figures 11 to 14)."""
    scale = SCALES[edition]
    return family(edition, scale.faces, "bfcnn", scale.bfcnn_sizes, **scale.bfcnn)


def resolutions(edition: str) -> list[Recipe]:
    """UNets that grow with the images, on S1, and on S2 at the largest N (Figure 15, Table 1)."""
    scale = SCALES[edition]
    largest = scale.resolution_sizes[-1]
    return [
        recipe.but(name=f"{recipe.name}-{size}px")
        for size, depth in scale.resolutions.items()
        for recipe in family(
            edition,
            scale.faces,
            "unet",
            scale.resolution_sizes,
            **{"size": size, "depth": depth, **scale.resolution},
        )
        if recipe.subset == "S1" or recipe.n == largest
    ]


def regularities(edition: str) -> list[Recipe]:
    """UNets on C-alpha images, also with smoother backgrounds than contours (Figures 4 and 17)."""
    classes = (*(f"calpha{alpha}" for alpha in (1, 2, 3, 4, 5)), "calpha2-8")
    fields = {**SCALES[edition].unet, **SMALL_NOISE_COUNTS}
    return [synthetic(edition, name, "unet", fields) for name in classes]


def regularities_bfcnn(edition: str) -> list[Recipe]:
    """BF-CNNs on the same C-alpha images (Figures 16 and 18)."""
    scale = SCALES[edition]
    fields = {**scale.calpha_bfcnn, **SMALL_NOISE_COUNTS}
    return [synthetic(edition, f"calpha{a}", "bfcnn", fields) for a in scale.regularities]


def manifolds(edition: str) -> list[Recipe]:
    """UNets on images of few parameters: disks, a ray and sine waves (Figures 5, 19, 20)."""
    fields = {**SCALES[edition].unet, **SMALL_NOISE_COUNTS}
    return [synthetic(edition, name, "unet", fields) for name in ("disks", "ray", "sines")]


def shuffled(edition: str) -> list[Recipe]:
    """A UNet on as many shuffled faces as the largest N has (Figure 21)."""
    scale = SCALES[edition]
    return [
        recipe
        for recipe in family(
            edition, f"shuffled-{scale.faces}", "unet", scale.sizes[-1:], **scale.unet
        )
        if recipe.subset == "S1"
    ]


def synthetic(edition: str, images: str, network: str, fields: dict[str, Any]) -> Recipe:
    """The training of one network on S1 of a class that formulas draw."""
    recipe, _ = family(edition, images, network, (SCALES[edition].synthetic,), **fields)
    return recipe


def family(
    edition: str,
    images: str,
    network: str,
    sizes: tuple[int, ...],
    **fields: Any,
) -> list[Recipe]:
    """The trainings of one network on one class, of every N on every subset."""
    name = images.replace(SCALES[edition].faces, "faces")
    return [
        Recipe(
            name=f"{name}-{network}-n{n}-{subset.lower()}",
            edition=edition,
            images=images,
            n=n,
            subset=subset,
            network=network,
            **{**SCALES[edition].budget, **fields},
        )
        for subset in SUBSETS
        for n in sizes
    ]


FAMILIES = (
    memorization,
    other_optimiser,
    other_images,
    other_network,
    resolutions,
    regularities,
    regularities_bfcnn,
    manifolds,
    shuffled,
)


def every(edition: str | None = None) -> dict[str, Recipe]:
    """All recipes of an edition by name, by default of the edition at which the book runs."""
    edition = edition or settings.edition()
    check_choice("edition", edition, settings.EDITIONS)
    return {recipe.name: recipe for members in FAMILIES for recipe in members(edition)}


def get(name: str, edition: str | None = None) -> Recipe:
    """The recipe of that name.

    Raises
    ------
    ValueError
        If there is none: the line lists those that there are.

    Examples
    --------
    >>> get("faces-unet-n100-s1", edition="laptop").updates
    3000
    """
    known = every(edition)
    check_choice("name", name, known)
    return known[name]


def find(pattern: str, edition: str | None = None) -> list[Recipe]:
    """The recipes whose name matches a shell pattern, in order of N within a subset.

    Raises
    ------
    ValueError
        If none matches.

    Examples
    --------
    >>> [r.n for r in find("faces-unet-n*-s1", edition="laptop")]
    [1, 10, 100, 1000, 10000]
    """
    known = every(edition)
    found = [recipe for name, recipe in known.items() if fnmatchcase(name, pattern)]
    if not found:
        raise ValueError(f"pattern: {pattern!r} matches no recipe; accepted: {', '.join(known)}")
    return found
