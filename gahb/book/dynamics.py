"""What was measured along trainings beforehand: the updates at which they generalize, memorize."""

import torch
from torch import Tensor

from gahb.basis import adaptive_basis
from gahb.book import artifacts, recipes
from gahb.book.recipes import SUBSETS
from gahb.denoiser import Denoiser
from gahb.dynamics import Dynamics, Snapshots, follow
from gahb.geometry import on_one_pixel
from gahb.metrics import noisy
from gahb.training import Recipe, snapshots, train

TEST_IMAGES = 64
SIGMA, VECTORS, LARGEST = 0.15, 30, 16  # of the basis; pixels a side up to which it is measured


def dynamics(name: str) -> Dynamics:
    """Return what was measured along the training of a recipe."""
    recipe, path = recipes.get(name), artifacts.path_of("dynamics", name)
    command = f"python -m gahb train {name} --keep-snapshots && python -m gahb dynamics {name}"
    weights, measure = lambda: recipe.hash, lambda: measure_dynamics(name)
    found: Dynamics = artifacts.measurement(path, command, weights, measure)["found"]
    return found


def followed(pattern: str) -> dict[int, tuple[Recipe, Dynamics]]:
    """Return the trainings of a pattern with what was measured along them, by N.

    The laptop edition may still be training some: these are left out until they are measured.
    """

    def is_measured(recipe: Recipe) -> bool:
        path = artifacts.path_of("dynamics", recipe.name)
        return recipe.edition != "laptop" or path.is_file() or artifacts.shipped(path) is not None

    return {r.n: (r, dynamics(r.name)) for r in recipes.find(pattern) if is_measured(r)}


def measure_dynamics(name: str) -> Dynamics:
    """Measure all snapshots of a training, beside those of the other subset's, and store it."""
    recipe = recipes.get(name)
    test = recipe.test_images(TEST_IMAGES)
    y = noisy(test[:2].float() / 255, SIGMA)

    def basis(f: Denoiser) -> Tensor:
        """Return the asymmetry of the Jacobian, and how many leading vectors are of one pixel."""
        found = [adaptive_basis(f, image[None]) for image in y]
        return torch.tensor([[b.asymmetry, on_one_pixel(b.eigenvectors[:VECTORS])] for b in found])

    found = follow(
        kept_snapshots(recipe),
        recipe.train_images(),
        test,
        other=snapshots(other) if (other := counterpart(recipe)) else None,
        extras={"basis": basis} if recipe.size <= LARGEST else None,
    )
    found.save(
        artifacts.path_of("dynamics", name), hash=recipe.hash, updates=int(found.updates[-1])
    )
    return found


def kept_snapshots(recipe: Recipe) -> Snapshots:
    """Return the snapshots of a training; the laptop edition's are not trained on the way."""
    if recipe.edition != "laptop":
        train(recipe, again=not any(snapshots(recipe)), keep_snapshots=True)
    return snapshots(recipe)


def counterpart(recipe: Recipe) -> Recipe | None:
    """Return the same recipe on the other subset, if it has kept snapshots."""
    first, second = SUBSETS if recipe.subset == SUBSETS[0] else SUBSETS[::-1]
    name = recipe.name.replace(f"-{first.lower()}", f"-{second.lower()}")
    other = recipes.every().get(name)
    return other if other and any(kept_snapshots(other)) else None
