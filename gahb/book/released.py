"""The checkpoints that the paper's authors released, found for the recipes that they answer.

The released code keeps a network in ``<network>/<data>/<noise>_RF_<r>x<r>_set_size_<N>/model.pt``,
with ``_swapped`` behind if it was trained on the other half of the data, which is here S2.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from torch import nn

from gahb.networks import BFCNN, UNet, from_released
from gahb.settings import released_folder
from gahb.training import Recipe

KINDS: dict[str, tuple[str, type[nn.Module]]] = {"unet": ("UNet", UNet), "bfcnn": ("BF_CNN", BFCNN)}
DATA = {"celeba": "celeba", "celeba_hq": "celebahq", "lsun_bedroom": "bedroom"}
"""What the name of the data contains, in small letters and digits alone."""
FIELDS = {1: 18, 2: 45, 3: 90, 4: 180}
"""Receptive field by which a UNet of so many blocks is named; without one it has three."""
VARIANT = re.compile(r"\d+to\d+(?:_RF_(\d+)x\d+)?(?:_set_size_(\d+))?(_swapped)?")
CAPPED = 0.8
"""The released code trains on half of the data where N is more: a set this much smaller counts."""


class Released(NamedTuple):
    """What the path of a released checkpoint tells."""

    file: Path
    network: str
    data: str
    field: int | None
    n: int | None
    subset: str


def released_network(recipe: Recipe) -> nn.Module | None:
    """Return the released network of a recipe of the paper edition, in evaluation mode, if any."""
    file = checkpoint(recipe)
    if file is None:
        return None
    network = from_released(file)
    expected = KINDS[recipe.network][1]
    if not isinstance(network, expected):
        kind = type(network).__name__
        raise ValueError(f"GAHB_RELEASED: {file} is a {kind}, not a {expected.__name__}")
    return network


def checkpoint(recipe: Recipe) -> Path | None:
    """Return the released file for a recipe of the paper edition; ``<name>.pt`` before others."""
    folder = released_folder()
    if folder is None or recipe.edition != "paper":
        return None
    if not folder.is_dir():
        raise FileNotFoundError(f"GAHB_RELEASED: there is no folder {folder}")
    named = folder / f"{recipe.name}.pt"
    if named.is_file():
        return named
    released = map(read_path, sorted(folder.rglob("model.pt")))
    fitting = [r for r in released if r is not None and fits(r, recipe)]
    largest = max((r.n or 0 for r in fitting), default=0)
    best = [r.file for r in fitting if r.n == largest]
    if len(best) > 1:
        raise ValueError(
            f"GAHB_RELEASED: {' and '.join(map(str, best))} both answer {recipe.name}; "
            f"accepted: one, or a file {named.name}"
        )
    return best[0] if best else None


def read_path(file: Path) -> Released | None:
    """Return what the path of a checkpoint tells, or None if it is not like the released ones.

    Examples
    --------
    >>> read_path(Path("UNet/celebA_80x80/0to255_RF_90x90_set_size_100_swapped/model.pt"))[1:]
    ('UNet', 'celeba80x80', 90, 100, 'S2')
    """
    network, data, variant = ("", "", "", *file.parts[:-1])[-3:]
    match = VARIANT.fullmatch(variant)
    if match is None:
        return None
    field, n = (int(number) if number else None for number in match.group(1, 2))
    plain = re.sub(r"[^a-z0-9]", "", data.lower())
    return Released(file, network, plain, field, n, "S2" if match[3] else "S1")


def fits(released: Released, recipe: Recipe) -> bool:
    """Return whether a checkpoint is of the network, the data, N and the subset of a recipe."""
    word = DATA.get(recipe.images)
    if word is None or word not in released.data or released.n is None:
        return False
    if word == "celeba" and DATA["celeba_hq"] in released.data:
        return False
    sizes = re.findall(r"(\d+)x\1", released.data)
    return (
        released.network == KINDS[recipe.network][0]
        and released.subset == recipe.subset
        and CAPPED * recipe.n <= released.n <= recipe.n
        and (recipe.network == "bfcnn" or (released.field or 90) == FIELDS.get(recipe.depth))
        and (not sizes or str(recipe.size) in sizes)
    )
