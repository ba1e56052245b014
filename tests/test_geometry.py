"""Graph Laplacians of images: what is known exactly, and that the overlap fails where it should."""

import math
from functools import partial

import numpy as np
import pytest
import scipy
import torch
from scipy.fft import dctn
from scipy.ndimage import gaussian_filter

from gahb import geometry
from gahb.denoiser import FixedSigma
from gahb.geometry import (
    GRAPHS,
    GraphHarmonics,
    basis_overlap,
    contour_frequencies,
    cosines,
    harmonic_overlaps,
    laplacian,
    on_one_pixel,
    smoothest,
    spread,
)
from gahb.images import load
from gahb.metrics import noisy, psnr


def halves(size=12):
    image = torch.zeros(1, 1, size, size)
    image[..., size // 2 :] = 1
    return image


@pytest.mark.parametrize("graph", GRAPHS)
def test_a_laplacian_is_symmetric_positive_and_kills_constants(graph):
    matrix = laplacian(torch.rand(1, 2, 9, 7), graph).toarray()
    assert np.array_equal(matrix, matrix.T)
    assert np.abs(matrix.sum(1)).max() < 1e-12
    assert np.linalg.eigvalsh(matrix).min() > -1e-12


def test_two_constant_halves_have_their_indicators_and_then_their_own_cosines():
    size = 12
    vectors = smoothest(laplacian(2 * halves(size), "grid"), 6, (size, size))
    # The kernel is that of two separate grids; the next are the slowest cosines of each.
    left, right = torch.zeros(2, 1, size, size), torch.zeros(2, 1, size, size)
    column = torch.arange(size // 2, dtype=torch.float64)
    row = torch.arange(size, dtype=torch.float64)
    down = torch.cos(np.pi * (row + 0.5) / size)[:, None].expand(size, size // 2)
    left[0, 0, :, : size // 2], right[0, 0, :, size // 2 :] = 1, 1
    left[1, 0, :, : size // 2], right[1, 0, :, size // 2 :] = down, down
    expected = torch.cat([left, right]).double()
    expected = expected / expected.flatten(1).norm(dim=1)[:, None, None, None]
    assert len(column) == 6
    assert basis_overlap(vectors[:4], expected) == pytest.approx(1, abs=1e-9)


def test_without_contrast_the_smoothest_are_cosines():
    size, k = 8, 10
    vectors = smoothest(laplacian(torch.ones(1, 1, size, size), "grid"), k, (size, size))
    frequencies = [
        (2 - 2 * np.cos(np.pi * i / size)) + (2 - 2 * np.cos(np.pi * j / size))
        for i in range(size)
        for j in range(size)
    ]
    level = sorted(frequencies)[k] - 1e-9
    low = (np.array(frequencies) < level).reshape(size, size)
    spectrum = dctn(vectors[:, 0].numpy(), axes=(1, 2), norm="ortho")
    assert low.sum() <= k
    assert (spectrum[: low.sum()] ** 2)[:, low].sum(1) == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("graph", GRAPHS)
def test_the_overlap_tells_an_image_from_another(graph):
    own = smoothest(laplacian(halves(), graph), 12, (12, 12))
    other = smoothest(laplacian(halves().mT, graph), 12, (12, 12))
    shuffled = halves().flatten()[torch.randperm(144)].view(1, 1, 12, 12)
    broken = smoothest(laplacian(shuffled, graph), 12, (12, 12))
    random = torch.linalg.qr(torch.randn(144, 12).double())[0].T.view(12, 1, 12, 12)
    assert basis_overlap(own, own) == pytest.approx(1)
    # That of another image, of one without geometry, of chance (12 / 144).
    assert basis_overlap(own, other) < 0.8
    assert basis_overlap(own, broken) < 0.5
    assert basis_overlap(random, own) < 0.2


def test_patches_see_texture_where_pixels_do_not():
    stripes = (torch.arange(16) % 2).float().expand(16, 16)
    image = torch.where(torch.arange(16)[:, None] < 8, stripes, stripes.T)[None, None]
    upper = torch.zeros(1, 1, 16, 16)
    upper[..., :8, :] = 1 / np.sqrt(128)
    by_patches, by_pixels = (
        smoothest(laplacian(image / 2, graph), 6, (16, 16)) for graph in ("patches", "grid")
    )
    assert basis_overlap(upper, by_patches) > 0.99 > 0.95 > basis_overlap(upper, by_pixels)


def test_spread_is_between_one_pixel_and_all():
    vectors = torch.stack([torch.full((4, 4), 0.25), torch.eye(16)[3].view(4, 4)])[:, None]
    assert spread(vectors).tolist() == [16, 1]


def test_a_vector_is_on_one_pixel_with_more_than_half_its_energy_there():
    vectors = torch.zeros(3, 16)
    vectors[0, :2] = torch.tensor([-0.8, 0.6])
    vectors[1, :4] = 0.5
    vectors[2] = 0.25
    assert on_one_pixel(vectors.view(3, 1, 4, 4)) == 1
    assert on_one_pixel(vectors[1:].view(2, 1, 4, 4)) == 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: laplacian(torch.rand(2, 1, 4, 4), "grid"), "^image: 2 images; accepted: one"),
        (lambda: laplacian(torch.rand(4, 4), "grid"), "^image: "),
        (lambda: laplacian(torch.rand(1, 1, 4, 4), "tree"), "^graph: 'tree' is unknown; "),
        (lambda: smoothest(laplacian(torch.rand(1, 1, 4, 4), "grid"), 16, (4, 4)), "^k: 16 is not"),
        (lambda: smoothest(laplacian(torch.rand(1, 1, 4, 4), "grid"), 2, (4, 5)), "^size: "),
        (lambda: basis_overlap(torch.ones(2, 1, 2, 2), torch.ones(1, 1, 2, 2)), "^vectors: "),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# --- Frequencies along and across contours ---


def waves(down, right, size=24):
    rows, columns = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    return torch.cos(down * rows + right * columns + 0.3)[None, None].double()


@pytest.mark.parametrize("turned", [False, True])
def test_a_wave_across_stripes_has_its_frequency_across(turned):
    stripes, wave, other = waves(0, 0.7, 64), waves(0, 0.4, 64), waves(0.9, 0, 64)
    if turned:
        stripes, wave, other = (each.mT for each in (stripes, wave, other))
    along, across = contour_frequencies(torch.cat([wave, other]), stripes)
    expected = 2 * np.sin([0.4 / 2, 0.9 / 2])  # of differences, below the frequency itself
    assert across.tolist() == pytest.approx([expected[0], 0], abs=0.02)
    assert along.tolist() == pytest.approx([0, expected[1]], abs=0.02)


def test_contours_may_be_oblique():
    along, across = contour_frequencies(waves(0.3, 0.3), waves(0.4, 0.4))
    assert float(across) == pytest.approx(0.3 * 2**0.5, rel=0.05)
    assert float(along) < 0.02


def test_frequencies_are_read_where_the_contours_are():
    stripes = torch.cat([waves(0, 0.7, 64), torch.zeros(1, 1, 64, 64)], dim=2)
    here = torch.cat([waves(0, 0.5, 64), waves(1.5, 0, 64)], dim=2)
    along, across = contour_frequencies(here, stripes)
    assert float(across) == pytest.approx(2 * np.sin(0.25), abs=0.05)
    assert float(along) < 0.2


def test_an_image_without_contours_is_refused():
    with pytest.raises(ValueError, match="image: has no contour"):
        contour_frequencies(torch.rand(2, 1, 8, 8), torch.ones(1, 1, 8, 8))


# --- How harmonic, how adaptive: the measure must fail where it should ---


def projected(spaces):
    """The denoiser that projects each image on its own space, found by what is closest."""

    def f(y):
        (space,) = (space for image, space in spaces if torch.equal(y, image))
        flat = space.flatten(1)
        weights = torch.linspace(1, 0.5, len(flat), dtype=y.dtype)
        return ((y.flatten(1) @ flat.T * weights) @ flat).view(y.shape)

    return f


@pytest.mark.parametrize("kind", ["own", "random", "cosines"])
def test_overlaps_tell_adaptive_from_harmonic_from_neither(kind):
    k, size = 8, (12, 12)
    images = torch.cat([halves(), halves().mT]).double()
    images = images + 0.01 * torch.rand(images.shape, dtype=torch.float64)
    generator = torch.Generator().manual_seed(3)
    spaces = {
        "own": [smoothest(laplacian(one, "grid"), k, size) for one in images.split(1)],
        "cosines": [smoothest(laplacian(0 * images[:1], "grid"), k, size)] * 2,
        "random": [
            torch.linalg.qr(torch.randn(144, k, generator=generator, dtype=torch.float64))[
                0
            ].T.view(k, 1, *size)
            for _ in range(2)
        ],
    }[kind]
    f = projected(list(zip(images.split(1), spaces, strict=True)))
    components = torch.eye(144, dtype=torch.float64)[:k].view(k, 1, *size)
    found = {
        name: float(each.mean())
        for name, each in harmonic_overlaps(f, images, images, k, components=components).items()
    }
    assert found["chance"] == pytest.approx(k / 144)
    if kind == "own":
        assert found["own grid"] == pytest.approx(1, abs=1e-6)
        assert found["other grid"] < 0.75 and found["components"] < 0.2
        assert found["shuffled grid"] < 0.3
    elif kind == "cosines":
        assert found["cosines"] == pytest.approx(1, abs=1e-6)
        assert abs(found["own grid"] - found["other grid"]) < 0.05
    else:
        assert all(each < 0.2 for each in found.values())


def test_overlaps_need_another_image():
    with pytest.raises(ValueError, match="images: 1 for 1 noisy ones"):
        harmonic_overlaps(lambda y: y, torch.rand(1, 1, 8, 8), torch.rand(1, 1, 8, 8), 2)


# --- Thresholding in the harmonics of the noisy image ---


def test_cosines_do_not_depend_on_the_rounding_of_a_solver():
    vectors = GraphHarmonics(rounds=0).basis(torch.rand(1, 1, 4, 6), 0.1)
    grid = torch.from_numpy(laplacian(torch.zeros(1, 1, 4, 6), "grid").toarray())
    costs = vectors.flatten(1) @ grid @ vectors.flatten(1).T
    assert torch.allclose(costs, costs.diagonal().diag(), atol=1e-12)
    assert (costs.diagonal().diff() > -1e-12).all()
    # Each is a cosine down times a cosine across, where a solver mixes those of one eigenvalue.
    singular = torch.linalg.svdvals(vectors[:, 0])
    assert torch.allclose(singular[:, 0], torch.ones(24, dtype=torch.float64))


def test_without_rounds_it_thresholds_in_cosines():
    y = torch.rand(2, 1, 8, 8, dtype=torch.float64)
    spectrum = dctn(y[:, 0].numpy(), axes=(1, 2), norm="ortho")
    basis = GraphHarmonics(rounds=0).basis(y[:1], 0.1)
    assert basis_overlap(basis, torch.eye(64).view(64, 1, 8, 8)) == pytest.approx(1)
    found = GraphHarmonics(rounds=0)(y, 1e-9)
    assert torch.allclose(found, y, atol=1e-7)
    assert np.abs(spectrum[:, 0, 0] - 8 * y.mean((1, 2, 3)).numpy()).max() < 1e-10
    flat = GraphHarmonics(rounds=0)(y, 3.0)  # not even the mean is above 9: it is 8 at most
    assert torch.allclose(flat, torch.zeros_like(y), atol=1e-10)


def test_a_graph_made_from_the_noisy_image_helps_at_a_sharp_contour():
    x = (0.2 + 0.6 * halves(16)).repeat(4, 1, 1, 1)
    x[1:3] = x[1:3].mT.clone()
    y = noisy(x, 0.1)
    values = [psnr(GraphHarmonics(rounds=rounds)(y, 0.1), x).mean() for rounds in (0, 1)]
    assert values[1] > values[0] + 3


def test_the_solver_does_not_choose_the_harmonics_of_a_flat_estimate(monkeypatch):
    """Its graph has the symmetries of the square, and so many eigenvalues that are equal."""
    flat = torch.full((1, 1, 16, 16), 0.5, dtype=torch.float64)
    found = GraphHarmonics().basis(flat, 0.8)
    other = partial(scipy.linalg.eigh, driver="evd")
    monkeypatch.setattr(geometry, "eigh", lambda matrix, subset_by_index: other(matrix))
    assert torch.allclose(found.abs(), GraphHarmonics().basis(flat, 0.8).abs(), atol=1e-6)


def test_a_graph_may_have_more_lone_pixels_than_vectors_are_asked_for():
    """All of them are in its kernel, in which a search for the smoothest never ends."""
    size = (33, 33)  # above what is decomposed whole
    grid = laplacian(2 * torch.rand(1, 1, *size), "grid")
    assert (grid.diagonal() < 1e-9).sum() > 50
    vectors = smoothest(grid, 5, size).flatten(1)
    assert torch.allclose(vectors @ vectors.T, torch.eye(5, dtype=torch.float64), atol=1e-9)
    assert np.abs(grid @ vectors.numpy().T).max() < 1e-6


def test_each_image_has_its_own_noise_level():
    x = load("faces", n=2, size=16, subset="test")
    y = noisy(x, torch.tensor([0.05, 0.3]))
    together = GraphHarmonics()(y, torch.tensor([0.05, 0.3]))
    alone = [FixedSigma(GraphHarmonics(), s)(y[i : i + 1]) for i, s in enumerate((0.05, 0.3))]
    assert torch.equal(together, torch.cat(alone))


def test_edges_have_gaussian_weights_in_the_mean_over_channels():
    x = torch.tensor([[0, 0.1]]).expand(2, 2)[None, None]
    assert laplacian(x, "grid")[0, 1] == pytest.approx(-math.exp(-0.5))
    x = torch.rand(1, 1, 4, 4)
    assert abs(laplacian(x.repeat(1, 3, 1, 1), "grid") - laplacian(x, "grid")).max() < 1e-12


def test_frequencies_are_those_of_their_definition():
    x, v = np.random.default_rng(0).random((2, 12, 10))

    def slopes(a):
        down, across = a[1:] - a[:-1], a[:, 1:] - a[:, :-1]
        return np.stack([(down[:, 1:] + down[:, :-1]) / 2, (across[1:] + across[:-1]) / 2])

    tensor = np.array([[gaussian_filter(a * b, 1.0) for b in slopes(x)] for a in slopes(x)])
    values, directions = np.linalg.eigh(tensor.transpose(2, 3, 0, 1))
    weight = values[..., 1] - values[..., 0]
    energy = (v[1:, 1:] ** 2 + v[1:, :-1] ** 2 + v[:-1, 1:] ** 2 + v[:-1, :-1] ** 2) / 4
    found = contour_frequencies(torch.from_numpy(v)[None, None], torch.from_numpy(x)[None, None])
    for k in (0, 1):  # along the contour, and across
        steps = np.einsum("aij,ija->ij", slopes(v), directions[..., k])
        expected = math.sqrt((weight * steps**2).sum() / (weight * energy).sum())
        assert float(found[k]) == pytest.approx(expected)


def test_graph_harmonics_keep_what_exceeds_three_deviations():
    wave = cosines(8, 8)[9]
    below, above = GraphHarmonics(rounds=0)(torch.stack([2.9 * wave, 3.1 * wave]), 1.0)
    assert below.abs().max() < 1e-9
    torch.testing.assert_close(above, 3.1 * wave)


def test_the_other_image_is_the_next_one():
    x = torch.rand(3, 1, 6, 6).double()
    space = smoothest(laplacian(x[1:2], "grid"), 4, (6, 6)).flatten(1)
    found = harmonic_overlaps(lambda y: (y.flatten(1) @ space.T @ space).view_as(y), x, x, k=4)
    assert float(found["other grid"][0]) == pytest.approx(1)


def test_a_pixel_has_all_its_channels():
    single, flat = torch.zeros(1, 3, 4, 4), torch.full((1, 3, 4, 4), 48**-0.5)
    single[0, :, 1, 2] = 3**-0.5
    color = torch.cat([single, flat])
    torch.testing.assert_close(spread(color), torch.tensor([1, 16]).double())
    assert on_one_pixel(color) == 1


def test_a_graph_of_patches_may_be_narrow():
    narrow = laplacian(torch.zeros(1, 1, 2, 6))
    # Of pixel (0, 0): three to the right, and those below it up to two to the right.
    assert narrow.toarray()[0].nonzero()[0].tolist() == [0, 1, 2, 3, 6, 7, 8]
    with pytest.raises(ValueError, match=r"^image: 1 x 6 pixels; accepted: sides of at least 2"):
        laplacian(torch.zeros(1, 1, 1, 6))


@pytest.mark.parametrize(
    ("shape", "message"),
    [((2, 3, 4, 4), "^y: 3 channels where 1 are accepted"), ((2, 1, 4, 5), "^y: 4 x 5 pixels")],
)
def test_overlaps_are_of_gray_squares(shape, message):
    y = torch.rand(shape)
    with pytest.raises(ValueError, match=message):
        harmonic_overlaps(lambda y: y, y, y, k=2)
