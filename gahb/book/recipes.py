"""Which trainings exist, by edition and name, and the numbers that an edition sets."""

from __future__ import annotations

from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from gahb import settings
from gahb.checks import check_choice
from gahb.training import Recipe

__all__ = ["SCALES", "SUBSETS", "Scale", "by_figure", "every", "find", "get"]


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
        budget={"updates": 3_000, "batch": 32, "optimizer": "muon-1"},
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
            "optimizer": "adam",
            "learning_rate": 1e-3,
            "schedule": "halving",
        },
        others_bfcnn_sizes=(20_000,),
        others_bfcnn={"size": 32},
        manifolds_bfcnn=("ray", "sines"),
        synthetic_weight="none",
    ),
}


# --- Which trainings exist, by edition and name ---


SUBSETS = ("S1", "S2")
EQUALLY_REGULAR = tuple(f"calpha{alpha}" for alpha in (1, 2, 3, 4, 5))
"""The C-alpha classes of one regularity, the same for contour and background."""

ADAM = {"optimizer": "adam", "learning_rate": 2e-3}


def memorization(edition: str) -> list[Recipe]:
    """UNets on faces, N from 1 to the largest, on two disjoint subsets (Figures 1 to 3, 6 to 8)."""
    scale = SCALES[edition]
    return family(edition, "faces", "unet", scale.sizes, **scale.unet)


def other_optimizer(edition: str) -> list[Recipe]:
    """The same with Adam, at small N and at the largest: does the conclusion depend on it?"""
    if edition == "paper":
        return []  # its own optimizer is Adam
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
    """BF-CNNs, which have no subsampling, on faces, on both subsets (Figures 11 and 12)."""
    scale = SCALES[edition]
    return family(edition, "faces", "bfcnn", scale.bfcnn_sizes, **scale.bfcnn)


def other_images_and_network(edition: str) -> list[Recipe]:
    """BF-CNNs on the second class of images, on both subsets (Figures 13 and 14)."""
    scale = SCALES[edition]
    fields = {**scale.bfcnn, **scale.others_bfcnn}
    return family(edition, scale.others, "bfcnn", scale.others_bfcnn_sizes, **fields)


def resolutions(edition: str) -> list[Recipe]:
    """UNets that grow with the images, on S1, and on S2 at the largest N (Figure 15, Table 1)."""
    scale = SCALES[edition]
    largest = scale.resolution_sizes[-1]
    return [
        recipe.but(name=f"{recipe.name}-{size}px")
        for size, depth in scale.resolutions.items()
        for recipe in family(
            edition,
            "faces",
            "unet",
            scale.resolution_sizes,
            **{"size": size, "depth": depth, **scale.resolution},
        )
        if recipe.subset == "S1" or recipe.n == largest
    ]


def regularities(edition: str) -> list[Recipe]:
    """UNets on C-alpha images, also with smoother backgrounds (Figures 4, 17 and 18)."""
    classes = *EQUALLY_REGULAR, "calpha1.5-8", "calpha2-8", "calpha4-8"
    return [synthetic(edition, name, "unet") for name in classes]


def regularities_bfcnn(edition: str) -> list[Recipe]:
    """BF-CNNs on C-alpha images of one regularity (Figure 16)."""
    return [synthetic(edition, name, "bfcnn") for name in EQUALLY_REGULAR]


def manifolds(edition: str) -> list[Recipe]:
    """Networks on images of few parameters: disks, a ray and sine waves (Figures 5, 19, 20)."""
    return [
        *(synthetic(edition, name, "unet") for name in ("disks", "ray", "sines")),
        *(synthetic(edition, name, "bfcnn") for name in SCALES[edition].manifolds_bfcnn),
    ]


def shuffled(edition: str) -> list[Recipe]:
    """A UNet on as many shuffled faces as the largest N has (Figure 21)."""
    scale = SCALES[edition]
    return [
        recipe
        for recipe in family(edition, "shuffled-faces", "unet", scale.sizes[-1:], **scale.unet)
        if recipe.subset == "S1"
    ]


def synthetic(edition: str, images: str, network: str) -> Recipe:
    """The training of one network on S1 of a class that formulas draw."""
    scale = SCALES[edition]
    fields = {"unet": scale.unet, "bfcnn": scale.synthetic_bfcnn}[network]
    fields = {**fields, "weight": scale.synthetic_weight}
    recipe, _ = family(edition, images, network, (scale.synthetic,), **fields)
    return recipe


def family(
    edition: str,
    images: str,
    network: str,
    sizes: tuple[int, ...],
    **fields: Any,
) -> list[Recipe]:
    """The trainings of one network on one class, of every N on every subset."""
    faces = SCALES[edition].faces[network]
    played_by = {"faces": faces, "shuffled-faces": f"shuffled-{faces}"}
    return [
        Recipe(
            name=f"{images}-{network}-n{n}-{subset.lower()}",
            edition=edition,
            images=played_by.get(images, images),
            n=n,
            subset=subset,
            network=network,
            **{**SCALES[edition].budget, **fields},
        )
        for subset in SUBSETS
        for n in sizes
    ]


FAMILIES = {
    "Figures 1 to 3, 6 to 8": memorization,
    "Figure 1, with Adam": other_optimizer,
    "Figures 9, 10": other_images,
    "Figures 11, 12": other_network,
    "Figures 13, 14": other_images_and_network,
    "Figure 15, Table 1": resolutions,
    "Figures 4, 17, 18": regularities,
    "Figure 16": regularities_bfcnn,
    "Figures 5, 19, 20": manifolds,
    "Figure 21": shuffled,
}
"""What trains the networks behind each figure of the paper."""


def by_figure(edition: str | None = None) -> dict[str, list[Recipe]]:
    """The recipes behind each figure of the paper, by default of the edition of the book.

    Examples
    --------
    >>> [recipe.images for recipe in by_figure("paper")["Figures 13, 14"]]
    ['lsun_bedroom', 'lsun_bedroom']
    """
    edition = edition or settings.edition()
    check_choice("edition", edition, settings.EDITIONS)
    made = {figures: members(edition) for figures, members in FAMILIES.items()}
    return {figures: recipes for figures, recipes in made.items() if recipes}


def every(edition: str | None = None) -> dict[str, Recipe]:
    """All recipes of an edition by name, by default of the edition at which the book runs."""
    return {recipe.name: recipe for recipes in by_figure(edition).values() for recipe in recipes}


def get(name: str, edition: str | None = None) -> Recipe:
    """The recipe of that name.

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
