"""Wavelets and bandlets: orthogonal, invertible, the best of their bases, and worth their name."""

from __future__ import annotations

import math

import numpy as np
import pytest
import pywt
import torch
from torch import Tensor

from gahb.bandlets import (
    Bandlets,
    Wavelets,
    analysis,
    bases,
    best_approximation,
    haar,
    order,
    scales_of,
    synthesis,
    wavelet_basis,
)
from gahb.images.calpha import calpha_images
from gahb.metrics import psnr_curve

DENOISERS = {
    "wavelets": Wavelets(),
    "bandlets": Bandlets(),
    "spun": Bandlets(shifts=2),
}


def images(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def stripes(side: int, angle: float) -> Tensor:
    """An edge through the center of a square at an angle, -1 on one side and 1 on the other."""
    row, column = torch.meshgrid(*2 * [torch.arange(side) - (side - 1) / 2], indexing="ij")
    distance = math.cos(angle) * row - math.sin(angle) * column
    along = math.sin(angle) * row + math.cos(angle) * column
    return (distance.double() + 1e-6 * along).sign()  # pixels on the line: half on either side


# There are more scales than the filter's length suggests: it then wraps around.
@pytest.mark.filterwarnings("ignore:Level value")
@pytest.mark.parametrize("shape", [(32, 32), (80, 80), (16, 40)])
def test_wavelet_transform_is_that_of_pywavelets(shape: tuple[int, int]) -> None:
    x = images(2, *shape)
    scales = min(scales_of(side) for side in shape)
    approximation, details = analysis(x, scales)
    expected = pywt.wavedecn(x.numpy(), "sym4", "periodization", scales, axes=(-2, -1))
    np.testing.assert_allclose(approximation, expected[0], atol=1e-12)
    for subbands, reference in zip(reversed(details), expected[1:], strict=True):
        for subband, name in zip(subbands.unbind(-3), ("ad", "da", "dd"), strict=True):
            np.testing.assert_allclose(subband, reference[name], atol=1e-12)


def test_wavelet_transform_keeps_energy_and_has_an_inverse() -> None:
    x = images(3, 2, 40, 16)
    approximation, details = analysis(x, 2)
    energy = sum(part.square().sum() for part in (approximation, *details))
    torch.testing.assert_close(energy, x.square().sum())
    torch.testing.assert_close(synthesis(approximation, details), x)


def test_wavelets_as_images_are_orthonormal_and_give_the_transform() -> None:
    basis = wavelet_basis(16).flatten(1)
    torch.testing.assert_close(basis @ basis.T, torch.eye(256).double())
    x = images(16, 16)
    approximation, details = analysis(x, scales=2)
    expected = [approximation.flatten(), details[1].flatten(), details[0].flatten()]
    torch.testing.assert_close(basis @ x.flatten(), torch.cat(expected))


def test_haar_is_orthogonal_and_splits_at_the_middle() -> None:
    for n in range(1, 21):
        np.testing.assert_allclose(haar(n) @ haar(n).T, np.eye(n), atol=1e-12)
        first_half = np.arange(n) < (n + 1) // 2
        assert (np.abs(haar(n) @ first_half) > 1e-9).sum() <= 2


@pytest.mark.parametrize("angle", [0.0, 0.3, math.pi / 4, math.pi / 2, 3.0])
def test_pixels_are_ordered_by_their_distance_from_a_line(angle: float) -> None:
    pixels = order(4, 7, angle)
    assert sorted(pixels) == list(range(28))
    position = np.stack(np.divmod(pixels, 7), axis=1)
    distance, along = (
        position @ [math.cos(angle), -math.sin(angle)],
        position
        @ [
            math.sin(angle),
            math.cos(angle),
        ],
    )
    assert (np.diff(distance) > -1e-9).all()
    assert (np.diff(along)[np.abs(np.diff(distance)) < 1e-9] > 0).all()


@pytest.mark.parametrize("shape", [(4, 4), (8, 8), (16, 16), (8, 4), (1, 4), (2, 5), (1, 1)])
def test_bases_are_orthogonal(shape: tuple[int, int]) -> None:
    every = bases(*shape, directions=8)
    identity = np.eye(math.prod(shape))
    np.testing.assert_allclose(every @ every.swapaxes(1, 2), [identity] * 9, atol=1e-12)
    np.testing.assert_array_equal(every[0], identity)


@pytest.mark.parametrize("k", range(8))
def test_an_edge_is_one_coefficient_in_the_direction_that_fits(k: int) -> None:
    """No pixel exceeds the threshold, and other directions take more than one coefficient."""
    fits, lies_between = (stripes(8, (k + part) * math.pi / 8)[None] for part in (0, 0.5))
    threshold = torch.tensor([5.0]).double()
    kept = best_approximation(fits, threshold, directions=8, squares=(8,))
    torch.testing.assert_close(kept, fits)
    kept = best_approximation(lies_between, threshold, directions=8, squares=(8,))
    assert (kept - lies_between).abs().max() > 0.1


def by_exhaustion(c: Tensor, T: float, sides: tuple[int, ...]) -> tuple[float, Tensor]:
    """Lowest Lagrangian of a rectangle and its approximation: every basis, every way to cut."""
    height, width = c.shape
    candidates = []
    if len(sides) > 1:
        parts = [[part for part in row.split(sides[-2], 1)] for row in c.split(sides[-2])]
        solved = [[by_exhaustion(part, T, sides[:-1]) for part in row] for row in parts]
        cost = sum(cost for row in solved for cost, _ in row)
        candidates.append((cost, torch.cat([torch.cat([p for _, p in r], 1) for r in solved])))
    for k, basis in enumerate(torch.from_numpy(bases(height, width, 3))):
        coefficients = basis @ c.flatten()
        kept = coefficients * (coefficients.abs() > T)
        lost = (coefficients - kept).square().sum()
        cost = float(lost + T**2 * ((kept != 0).sum() + (k > 0)))
        candidates.append((cost, (basis.T @ kept).view_as(c)))
    return min(candidates, key=lambda candidate: candidate[0])


@pytest.mark.parametrize("shape", [(8, 8), (16, 8), (10, 20), (5, 5), (2, 16), (2, 3)])
def test_the_best_basis_is_the_best_of_all(shape: tuple[int, int]) -> None:
    c = images(3, *shape) + 2 * (torch.arange(shape[1]) > torch.arange(shape[0])[:, None] + 1)
    T = torch.tensor([0.8, 1.5, 2.5]).double()
    best = best_approximation(c, T, directions=3, squares=(2, 4, 8))
    for each, threshold, found in zip(c, T.tolist(), best, strict=True):
        squares = [row.split(8, 1) for row in each.split(8)]
        solved = [[by_exhaustion(s, threshold, (2, 4, 8))[1] for s in row] for row in squares]
        torch.testing.assert_close(found, torch.cat([torch.cat(row, 1) for row in solved]))


@pytest.mark.parametrize("name", ["wavelets", "bandlets"])
@pytest.mark.parametrize("sigma", [0.1, 0.5])
def test_the_jacobian_is_an_orthogonal_projection(name: str, sigma: float) -> None:
    """Which it can only be if the basis vectors, wavelet transform included, are orthonormal."""
    f, y = DENOISERS[name].at(sigma), stripes(16, 0.4)[None, None] + sigma * images(1, 1, 16, 16)
    J = torch.autograd.functional.jacobian(lambda y: f(y).flatten(), y).view(256, 256)
    torch.testing.assert_close(J, J.T)
    torch.testing.assert_close(J @ J, J)
    torch.testing.assert_close(J @ y.flatten(), f(y).flatten())
    rank = float(J.trace())
    assert abs(rank - round(rank)) < 1e-6 and 16 < rank < 200


@pytest.mark.parametrize("name", DENOISERS)
def test_nothing_is_lost_without_noise_and_all_details_with_endless_noise(name: str) -> None:
    f, y = DENOISERS[name], images(2, 3, 16, 24)
    torch.testing.assert_close(f(y, 1e-9), y)
    flat = f(y, 1e9)
    torch.testing.assert_close(flat.mean(dim=(2, 3)), y.mean(dim=(2, 3)))
    assert flat.square().sum() < 0.2 * y.square().sum()


@pytest.mark.parametrize("alpha", [2, 4])
@pytest.mark.parametrize("shifts", [1, 2])
def test_bandlets_beat_wavelets_on_regular_images(alpha: float, shifts: int) -> None:
    x = calpha_images(range(40), 32, alpha, subset="test", seed=7).float()
    curves = [psnr_curve(kind(shifts=shifts), x, [10, 20, 30]) for kind in (Bandlets, Wavelets)]
    gain = curves[0].per_image - curves[1].per_image
    standard_error = gain.std(dim=1) / len(x) ** 0.5
    assert (gain.mean(dim=1) > 0.1).all()
    assert (gain.mean(dim=1) > 2 * standard_error).all()


@pytest.mark.parametrize("name", ["wavelets", "bandlets"])
def test_each_image_can_have_a_noise_level_of_its_own(name: str) -> None:
    f, y, sigma = DENOISERS[name], images(3, 2, 16, 16), torch.tensor([0.01, 0.3, 2.0])
    one_by_one = [f(y[i : i + 1], s) for i, s in enumerate(sigma.tolist())]
    torch.testing.assert_close(f(y, sigma), torch.cat(one_by_one))
    assert f(y.float(), 0.1).dtype == torch.float32


def test_spun_over_all_shifts_denoising_commutes_with_them() -> None:
    y = images(2, 1, 16, 16)
    f = Wavelets(shifts=4).at(0.5)  # two scales: a period of four pixels
    shift = ((3, 6), (-2, -1))
    torch.testing.assert_close(f(y.roll(*shift)), f(y).roll(*shift))
    single = Wavelets().at(0.5)
    assert (single(y.roll(*shift)) - single(y).roll(*shift)).abs().max() > 0.1


def test_spinning_is_the_average_over_shifts() -> None:
    y, f = images(2, 1, 16, 16), Bandlets().at(0.5)
    shifts = [(0, 0), (0, 1), (1, 0), (1, 1)]
    each = [f(y.roll(s, (-2, -1))).roll((-s[0], -s[1]), (-2, -1)) for s in shifts]
    torch.testing.assert_close(Bandlets(shifts=2)(y, 0.5), torch.stack(each).mean(dim=0))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda y: Wavelets()(y), r"sigma: not given; accepted: f\(y, sigma\)"),
        (lambda y: Bandlets()(y, 0.0), "sigma: 0.0 is not a finite number"),
        (lambda y: Bandlets()(y, float("nan")), "sigma: nan is not"),
        (lambda y: Bandlets()(y, torch.ones(2)), "sigma: 2 noise levels for 3 noisy images"),
        (lambda y: Bandlets()(y, torch.zeros(3)), "sigma: 0.0 is not a finite number"),
        (lambda y: Bandlets()(y, torch.ones(3, 1)), r"sigma: .* of shape \(3, 1\) is not"),
        (lambda y: Wavelets()(y[0], 0.1), r"y: shape \(1, 16, 16\) is not"),
        (lambda y: Wavelets()(y[..., :9], 0.1), r"y: shape \(3, 1, 16, 9\); accepted: even sides"),
        (lambda y: Wavelets()(y.int(), 0.1), "y: dtype torch.int32 is not"),
        (lambda y: Wavelets(shifts=0), "shifts: 0 is not a whole number of at least 1"),
        (lambda y: wavelet_basis(6), "size: 6 is not a whole number of at least 8"),
        (lambda y: wavelet_basis(9), "size: 9 is odd; accepted: an even"),
    ],
)
def test_bad_input_gives_one_clear_line(call, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=f"^{message}") as error:
        call(images(3, 1, 16, 16))
    assert "\n" not in str(error.value)
