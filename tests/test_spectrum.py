"""Whole spectra: what is measured, kept and read again."""

import pytest
import torch

import gahb
from gahb.__main__ import main
from gahb.book import recipes, spectrum

NAME = "leaves-unet-n10-s1"


@pytest.fixture
def network(artifacts, quick, monkeypatch):
    """A network of the smoke edition, barely trained on ten leaves."""
    monkeypatch.setenv("GAHB_EDITION", "smoke")
    monkeypatch.setattr(recipes, "every", lambda edition=None: {NAME: quick.but(name=NAME)})
    return gahb.load(NAME)


def test_a_spectrum_is_that_of_the_first_test_image_and_measured_once(network, monkeypatch, capsys):
    assert main(["spectrum", NAME, "--sigma", "0.2"]) == 0
    assert "256 factors from" in capsys.readouterr().out
    monkeypatch.setattr(spectrum, "measure_spectrum", None)
    factors, clean = spectrum.spectrum(NAME, 0.2)
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
        spectrum.spectrum(NAME, 0)
