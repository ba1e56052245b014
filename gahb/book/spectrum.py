"""Whole spectra of Jacobians that are too large for a page, measured beforehand."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from gahb import images, metrics
from gahb.basis import adaptive_basis, coefficients
from gahb.book import artifacts, recipes
from gahb.checks import check_number
from gahb.settings import write_json

DIGITS = 6


def spectrum(name: str, sigma: float) -> tuple[Tensor, Tensor]:
    r"""Return all shrinkage factors of a network at a noisy image, and its coefficients.

    The image x is the first test image of the recipe's class, with noise of level ``sigma``; its
    coefficients are :math:`|\langle x, e_k \rangle|`, in the order of the factors (Figure 5).
    """
    recipe, path = recipes.get(name), _file(name, sigma)
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
    write_json(_file(name, sigma), kept, indent=None)
    return found


def _file(name: str, sigma: float) -> Path:
    return artifacts.path_of("spectra", f"{name}-sigma{sigma:g}")
