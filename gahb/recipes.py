"""Which trainings exist, by edition and name.

Names read ``<class>-<network>-n<N>-<subset>``, with what sets a training apart from the edition's
own behind: the optimiser, or the size of the images. ``faces-unet-n100-s1``,
``faces-unet-n100-s1-adam``, ``faces-unet-n100-s1-64px``. ``faces`` are those of the edition: in
``paper`` the photographs on which its UNets and its BF-CNNs are trained.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any

from gahb import settings
from gahb.checks import check_choice
from gahb.scales import SCALES
from gahb.training import Recipe

__all__ = ["SUBSETS", "by_figure", "every", "find", "get"]

SUBSETS = ("S1", "S2")
EQUALLY_REGULAR = tuple(f"calpha{alpha}" for alpha in (1, 2, 3, 4, 5))
"""The C-alpha classes of one regularity, the same for contour and background."""

ADAM = {"optimiser": "adam", "learning_rate": 2e-3}


def memorization(edition: str) -> list[Recipe]:
    """UNets on faces, N from 1 to the largest, on two disjoint subsets (Figures 1 to 3, 6 to 8)."""
    scale = SCALES[edition]
    return family(edition, "faces", "unet", scale.sizes, **scale.unet)


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
    "Figure 1, with Adam": other_optimiser,
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

    Raises
    ------
    ValueError
        If the edition is unknown.

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
