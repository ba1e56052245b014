"""How harmonic and how adaptive the bases of trained networks are, measured beforehand."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from gahb import images, metrics, settings
from gahb.book import artifacts, controls, recipes
from gahb.checks import check_number
from gahb.denoiser import BaseDenoiser, Unshuffled
from gahb.geometry import harmonic_overlaps
from gahb.images.shuffled import unshuffle
from gahb.settings import write_json
from gahb.training import Recipe
from gahb.training.record import WEIGHTS

SIGMA = 0.15
COUNT = {"smoke": 2, "laptop": 32, "colab": 64, "paper": 64}
TRAINING_IMAGES = 1_000  # whose principal components are taken
DIGITS = 5
FEATURES = 0.05
"""Number of vectors that are compared, as a share of the pixels: 51 at 32 x 32."""


def overlaps(
    name: str, control: str | None = None, sigma: float = SIGMA, features: float = FEATURES
) -> dict[str, Tensor]:
    """Return what the leading space of a network shares with harmonics, for each test image.

    The network is that of a recipe, or one of :mod:`gahb.book.controls` in its place, at the same
    noisy images of level ``sigma``; ``features`` is the number of vectors, as a share of the
    pixels. The overlaps are those of :func:`gahb.geometry.harmonic_overlaps`. The laptop edition
    ships the measurement; the others measure where it is missing.
    """
    recipe = recipes.get(name)
    command = f"python -m gahb harmonics {name}" + (f" --control '{control}'" if control else "")
    command += f" --sigma {sigma:g}" * (sigma != SIGMA)
    command += f" --features {features:g}" * (features != FEATURES)
    chosen = name, control, sigma, features
    stored = artifacts.measurement(
        _file(*chosen), command, lambda: _weights(recipe), lambda: measure_overlaps(*chosen)
    )
    return {key: torch.tensor(each).double() for key, each in stored["overlaps"].items()}


def measure_overlaps(
    name: str, control: str | None = None, sigma: float = SIGMA, features: float = FEATURES
) -> dict[str, Tensor]:
    """Compare the basis of a network with harmonics at test images, and store the overlaps.

    All graphs are those of the trained network's estimates: a control is compared with the same.
    Where the pixels of a class are shuffled, they are put back first: graphs need neighbors.
    """
    check_number("sigma", sigma, low=1e-3)
    check_number("features", features, low=1e-3, high=0.5)
    recipe = recipes.get(name)
    trained: BaseDenoiser = artifacts.load(name)
    f = controls.of(recipe, control)[control] if control else trained
    count = COUNT[settings.edition()]
    x = images.load(recipe.images, count, recipe.size, "test", path=recipe.path)
    known = recipe.train_images(TRAINING_IMAGES)
    if recipe.images.startswith("shuffled"):
        f, trained = Unshuffled(f), Unshuffled(trained)
        x, known = unshuffle(x), unshuffle(known)
    y = metrics.noisy(x, sigma)
    with torch.no_grad():
        estimates = trained(y)
    k = round(features * x[0].numel())
    varying = known.flatten(1).double() - known.flatten(1).double().mean(0)
    vectors = torch.linalg.svd(varying, full_matrices=False).Vh[: min(k, len(known) - 1)]
    components = vectors.reshape(-1, *x.shape[1:])
    found = harmonic_overlaps(f, y, estimates, k, sigma=sigma, components=components)
    rounded = {key: [round(float(value), DIGITS) for value in each] for key, each in found.items()}
    kept = {"weights": _weights(recipe), "sigma": sigma, "k": k, "overlaps": rounded}
    write_json(_file(name, control, sigma, features), kept)
    return found


def _file(name: str, control: str | None, sigma: float, features: float) -> Path:
    folder = settings.artifacts_folder() / settings.edition() / "harmonics"
    parts = [name, *(control or "").split()]
    if sigma != SIGMA:
        parts.append(f"sigma{sigma:g}")
    if features != FEATURES:
        parts.append(f"share{features:g}")
    return folder / f"{'-'.join(parts)}.json"


def _weights(recipe: Recipe) -> str:
    """Return the checksum of the weights that the measurement depends on."""
    return str(artifacts.manifest(recipe.name)["sha256"][WEIGHTS])
