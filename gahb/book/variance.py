"""What was measured on trained networks beforehand: how alike two of them draw (Figure 2)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gahb import images, settings
from gahb.book import artifacts, recipes
from gahb.book.recipes import SUBSETS
from gahb.checks import check_choice, check_count
from gahb.sampling import sample
from gahb.similarity import closest, cosine_similarity
from gahb.similarity import verdicts as judge
from gahb.training import Recipe
from gahb.training.record import WEIGHTS

__all__ = ["Variance", "measure_variance", "variance"]


SAMPLES = {"smoke": 8, "laptop": 256, "colab": 256, "paper": 1000}
SEED = 0


@dataclass(frozen=True, eq=False)
class Variance:
    """How alike two networks draw, trained on N images of S1 and on N of S2.

    All similarities are cosines of images whose means are removed. Sample i of the one network
    started from the same noise as sample i of the other, and met the same noise on its way.

    Attributes
    ----------
    recipes : tuple of Recipe
        Of the two networks.
    between : Tensor
        Similarity of the two samples from the same noise, (m,).
    to_train : Tensor
        Similarity of each sample to the closest image of its network's training set, (2, m).
    closest : Tensor
        The number of that image in the subset, (2, m).
    ratio : Tensor
        Distance from the closest training image over that from the second closest, (2, m), between
        directions (:func:`gahb.similarity.distance_ratio`); NaN for N = 1.
    verdicts : tuple of tuple of str
        For both networks, whether each sample is memorized, spurious or new.
    steps : Tensor
        Steps that each sample took, (2, m).
    between_sets : Tensor
        Similarity of each training image of S1 to the closest one of S2, (N,) (Figure 6).
    """

    recipes: tuple[Recipe, Recipe]
    between: Tensor
    to_train: Tensor
    closest: Tensor
    ratio: Tensor
    verdicts: tuple[tuple[str, ...], ...]
    steps: Tensor
    between_sets: Tensor

    @property
    def n(self) -> int:
        """Number of training images N of each network."""
        return self.recipes[0].n

    def closest_images(self, subset: str, count: int) -> Tensor:
        """Training images closest to the first samples of one network, (count, 1, size, size)."""
        check_choice("subset", subset, SUBSETS)
        check_count("count", count, maximum=self.closest.shape[1])
        network = SUBSETS.index(subset)
        numbers, recipe = self.closest[network, :count].tolist(), self.recipes[network]
        return images.pick(recipe.images, numbers, recipe.size, subset)


def variance(family: str, n: int) -> Variance:
    """The model variance of two networks of the present edition, measured beforehand.

    The laptop edition ships the measurement; the others measure where it is missing.

    Parameters
    ----------
    family : str
        What the names of the two recipes share, such as ``faces-unet``.
    n : int
        Number of training images N.

    Raises
    ------
    ValueError
        If there are no such recipes, or the measurement was made with other weights.
    FileNotFoundError
        In the laptop edition, if it has not been measured: the line says how to.
    """
    pair = recipe_pair(family, n)
    path = path_of(family, n)
    artifacts.fetch(path)
    if not path.is_file():
        if settings.edition() != "laptop":
            return measure_variance(family, n)
        raise FileNotFoundError(
            f"n: the variance of {family} at N = {n} has not been measured; "
            f"run: python -m gahb variance {family} {n}"
        )
    content = json.loads(path.read_text())
    if content["weights"] != weights_of(pair):
        raise ValueError(
            f"n: the variance of {family} at N = {n} was measured with other weights; "
            f"run: python -m gahb variance {family} {n}"
        )
    return from_json(content, pair)


def measure_variance(family: str, n: int) -> Variance:
    """Draw with both networks, compare, and store the similarities (Figure 2, histograms).

    Sampling is that of the paper: h = 0.01, beta = 0.1, from sigma = 1 to 0.05, with the
    accelerated schedule of its code.
    """
    pair = recipe_pair(family, n)
    count = SAMPLES[settings.edition()]
    drawn = [sample(artifacts.load(r.name), count, r.size, seed=SEED) for r in pair]
    sets = [recipe.train_images() for recipe in pair]
    found = [closest(samples.images, own) for samples, own in zip(drawn, sets, strict=True)]
    judged = [
        judge(samples.images, own, other)
        for samples, own, other in zip(drawn, sets, reversed(sets), strict=True)
    ]
    result = Variance(
        pair,
        between=cosine_similarity(drawn[0].images, drawn[1].images),
        to_train=torch.stack([f.value[:, 0] for f in found]),
        closest=torch.stack([f.index[:, 0] for f in found]),
        ratio=torch.stack([verdict.ratio for verdict in judged]),
        verdicts=tuple(verdict.labels for verdict in judged),
        steps=torch.stack([samples.steps for samples in drawn]),
        between_sets=closest(sets[0], sets[1]).value[:, 0],
    )
    with settings.written_whole(path_of(family, n)) as temporary:
        temporary.write_text(json.dumps(as_json(result)) + "\n")
    return result


def as_json(measured: Variance) -> dict[str, Any]:
    """What is stored of a measurement. JSON has no NaN: a ratio that is undefined is null."""
    undefined = measured.n == 1
    return {
        "weights": weights_of(measured.recipes),
        "samples": len(measured.between),
        "seed": SEED,
        "between": rounded(measured.between),
        "to_train": rounded(measured.to_train),
        "closest": measured.closest.tolist(),
        "ratio": None if undefined else rounded(measured.ratio),
        "verdicts": measured.verdicts,
        "steps": measured.steps.tolist(),
        "between_sets": rounded(measured.between_sets, decimals=4),
    }


def from_json(content: dict[str, Any], pair: tuple[Recipe, Recipe]) -> Variance:
    """The measurement that ``as_json`` has stored."""
    to_train = torch.tensor(content["to_train"], dtype=torch.float64)
    undefined = content["ratio"] is None
    return Variance(
        pair,
        between=torch.tensor(content["between"], dtype=torch.float64),
        to_train=to_train,
        closest=torch.tensor(content["closest"]),
        ratio=torch.full_like(to_train, torch.nan)
        if undefined
        else torch.tensor(content["ratio"], dtype=torch.float64),
        verdicts=tuple(tuple(labels) for labels in content["verdicts"]),
        steps=torch.tensor(content["steps"]),
        between_sets=torch.tensor(content["between_sets"], dtype=torch.float64),
    )


def recipe_pair(family: str, n: int) -> tuple[Recipe, Recipe]:
    """The recipes of the two networks."""
    first, second = (recipes.get(f"{family}-n{n}-{subset.lower()}") for subset in SUBSETS)
    return first, second


def path_of(family: str, n: int) -> Path:
    """File of a measurement of the present edition."""
    folder = settings.artifacts_folder() / settings.edition() / "variance"
    return folder / f"{family}-n{n}.json"


def weights_of(pair: tuple[Recipe, Recipe]) -> list[str]:
    """Checksums of the weights of both networks: what the measurement depends on."""
    manifests: list[dict[str, Any]] = [artifacts.manifest(recipe.name) for recipe in pair]
    return [manifest["sha256"][WEIGHTS] for manifest in manifests]


def rounded(values: Tensor, decimals: int = 5) -> Any:
    """Nested lists of numbers of so many decimals."""
    return torch.round(values, decimals=decimals).tolist()
