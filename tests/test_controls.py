"""The trivial denoisers of a training, beside which its claims are judged."""

import json

import pytest
import torch

import gahb
from gahb.__main__ import main
from gahb.book import controls, recipes
from gahb.denoiser import at
from gahb.vectors import gray_levels

NAME = "leaves-unet-n10-s1"


@pytest.fixture(scope="module")
def recipe():
    return recipes.get("faces-unet-n100-s1", edition="smoke")


@pytest.fixture(scope="module")
def trivial(recipe):
    return controls.of(recipe)


def test_there_is_one_of_each_name_and_only_those_asked_for(recipe, trivial):
    assert tuple(trivial) == controls.NAMES
    assert list(controls.of(recipe, "zero", "affine")) == ["zero", "affine"]
    with pytest.raises(ValueError, match=r"^names: 'blur'"):
        controls.of(recipe, "blur")


@pytest.mark.parametrize("name", controls.NAMES)
def test_each_can_be_measured_and_sampled_as_networks_are(trivial, name):
    y = gahb.noisy(torch.rand(2, 1, 16, 16), 0.5)
    assert at(trivial[name], 0.5)(y).shape == y.shape
    if name == "untrained":  # it removes no noise
        with pytest.raises(RuntimeError, match="diverged"):
            gahb.sample(trivial[name], 2, 16, seed=0)
    else:
        assert gahb.sample(trivial[name], 2, 16, seed=0).images.isfinite().all()


def test_they_are_what_their_names_say(recipe, trivial):
    x = gray_levels(recipe.train_images())
    y = gahb.noisy(x[:4], 0.1)
    assert trivial["identity"](y).equal(y)
    assert not trivial["zero"](y).any()
    assert torch.allclose(trivial["memorizer"](y, 0.05), x[:4], atol=1e-4)
    assert torch.allclose(trivial["affine"](y, 1e6), x.mean(0), atol=1e-4)
    weights = trivial["untrained"].network.state_dict().values()
    assert all(
        a.equal(b) for a, b in zip(weights, recipe.build().state_dict().values(), strict=True)
    )


def test_two_halves_of_a_set_give_two_denoisers(recipe):
    halves = recipe.train_images().chunk(2)
    y = gray_levels(halves[0][:1])
    exact, other = (controls.of(recipe, "memorizer", images=x)["memorizer"] for x in halves)
    assert torch.allclose(exact(y, 0.01), y, atol=1e-6)
    assert not torch.allclose(other(y, 0.01), y, atol=0.1)


def test_the_blur_keeps_a_flat_image_up_to_its_border():
    flat = torch.full((1, 1, 9, 9), 0.6)
    torch.testing.assert_close(controls.box_blur(flat), flat)


def test_noise_levels_are_the_centers_of_ten_equal_parts():
    sigma = [10 ** (-level / 20) for level in controls.INPUT_PSNR]
    assert sigma == pytest.approx([0.05 + k / 10 for k in range(10)])


def test_the_blur_averages_five_by_five_pixels():
    y = torch.zeros(1, 1, 9, 9)
    y[0, 0, 4, 4] = 25
    blurred = controls.box_blur(y)
    assert torch.allclose(blurred[0, 0, 2:7, 2:7], torch.ones(5, 5))
    assert blurred.sum() == pytest.approx(25)


def test_the_curves_of_an_affine_denoiser_are_measured_once(artifacts, monkeypatch, capsys):
    monkeypatch.setenv("GAHB_EDITION", "smoke")
    assert main(["affine", NAME]) == 0
    assert capsys.readouterr().out.startswith(f"{NAME}: S1 ")
    measured, stored = controls.measure_affine(NAME), controls.affine_curves(NAME)
    assert [curve.per_image.shape for curve in stored.values()] == [(10, 10), (10, 64)]
    for subset, curve in stored.items():
        assert (curve.value - measured[subset].value).abs().max() < 1e-4
        assert (curve - measured[subset]).per_image.shape == curve.per_image.shape  # by image
    # It knows its ten images, and of others what they have in common.
    assert (stored["S1"] - stored["test"]).mean().low > 0.5
    path = artifacts / "smoke" / "affine" / f"{NAME}.json"
    content = json.loads(path.read_text())
    del content["checksum"]
    path.write_text(json.dumps({**content, "weights": "of another recipe"}))
    with pytest.raises(ValueError, match=f"other weights; run: python -m gahb affine {NAME}$"):
        controls.affine_curves(NAME)


def test_the_laptop_edition_says_how_to_measure_them(artifacts, monkeypatch):
    monkeypatch.setenv("GAHB_EDITION", "laptop")
    with pytest.raises(FileNotFoundError, match=r"run: python -m gahb affine faces-unet-n10-s1$"):
        controls.affine_curves("faces-unet-n10-s1")
