"""A recipe: everything that fixes one training."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gahb import images
from gahb.checks import check_choice, check_count, check_number, check_type, shown
from gahb.images.duplicates import DUPLICATES
from gahb.networks import BFCNN, Dense, Transformer, UNet
from gahb.settings import EDITIONS

NETWORKS: dict[str, Callable[[Recipe], nn.Module]] = {
    "unet": lambda recipe: UNet(recipe.depth, recipe.width, recipe.channels),
    "bfcnn": lambda recipe: BFCNN(recipe.depth, recipe.width, recipe.channels),
    # The same with one ingredient changed.
    "linear": lambda recipe: UNet(recipe.depth, recipe.width, recipe.channels, rectified=False),
    "biased": lambda recipe: UNet(recipe.depth, recipe.width, recipe.channels, biased=True),
    "placed": lambda recipe: UNet(recipe.depth, recipe.width, recipe.channels, placed=True),
    "shallow": lambda recipe: BFCNN(recipe.depth, recipe.width, recipe.channels),
    "dense": lambda recipe: Dense(recipe.depth, recipe.width, recipe.size),
    "transformer": lambda recipe: Transformer(recipe.depth, recipe.width, recipe.size),
}
GRAY_ONLY = ("dense", "transformer")  # networks of one channel
CHOICES: dict[str, Collection[str]] = {
    "subset": images.store.SUBSETS,
    "edition": EDITIONS,
    "network": NETWORKS,
    "optimizer": ("muon", "adam", "muon-1"),
    "schedule": ("cosine", "halving", "constant"),
    "noise": ("u^2", "u"),
    "weight": ("none", "1/(sigma + 0.01)"),
}
LABELS = ("name", "edition")  # the only fields that do not change what a training gives
# Names and defaults that have changed since the first edition: hashes keep those that it had.
HASHED_NAMES = {"optimizer": "optimiser"}
HASHED_DEFAULTS = {"optimizer": "muon-1"}
NAME = re.compile(r"[A-Za-z0-9][\w.+-]*")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that fixes one training: the same recipe gives the same weights.

    Examples
    --------
    >>> from gahb.book import recipes
    >>> recipe = recipes.get("faces-unet-n10000-s1", edition="laptop")
    >>> recipe.n, recipe.subset
    (10000, 'S1')
    >>> recipe.but(updates=10).hash == recipe.hash
    False
    """

    name: str  #: ``<class>-<network>-n<N>-<subset>``, such as ``faces-unet-n10000-s1``
    edition: str  #: the scale that it belongs to: ``smoke``, ``laptop``, ``colab`` or ``paper``
    images: str  #: image class
    size: int  #: pixels a side
    n: int  #: number of images, the first of the subset
    subset: str  #: ``S1``, ``S2`` or ``test``
    #: ``unet`` or ``bfcnn``. Or one with an ingredient changed: a UNet that is ``linear``,
    #: ``biased``, or knows where it is, ``placed``; a ``shallow`` BF-CNN; ``dense`` layers; a
    #: ``transformer``.
    network: str
    depth: int  #: blocks of a UNet, layers of the others
    width: int  #: channels of a layer
    updates: int  #: number of updates of the weights
    batch: int  #: number of images behind each update, over all processes
    #: ``muon``: orthogonalized momentum on the convolutions, each step a fraction ``step`` of the
    #: weight's norm, which stays constant, and Adam on the rest; ``adam``: Adam on all;
    #: ``muon-1``: that of the first edition, whose norms grew: its trainings can be loaded.
    optimizer: str = "muon"
    learning_rate: float = 3e-3  #: of Adam
    step: float = 0.02  #: of the orthogonalized momentum
    #: ``cosine`` to zero; ``halving`` after every tenth of the updates; ``constant`` after a short
    #: warm-up.
    schedule: str = "cosine"
    #: Law of the noise level: sigma = ``u^2``, which samples small noise more often, or ``u``, with
    #: u uniform on [0, 1] and stratified over the batch.
    noise: str = "u^2"
    #: Weight of an image's squared error in the loss: ``none``, the plain mean, or
    #: ``1/(sigma + 0.01)``, which makes small noise, whose errors are small, count as well.
    weight: str = "none"
    seed: int = 0  #: of the initial weights, the order of the images and the noise
    #: Folder or .zip file of the user's own images, for the classes that read them.
    path: str | Path | None = None
    channels: int = 1  #: 1 for gray images; 3 for color, of the classes that read pictures
    #: Centered cosine above which the class ``folder`` leaves near-duplicates out; 1 keeps all.
    duplicates: float = DUPLICATES
    #: Training from whose weights this one goes on, with its own order of images and noise; None
    #: starts from random weights.
    start: Recipe | None = None

    def __post_init__(self) -> None:
        if not (isinstance(self.name, str) and NAME.fullmatch(self.name)):
            raise ValueError(
                f"name: {shown(self.name)} is not the name of a folder; accepted: letters, digits, "
                "'.', '_', '+' and '-', the first a letter or digit"
            )
        for field in fields(self):  # numbers of numpy have no JSON
            if isinstance(value := getattr(self, field.name), np.generic):
                object.__setattr__(self, field.name, value.item())
        if self.path is not None:
            if not isinstance(given := self.path, str | Path):
                raise TypeError(f"path: {shown(given)} is not the name of a folder or a .zip file")
            object.__setattr__(self, "path", str(given))
        check_choice("images", self.images, list(images.CLASSES))
        for choice, accepted in CHOICES.items():
            check_choice(choice, getattr(self, choice), accepted)
        for count in ("size", "n", "depth", "width", "updates", "batch"):
            check_count(count, getattr(self, count))
        check_count("seed", self.seed, minimum=0)
        colored = self.network not in GRAY_ONLY and 3 in images.CLASSES[self.images].channels
        if self.channels not in ((1, 3) if colored else (1,)):
            gray = "1, or 3 for the classes that read pictures and networks of convolutions"
            raise ValueError(f"channels: {shown(self.channels)}; accepted: {gray}")
        check_number("learning_rate", self.learning_rate, low=1e-12, high=1.0)
        check_number("step", self.step, low=1e-12, high=1.0)
        check_number("duplicates", self.duplicates, low=-1.0, high=1.0)
        if self.start is not None:
            self._check_start(self.start)

    def _check_start(self, start: Recipe) -> None:
        """Raise an error unless the weights of another training fit into this one's network."""
        check_type("start", start, Recipe, "a gahb.Recipe")
        if start.name == self.name:
            raise ValueError(f"start: also called {self.name}; accepted: one of another name")
        for part in ("network", "depth", "width", "channels", "size"):
            if (theirs := getattr(start, part)) != (own := getattr(self, part)):
                raise ValueError(f"start: its {part} is {shown(theirs)}; accepted: {shown(own)}")

    @property
    def hash(self) -> str:
        """Hexadecimal digest of all fields that change what the training gives.

        Fields at their default are left out, so that a later version of the package can add a
        field without changing the digest of what was trained before.
        """
        content = {
            HASHED_NAMES.get(f.name, f.name): value.hash if isinstance(value, Recipe) else value
            for f in fields(self)
            if f.name not in LABELS
            and (value := getattr(self, f.name)) != HASHED_DEFAULTS.get(f.name, f.default)
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]

    def but(self, **changes: Any) -> Recipe:
        """A copy of the recipe with some fields changed."""
        return replace(self, **changes)

    def train_images(self, most: int | None = None) -> Tensor:
        """The training images, or at most that many of them, (n, channels, size, size) uint8."""
        return self._images(self.n if most is None else min(self.n, most), self.subset)

    def test_images(self, most: int) -> Tensor:
        """Images of the same class that are in no training set, at most that many."""
        n = None if images.CLASSES[self.images].takes_path else most
        return self._images(n, "test")[:most]

    def _images(self, n: int | None, subset: str) -> Tensor:
        source: dict[str, Any] = {
            option: getattr(self, option) for option in ("path", "channels", "duplicates")
        }
        return images.load(self.images, n, self.size, subset, dtype=torch.uint8, **source)

    def build(self) -> nn.Module:
        """Return the untrained network, which the seed alone fixes, and leave torch as it was."""
        dtype = torch.get_default_dtype()
        try:
            torch.set_default_dtype(torch.float32)
            with torch.random.fork_rng(devices=[]):
                torch.default_generator.manual_seed(self.seed)
                return NETWORKS[self.network](self)
        finally:
            torch.set_default_dtype(dtype)

    def loss(self, error: Tensor, sigma: Tensor) -> Tensor:
        """Weighted mean over a batch of its images' squared errors (n,) at noise levels (n,)."""
        return error.mean() if self.weight == "none" else (error / (sigma + 0.01)).mean()

    def as_dict(self) -> dict[str, Any]:
        """All fields, as JSON holds them."""
        return asdict(self)
