"""Which trainings exist, by edition and name, as ``recipes.toml`` lists them."""

import tomllib
from collections.abc import Iterator
from difflib import SequenceMatcher
from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files
from itertools import product
from typing import Any

from gahb import settings
from gahb.checks import check_choice, shown
from gahb.training import Recipe

SUBSETS = ("S1", "S2")


def by_figure(edition: str | None = None) -> dict[str, list[Recipe]]:
    """Return the recipes behind each figure of the paper, by default of the present edition.

    Examples
    --------
    >>> [recipe.images for recipe in by_figure("paper")["Figures 13, 14"]]
    ['lsun_bedroom', 'lsun_bedroom']
    """
    edition = settings.edition() if edition is None else edition
    check_choice("edition", edition, settings.EDITIONS)
    found: dict[str, list[Recipe]] = {}
    for family in _families():
        if edition in family:
            found.setdefault(family["figures"], []).extend(_trainings(family, edition))
    return found


def every(edition: str | None = None) -> dict[str, Recipe]:
    """Return all recipes of an edition by name, by default of the present edition."""
    return {recipe.name: recipe for recipes in by_figure(edition).values() for recipe in recipes}


def pending() -> set[str]:
    """Return the names of the recipes of the laptop edition whose trainings are not shipped yet."""
    return {
        recipe.name
        for family in _families()
        if "laptop" in family
        for recipe in _trainings(family, "laptop")
        if any(fnmatchcase(recipe.name, pattern) for pattern in family.get("pending", []))
    }


def get(name: str, edition: str | None = None) -> Recipe:
    """Return the recipe of that name.

    Examples
    --------
    >>> get("faces-unet-n100-s1", edition="laptop").updates
    20000
    """
    known = every(edition)
    if not isinstance(name, str) or name not in known:
        raise ValueError(f"name: {shown(name)} is unknown; accepted: {_closest(str(name), known)}")
    return known[name]


def find(pattern: str, edition: str | None = None) -> list[Recipe]:
    """Return the recipes whose name matches a shell pattern, in order of N within a subset.

    Examples
    --------
    >>> [r.n for r in find("faces-unet-n*-s1", edition="laptop")]
    [1, 10, 100, 1000, 10000, 100000]
    """
    known = every(edition)
    found = [recipe for name, recipe in known.items() if fnmatchcase(name, pattern)]
    if not found:
        accepted = _closest(pattern, known)
        raise ValueError(f"pattern: {pattern!r} matches no recipe; accepted: {accepted}")
    return found


def as_long_as(recipe: Recipe, name: str) -> Recipe:
    """Return the recipe whose name begins like that and that has as many updates as another.

    Examples
    --------
    >>> shuffled = get("shuffled-faces-unet-n10000-s1", edition="laptop")
    >>> as_long_as(shuffled, "faces-unet-n10000-s1").name
    'faces-unet-n10000-s1-short'
    """
    found = find(f"{name}*", recipe.edition)
    same = [other for other in found if other.updates == recipe.updates]
    if not same:
        accepted = ", ".join(f"{other.name} ({other.updates:,})" for other in found)
        raise ValueError(
            f"name: {name} was not trained for {recipe.updates:,}; accepted: {accepted}"
        )
    return same[0]


def _closest(given: str, known: dict[str, Recipe], count: int = 3) -> str:
    """Return the names most like the given one, and how many there are besides."""

    def likeness(name: str) -> float:
        return SequenceMatcher(None, given, name).ratio()

    names = sorted(known, key=likeness, reverse=True)
    rest = f" and {len(names) - count} more (gahb list)" if len(names) > count else ""
    return ", ".join(names[:count]) + rest


@cache
def _table() -> dict[str, Any]:
    return tomllib.loads(files("gahb.book").joinpath("recipes.toml").read_text(encoding="utf-8"))


def _families() -> Iterator[dict[str, Any]]:
    """Yield the families, one for each network."""
    for family in _table()["family"]:
        for network in family.get("networks", [family.get("network")]):
            yield {**family, "network": network}


def _trainings(family: dict[str, Any], edition: str) -> Iterator[Recipe]:
    """Yield the trainings of a family in an edition: by size, image class, subset, and N."""
    numbers, row = _table()["edition"][edition], family[edition]
    shared = {key: value for key, value in family.items() if key not in settings.EDITIONS}
    fields = {**numbers["all"], **numbers[family["network"]], **shared, **row, "edition": edition}
    for key in ("figures", "networks", "pending"):
        fields.pop(key, None)
    classes, source, suffix = (fields.pop(key, None) for key in ("images", "source", "suffix"))
    both, depths, widths = (fields.pop(key, {}) for key in ("both", "depths", "widths"))
    before = {(start.n, start.subset): start for start in _of(fields.pop("start", None), edition)}
    sets = [(subset, n) for subset in SUBSETS for n in fields.pop(subset, both)]
    grown = [(f"{size}px", {"size": int(size), "depth": depths[size]}) for size in depths]
    varied = grown + [(end, {"width": width}) for end, width in widths.items()]
    for end, sized in varied or [(suffix, {})]:
        for images, (subset, n) in product(classes, sets):
            parts = [images, fields["network"], f"n{n}", subset.lower(), end]
            name = "-".join(part for part in parts if part)
            changes = {**fields, **sized, "images": source or images}
            yield Recipe(name=name, n=n, subset=subset, start=before.get((n, subset)), **changes)


def _of(figures: str | None, edition: str) -> list[Recipe]:
    """Return the trainings of the families of some figures in an edition."""
    families = [family for family in _families() if family["figures"] == figures]
    return [recipe for family in families for recipe in _trainings(family, edition)]
