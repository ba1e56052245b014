"""C-alpha images: as regular as they say, contour and backgrounds each, to a part of a pixel."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from gahb.images import load
from gahb.images.calpha import (
    BATCH,
    FINENESS,
    backgrounds,
    calpha_images,
    contours,
    draw_calpha,
    shares_below,
)

WHOLE_RANGE = np.array([[0.0, 1.0]])


def noise(*shape: int) -> NDArray[np.float64]:
    return np.random.RandomState(0).uniform(-0.5, 0.5, size=shape)


def decay(frequencies: NDArray[np.float64], amplitudes: NDArray[np.float64]) -> float:
    """Exponent of the power law that amplitudes follow, by least squares."""
    return -float(np.polyfit(np.log(frequencies), np.log(amplitudes), 1)[0])


@pytest.mark.parametrize("alpha", [0.5, 1, 1.5, 3, 5])
def test_frequencies_of_contours_decay_by_alpha(alpha: float) -> None:
    spectra = np.abs(np.fft.rfft(contours(noise(400, 128), alpha)))
    frequencies = np.arange(1.0, 64)
    measured = decay(frequencies, np.sqrt((spectra[:, 1:64] ** 2).mean(axis=0)))
    assert abs(measured - alpha) < 0.03


@pytest.mark.parametrize("alpha", [0.5, 1, 1.5, 3, 5])
def test_frequencies_of_backgrounds_decay_by_alpha_in_all_directions(alpha: float) -> None:
    planes = backgrounds(noise(200, 2, 32, 32), alpha, WHOLE_RANGE)[1]
    spectrum = np.sqrt((np.abs(np.fft.fft2(planes)) ** 2).mean(axis=0))
    vertical, horizontal = np.meshgrid(*2 * [np.fft.fftfreq(32, 1 / 32)], indexing="ij")
    radius = np.hypot(vertical, horizontal)
    steep = np.abs(vertical) > np.abs(horizontal)
    for some in (radius > 0, steep, steep.T & (radius < 12)):
        assert abs(decay(radius[some], spectrum[some]) - alpha) < 0.05


def test_contours_have_one_size_whatever_the_number_of_points() -> None:
    deviations = [contours(noise(4000, k), 2).std() for k in (32, 128)]
    # sqrt of the sum of k^-4 over positive and negative frequencies, and one for the constant.
    expected = (1 + 2 * np.pi**4 / 90) ** 0.5 / 16
    np.testing.assert_allclose(deviations, expected, rtol=0.03)
    assert abs(contours(noise(4000, 32), 2).mean() - 0.5) < 0.003


def test_a_pixel_is_shared_by_area() -> None:
    flat = shares_below(np.full((1, 8 * FINENESS), 0.4), size=8)[0]
    np.testing.assert_allclose(flat, np.array([0, 0, 0, 0.8, 1, 1, 1, 1])[:, None] * np.ones(8))
    slanted = np.linspace(0, 1, 8 * FINENESS)[None]
    shares = shares_below(slanted, size=8)[0]
    np.testing.assert_allclose(shares.mean(axis=0), 1 - slanted.reshape(8, -1).mean(axis=1))
    assert set(shares[np.tril_indices(8, -1)]) == {1} and set(shares[np.triu_indices(8, 1)]) == {0}


def test_backgrounds_fill_their_ranges() -> None:
    ranges = np.array([[0.3, 0.6], [0.9, 0.1]])
    bright, dark = backgrounds(noise(2, 2, 16, 16), 2, ranges)
    np.testing.assert_allclose(bright.min(axis=(1, 2)), ranges[:, 0])
    np.testing.assert_allclose(bright.max(axis=(1, 2)), 1)
    np.testing.assert_allclose(dark.min(axis=(1, 2)), 0, atol=1e-12)
    np.testing.assert_allclose(dark.max(axis=(1, 2)), ranges[:, 1])


def test_contour_and_background_are_each_as_regular_as_asked() -> None:
    """Far above the contour it is the background that counts, in the middle the contour as well."""
    regularities = {"rough": (1, 1), "mixed": (1, 8), "smooth": (8, 8)}
    x = {name: calpha_images(range(20), 32, *both) for name, both in regularities.items()}
    far = {name: images[:, :, :4] for name, images in x.items()}
    torch.testing.assert_close(far["mixed"], far["smooth"])
    bends = {name: images.diff(n=2).abs().mean() for name, images in far.items()}
    assert bends["mixed"] < 0.1 * bends["rough"]
    bends = {name: images[:, :, 8:24].diff(n=2).abs().mean() for name, images in x.items()}
    assert bends["mixed"] > 2 * bends["smooth"]


def test_the_brighter_side_is_above_as_often_as_below() -> None:
    x = calpha_images(range(400), 8, 3)
    brighter_above = (x[:, 0, 0].mean(dim=1) > x[:, 0, -1].mean(dim=1)).double()
    assert 0.4 < brighter_above.mean() < 0.6


def test_gray_levels_are_the_nearest_to_the_image() -> None:
    exact = 255 * calpha_images(range(4), 16, 1.5, 8, "test", seed=3)
    drawn = draw_calpha(range(4), 16, "test", seed=3, contour=1.5, background=8)
    assert drawn.shape == (4, 1, 16, 16) and drawn.dtype == torch.uint8
    assert (drawn - exact).abs().max() <= 0.5
    assert 0 <= exact.min() < 20 and 235 < exact.max() <= 255


def test_an_image_depends_on_seed_subset_and_index_alone() -> None:
    def draw(indices, subset="S1", seed=0):
        return draw_calpha(indices, 16, subset, seed, contour=2, background=2)

    together = draw(range(BATCH + 3))
    assert torch.equal(draw([BATCH, 1]), together[[BATCH, 1]])
    others = [draw([0], "S2"), draw([0], "test"), draw([0], seed=1)]
    assert len(torch.cat([together, *others]).flatten(1).unique(dim=0)) == BATCH + 6


@pytest.mark.parametrize(
    ("name", "contour", "background"),
    [("calpha1", 1, 1), ("calpha4", 4, 4), ("calpha1.5-8", 1.5, 8)],
)
def test_classes_are_named_by_their_regularity(
    name: str, contour: float, background: float, tmp_path, monkeypatch
) -> None:
    monkeypatch.setenv("GAHB_CACHE", str(tmp_path))
    exact = calpha_images(range(2), 16, contour, background, "S2")
    torch.testing.assert_close(load(name, 2, 16, "S2").double(), exact, atol=0.51 / 255, rtol=0)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"indices": []}, ValueError, "indices: there are none"),
        ({"indices": [-1]}, ValueError, "indices: -1 is not a whole number"),
        ({"size": 4}, ValueError, "size: 4 is not a whole number of at least 8"),
        ({"contour": 0.2}, ValueError, r"contour: 0.2 is not a finite number in \[0.5, 16\]"),
        ({"contour": "2"}, TypeError, "contour: '2' is not a finite number"),
        ({"background": float("nan")}, ValueError, "background: nan is not a finite number"),
        ({"subset": "train"}, ValueError, "subset: 'train' is unknown; accepted: S1, S2, test"),
        ({"seed": -1}, ValueError, "seed: -1 is not a whole number"),
    ],
)
def test_bad_arguments_are_named_in_one_line(arguments, error, words: str) -> None:
    with pytest.raises(error, match=f"^{words}") as caught:
        calpha_images(**({"indices": [0], "size": 16, "contour": 2.0} | arguments))
    assert "\n" not in str(caught.value)
