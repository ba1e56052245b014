"""Loading and verifying what was trained, and the shipped artifacts themselves."""

import http.server
import re
import threading
from email.message import Message

import pytest
import torch
from safetensors.torch import load_file, save_file

import gahb
from gahb import settings
from gahb.__main__ import main
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

PENDING = recipes.pending()
SHIPPED = sorted(recipes.every("laptop").keys() - PENDING)


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
    manifest = read_manifest(folder)
    manifest["sha256"][WEIGHTS] = sha256(folder / WEIGHTS)
    settings.write_json(folder / MANIFEST, manifest)


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


def test_history_and_manifest_are_read(trained):
    history = gahb.book.artifacts.history(trained.name)
    assert max(history.train) == max(history.test) == 20
    assert gahb.book.artifacts.manifest(trained.name)["final"]["update"] == 20


@pytest.fixture
def server(tmp_path, monkeypatch):
    """Serve the checkout's artifacts to a package that was installed; give what was asked for."""
    asked, shipped = [], settings.artifacts_folder()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments):
            super().__init__(*arguments, directory=str(shipped))

        def log_request(self, *arguments):
            asked.append(self.path)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{listening.server_port}/"
        monkeypatch.setattr(gahb.book.artifacts, "address", lambda: url)
        monkeypatch.setattr(settings, "checkout", lambda: None)
        monkeypatch.setenv("GAHB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setenv("CI", "1")
        yield asked
        listening.shutdown()


def test_missing_weights_are_fetched_once(server):
    names = [f"/laptop/faces-unet-n1-s1/{file}" for file in (WEIGHTS, LOG, MANIFEST)]
    for _ in range(2):
        gahb.load("faces-unet-n1-s1", edition="laptop")
        assert server == names
    folder = folder_of(recipes.get("faces-unet-n1-s1", "laptop"))
    assert folder.is_relative_to(settings.cache_folder())
    gahb.book.artifacts.fetch(settings.artifacts_folder() / "laptop/variance/faces-unet-n1.json")
    assert server[-1] == "/laptop/variance/faces-unet-n1.json"


def test_other_bytes_than_those_shipped_are_refused(server, monkeypatch):
    known = dict.fromkeys(gahb.book.artifacts.registry(), 64 * "0")
    monkeypatch.setattr(gahb.book.artifacts, "registry", lambda: known)
    with pytest.raises(OSError, match=r"^name: http://127.*/weights.safetensors is not what was"):
        gahb.load("faces-unet-n1-s1", edition="laptop")
    assert not list(settings.cache_folder().rglob("*.safetensors"))


def test_without_a_network_the_error_is_one_line(server, monkeypatch, capsys):
    monkeypatch.setattr(gahb.book.artifacts, "address", lambda: "http://127.0.0.1:9/")
    assert main(["verify", "faces-unet-n1-s1", "--edition", "laptop"]) == 1
    assert re.fullmatch(r".*: BAD: .* is out of reach \(\w+\).*\n", capsys.readouterr().out)


def test_what_is_not_shipped_or_is_there_is_not_asked_for(server, quick, monkeypatch):
    with pytest.raises(FileNotFoundError, match="has not been trained"):
        gahb.book.artifacts.manifest("leaves-unet-n1-s1", edition="smoke")
    monkeypatch.setenv("GAHB_ARTIFACTS", str(settings.cache_folder() / "mine"))
    with pytest.raises(FileNotFoundError, match="has not been trained"):
        gahb.load("faces-unet-n1-s1", edition="laptop")
    assert server == []


def test_the_address_is_that_of_the_version(monkeypatch):
    package = Message()
    package["Version"] = "1.2"
    package["Project-URL"] = "Repository, https://example.org/owner/name"
    monkeypatch.setattr(gahb.book.artifacts, "metadata", lambda name: package)
    address = gahb.book.artifacts.address()
    assert address == "https://example.org/owner/name/raw/v1.2/artifacts/"


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_artifacts_are_what_their_manifests_say(name):
    manifest = gahb.book.artifacts.manifest(name, "laptop")
    folder = folder_of(recipes.get(name, "laptop"))
    assert manifest["sha256"] == {file: sha256(folder / file) for file in (WEIGHTS, LOG)}
    assert manifest["final"]["update"] == manifest["recipe"]["updates"]


def test_what_is_pending_is_not_there():
    assert [name for name in PENDING if folder_of(recipes.get(name, "laptop")).exists()] == []


@pytest.mark.parametrize("name", ["faces-unet-n10000-s1", "faces-unet-n100-s2"])
def test_shipped_artifacts_still_denoise_as_well(name):
    assert verify(name, "laptop").good


def test_shipped_artifacts_are_small():
    folder = gahb.settings.artifacts_folder()
    assert sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()) < 150e6
