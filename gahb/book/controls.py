"""Denoisers that have learned nothing, or all by heart: what one of them can do shows nothing."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from gahb import images as image_classes
from gahb.book import artifacts, recipes
from gahb.checks import check_choice
from gahb.denoiser import Denoiser
from gahb.metrics import Curve, psnr_curve, psnr_from_sigma
from gahb.optimal import EmpiricalBayes, Gaussian
from gahb.report.measure import KNOWN
from gahb.settings import write_json
from gahb.training import Recipe
from gahb.vectors import gray_levels

NAMES = ("identity", "box blur", "zero", "untrained", "memorizer", "affine")
INPUT_PSNR = [psnr_from_sigma((k + 0.5) / 10) for k in range(10)]
"""Centers of ten equal parts of sigma from 0 to 1, in dB: a mean over them is one over sigma."""
MEASURED = 64  # images


def of(
    recipe: Recipe, *names: str, images: Tensor | None = None
) -> dict[str, Callable[..., Tensor]]:
    """Return the controls of a training by name, by default all: denoisers to run as its network.

    ``identity``, ``box blur`` (of 5 x 5 pixels) and ``zero`` know no image; ``untrained`` is the
    network with its initial weights; ``memorizer`` the posterior mean of the training set, of its
    first 10,000 images where it has more, and ``affine`` that of the Gaussian of their mean and
    covariance, the best affine denoiser: its eigenvectors take a second at 32 x 32 pixels, minutes
    at 80 x 80. These two take the noise level, and may be of ``images`` (n, C, H, W), in [0, 1] or
    uint8, in the place of the recipe's: two halves of one set are as disjoint as two sets are.

    Examples
    --------
    >>> import torch
    >>> from gahb.book import recipes
    >>> recipe = recipes.get("faces-unet-n10-s1", edition="smoke")
    >>> f = of(recipe, "box blur", "affine")
    >>> f["affine"](torch.rand(2, 1, 16, 16), sigma=0.1).shape
    torch.Size([2, 1, 16, 16])
    """
    for name in names:
        check_choice("names", name, NAMES)

    def known() -> Tensor:
        return recipe.train_images(KNOWN) if images is None else images

    make: dict[str, Callable[[], Callable[..., Tensor]]] = {
        "identity": lambda: identity,
        "box blur": lambda: box_blur,
        "zero": lambda: zero,
        "untrained": lambda: Denoiser(recipe.build()),
        "memorizer": lambda: EmpiricalBayes(known()),
        "affine": lambda: Gaussian.of(gray_levels(known())),
    }
    return {name: make[name]() for name in names or NAMES}


def identity(y: Tensor) -> Tensor:
    """Return the noisy images as they are."""
    return y


def zero(y: Tensor) -> Tensor:
    """Return black images, which have a derivative in ``y``: zero."""
    return 0 * y


def box_blur(y: Tensor) -> Tensor:
    """Return the averages over 5 x 5 pixels, or what of them lies inside the image."""
    return F.avg_pool2d(y, 5, stride=1, padding=2, count_include_pad=False)


def affine_curves(name: str) -> dict[str, Curve]:
    """Return PSNR curves of the best affine denoiser of a recipe's training set (Figure 15).

    They are those of up to 64 images of S1, as many as the recipe has, and of 64 test images, over
    ``INPUT_PSNR``.
    """
    recipe, path = recipes.get(name), artifacts.path_of("affine", name)
    command, measure = f"python -m gahb affine {name}", lambda: measure_affine(name)
    psnr = artifacts.measurement(path, command, lambda: recipe.hash, measure)["psnr"]
    return {
        subset: Curve.of(torch.tensor(INPUT_PSNR), torch.tensor(psnr[subset]), x)
        for subset, x in _measured_on(recipe).items()
    }


def measure_affine(name: str) -> dict[str, Curve]:
    """Measure what :func:`affine_curves` returns, and store it."""
    recipe = recipes.get(name)
    f = of(recipe, "affine", images=recipe.train_images())["affine"]
    curves = {s: psnr_curve(f, x, INPUT_PSNR) for s, x in _measured_on(recipe).items()}
    psnr = {s: (1e4 * c.per_image).round().div(1e4).tolist() for s, c in curves.items()}
    write_json(artifacts.path_of("affine", name), {"weights": recipe.hash, "psnr": psnr})
    return curves


def _measured_on(recipe: Recipe) -> dict[str, Tensor]:
    """Return images of S1, whatever the subset of the recipe, and test images."""
    counts = {"S1": min(recipe.n, MEASURED), "test": MEASURED}
    return {
        subset: image_classes.load(recipe.images, n, recipe.size, subset, path=recipe.path)
        for subset, n in counts.items()
    }
