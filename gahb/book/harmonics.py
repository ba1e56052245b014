"""Bases of trained networks, measured beforehand: how harmonic, how adaptive, and their factors."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gahb import images, metrics, settings
from gahb.basis import adaptive_basis, coefficients
from gahb.book import artifacts, controls, recipes
from gahb.book.dynamics import kept_snapshots
from gahb.checks import check_number
from gahb.denoiser import BaseDenoiser, Unshuffled
from gahb.geometry import harmonic_overlaps
from gahb.images.shuffled import PREFIX, unshuffle
from gahb.settings import write_json
from gahb.training import Recipe

SIGMA = 0.15
COUNT = {"smoke": 2, "laptop": 32, "colab": 64, "paper": 64}
TRAINING_IMAGES = 1_000  # whose principal components are taken
DIGITS = 5
ALONG = "along"
FEATURES = 0.05
"""Number of vectors that are compared, as a share of the pixels: 51 at 32 x 32."""


def overlaps(
    name: str, control: str | None = None, sigma: float = SIGMA, features: float = FEATURES
) -> dict[str, Tensor]:
    """Return what the leading space of a network shares with harmonics, for each test image.

    The network is that of a recipe, or one of :mod:`gahb.book.controls` in its place, at the same
    noisy images of level ``sigma``; ``features`` is the number of vectors, as a share of the
    pixels. The overlaps are those of :func:`gahb.geometry.harmonic_overlaps`.
    """
    recipe = recipes.get(name)
    command = f"python -m gahb harmonics {name}" + (f" --control '{control}'" if control else "")
    command += f" --sigma {sigma:g}" * (sigma != SIGMA)
    command += f" --features {features:g}" * (features != FEATURES)
    chosen = name, control, sigma, features
    weights, measure = lambda: artifacts.weights_of(recipe), lambda: measure_overlaps(*chosen)
    stored = artifacts.measurement(_file(*chosen), command, weights, measure)
    return _tensors(stored["overlaps"])


def overlaps_along(name: str) -> dict[int, dict[str, Tensor]]:
    """Return the :func:`overlaps` of a network at every snapshot of its training, by updates.

    Each snapshot is taken for a network of its own: the graphs are those of its estimates.
    """
    recipe, path = recipes.get(name), _file(name, ALONG, SIGMA, FEATURES)
    command = f"python -m gahb train {name} --keep-snapshots"
    command += f" && python -m gahb harmonics {name} --snapshots"
    stored = artifacts.measurement(
        path, command, lambda: recipe.hash, lambda: measure_overlaps_along(name)
    )
    return {int(update): _tensors(each) for update, each in stored["overlaps"].items()}


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
    k = round(features * recipe.size**2)
    found = _compare(recipe, [(f, trained)], k, sigma)[0]
    kept = {"weights": artifacts.weights_of(recipe), "sigma": sigma, "k": k}
    write_json(_file(name, control, sigma, features), kept | {"overlaps": _rounded(found)})
    return found


def measure_overlaps_along(name: str) -> dict[int, dict[str, Tensor]]:
    """Compare the basis at every snapshot of a training with harmonics, and store the overlaps."""
    recipe = recipes.get(name)
    kept = dict(kept_snapshots(recipe))
    pairs = [(f, f) for f in kept.values()]
    found = dict(zip(kept, _compare(recipe, pairs, round(FEATURES * recipe.size**2)), strict=True))
    rounded = {update: _rounded(each) for update, each in found.items()}
    # The recipe stands for the weights of its snapshots, which are not shipped.
    write_json(_file(name, ALONG, SIGMA, FEATURES), {"weights": recipe.hash, "overlaps": rounded})
    return found


def spectrum(name: str, sigma: float) -> tuple[Tensor, Tensor]:
    r"""Return all shrinkage factors of a network at a noisy image, and its coefficients.

    The image x is the first test image of the recipe's class, with noise of level ``sigma``; its
    coefficients are :math:`|\langle x, e_k \rangle|`, in the order of the factors (Figure 5).
    """
    recipe, path = recipes.get(name), _spectrum_file(name, sigma)
    stored = artifacts.measurement(
        path,
        f"python -m gahb spectrum {name} --sigma {sigma:g}",
        lambda: artifacts.weights_of(recipe),
        lambda: measure_spectrum(name, sigma),
    )
    return torch.tensor(stored["factors"]), torch.tensor(stored["coefficients"])


def measure_spectrum(name: str, sigma: float) -> tuple[Tensor, Tensor]:
    """Measure what :func:`spectrum` returns by the whole Jacobian, and store it."""
    check_number("sigma", sigma, low=1e-3)
    recipe = recipes.get(name)
    x = images.load(recipe.images, 1, recipe.size, "test", path=recipe.path)
    basis = adaptive_basis(artifacts.load(name), metrics.noisy(x, sigma), sigma=sigma)
    found = basis.eigenvalues, coefficients(basis, x)[0].abs()
    factors, clean = ([round(float(v), DIGITS) for v in values] for values in found)
    kept = {"weights": artifacts.weights_of(recipe), "factors": factors, "coefficients": clean}
    write_json(_spectrum_file(name, sigma), kept)
    return found


def _compare(
    recipe: Recipe, pairs: Iterable[tuple[Any, Any]], k: int, sigma: float = SIGMA
) -> list[dict[str, Tensor]]:
    """Return the overlaps of each pair: a denoiser, and that whose estimates make the graphs."""
    x = images.load(recipe.images, COUNT[settings.edition()], recipe.size, "test", path=recipe.path)
    known = recipe.train_images(TRAINING_IMAGES)
    shuffled = recipe.images.startswith(PREFIX)
    if shuffled:
        x, known = unshuffle(x), unshuffle(known)
    y = metrics.noisy(x, sigma)
    varying = known.flatten(1).double() - known.flatten(1).double().mean(0)
    vectors = torch.linalg.svd(varying, full_matrices=False).Vh[: min(k, len(known) - 1)]
    components = vectors.reshape(-1, *x.shape[1:])
    found = []
    for pair in pairs:
        f, trained = map(Unshuffled, pair) if shuffled else pair
        with torch.no_grad():
            estimates = trained(y)
        found.append(harmonic_overlaps(f, y, estimates, k, sigma=sigma, components=components))
    return found


def _rounded(found: Mapping[str, Tensor]) -> dict[str, list[float]]:
    return {key: [round(float(value), DIGITS) for value in each] for key, each in found.items()}


def _tensors(stored: Mapping[str, list[float]]) -> dict[str, Tensor]:
    return {key: torch.tensor(each).double() for key, each in stored.items()}


def _file(name: str, control: str | None, sigma: float, features: float) -> Path:
    parts = [name, *(control or "").split()]
    if sigma != SIGMA:
        parts.append(f"sigma{sigma:g}")
    if features != FEATURES:
        parts.append(f"share{features:g}")
    return artifacts.path_of("harmonics", "-".join(parts))


def _spectrum_file(name: str, sigma: float) -> Path:
    return artifacts.path_of("spectra", f"{name}-sigma{sigma:g}")
