"""Recipes: names, editions, hashes, and the errors of bad ones."""

import pytest
import torch

from gahb import recipes
from gahb.settings import EDITIONS


@pytest.fixture
def recipe():
    return recipes.get("faces-unet-n100-s1", edition="laptop")


@pytest.mark.parametrize("edition", EDITIONS)
def test_names_say_what_the_recipes_are(edition):
    for name, recipe in recipes.every(edition).items():
        assert recipe.edition == edition
        assert name == recipe.name
        image_class = recipe.images.replace("celeba", "faces")
        start = f"{image_class}-{recipe.network}-n{recipe.n}-{recipe.subset.lower()}"
        behind = name.removeprefix(start)
        assert behind in ("", "-adam", f"-{recipe.size}px")
        assert (behind == "-adam") == (recipe.optimiser == "adam" and edition != "paper")


@pytest.mark.parametrize("edition", EDITIONS)
@pytest.mark.parametrize(
    ("pattern", "sets"),
    [
        ("faces-unet-n*-s?", 2),
        ("l[es]*-unet-n*", 2),  # leaves, or lsun_bedroom
        ("faces-bfcnn-n*", 2),
        ("*px", 3),
        ("calpha*-unet-*", 6),
        ("calpha*-bfcnn-*", 2),
    ],
)
def test_every_n_has_the_same_budget(edition, pattern, sets):
    found = recipes.find(pattern, edition)
    assert len({r.n for r in found}) * sets <= len(found)
    assert len({(r.updates, r.batch, r.seed, r.optimiser, r.width) for r in found}) == 1


@pytest.mark.parametrize("edition", EDITIONS)
def test_networks_grow_with_the_images(edition):
    depths = {r.size: r.depth for r in recipes.find("*px", edition)}
    assert len(depths) >= 3
    for size, depth in depths.items():
        assert depths.get(2 * size, depth + 1) == depth + 1
        assert len([r for r in recipes.find(f"*-{size}px", edition)]) >= 4


def test_the_paper_edition_is_the_papers():
    recipe = recipes.get("faces-unet-n100000-s1", edition="paper")
    assert (recipe.size, recipe.depth, recipe.width, recipe.batch) == (80, 3, 64, 512)
    assert (recipe.optimiser, recipe.learning_rate, recipe.schedule) == ("adam", 1e-3, "halving")


def test_the_hash_is_stable(recipe):
    # What is shipped is found by it: it may change only with what the training gives.
    assert recipe.hash == "aafa89dfa84af2ba"
    assert recipe.but(name="other").hash == recipe.hash
    assert recipe.but(edition="colab").hash == recipe.hash


def test_the_loss_is_the_weighted_mean_of_squared_errors(recipe):
    error, sigma = torch.tensor([0.02, 0.5]), torch.tensor([0.01, 0.99])
    assert recipe.loss(error, sigma) == pytest.approx((0.02 + 0.5) / 2)
    weighted = recipe.but(weight="1/(sigma + 0.01)").loss(error, sigma)
    assert weighted == pytest.approx((0.02 / 0.02 + 0.5 / 1) / 2)


@pytest.mark.parametrize(
    "change",
    [
        {"n": 101},
        {"subset": "S2"},
        {"size": 16},
        {"updates": 1},
        {"batch": 8},
        {"seed": 1},
        {"noise": "u"},
        {"optimiser": "adam"},
        {"learning_rate": 1e-3},
        {"step": 0.01},
        {"schedule": "halving"},
        {"weight": "1/(sigma + 0.01)"},
        {"width": 8},
        {"depth": 1},
        {"network": "bfcnn"},
        {"images": "leaves"},
    ],
)
def test_the_hash_sees_every_change(recipe, change):
    assert recipe.but(**change).hash != recipe.hash


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"n": 0}, ValueError, "n: 0 is not a whole number of at least 1"),
        ({"updates": 1.5}, TypeError, "updates: 1.5 is not a whole number"),
        ({"optimiser": "sgd"}, ValueError, "optimiser: 'sgd' is unknown; accepted: muon, adam"),
        ({"network": "vit"}, ValueError, "network: 'vit' is unknown; accepted: unet, bfcnn"),
        ({"noise": "u^3"}, ValueError, r"noise: 'u\^3' is unknown; accepted: u\^2, u"),
        ({"schedule": "step"}, ValueError, "schedule: 'step' is unknown"),
        ({"weight": "sigma"}, ValueError, r"weight: 'sigma' is unknown; accepted: none, 1/\(sigma"),
        ({"learning_rate": float("nan")}, ValueError, "learning_rate: nan is not a finite number"),
        ({"learning_rate": -1.0}, ValueError, "learning_rate: -1.0 is not a finite number"),
        ({"seed": -1}, ValueError, "seed: -1 is not a whole number of at least 0"),
        ({"edition": "big"}, ValueError, "edition: 'big' is unknown; accepted: smoke, laptop"),
    ],
)
def test_a_bad_field_is_named(recipe, change, error, message):
    with pytest.raises(error, match=f"^{message}"):
        recipe.but(**change)


def test_unknown_names_list_the_known_ones(monkeypatch):
    with pytest.raises(ValueError, match=r"^name: 'faces' is unknown; accepted: faces-unet-n1-s1,"):
        recipes.get("faces")
    with pytest.raises(ValueError, match=r"^pattern: 'x\*' matches no recipe; accepted: faces"):
        recipes.find("x*")
    monkeypatch.setenv("GAHB_EDITION", "huge")
    with pytest.raises(ValueError, match=r"^GAHB_EDITION: 'huge' is unknown; accepted: smoke"):
        recipes.every()
