"""What was measured on pairs of trained networks beforehand: how alike they sample (Figure 2)."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from gahb import images, settings
from gahb.book import artifacts, recipes
from gahb.book.recipes import SUBSETS
from gahb.checks import check_choice, check_count
from gahb.report import Report, memorization_report
from gahb.report.result import NO_IMAGES
from gahb.similarity import SAME
from gahb.training import Recipe

COMPARED = 10_000  # images of S1, at most, that are compared with all of S2
SAMPLES = {"smoke": 8, "laptop": 256, "colab": 256, "paper": 1000}
SEED = 0


def variance(family: str, n: int) -> Report:
    """Return how alike two networks sample that were trained on ``n`` images of S1 and of S2.

    The names of the two recipes share the ``family``, such as ``faces-unet``. The laptop edition
    ships the measurement; the others measure where it is missing. The images are not stored:
    :func:`closest_images` makes those of the training sets.
    """
    path, pair = path_of(family, n), recipe_pair(family, n)
    command, measure = f"python -m gahb variance {family} {n}", lambda: measure_variance(family, n)
    artifacts.measurement(path, command, lambda: [*map(artifacts.weights_of, pair)], measure)
    return Report.load(path)


def measure_variance(family: str, n: int) -> Report:
    """Sample with both networks, compare, and store the similarities (Figure 2, histograms).

    Sampling is that of the paper: h = 0.01, beta = 0.1, from sigma = 1 to 0.05, with the
    accelerated schedule of its code.
    """
    pair = recipe_pair(family, n)
    model_a, model_b = (artifacts.load(recipe.name) for recipe in pair)
    sets = [recipe.train_images() for recipe in pair]
    how: dict[str, Any] = {"samples": SAMPLES[settings.edition()], "seed": SEED}
    found = memorization_report(
        model_a, model_b, *sets, **how, input_psnr=None, compared=COMPARED, same=SAME
    )
    numbers = replace(found, samples=NO_IMAGES, nearest=NO_IMAGES)
    numbers.save(path_of(family, n), weights=[*map(artifacts.weights_of, pair)], **how)
    return found


def closest_images(family: str, n: int, subset: str, count: int) -> Tensor:
    """Return the training images closest to the first samples of a network, (count, 1, H, W)."""
    check_choice("subset", subset, SUBSETS)
    network = SUBSETS.index(subset)
    found, recipe = variance(family, n).closest[network], recipe_pair(family, n)[network]
    check_count("count", count, maximum=len(found))
    return images.pick(recipe.images, found[:count].tolist(), recipe.size, subset)


def recipe_pair(family: str, n: int) -> tuple[Recipe, Recipe]:
    """Return the recipes of the two networks."""
    first, second = (recipes.get(f"{family}-n{n}-{subset.lower()}") for subset in SUBSETS)
    return first, second


def path_of(family: str, n: int) -> Path:
    """Return the file of a measurement of the present edition."""
    return artifacts.path_of("variance", f"{family}-n{n}")
