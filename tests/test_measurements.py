"""The measurement of model variance: what it compares, and what it depends on."""

import json

import pytest
import torch

import gahb
from gahb import recipes
from gahb.__main__ import main
from gahb.measurements import path_of


@pytest.fixture
def pair(artifacts, quick, monkeypatch):
    """Two networks of the smoke edition, barely trained on ten leaves each."""
    monkeypatch.setenv("GAHB_EDITION", "smoke")
    known = {
        name: quick.but(name=name, subset=subset, updates=100)
        for name, subset in (("faces-unet-n10-s1", "S1"), ("faces-unet-n10-s2", "S2"))
    }
    monkeypatch.setattr(recipes, "every", lambda edition=None: known)
    return known


def test_it_compares_samples_from_the_same_noise(pair):
    measured = gahb.variance("faces-unet", 10)
    drawn = [gahb.sample(gahb.load(name), 8, 16, seed=0).images for name in pair]
    assert torch.allclose(measured.between, gahb.cosine_similarity(*drawn))
    for row, images, recipe in zip(measured.to_train, drawn, pair.values(), strict=True):
        among = gahb.images.load("leaves", 10, 16, recipe.subset)
        assert torch.allclose(row, gahb.closest(images, among).value[:, 0])
    picked = gahb.images.pick("leaves", measured.closest[0].tolist(), 16, "S1")
    assert torch.allclose(gahb.cosine_similarity(drawn[0], picked), measured.to_train[0])


def test_it_is_read_again_as_it_was_measured(pair, monkeypatch):
    measured = gahb.variance("faces-unet", 10)
    monkeypatch.setattr("gahb.measurements.measure_variance", None)
    again = gahb.variance("faces-unet", 10)
    assert torch.allclose(again.between, measured.between, atol=1e-5)
    assert torch.allclose(again.to_train, measured.to_train, atol=1e-5)
    assert torch.equal(again.steps, measured.steps)
    assert torch.equal(again.closest, measured.closest)


def test_a_measurement_with_other_weights_is_refused(pair):
    gahb.variance("faces-unet", 10)
    path = path_of("faces-unet", 10)
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "weights": content["weights"][::-1]}))
    with pytest.raises(ValueError, match=r"measured with other weights; run: python -m gahb var"):
        gahb.variance("faces-unet", 10)


def test_the_laptop_edition_says_how_to_measure(artifacts, monkeypatch):
    monkeypatch.setenv("GAHB_EDITION", "laptop")
    with pytest.raises(FileNotFoundError, match=r"run: python -m gahb variance faces-unet 10$"):
        gahb.variance("faces-unet", 10)


def test_the_command_measures_and_tells(pair, capsys):
    assert main(["variance", "faces-unet", "10"]) == 0
    assert capsys.readouterr().out.startswith("N = 10: between networks ")
    assert path_of("faces-unet", 10).is_file()
    assert main(["variance", "faces-unet", "11"]) == 2
    assert capsys.readouterr().err.startswith("gahb: name: 'faces-unet-n11-s1' is unknown")
