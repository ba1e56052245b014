"""The measurement of bases against harmonics: what it compares, keeps, and refuses."""

import json

import pytest
import torch

import gahb
from gahb.__main__ import main
from gahb.book import controls, harmonics, recipes
from gahb.geometry import harmonic_overlaps
from gahb.images.shuffled import shuffle, unshuffle

NAME = "leaves-unet-n10-s1"


@pytest.fixture
def network(artifacts, quick, monkeypatch):
    """A network of the smoke edition, barely trained on ten leaves."""
    monkeypatch.setenv("GAHB_EDITION", "smoke")
    known = {NAME: quick.but(name=NAME)}
    monkeypatch.setattr(recipes, "every", lambda edition=None: known)
    return gahb.load(NAME)


def test_it_measures_the_network_at_test_images_once(network, monkeypatch):
    found = harmonics.overlaps(NAME)
    x = gahb.images.load("leaves", 2, 16, "test")
    y = gahb.noisy(x, harmonics.SIGMA)
    with torch.no_grad():
        estimates = network(y)
    expected = harmonic_overlaps(network, y, estimates, k=13)
    for kind, each in expected.items():
        assert torch.allclose(found[kind], each, atol=1e-4)
    assert found["components"].shape == (2,)
    monkeypatch.setattr(harmonics, "measure_overlaps", None)
    again = harmonics.overlaps(NAME)
    assert again.keys() == found.keys()
    assert all(torch.allclose(again[kind], found[kind], atol=1e-5) for kind in found)


def test_the_untrained_network_is_another(network):
    before, after = harmonics.overlaps(NAME, "untrained"), harmonics.overlaps(NAME)
    assert float((before["own grid"] - after["own grid"]).abs().max()) > 0.02
    assert torch.equal(before["chance"], after["chance"])


def test_other_noise_and_other_numbers_of_vectors_are_measured_apart(network):
    usual = harmonics.overlaps(NAME)
    noisier = harmonics.overlaps(NAME, sigma=0.5)
    assert not torch.allclose(noisier["own grid"], usual["own grid"], atol=1e-3)
    more = harmonics.overlaps(NAME, features=0.25)
    assert float(more["chance"][0]) == 0.25
    again = harmonics.overlaps(NAME)["own grid"]
    assert torch.allclose(again, usual["own grid"], atol=1e-5)
    folder = gahb.settings.artifacts_folder() / "smoke" / "harmonics"
    names = sorted(path.stem for path in folder.glob("*.json"))
    assert names == [NAME, f"{NAME}-share0.25", f"{NAME}-sigma0.5"]
    with pytest.raises(ValueError, match=r"^sigma: 0.0 is not a finite number in \[0.001"):
        harmonics.overlaps(NAME, sigma=0.0)


def test_along_a_training_each_snapshot_is_measured_as_a_network(network, monkeypatch, capsys):
    usual = harmonics.overlaps(NAME)
    assert main(["harmonics", NAME, "--snapshots"]) == 0
    lines = capsys.readouterr().out.splitlines()
    along = harmonics.overlaps_along(NAME)
    assert all(f"update {update}:" in line for update, line in zip(along, lines, strict=True))
    first, last = min(along), max(along)
    assert first < last == 60
    for kind, each in usual.items():
        assert torch.allclose(along[last][kind], each, atol=5e-3)
    assert not torch.allclose(along[first]["own grid"], usual["own grid"], atol=0.01)
    monkeypatch.setattr(harmonics, "measure_overlaps_along", None)
    again = harmonics.overlaps_along(NAME)
    assert again.keys() == along.keys()
    assert main(["harmonics", NAME, "--snapshots", "--sigma", "0.3"]) == 2
    assert "accepted: without them" in capsys.readouterr().err


def test_shuffled_pixels_are_put_back(artifacts, quick, monkeypatch):
    monkeypatch.setenv("GAHB_EDITION", "smoke")
    known = {"shuffled": quick.but(name="shuffled", images="shuffled-leaves")}
    monkeypatch.setattr(recipes, "every", lambda edition=None: known)

    def blurred(y):
        return shuffle(controls.box_blur(unshuffle(y)))

    monkeypatch.setattr(controls, "of", lambda recipe, name: {name: blurred})
    assert harmonics.overlaps("shuffled", "blurred")["cosines"].min() > 0.8


def compared(recipe, monkeypatch):
    """What the overlaps of a black image's denoiser, beside a blur, are measured on."""
    given = {}

    def overlaps(f, y, images, k, **options):
        given.update(y=y, images=images, **options)

    monkeypatch.setenv("GAHB_EDITION", "smoke")
    monkeypatch.setattr(harmonics, "harmonic_overlaps", overlaps)
    harmonics._compare(recipe, [(controls.zero, controls.box_blur)], k=5)
    return given


def test_graphs_are_of_the_trained_networks_estimates(quick, monkeypatch):
    given = compared(quick, monkeypatch)
    assert given["images"].equal(controls.box_blur(given["y"]))


def test_components_are_the_principal_ones_of_the_training_images(quick, monkeypatch):
    components = compared(quick, monkeypatch)["components"].flatten(1)
    covariance = quick.train_images().flatten(1).double().T.cov()
    variances = (components @ covariance @ components.T).diagonal()
    torch.testing.assert_close(variances, torch.linalg.eigvalsh(covariance).flip(0)[:5])
    shuffled = quick.but(images="shuffled-leaves")
    others = compared(shuffled, monkeypatch)["components"].flatten(1)
    same = torch.eye(5).double()
    torch.testing.assert_close((components @ others.T).abs(), same, atol=1e-6, rtol=0)


def test_a_measurement_with_other_weights_is_refused(network):
    harmonics.overlaps(NAME)
    (path,) = (gahb.settings.artifacts_folder() / "smoke" / "harmonics").glob("*.json")
    content = json.loads(path.read_text())
    del content["checksum"]  # of what was measured
    path.write_text(json.dumps({**content, "weights": "others"}))
    with pytest.raises(ValueError, match=r"measured with other weights; run: python -m gahb harm"):
        harmonics.overlaps(NAME)


def test_the_laptop_edition_says_how_to_measure(artifacts, monkeypatch):
    monkeypatch.setenv("GAHB_EDITION", "laptop")
    command = "python -m gahb harmonics faces-unet-n10-s1 --control 'box blur' --sigma 0.05$"
    with pytest.raises(FileNotFoundError, match=command):
        harmonics.overlaps("faces-unet-n10-s1", "box blur", sigma=0.05)


def test_the_command_measures_and_tells(network, capsys):
    assert main(["harmonics", NAME, "--control", "untrained"]) == 0
    assert capsys.readouterr().out.startswith(f"{NAME}: own grid 0.")
    assert main(["harmonics", "none"]) == 2
    assert capsys.readouterr().err.startswith("gahb: name: 'none' is unknown")


def test_a_spectrum_is_that_of_the_first_test_image_and_measured_once(network, monkeypatch, capsys):
    assert main(["spectrum", NAME, "--sigma", "0.2"]) == 0
    assert "256 factors from" in capsys.readouterr().out
    monkeypatch.setattr(harmonics, "measure_spectrum", None)
    factors, clean = harmonics.spectrum(NAME, 0.2)
    x = gahb.images.load("leaves", 1, 16, "test")
    y = gahb.noisy(x, 0.2)
    # Symmetric parts have the trace of the Jacobian, and orthonormal bases keep the norm.
    trace = torch.autograd.functional.jacobian(network, y).reshape(256, 256).trace()
    assert torch.allclose(factors.sum(), trace, atol=1e-2)
    assert torch.allclose(clean.norm(), x.norm(), rtol=1e-4)
    assert bool((factors.diff() <= 0).all())
    assert int((clean < 0).sum()) == 0


def test_a_spectrum_needs_noise(network):
    with pytest.raises(ValueError, match=r"^sigma: 0 is not a finite number in \[0.001"):
        harmonics.spectrum(NAME, 0)
