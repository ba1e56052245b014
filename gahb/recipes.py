"""Which trainings exist, by edition and name.

Names read ``<class>-<network>-n<N>-<subset>``, with what sets a training apart from the edition's
own behind: the optimiser, or the size of the images. ``faces-unet-n100-s1``,
``faces-unet-n100-s1-adam``, ``faces-unet-n100-s1-64px``.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any

from gahb import settings
from gahb.checks import check_choice
from gahb.scales import SCALES
from gahb.training import Recipe

__all__ = ["SUBSETS", "every", "find", "get"]

SUBSETS = ("S1", "S2")
EQUALLY_REGULAR = tuple(f"calpha{alpha}" for alpha in (1, 2, 3, 4, 5))
"""The C-alpha classes of one regularity, the same for contour and background."""

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
    classes = *EQUALLY_REGULAR, "calpha1.5-8", "calpha2-8", "calpha4-8"
    fields = {**SCALES[edition].unet, **SMALL_NOISE_COUNTS}
    return [synthetic(edition, name, "unet", fields) for name in classes]


def regularities_bfcnn(edition: str) -> list[Recipe]:
    """BF-CNNs on the same C-alpha images (Figures 16 and 18)."""
    fields = {**SCALES[edition].calpha_bfcnn, **SMALL_NOISE_COUNTS}
    return [synthetic(edition, name, "bfcnn", fields) for name in EQUALLY_REGULAR]


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
