"""The measurement of model variance: what it compares, and what it depends on."""

import json

import pytest
import torch

import gahb
from gahb.__main__ import main
from gahb.book import recipes
from gahb.book.variance import closest_images, measure_variance, path_of
from gahb.settings import read_json, write_json


@pytest.fixture
def pair(artifacts, quick, monkeypatch):
    """Two networks of the smoke edition, barely trained on ten leaves each."""
    return known_pair(quick, monkeypatch, n=10)


def known_pair(quick, monkeypatch, n, updates=100):
    monkeypatch.setenv("GAHB_EDITION", "smoke")
    known = {
        name: quick.but(name=name, n=n, subset=subset, updates=updates)
        for name, subset in ((f"faces-unet-n{n}-s1", "S1"), (f"faces-unet-n{n}-s2", "S2"))
    }
    monkeypatch.setattr(recipes, "every", lambda edition=None: known)
    return known


def test_it_compares_samples_from_the_same_noise(pair):
    measured = measure_variance("faces-unet", 10)
    drawn = [gahb.sample(gahb.load(name), 8, 16, seed=0).images for name in pair]
    assert torch.allclose(measured.between, gahb.cosine_similarity(*drawn))
    for row, images, recipe in zip(measured.to_train, drawn, pair.values(), strict=True):
        among = gahb.images.load("leaves", 10, 16, recipe.subset)
        assert torch.allclose(row, gahb.closest(images, among).value[:, 0])
    for row, images, subset in zip(measured.to_train, drawn, ("S1", "S2"), strict=True):
        picked = closest_images("faces-unet", 10, subset, 8)
        assert torch.allclose(gahb.cosine_similarity(images, picked), row)


def test_it_judges_each_network_by_its_own_training_images(pair):
    measured = measure_variance("faces-unet", 10)
    sets = [gahb.images.load("leaves", 10, 16, subset) for subset in ("S1", "S2")]
    for i, name in enumerate(pair):
        drawn = gahb.sample(gahb.load(name), 8, 16, seed=0).images
        verdict = gahb.similarity.verdicts(drawn, sets[i], sets[1 - i], same=0.95)
        assert measured.verdicts[i] == verdict.each
        assert torch.allclose(measured.ratio[i], verdict.ratio)
    similarity = gahb.cosine_similarity(
        sets[0][:, None].expand(-1, 10, -1, -1, -1).flatten(0, 1), sets[1].repeat(10, 1, 1, 1)
    )
    assert torch.allclose(measured.between_sets, similarity.view(10, 10).amax(1))


def test_the_ratio_of_a_single_image_is_undefined(artifacts, quick, monkeypatch):
    known_pair(quick, monkeypatch, n=1, updates=300)
    measured, again = gahb.variance("faces-unet", 1), gahb.variance("faces-unet", 1)
    assert measured.ratio.isnan().all()
    assert again.ratio.isnan().all()
    assert again.ratio.shape == (2, 8)
    json.loads(path_of("faces-unet", 1).read_text(), parse_constant=pytest.fail)


@pytest.mark.parametrize(
    ("subset", "count", "message"),
    [("S3", 1, "subset: 'S3' is unknown; accepted: S1, S2"), ("S1", 9, "count: 9 is not a whole")],
)
def test_bad_requests_for_closest_images_are_named(pair, subset, count, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        closest_images("faces-unet", 10, subset, count)


def test_it_is_read_again_as_it_was_measured(pair, monkeypatch):
    measured = gahb.variance("faces-unet", 10)
    monkeypatch.setattr("gahb.book.variance.measure_variance", None)
    again = gahb.variance("faces-unet", 10)
    assert torch.allclose(again.between, measured.between, atol=1e-5)
    assert torch.allclose(again.to_train, measured.to_train, atol=1e-5)
    assert torch.equal(again.steps, measured.steps)
    assert torch.equal(again.closest, measured.closest)
    assert torch.allclose(again.ratio, measured.ratio, atol=1e-5)
    assert torch.allclose(again.between_sets, measured.between_sets, atol=1e-4)
    assert again.verdicts == measured.verdicts
    assert again.n == measured.n == 10


def test_a_measurement_with_other_weights_is_refused(pair):
    gahb.variance("faces-unet", 10)
    path = path_of("faces-unet", 10)
    content = read_json(path)
    write_json(path, {**content, "weights": content["weights"][::-1]})
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
