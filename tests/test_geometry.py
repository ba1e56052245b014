"""Graph Laplacians of images: what is known exactly, and that the overlap fails where it should."""

import numpy as np
import pytest
import torch
from scipy.fft import dctn

from gahb.geometry import basis_overlap, grid_laplacian, patch_laplacian, smoothest, spread


def halves(size=12):
    image = torch.zeros(1, 1, size, size)
    image[..., size // 2 :] = 1
    return image


@pytest.mark.parametrize("laplacian", [grid_laplacian, patch_laplacian])
def test_a_laplacian_is_symmetric_positive_and_kills_constants(laplacian):
    matrix = laplacian(torch.rand(1, 2, 9, 7)).toarray()
    assert np.array_equal(matrix, matrix.T)
    assert np.abs(matrix.sum(1)).max() < 1e-12
    assert np.linalg.eigvalsh(matrix).min() > -1e-12


def test_two_constant_halves_have_their_indicators_and_then_their_own_cosines():
    size = 12
    vectors = smoothest(grid_laplacian(halves(size), contrast=0.05), 6, (size, size))
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
    vectors = smoothest(
        grid_laplacian(torch.rand(1, 1, size, size), contrast=None), k, (size, size)
    )
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


@pytest.mark.parametrize("laplacian", [grid_laplacian, patch_laplacian])
def test_the_overlap_tells_an_image_from_another(laplacian):
    own = smoothest(laplacian(halves()), 12, (12, 12))
    other = smoothest(laplacian(halves().mT), 12, (12, 12))
    shuffled = halves().flatten()[torch.randperm(144)].view(1, 1, 12, 12)
    broken = smoothest(laplacian(shuffled), 12, (12, 12))
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
    by_patches = smoothest(patch_laplacian(image, radius=3, contrast=0.2), 6, (16, 16))
    by_pixels = smoothest(grid_laplacian(image, contrast=0.2), 6, (16, 16))
    assert basis_overlap(upper, by_patches) > 0.99 > 0.95 > basis_overlap(upper, by_pixels)


def test_spread_is_between_one_pixel_and_all():
    vectors = torch.stack([torch.full((4, 4), 0.25), torch.eye(16)[3].view(4, 4)])[:, None]
    assert spread(vectors).tolist() == [16, 1]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: grid_laplacian(torch.rand(2, 1, 4, 4)), "^image: 2 images; accepted: one"),
        (lambda: grid_laplacian(torch.rand(4, 4)), "^image: "),
        (lambda: grid_laplacian(torch.rand(1, 1, 4, 4), contrast=0), "^contrast: 0 is not"),
        (lambda: patch_laplacian(torch.rand(1, 1, 4, 4), patch=2), "^patch: 2 is even"),
        (lambda: smoothest(grid_laplacian(torch.rand(1, 1, 4, 4)), 16, (4, 4)), "^k: 16 is not"),
        (lambda: smoothest(grid_laplacian(torch.rand(1, 1, 4, 4)), 2, (4, 5)), "^size: "),
        (lambda: basis_overlap(torch.ones(2, 1, 2, 2), torch.ones(1, 1, 2, 2)), "^vectors: "),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
