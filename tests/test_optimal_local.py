"""Analytic denoisers of parts of images, against their definitions written out in full."""

import math
from functools import partial

import pytest
import torch

from gahb.basis import adaptive_basis
from gahb.basis.jacobian import jacobian_at
from gahb.optimal import CovarianceLocal, EmpiricalBayes, EquivariantLocal, Gaussian, Local

SIDES = (6, 5)


def images(n=4, channels=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(n, channels, *SIDES, generator=generator, dtype=torch.float64)


def noisy_images(n=2, channels=2):
    generator = torch.Generator().manual_seed(9)
    shape = (n, channels, *SIDES)
    return images(n, channels, 1) + 0.3 * torch.randn(shape, generator=generator).double()


def patch(image, row, column, radius):
    """The patch around a pixel, and where it lies within the image; zeros elsewhere."""
    values, inside = {}, []
    for i in range(row - radius, row + radius + 1):
        for j in range(column - radius, column + radius + 1):
            within = 0 <= i < SIDES[0] and 0 <= j < SIDES[1]
            inside.append(within)
            values[i - row, j - column] = image[:, i, j] if within else torch.zeros(len(image))
    return values, inside


def literal(x, y, sigma, radius, equivariant):
    """One pixel after the other, one training patch after the other."""
    estimate = torch.zeros_like(y)
    for row in range(SIDES[0]):
        for column in range(SIDES[1]):
            mine, meets = patch(y, row, column, radius)
            distances, centers = [], []
            for image in x:
                for i in range(SIDES[0]):
                    for j in range(SIDES[1]):
                        other, border = patch(image, i, j, radius)
                        same = border == meets if equivariant else (i, j) == (row, column)
                        if same:
                            distances.append(
                                sum(float(((mine[at] - other[at]) ** 2).sum()) for at in mine)
                            )
                            centers.append(image[:, i, j])
            lowest = min(distances)
            weights = [math.exp(-(d - lowest) / (2 * sigma**2)) for d in distances]
            total = sum(w * c for w, c in zip(weights, centers, strict=True))
            estimate[:, row, column] = total / sum(weights)
    return estimate


def exact(machine):
    """The same, with all patches compared in double precision."""
    machine.precision = torch.float64
    return machine


@pytest.mark.parametrize("machine", [Local, EquivariantLocal])
@pytest.mark.parametrize("side", [1, 3, 5])
@pytest.mark.parametrize("sigma", [0.1, 1.0])
def test_a_local_machine_is_its_definition(machine, side, sigma):
    x, y = images(), noisy_images()
    equivariant = machine is EquivariantLocal
    expected = [literal(x, one, sigma, side // 2, equivariant) for one in y]
    assert torch.allclose(exact(machine(x, side))(y, sigma), torch.stack(expected), atol=1e-10)


def test_locality_from_the_covariance_is_its_definition(monkeypatch):
    monkeypatch.setattr("gahb.optimal.local.THRESHOLD", 0.15)
    x, y, sigma = images(40, 1), noisy_images(2, 1), 0.3
    machine = CovarianceLocal(x)
    d = x[0].numel()
    flat = x.flatten(1)
    centered = flat - flat.mean(0)
    covariance = centered.T @ centered / len(x)
    wiener = covariance @ torch.linalg.inv(covariance + sigma**2 * torch.eye(d).double())
    estimate = torch.zeros(2, d, dtype=torch.float64)
    used = 0
    for q in range(d):
        part = wiener[q].abs() >= 0.15 * wiener[q].abs().max()
        used += int(part.sum())
        for n, noisy in enumerate(y.flatten(1)):
            distances = ((flat - noisy)[:, part] ** 2).sum(1)
            weights = (-distances / (2 * sigma**2)).softmax(0)
            estimate[n, q] = weights @ flat[:, q]
    assert d < used < d**2
    assert torch.allclose(machine(y, sigma).flatten(1), estimate, atol=1e-10)


@pytest.mark.parametrize("sigma", [0.5, 1.0])
@pytest.mark.parametrize("side", [1, 3, 5, 13])
@pytest.mark.parametrize("machine", [Local, EquivariantLocal, CovarianceLocal])
def test_the_jacobian_is_the_derivative(machine, side, sigma, monkeypatch):
    monkeypatch.setattr("gahb.optimal.local.TOGETHER", 3)
    f = exact(machine(images(), *[side] * (machine is not CovarianceLocal)))
    y = noisy_images(1)
    derivative = torch.autograd.functional.jacobian(lambda y: f(y, sigma), y).reshape(60, 60)
    assert derivative.abs().max() > 0.02
    torch.testing.assert_close(f.jacobian(y, sigma), derivative, rtol=0, atol=1e-12)


def test_the_jacobian_is_of_one_image():
    with pytest.raises(ValueError, match=r"^y: 2 images; accepted: one"):
        Local(images(), 3).jacobian(noisy_images(2), 0.3)


@pytest.mark.parametrize("machine", [Local, EquivariantLocal])
def test_a_patch_that_holds_the_image_memorizes(machine):
    x, y = images(), noisy_images()
    memory = EmpiricalBayes(x)(y, 0.3)
    assert torch.allclose(machine(x, 11)(y, 0.3), memory, atol=1e-10)
    assert not torch.allclose(machine(x, 5)(y, 0.3), memory, atol=1e-3)


@pytest.mark.parametrize("machine", [Local, EquivariantLocal])
def test_only_the_equivariant_machine_knows_shifted_images(machine):
    x = torch.zeros(1, 1, 12, 12)
    x[..., 5, 5] = 1
    shifted = x.roll((1, 1), (2, 3))
    error = float((machine(x, 3)(shifted, 0.1) - shifted).abs().max())
    assert error < 1e-6 if machine is EquivariantLocal else error > 0.5


def test_neither_blocks_nor_batches_change_the_estimate(monkeypatch):
    x, y = images(), noisy_images()
    levels = torch.tensor([0.2, 0.7])
    for machine in (
        Local(x, {0.2: 3, 0.7: 5}),
        exact(EquivariantLocal(x, 3)),
        CovarianceLocal(x),
    ):
        whole = machine(y, levels)
        with monkeypatch.context() as patched:
            patched.setattr("gahb.optimal.local.PRODUCTS", 1)
            alone = [machine(y[i : i + 1], float(levels[i])) for i in (0, 1)]
        assert torch.allclose(whole, torch.cat(alone), atol=1e-10)


@pytest.mark.parametrize("machine", [partial(Local, patch=3), CovarianceLocal])
def test_the_leading_vectors_of_its_basis_are_those_of_all(machine):
    f, y = machine(images(channels=1)), noisy_images(1, 1)
    expected = adaptive_basis(f, y, sigma=1.0).eigenvalues[:4]
    found = adaptive_basis(f, y, k=4, sigma=1.0).eigenvalues
    assert torch.allclose(found, expected, atol=1e-4)
    with jacobian_at(f.at(1.0), y) as jacobian:
        assert jacobian._is_adjoint(jacobian._forwards(jacobian.f))  # no slower way is taken


def test_the_patch_is_that_of_the_closest_noise_level():
    x, y = images(), noisy_images()
    machine = Local(x, {0.1: 3, 1.0: 5})
    assert torch.equal(machine(y, 0.3), Local(x, 3)(y, 0.3))
    assert torch.equal(machine(y, 0.33), Local(x, 5)(y, 0.33))


def test_bytes_stand_for_gray_levels():
    x = (images(channels=1) * 255).byte()
    y = noisy_images(channels=1)
    for machine in (partial(Local, patch=3), partial(EquivariantLocal, patch=3), CovarianceLocal):
        assert torch.allclose(machine(x)(y, 0.3), machine(x.float() / 255)(y, 0.3), atol=1e-6)


def test_at_a_threshold_of_zero_all_pixels_count(monkeypatch):
    monkeypatch.setattr("gahb.optimal.local.THRESHOLD", 0)
    x, y = images(), noisy_images()
    machine = CovarianceLocal(x)
    assert torch.allclose(machine(y, 0.3), EmpiricalBayes(x)(y, 0.3), atol=1e-10)
    assert isinstance(machine.gaussian, Gaussian)


def test_single_precision_is_enough():
    x, y = images(), noisy_images()
    for sigma in (0.05, 1.0):
        expected = exact(EquivariantLocal(x, 3))(y, sigma)
        assert torch.allclose(EquivariantLocal(x, 3)(y, sigma), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (4, "patch: 4 is even; accepted: an odd number"),
        (0, "patch: 0"),
        ({}, "patch: no noise level"),
        ({-1.0: 3}, "patch: -1.0"),
    ],
)
def test_a_patch_that_is_none_is_refused(given, message):
    with pytest.raises(ValueError, match=message):
        Local(images(), given)


def test_images_of_another_size_are_refused():
    with pytest.raises(ValueError, match="y: shape"):
        Local(images(), 3)(torch.rand(1, 2, 4, 4), 0.3)
