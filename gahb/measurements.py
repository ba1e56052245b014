"""What was measured on trained networks beforehand: how alike two of them draw (Figure 2).

floor: 4
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gahb import artifacts, recipes, settings
from gahb.sampling import sample
from gahb.similarity import closest, cosine_similarity
from gahb.training import Recipe
from gahb.training.record import WEIGHTS

__all__ = ["Variance", "measure_variance", "variance"]

SUBSETS = ("S1", "S2")
SAMPLES = {"smoke": 8, "laptop": 256, "colab": 256, "paper": 1000}
SEED = 0


@dataclass(frozen=True, eq=False)
class Variance:
    """Similarities of the samples of two networks, trained on N images of S1 and of S2.

    All are cosine similarities of images whose means are removed. Sample i of the one network
    started from the same noise as sample i of the other, and met the same noise on its way.

    Attributes
    ----------
    n : int
        Number of training images N of each network.
    between : Tensor
        Between the two samples from the same noise, (m,).
    to_train : Tensor
        From each sample to the closest image of its own network's training set, (2, m).
    closest : Tensor
        The number of that image in the subset, (2, m).
    steps : Tensor
        Steps that each sample took, (2, m).
    """

    n: int
    between: Tensor
    to_train: Tensor
    closest: Tensor
    steps: Tensor


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
    return Variance(
        n,
        torch.tensor(content["between"], dtype=torch.float64),
        torch.tensor(content["to_train"], dtype=torch.float64),
        torch.tensor(content["closest"]),
        torch.tensor(content["steps"]),
    )


def measure_variance(family: str, n: int) -> Variance:
    """Draw with both networks, compare, and store the similarities (Figure 2, histograms).

    Sampling is that of the paper: h = 0.01, beta = 0.1, from sigma = 1 to 0.05, with the
    accelerated schedule of its code.
    """
    pair = recipe_pair(family, n)
    count = SAMPLES[settings.edition()]
    drawn = [sample(artifacts.load(r.name), count, r.size, seed=SEED) for r in pair]
    found = [
        closest(samples.images, recipe.train_images())
        for samples, recipe in zip(drawn, pair, strict=True)
    ]
    result = Variance(
        n,
        between=cosine_similarity(drawn[0].images, drawn[1].images),
        to_train=torch.stack([f.value[:, 0] for f in found]),
        closest=torch.stack([f.index[:, 0] for f in found]),
        steps=torch.stack([samples.steps for samples in drawn]),
    )
    content = {
        "weights": weights_of(pair),
        "samples": count,
        "seed": SEED,
        "between": rounded(result.between),
        "to_train": rounded(result.to_train),
        "closest": result.closest.tolist(),
        "steps": result.steps.tolist(),
    }
    with settings.written_whole(path_of(family, n)) as temporary:
        temporary.write_text(json.dumps(content) + "\n")
    return result


def recipe_pair(family: str, n: int) -> list[Recipe]:
    """The recipes of the two networks."""
    return [recipes.get(f"{family}-n{n}-{subset.lower()}") for subset in SUBSETS]


def path_of(family: str, n: int) -> Path:
    """File of a measurement of the present edition."""
    folder = settings.artifacts_folder() / settings.edition() / "variance"
    return folder / f"{family}-n{n}.json"


def weights_of(pair: list[Recipe]) -> list[str]:
    """Checksums of the weights of both networks: what the measurement depends on."""
    manifests: list[dict[str, Any]] = [artifacts.manifest(recipe.name) for recipe in pair]
    return [manifest["sha256"][WEIGHTS] for manifest in manifests]


def rounded(values: Tensor) -> Any:
    """Nested lists of numbers of five decimals."""
    return torch.round(values, decimals=5).tolist()
