"""Which trainings exist, by edition and name.

Names read ``<class>-<network>-n<N>-<subset>``, with the optimiser behind where it is not the
edition's own: ``faces-unet-n100-s1``, ``faces-unet-n100-s1-adam``.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from gahb import settings
from gahb.checks import check_choice
from gahb.training import Recipe

__all__ = ["every", "find", "get"]


@dataclass(frozen=True)
class Scale:
    """The numbers that an edition sets: sizes of training sets, images, network and budget."""

    sizes: tuple[int, ...]
    faces: str
    fixed: dict[str, Any]
    budget: dict[str, Any]


SCALES = {
    "smoke": Scale(
        sizes=(1, 10, 100),
        faces="faces",
        fixed={"size": 16, "depth": 1, "width": 8},
        budget={"updates": 200, "batch": 16},
    ),
    "laptop": Scale(
        sizes=(1, 10, 100, 1_000, 10_000),
        faces="faces",
        fixed={"size": 32, "depth": 2, "width": 32},
        budget={"updates": 3_000, "batch": 32},
    ),
    "colab": Scale(
        sizes=(1, 10, 100, 1_000, 10_000, 100_000),
        faces="faces",
        fixed={"size": 40, "depth": 2, "width": 64},
        budget={"updates": 8_000, "batch": 128},
    ),
    # 1,000 epochs of 250,000 images, in batches of 512, as the released code counts them.
    "paper": Scale(
        sizes=(1, 10, 100, 1_000, 10_000, 100_000),
        faces="celeba",
        fixed={"size": 80, "depth": 3, "width": 64},
        budget={
            "updates": 488_281,
            "batch": 512,
            "optimiser": "adam",
            "learning_rate": 1e-3,
            "schedule": "halving",
        },
    ),
}
ADAM = {"optimiser": "adam", "learning_rate": 2e-3}


def memorization(edition: str) -> list[Recipe]:
    """UNets on faces, N from 1 to the largest, on two disjoint subsets (Figures 1 and 2)."""
    scale = SCALES[edition]
    return [
        Recipe(
            name=f"faces-unet-n{n}-{subset.lower()}",
            edition=edition,
            images=scale.faces,
            n=n,
            subset=subset,
            network="unet",
            **scale.fixed,
            **scale.budget,
        )
        for subset in ("S1", "S2")
        for n in scale.sizes
    ]


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


def every(edition: str | None = None) -> dict[str, Recipe]:
    """All recipes of an edition by name, by default of the edition at which the book runs."""
    edition = edition or settings.edition()
    check_choice("edition", edition, settings.EDITIONS)
    return {r.name: r for family in (memorization, other_optimiser) for r in family(edition)}


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
