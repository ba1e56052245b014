"""The checkpoints that the paper's authors released, found for the recipes that they answer.

The released code keeps a network in ``<network>/<data>/<noise>_RF_<r>x<r>_set_size_<N>/model.pt``,
with ``_swapped`` behind if it was trained on the other half of the data, which is here S2.
"""

import re
from pathlib import Path

from torch import nn

from gahb.networks import BFCNN, UNet, from_released
from gahb.settings import released_folder
from gahb.training import Recipe

KINDS: dict[str, tuple[str, type[nn.Module]]] = {"unet": ("UNet", UNet), "bfcnn": ("BF_CNN", BFCNN)}
DATA = {"celeba": "celeba(?!hq)", "celeba_hq": "celebahq", "lsun_bedroom": "bedroom"}
"""What the name of the data contains, in small letters and digits alone."""
FIELDS = {1: 18, 2: 45, 3: 90, 4: 180}
"""Receptive field by which a UNet of so many blocks is named; without one it has three."""
VARIANT = re.compile(r"\d+to\d+(?:_RF_(\d+)x\d+)?_set_size_(\d+)(_swapped)?")
CAPPED = 0.8
"""The released code trains on half of the data where N is more: a set this much smaller counts."""


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
    found = {file: set_size(file, recipe) for file in sorted(folder.rglob("model.pt"))}
    largest = max(found.values(), default=0)
    best = [file for file, n in found.items() if n == largest > 0]
    if len(best) > 1:
        raise ValueError(
            f"GAHB_RELEASED: {' and '.join(map(str, best))} both answer {recipe.name}; "
            f"accepted: one, or a file {named.name}"
        )
    return best[0] if best else None


def set_size(file: Path, recipe: Recipe) -> int:
    """Return N of a checkpoint of the network, data and subset of a recipe, by its path; else 0."""
    network, data, variant = ("", "", "", *file.parts[:-1])[-3:]
    plain = re.sub(r"[^a-z0-9]", "", data.lower())
    match, sizes = VARIANT.fullmatch(variant), re.findall(r"(\d+)x\1", plain)
    if match is None or not re.search(DATA.get(recipe.images, "^$"), plain):
        return 0
    field, n, swapped = match.groups()
    fits = (
        network == KINDS[recipe.network][0]
        and bool(swapped) == (recipe.subset == "S2")
        and CAPPED * recipe.n <= int(n) <= recipe.n
        and (recipe.network == "bfcnn" or int(field or 90) == FIELDS.get(recipe.depth))
        and (not sizes or str(recipe.size) in sizes)
    )
    return int(n) if fits else 0
