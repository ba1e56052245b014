"""Recipes: names, editions, hashes, and the errors of bad ones."""

import hashlib
import json
import re
import shutil
from itertools import chain

import pytest
import torch
from PIL import Image

from gahb.book import recipes
from gahb.images.photographs import HELD_OUT
from gahb.settings import EDITIONS
from gahb.training import train

PUBLISHED = {"celeba": 202_599, "celeba_hq": 30_000, "lsun_bedroom": 3_033_042}
"""Images of each set of photographs, by its publisher."""


@pytest.fixture
def recipe():
    return recipes.get("faces-unet-n100-s1-short", edition="laptop")


@pytest.mark.parametrize("edition", EDITIONS)
def test_names_say_what_the_recipes_are(edition):
    for name, recipe in recipes.every(edition).items():
        assert recipe.edition == edition
        assert name == recipe.name
        image_class = re.sub("celeba(_hq)?", "faces", recipe.images)
        start = f"{image_class}-{recipe.network}-n{recipe.n}-{recipe.subset.lower()}"
        behind = name.removeprefix(start)
        kinds = "", "-adam", "-map", "-adam-map", "-narrow", "-wide", "-short", "-small", "-large"
        assert behind in (*kinds, "-longer", "-held", "-fresh", f"-{recipe.size}px")
        assert (behind in ("-longer", "-held")) == (recipe.start is not None)
        adam = recipe.optimizer == "adam"
        if behind == "-adam-map":
            assert adam
        else:
            assert (behind == "-adam") == (adam and edition != "paper")


@pytest.mark.parametrize("edition", EDITIONS)
@pytest.mark.parametrize(
    ("pattern", "sets"),
    [
        ("faces-unet-n*-s?", 2),
        ("l[es]*-unet-n*", 2),  # leaves, or lsun_bedroom
        ("faces-bfcnn-n*-s?", 2),
        ("*px", 3),
        ("calpha*-unet-*-s1", 6),
        ("calpha*-bfcnn-*", 2),
    ],
)
def test_every_n_has_the_same_budget(edition, pattern, sets):
    found = recipes.find(pattern, edition)
    assert len({r.n for r in found}) * sets <= len(found)
    # Ten leaves were trained when the step of the laptop edition's others could no longer be made.
    late = {f"leaves-unet-n10-{s}": "muon-1" for s in ("s1", "s2") if edition == "laptop"}
    steps = [late.get(r.name, r.optimizer) for r in found]
    budgets = [(r.updates, r.batch, r.seed, r.width) for r in found]
    assert len(set(zip(budgets, steps, strict=True))) == 1


@pytest.mark.parametrize("edition", EDITIONS)
def test_networks_grow_with_the_images(edition):
    depths = {r.size: r.depth for r in recipes.find("*px", edition)}
    assert len(depths) >= 3
    for size, depth in depths.items():
        assert depths.get(2 * size, depth + 1) == depth + 1
        assert len([r for r in recipes.find(f"*-{size}px", edition)]) >= 4


@pytest.mark.parametrize(
    ("name", "images", "size", "depth"),
    [
        ("faces-unet-n100000-s1", "celeba", 80, 3),
        ("faces-unet-n100000-s1-160px", "celeba", 160, 4),
        ("shuffled-faces-unet-n100000-s1", "shuffled-celeba", 80, 3),
        ("lsun_bedroom-unet-n100000-s2", "lsun_bedroom", 80, 3),
        ("faces-bfcnn-n10000-s2", "celeba_hq", 40, 21),
        ("lsun_bedroom-bfcnn-n20000-s2", "lsun_bedroom", 32, 21),
        ("calpha1.5-8-unet-n100000-s1", "calpha1.5-8", 80, 3),
        ("calpha5-bfcnn-n100000-s1", "calpha5", 40, 21),
        ("disks-unet-n100000-s1", "disks", 80, 3),
        ("ray-bfcnn-n100000-s1", "ray", 40, 21),
        ("sines-bfcnn-n100000-s1", "sines", 40, 21),
    ],
)
def test_the_paper_edition_is_the_papers(name, images, size, depth):
    # Appendix A.1, Table 1, and the captions of the figures.
    recipe = recipes.get(name, edition="paper")
    assert (recipe.images, recipe.size, recipe.depth) == (images, size, depth)
    assert (recipe.width, recipe.batch, recipe.weight) == (64, 512, "none")
    assert (recipe.optimizer, recipe.learning_rate, recipe.schedule) == ("adam", 1e-3, "halving")


def test_the_paper_edition_has_the_trainings_of_every_figure():
    found = recipes.by_figure("paper")
    numbers = set()
    for figures in found:
        for first, last in re.findall(r"(\d+)(?: to (\d+))?", figures.split(", Table")[0]):
            numbers |= set(range(int(first), int(last or first) + 1))
    assert numbers == set(range(1, 22))
    names = [recipe.name for recipe in chain.from_iterable(found.values())]
    assert sorted(names) == sorted(recipes.every("paper")), "each in one row, and once"


@pytest.mark.parametrize("edition", EDITIONS)
def test_both_subsets_and_the_test_images_fit_into_the_photographs(edition):
    for recipe in recipes.every(edition).values():
        published = PUBLISHED.get(recipe.images.removeprefix("shuffled-"))
        assert published is None or recipe.n <= (published - HELD_OUT) // 2


def test_the_hash_is_stable(recipe):
    # What is shipped is found by it: it may change only with what the training gives.
    assert recipe.hash == "aafa89dfa84af2ba"
    assert recipe.but(name="other").hash == recipe.hash
    assert recipe.but(edition="colab").hash == recipe.hash


@pytest.mark.parametrize(
    ("edition", "digest"),
    [
        ("smoke", "516acf43fb4b885a"),
        ("laptop", "6c5da9c26f2d8522"),
        ("colab", "cdf0ec4824ddbf47"),
        ("paper", "c89a34bf8080f1c5"),
    ],
)
def test_no_recipe_of_an_edition_changes(edition, digest):
    # Names and hashes, in order. One that is added or changed on purpose changes the digest too.
    found = [[name, recipe.hash] for name, recipe in recipes.every(edition).items()]
    assert hashlib.sha256(json.dumps(found).encode()).hexdigest()[:16] == digest


def test_a_training_is_compared_with_one_of_as_many_updates(recipe):
    assert recipes.as_long_as(recipe, "faces-unet-n100-s1") == recipe
    longer = recipes.get("faces-unet-n100-s1", edition="laptop")
    assert recipes.as_long_as(longer, "faces-unet-n100-s1") == longer
    with pytest.raises(
        ValueError,
        match=r"n1000-s1 was not trained for 7; accepted: faces-unet-n1000-s1 \(20,000\),",
    ):
        recipes.as_long_as(recipe.but(updates=7), "faces-unet-n1000-s1")


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
        {"optimizer": "adam"},
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
        ({"optimizer": "sgd"}, ValueError, "optimizer: 'sgd' is unknown; accepted: muon, adam"),
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


def test_a_recipe_goes_on_from_one_that_fits(recipe):
    longer = recipes.get("faces-unet-n100-s1-longer", edition="laptop")
    assert longer.start == recipes.get("faces-unet-n100-s1", edition="laptop")
    # What the start gives is part of what a recipe gives.
    assert longer.hash == longer.but(start=longer.start.but(name="other")).hash
    assert longer.hash != longer.but(start=longer.start.but(seed=7)).hash
    assert longer.hash != longer.but(start=None).hash
    for changes in ({"width": 8}, {"depth": 1}, {"size": 16}, {"network": "bfcnn"}):
        with pytest.raises(ValueError, match=f"^start: its {min(changes)} is .*; accepted: "):
            longer.but(start=longer.start.but(**changes))
    with pytest.raises(ValueError, match=r"^start: also called faces-.*; accepted: one of another"):
        recipe.but(start=recipe)
    with pytest.raises(TypeError, match=r"^start: 'faces' is not a gahb\.Recipe"):
        recipe.but(start="faces")


def test_unknown_names_list_the_closest_known_ones(monkeypatch):
    with pytest.raises(ValueError, match=r"^name: 'faces' is unknown; accepted: faces-unet-n1-s1,"):
        recipes.get("faces")
    closest = f"faces-unet-n100-s1, faces-unet-n1000-s1, .* and {len(recipes.every()) - 3} more"
    with pytest.raises(ValueError, match=f"^name: 'faces-unet-n100s1' is .* accepted: {closest}"):
        recipes.get("faces-unet-n100s1")
    with pytest.raises(ValueError, match=r"^pattern: 'x\*' matches no recipe; accepted: faces"):
        recipes.find("x*")
    monkeypatch.setenv("GAHB_EDITION", "huge")
    with pytest.raises(ValueError, match=r"^GAHB_EDITION: 'huge' is unknown; accepted: smoke"):
        recipes.every()


def test_a_recipe_in_color(recipe, tmp_path):
    for i in range(30):
        pixels = torch.randint(256, (16, 16, 3), generator=torch.Generator().manual_seed(i))
        Image.fromarray(pixels.byte().numpy()).save(tmp_path / f"{i}.png")
    small = {"size": 8, "width": 4, "updates": 3, "batch": 4, "optimizer": "muon"}
    gray = recipe.but(images="folder", path=tmp_path, n=4, **small)
    color = gray.but(channels=3)
    assert gray.hash == gray.but(channels=1).hash != color.hash
    assert color.train_images().shape == (4, 3, 8, 8) and gray.train_images().shape[1] == 1
    for i in range(30):
        shutil.copy(tmp_path / f"{i}.png", tmp_path / f"{i}-again.png")
    once, twice = (each.train_images() for each in (color, color.but(duplicates=1)))
    assert torch.equal(twice[0], twice[1]) and not torch.equal(once[0], once[1])
    with pytest.raises(ValueError, match=r"^duplicates: 2 is not"):
        color.but(duplicates=2)
    f = train(color, tmp_path / "trained")
    assert f(torch.rand(2, 3, 8, 8)).shape == (2, 3, 8, 8)
    for changes in ({"images": "leaves", "path": None}, {"network": "dense"}, {"channels": 2}):
        with pytest.raises(ValueError, match=r"^channels: \d; accepted: 1, or 3 for the class"):
            color.but(**changes)
