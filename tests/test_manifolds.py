"""Disks, a ray and sine waves: drawn by parameters, with the tangent spaces that they have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from gahb.images import load, manifolds, pick
from gahb.images.faces import draw_faces
from gahb.images.manifolds import (
    CENTER,
    DRAW,
    EDGE,
    RADIUS,
    disk_images,
    disk_masks,
    disk_parameters,
    orthonormal,
    ray_face,
    ray_images,
    ray_parameters,
    sine_images,
    sine_parameters,
    sine_waves,
    tangents,
    with_tangent_spaces,
)


def disk_formulas(parameters: Tensor, size: int) -> Tensor:
    """Derivatives of disks, derived by hand."""
    horizontal, vertical, radius, ground, disk = parameters[:, :, None, None, None].unbind(1)
    places = (torch.arange(size).double() + 0.5) / size
    across, down = places - horizontal, places[:, None] - vertical
    distance = torch.hypot(across, down).clamp(min=1e-9)
    steps = (radius - distance) * (size / EDGE)
    slope = (disk - ground) * torch.exp(-(steps**2) / 2) * size / (EDGE * (2 * torch.pi) ** 0.5)
    moved = [slope * across / distance, slope * down / distance, slope]
    mask = torch.special.ndtr(steps)
    return torch.stack([*moved, 1 - mask, mask], dim=1)


def ray_formulas(parameters: Tensor, size: int) -> Tensor:
    """The face itself."""
    return ray_face(size).expand(len(parameters), 1, 1, size, size)


def sine_formulas(parameters: Tensor, size: int) -> Tensor:
    """Derivatives of sine waves, derived by hand."""
    phase, amplitude = parameters[:, :, None, None, None].unbind(1)
    places = (torch.arange(size).double() + 0.5) / size
    angle = 2 * torch.pi * (places + places[:, None]) + phase
    return torch.stack([amplitude * angle.cos() / 2, (1 + angle.sin()) / 2], dim=1)


@dataclass(frozen=True)
class Manifold:
    draw: Any
    parameters: Any
    images: Any
    formulas: Any
    dimensions: int

    def tangents(self, parameters: Any, size: Any) -> Tensor:
        return tangents(self.images, parameters, size)


MANIFOLDS = {
    "disks": Manifold(DRAW["disks"], disk_parameters, disk_images, disk_formulas, 5),
    "ray": Manifold(DRAW["ray"], ray_parameters, ray_images, ray_formulas, 1),
    "sines": Manifold(DRAW["sines"], sine_parameters, sine_images, sine_formulas, 2),
}


@pytest.fixture(params=MANIFOLDS)
def manifold(request) -> Manifold:
    return MANIFOLDS[request.param]


@pytest.mark.parametrize("name", manifolds.MANIFOLDS)
def test_images_are_the_gray_levels_of_their_parameters(name: str, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("GAHB_CACHE", str(tmp_path))
    manifold = MANIFOLDS[name]
    exact = manifold.images(manifold.parameters([0, 1, 2], "S2"), 16)
    assert exact.shape == (3, 1, 16, 16) and exact.dtype == torch.float64
    torch.testing.assert_close(load(name, 3, 16, "S2").double(), exact, atol=0.51 / 255, rtol=0)
    assert torch.equal(pick(name, [2], 16, "S2"), load(name, 3, 16, "S2")[2:])


def test_an_image_depends_on_seed_subset_and_index_alone(manifold: Manifold) -> None:
    together = manifold.draw(range(5), 16, "S1", 0)
    assert torch.equal(manifold.draw([3, 1], 16, "S1", 0), together[[3, 1]])
    others = [manifold.draw([0], 16, *key) for key in (("S2", 0), ("test", 0), ("S1", 1))]
    assert len(torch.cat([together, *others]).flatten(1).unique(dim=0)) == 8


@pytest.mark.parametrize("size", [8, 17, 32])
def test_tangents_are_the_derivatives_of_the_images(manifold: Manifold, size: int) -> None:
    """Against formulas, and against derivatives in the other direction."""
    parameters = manifold.parameters(range(3))
    derived = manifold.tangents(parameters, size)
    torch.testing.assert_close(derived, manifold.formulas(parameters, size), atol=1e-12, rtol=1e-12)
    for one, vectors in zip(parameters, derived, strict=True):
        derivative = torch.func.jacrev(lambda p: manifold.images(p[None], size)[0])(one)
        torch.testing.assert_close(vectors, derivative.movedim(-1, 0), atol=1e-12, rtol=1e-9)


def test_a_pixel_at_the_center_of_a_disk_does_not_change_with_its_place() -> None:
    parameters = torch.tensor([[4.5 / 8, 3.5 / 8, 0.2, 0.1, 0.9]]).double()
    derived = tangents(disk_images, parameters, 8)
    torch.testing.assert_close(derived, disk_formulas(parameters, 8), atol=1e-8, rtol=0)
    assert derived[0, :2, 0, 3, 4].tolist() == [0, 0]


def test_tangent_bases_are_orthonormal_and_span_the_tangents(manifold: Manifold) -> None:
    vectors = manifold.tangents(manifold.parameters(range(4)), 16)
    basis, flat = orthonormal(vectors).flatten(2), vectors.flatten(2)
    assert basis.shape == (4, manifold.dimensions, 256)
    torch.testing.assert_close(
        basis @ basis.mT, torch.eye(len(basis[0])).double().expand(4, -1, -1)
    )
    torch.testing.assert_close(flat @ basis.mT @ basis, flat)
    shares = flat @ basis.mT  # each tangent in the vectors up to its own, which it points along
    torch.testing.assert_close(shares.triu(1), torch.zeros_like(shares))
    assert shares.diagonal(dim1=1, dim2=2).min() > 0


@pytest.mark.parametrize("name", manifolds.MANIFOLDS)
def test_images_are_those_of_the_class_with_their_tangent_spaces(name: str) -> None:
    x, spaces = with_tangent_spaces(name, 3, 16)
    assert torch.equal(
        (255 * x.double()).round().byte(), load(name, 3, 16, "test", dtype=torch.uint8)
    )
    parameters, images = manifolds.MANIFOLDS[name]
    moved = tangents(images, parameters(range(3), "test"), 16).flatten(2)
    basis = spaces.double().flatten(2)
    torch.testing.assert_close(moved @ basis.mT @ basis, moved, atol=1e-5, rtol=1e-5)
    with pytest.raises(ValueError, match=r"^name: 'faces' is unknown; accepted: disks, ray, sines"):
        with_tangent_spaces("faces", 3, 16)


def test_tangent_spaces_are_of_the_images_of_a_seed() -> None:
    x, _ = with_tangent_spaces("sines", 2, 8, "S2", 3)
    torch.testing.assert_close(x, sine_images(sine_parameters(range(2), "S2", 3), 8).float())


def test_disks_are_within_their_images_and_their_laws() -> None:
    parameters = disk_parameters(range(2000))
    center, radius, grays = parameters.split([2, 1, 2], dim=1)
    for values, (low, high) in ((center, CENTER), (radius, RADIUS)):
        assert low <= values.min() < low + 0.01 * (high - low)
        assert high - 0.01 * (high - low) < values.max() <= high
        assert abs(values.mean() - (low + high) / 2) < 0.02 * (high - low)
    torch.testing.assert_close(
        grays.mean(0), torch.tensor([0.25, 0.75]).double(), atol=0.005, rtol=0
    )
    torch.testing.assert_close(grays.std(0), torch.tensor([1, 1]).double() / 16, atol=0.003, rtol=0)
    assert parameters.T.corrcoef().triu(1).abs().max() < 0.1
    rims = [
        disk_masks(parameters[:, :3], 32)[..., [0, -1], :],
        disk_masks(parameters[:, :3], 32)[..., [0, -1]],
    ]
    assert max(rim.max() for rim in rims) < 0.05


def test_disks_have_their_area_center_and_edge_at_every_size() -> None:
    geometry = disk_parameters(range(20))[:, :3]
    for size in (16, 32, 80):
        mask = disk_masks(geometry, size)[:, 0]
        # A step that is rounded by a deviation e has area pi (r^2 + e^2).
        area = torch.pi * (geometry[:, 2] ** 2 + (EDGE / size) ** 2)
        torch.testing.assert_close(mask.mean(dim=(1, 2)), area, rtol=2e-3, atol=0)
        places = (torch.arange(size).double() + 0.5) / size
        for axis, coordinate in ((1, geometry[:, 0]), (2, geometry[:, 1])):
            measured = (mask.sum(axis) @ places) / mask.sum(dim=(1, 2))
            torch.testing.assert_close(measured, coordinate, atol=1e-3, rtol=0)
    on_the_contour = disk_masks(torch.tensor([[0.5, 0.5, 1 / 16 + 1e-9]]).double(), 8)[0, 0]
    assert 0.2 < on_the_contour[3, 3] < 0.5 and on_the_contour[3, 3] == on_the_contour[4, 4]


def test_rays_are_multiples_of_one_face() -> None:
    face = draw_faces([0], 32, "S1", 0).double() / 255
    assert torch.equal(ray_face(32), face)
    factors = ray_parameters(range(500), "test", seed=3)
    x = ray_images(factors, 32)
    torch.testing.assert_close(x, factors.view(-1, 1, 1, 1) * face)
    assert abs(factors.mean() - 0.5) < 0.02 and abs(factors.std() - 0.125) < 0.01
    assert factors.min() > 0


def test_a_ray_is_longer_than_the_pixels_of_its_face() -> None:
    torch.testing.assert_close(ray_face(80).mean(), ray_face(64).mean(), rtol=2e-3, atol=0)
    assert load("ray", 1, 80).shape == (1, 1, 80, 80)


def test_sines_are_waves_of_one_period_along_either_side() -> None:
    parameters = sine_parameters(range(4))
    x = sine_images(parameters, 16)[:, 0]
    spectrum = torch.fft.fft2(x).abs() / 256
    phase, amplitude = parameters.unbind(1)
    torch.testing.assert_close(spectrum[:, 0, 0], amplitude / 2)
    torch.testing.assert_close(spectrum[:, 1, 1], amplitude / 4)
    assert (spectrum > 1e-9).sum() == 3 * len(x)
    half_a_pixel = 2 * torch.pi / 16
    torch.testing.assert_close(x[:, 0, 0], amplitude * (1 + (phase + half_a_pixel).sin()) / 2)
    phases = sine_parameters(range(500))[:, 0]
    assert 0 <= phases.min() < 0.05 and 6.23 < phases.max() < 2 * torch.pi


def test_sine_waves_are_orthogonal() -> None:
    waves = sine_waves(16).flatten(1)
    torch.testing.assert_close(waves @ waves.T, torch.tensor([64.0, 32.0, 32.0]).double().diag())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: m.parameters([]), "indices: there are none"),
        (lambda m: m.parameters([0, -1]), "indices: -1 is not a whole number"),
        (lambda m: m.parameters([0], "train"), "subset: 'train' is unknown; accepted: S1"),
        (lambda m: m.parameters([0], seed=-1), "seed: -1 is not a whole number"),
        (lambda m: m.images(m.parameters([0]), 4), "size: 4 is not a whole number of at least 8"),
        (lambda m: m.tangents(m.parameters([0]), 16.0), "size: 16.0 is not a whole number"),
        (lambda m: m.images(m.parameters([0]) / 0, 16), "parameters: holds NaN or infinity"),
        (
            lambda m: m.tangents(m.parameters([0])[0], 16),
            r"parameters: shape \(.,\) is not a float",
        ),
        (lambda m: m.images([[0.5]], 16), r"parameters: list is not a float tensor of shape \(n,"),
        (
            lambda m: m.images(m.parameters([0]).long(), 16),
            "parameters: torch.int64 is not a float",
        ),
        (
            lambda m: orthonormal(m.images(m.parameters([0]), 16)),
            r"tangents: shape \(1, 1, 16, 16\)",
        ),
        (lambda m: orthonormal("tangents"), "tangents: str is not a float tensor of shape"),
        (lambda m: orthonormal(torch.ones(1, 5, 1, 2, 2)), r"tangents: shape \(1, 5, 1, 2, 2\)"),
        (lambda m: orthonormal(m.tangents(m.parameters([0]), 16) / 0), "tangents: holds NaN"),
    ],
)
def test_bad_arguments_are_named_in_one_line(manifold: Manifold, call, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=f"^{message}") as error:
        call(manifold)
    assert "\n" not in str(error.value)
