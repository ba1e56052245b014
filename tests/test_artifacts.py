"""Loading and verifying what was trained, and the shipped artifacts themselves."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

import gahb
from gahb.book import recipes
from gahb.book.artifacts import verify
from gahb.training.record import (
    CHECKPOINT,
    LOG,
    MANIFEST,
    WEIGHTS,
    folder_of,
    read_manifest,
    sha256,
)

SHIPPED = sorted(recipes.every("laptop"))


@pytest.fixture
def trained(artifacts, quick, monkeypatch):
    """Folder of a finished training of ``quick``, under a name that the recipes know."""
    monkeypatch.setenv("GAHB_EDITION", "smoke")
    recipe = quick.but(updates=20)
    monkeypatch.setattr(recipes, "every", lambda edition=None: {recipe.name: recipe})
    gahb.train(recipe)
    return artifacts / "smoke" / recipe.name


def rewrite(folder, **changes):
    """Change the weights of a finished training and give them a checksum that fits."""
    weights = load_file(folder / WEIGHTS)
    save_file({**weights, **changes}, folder / WEIGHTS)
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["sha256"][WEIGHTS] = sha256(folder / WEIGHTS)
    (folder / MANIFEST).write_text(json.dumps(manifest))


def test_a_good_artifact_is_verified(trained):
    verdict = verify(trained.name)
    assert verdict.good
    assert verdict.difference <= 1e-3


def test_other_weights_are_seen_by_their_psnr(trained):
    gamma = load_file(trained / WEIGHTS)["middle.0.norm.gamma"]
    rewrite(trained, **{"middle.0.norm.gamma": 1.2 * gamma})
    verdict = verify(trained.name)
    assert verdict.difference > 0.01
    assert "differs by" in verdict.problem


@pytest.mark.parametrize("file", [WEIGHTS, LOG])
def test_a_changed_file_is_seen_by_its_checksum(trained, file):
    with (trained / file).open("ab") as stream:
        stream.write(b" ")
    assert "does not have the checksum" in verify(trained.name).problem


def test_a_damaged_weights_file_is_not_loaded(trained):
    (trained / WEIGHTS).write_bytes((trained / WEIGHTS).read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"weights\.safetensors does not have the checksum"):
        gahb.load(trained.name)


def test_a_damaged_manifest_is_named(trained):
    (trained / MANIFEST).write_text("{")
    with pytest.raises(ValueError, match=r"manifest\.json is not JSON"):
        gahb.load(trained.name)


def test_the_smoke_edition_trains_what_is_missing(artifacts, quick, monkeypatch):
    monkeypatch.setenv("GAHB_EDITION", "smoke")
    monkeypatch.setattr(recipes, "get", lambda name, edition=None: quick.but(updates=5))
    f = gahb.load("any")
    assert read_manifest(artifacts / "smoke" / quick.name)["hash"] == quick.but(updates=5).hash
    assert not (artifacts / "smoke" / quick.name / CHECKPOINT).exists()
    assert f(torch.rand(1, 1, 16, 16)).shape == (1, 1, 16, 16)


def test_missing_weights_say_how_to_make_them(artifacts):
    with pytest.raises(FileNotFoundError, match=r"run: python -m gahb train faces-unet-n1-s1$"):
        gahb.load("faces-unet-n1-s1", edition="laptop")
    assert "has not been trained" in verify("faces-unet-n1-s1", edition="laptop").problem


def test_weights_of_an_older_recipe_are_refused(trained, quick, monkeypatch):
    newer = {quick.name: quick.but(updates=21)}
    monkeypatch.setattr(recipes, "every", lambda edition=None: newer)
    with pytest.raises(
        ValueError, match=r"trained by another version of its recipe; run:.*--again"
    ):
        gahb.book.artifacts.manifest(quick.name)


def test_log_and_manifest_are_read(trained):
    log = gahb.book.artifacts.log(trained.name)
    assert log[-1] == {"update": 20, "snapshot": log[-1]["snapshot"]}
    assert set(log[-1]["snapshot"]) == {"input_psnr", "train", "test"}
    assert gahb.book.artifacts.manifest(trained.name)["final"]["update"] == 20


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_artifacts_are_what_their_manifests_say(name):
    manifest = gahb.book.artifacts.manifest(name, "laptop")
    folder = folder_of(recipes.get(name, "laptop"))
    assert manifest["sha256"] == {file: sha256(folder / file) for file in (WEIGHTS, LOG)}
    assert manifest["final"]["update"] == manifest["recipe"]["updates"]


@pytest.mark.parametrize("name", ["faces-unet-n10000-s1", "faces-unet-n100-s2"])
def test_shipped_artifacts_still_denoise_as_well(name):
    assert verify(name, "laptop").good


def test_shipped_artifacts_are_small():
    folder = gahb.settings.artifacts_folder()
    assert sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()) < 100e6
