"""The adaptive basis against brute force, closed forms and its limits; networks left alone."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

import gahb.basis.eigen
from gahb.basis import (
    Basis,
    adaptive_basis,
    coefficients,
    effective_rank,
    equivalent_filters,
    principal_angles,
    projection,
    rank_above,
)
from gahb.basis.jacobian import Jacobian, jacobian_at
from gahb.denoiser import Denoiser
from gahb.networks import BFCNN, BiasFreeNorm, UNet
from gahb.optimal import CovarianceLocal, EmpiricalBayes

DTYPES = [torch.float32, torch.float64]


def randoms(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)


def network(kind: str) -> nn.Module:
    """A small network whose normalizations do something, with a spectrum that falls."""
    torch.manual_seed(0)
    made = UNet(blocks=2, width=6) if kind == "unet" else BFCNN(layers=4, width=8)
    for part in made.modules():
        if isinstance(part, BiasFreeNorm):
            part.running_sd.uniform_(0.5, 1.5)
            nn.init.uniform_(part.gamma, 0.3, 1.0)
    return made.double().requires_grad_(False)


def denoiser(kind: str) -> nn.Module:
    if kind == "exact":
        x = torch.rand(40, 1, 20, 20, generator=torch.Generator().manual_seed(0)).double()
        return EmpiricalBayes(x).at(2.0)
    return Denoiser(network(kind))


def noisy_image(dtype: torch.dtype = torch.float64) -> Tensor:
    return (0.5 + 0.3 * randoms(1, 1, 20, 20, seed=1)).to(dtype)


def brute_force(f: nn.Module, y: Tensor) -> Tensor:
    """Whole Jacobian in float64, one derivative after the other."""
    y = y.double().requires_grad_()
    values = f.double()(y).flatten()
    return torch.stack([torch.autograd.grad(v, y, retain_graph=True)[0].flatten() for v in values])


def linear(J: Tensor):
    """Denoiser with the Jacobian J everywhere, whatever the image's shape."""
    return lambda y: (y.flatten(1) @ J.to(y).T).view_as(y)


def with_eigenvalues(values: Tensor) -> Tensor:
    """A symmetric matrix in random directions."""
    Q = torch.linalg.qr(randoms(len(values), len(values))).Q
    return (Q * values.double()) @ Q.T


# --- against brute force ---


@pytest.mark.parametrize("kind", ["unet", "bfcnn", "exact"])
def test_all_pairs_are_those_of_the_brute_force_jacobian(kind: str) -> None:
    f, y = denoiser(kind), noisy_image()
    J = brute_force(f, y)
    values, vectors = torch.linalg.eigh((J + J.T) / 2)
    basis = adaptive_basis(f, y)
    assert (basis.eigenvalues - values.flip(0)).abs().max() < 1e-10
    leading = vectors.T.flip(0)[:20].reshape(20, 1, 20, 20)
    assert principal_angles(basis.eigenvectors[:20], leading).max() < 1e-7
    assert basis.asymmetry == pytest.approx(float((J - J.T).norm() / (J + J.T).norm()), abs=1e-10)
    assert basis.method == "dense"


@pytest.mark.parametrize("kind", ["unet", "bfcnn", "exact"])
def test_single_precision_is_precise_enough(kind: str) -> None:
    exact = adaptive_basis(denoiser(kind), noisy_image()).eigenvalues
    single = adaptive_basis(denoiser(kind).float(), noisy_image(torch.float32))
    assert single.eigenvalues.dtype == single.eigenvectors.dtype == torch.float32
    assert (single.eigenvalues - exact).abs().max() < 1e-5


@pytest.mark.parametrize("kind", ["unet", "bfcnn", "exact"])
def test_leading_pairs_are_the_first_of_all(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    f, y, k = denoiser(kind), noisy_image(), 20
    everything = adaptive_basis(f, y)
    monkeypatch.setattr(Jacobian, "rows", None)  # it is never formed
    basis = adaptive_basis(f, y, k, tolerance=1e-6)
    assert (basis.eigenvalues - everything.eigenvalues[:k]).abs().max() < 1e-9
    assert principal_angles(basis.eigenvectors, everything.eigenvectors[:k]).max() < 1e-4
    assert basis.asymmetry == pytest.approx(everything.asymmetry, rel=0.2, abs=1e-10)
    assert basis.method == "krylov"


@pytest.mark.parametrize(
    ("values", "k", "products"),
    [
        (torch.arange(1, 1025.0) ** -0.5, 10, 150),
        # Where other random vectors show what was missed, the search must not begin anew.
        (torch.cat([torch.linspace(1.5, 1, 40), torch.linspace(1, -0.1, 1960)]), 50, 350),
    ],
    ids=["falling", "crowded"],
)
def test_leading_pairs_take_few_products(
    values: Tensor, k: int, products: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    multiplied, times = [], Jacobian.times

    def counting(self: Jacobian, vectors: Tensor) -> Tensor:
        multiplied.append(len(vectors))
        return times(self, vectors)

    monkeypatch.setattr(Jacobian, "times", counting)
    y = randoms(1, 1, 8, len(values) // 8, dtype=torch.float32)
    basis = adaptive_basis(lambda y: values.view_as(y) * y, y, k)
    torch.testing.assert_close(basis.eigenvalues, values[:k], atol=0.01, rtol=0)
    assert sum(multiplied) < products


# --- what the leading pairs must not miss ---

EVEN = torch.linspace(-2, 0.9, 290)
SPECTRA = {
    "projection": (torch.cat([torch.ones(50), torch.zeros(250)]), 60),
    "identity": (torch.ones(300), 7),
    "many equal ones above others": (torch.cat([torch.ones(10), EVEN]), 15),
    "near the tolerance": (torch.arange(1, 301.0) ** -1.5, 20),
    "most of all below 0": (torch.linspace(-5, 1, 300), 5),
    "nothing but 0": (torch.zeros(300), 3),
    "every pair": (torch.linspace(-1, 1, 30), 30),
    "every pair of nothing": (torch.zeros(30), 30),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", SPECTRA)
def test_leading_pairs_of_difficult_spectra(name: str, dtype: torch.dtype) -> None:
    values, k = SPECTRA[name]
    y = randoms(1, 1, len(values) // 10, 10, dtype=dtype)
    basis = adaptive_basis(linear(with_eigenvalues(values)), y, k)
    expected = values.sort(descending=True).values[:k].to(dtype)
    torch.testing.assert_close(basis.eigenvalues, expected, atol=1e-3, rtol=0)
    assert basis.residuals.max() <= 0.01
    rows = basis.eigenvectors.flatten(1)
    torch.testing.assert_close(rows @ rows.T, torch.eye(k, dtype=dtype), atol=1e-5, rtol=0)


def test_a_search_that_fills_the_whole_space_ends_there() -> None:
    values = torch.tensor([1, 0.5, 0.2] + [0] * 13).double()
    f, y = linear(with_eigenvalues(values)), randoms(1, 1, 4, 4)
    for k in (1, 3, 16):
        found = adaptive_basis(f, y, k).eigenvalues
        torch.testing.assert_close(found, values[:k], atol=1e-9, rtol=0)


def test_the_seed_fixes_the_search() -> None:
    f, y = linear(with_eigenvalues(torch.arange(1, 301.0) ** -0.5)), randoms(1, 1, 30, 10)
    first, again, other = (adaptive_basis(f, y, 5, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(first.eigenvectors, again.eigenvectors)
    assert not torch.equal(first.eigenvectors, other.eigenvectors)


# --- what a basis says ---


@pytest.mark.parametrize("k", [None, 8])
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_basis_is_ordered_orthonormal_and_of_fixed_signs(k: int | None, dtype) -> None:
    J = randoms(36, 36) / 6
    basis = adaptive_basis(linear(J), randoms(1, 4, 3, 3, dtype=dtype), k)
    rows = basis.eigenvectors.flatten(1)
    assert basis.eigenvectors.shape == (k or 36, 4, 3, 3) and rows.dtype == dtype
    assert (basis.eigenvalues.diff() <= 0).all()
    torch.testing.assert_close(rows @ rows.T, torch.eye(len(rows), dtype=dtype), atol=1e-5, rtol=0)
    assert (rows.amax(1) == rows.abs().amax(1)).all()
    S = (J + J.T).to(dtype) / 2
    residuals = (rows @ S - basis.eigenvalues[:, None] * rows).norm(dim=1)
    torch.testing.assert_close(basis.residuals, residuals, atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize("k", [None, 9])
def test_factors_above_one_and_below_zero_are_not_clipped(k: int | None) -> None:
    values = torch.linspace(-1.5, 1.8, 9).double()
    basis = adaptive_basis(linear(with_eigenvalues(values)), randoms(1, 1, 3, 3), k)
    torch.testing.assert_close(basis.eigenvalues, values.flip(0))


@pytest.mark.parametrize("k", [None, 2])
def test_asymmetry_is_that_of_its_definition(k: int | None) -> None:
    rotated = torch.tensor([[1.0, -0.5], [0.5, 1.0]]).double()  # ||J - J^T|| / ||J + J^T|| = 1 / 2
    J = torch.block_diag(*200 * [rotated])
    basis = adaptive_basis(linear(J), randoms(1, 1, 20, 20), k)
    assert basis.asymmetry == pytest.approx(0.5, rel=1e-9 if k is None else 0.1)


def test_the_jacobian_of_an_exact_denoiser_is_its_posterior_covariance() -> None:
    f, y = denoiser("exact"), noisy_image()
    distances = (f.f.images - y).flatten(1).square().sum(1)
    weights = (-distances / (2 * f.sigma**2)).softmax(0)
    deviations = (f.f.images - f(y)).flatten(1)
    covariance = torch.einsum("n,ni,nj->ij", weights, deviations, deviations)
    basis = adaptive_basis(f, y)
    expected = torch.linalg.eigvalsh(covariance).flip(0) / f.sigma**2
    torch.testing.assert_close(basis.eigenvalues, expected, atol=1e-10, rtol=0)
    assert basis.asymmetry < 1e-10


def test_a_batch_of_another_shape_and_several_channels() -> None:
    f = Denoiser(UNet(blocks=1, width=4, channels=3))
    basis = adaptive_basis(f, randoms(1, 3, 4, 6, dtype=torch.float32), k=3)
    assert basis.eigenvectors.shape == (3, 3, 4, 6)


# --- networks are left as they were ---


@pytest.mark.parametrize("k", [None, 3])
def test_a_network_is_left_as_it_was(k: int | None) -> None:
    f = network("unet").requires_grad_(True)
    f.train()
    f.encoder[0].eval()
    modes = {name: part.training for name, part in f.named_modules()}
    state = {name: value.clone() for name, value in f.state_dict().items()}
    y = noisy_image().requires_grad_()
    before = y.detach().clone()
    basis = adaptive_basis(f, y, k)
    assert {name: part.training for name, part in f.named_modules()} == modes
    assert all(torch.equal(value, state[name]) for name, value in f.state_dict().items())
    assert all(p.requires_grad and p.grad is None for p in f.parameters())
    assert torch.equal(y, before) and y.grad is None
    assert not basis.eigenvectors.requires_grad and not basis.eigenvalues.requires_grad
    torch.testing.assert_close(basis.eigenvalues, adaptive_basis(f.eval(), y, k).eigenvalues)


def test_a_failing_network_is_left_as_it_was() -> None:
    f = network("unet").train()
    with pytest.raises(ValueError, match="multiples of 4"):
        adaptive_basis(f, noisy_image()[..., :18])
    assert all(part.training for part in f.modules())


@pytest.mark.parametrize("k", [None, 3])
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_gradient_modes_outside_do_not_matter(k: int | None, mode) -> None:
    f, expected = denoiser("bfcnn"), adaptive_basis(denoiser("bfcnn"), noisy_image(), k)
    with mode():
        basis = adaptive_basis(f, noisy_image(), k)
    assert torch.equal(basis.eigenvalues, expected.eigenvalues)


# --- bad input ---


class WithoutForwardMode(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(y):
        return y / 2

    @staticmethod
    def setup_context(ctx, inputs, output):
        pass

    @staticmethod
    def backward(ctx, gradient):
        return gradient / 2


class DerivedOnce(WithoutForwardMode):
    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        return gradient / 2


Y = torch.ones(1, 1, 2, 2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: adaptive_basis(nn.Identity(), Y[0]), r"^y: shape \(1, 2, 2\) is not"),
        (lambda: adaptive_basis(nn.Identity(), Y.expand(2, 1, 2, 2)), "^y: 2 images; accepted"),
        (lambda: adaptive_basis(nn.Identity(), Y / 0), "^y: holds NaN or infinity"),
        (lambda: adaptive_basis(nn.Identity(), Y.half()), "^y: dtype torch.float16 is not float32"),
        (lambda: adaptive_basis(network("unet"), Y), "^y: dtype torch.float32; accepted: .*64"),
        (lambda: adaptive_basis(nn.Identity(), Y, k=0), "^k: 0 is not a whole number from 1 to 4"),
        (lambda: adaptive_basis(nn.Identity(), Y, k=5), "^k: 5 is not a whole number from 1 to 4"),
        (lambda: adaptive_basis(nn.Identity(), Y, k=1.0), "^k: 1.0 is not a whole number"),
        (lambda: adaptive_basis(nn.Identity(), Y, 1, tolerance=0), "^tolerance: 0 is not"),
        (lambda: adaptive_basis(nn.Identity(), Y, 1, seed=-1), "^seed: -1 is not"),
        (lambda: adaptive_basis(lambda y: y / 0, Y), r"^f\(y\): holds NaN or infinity"),
        (lambda: adaptive_basis(lambda y: y[:, :, :1], Y), r"^f\(y\): \(1, 1, 1, 2\) .* accepted"),
        (lambda: adaptive_basis(lambda y: y.double(), Y), r"^f\(y\): .*float64; accepted: that"),
        (lambda: adaptive_basis(torch.ones_like, Y), r"^f: f\(y\) does not depend on y"),
        (lambda: adaptive_basis(lambda y: y.detach(), Y), r"^f: f\(y\) does not depend on y"),
        (lambda: adaptive_basis(lambda y: (y - 1).sqrt(), Y), "^f: its derivative at y holds NaN"),
        (lambda: adaptive_basis(DerivedOnce.apply, Y, 2), "^f: .*; accepted: .* or k=None"),
        (lambda: equivalent_filters(nn.Identity(), Y, []), "^pixels: there are none"),
        (lambda: equivalent_filters(nn.Identity(), Y, [(0, 2)]), "^pixels: 2 is not .* 0 to 1"),
        (lambda: equivalent_filters(nn.Identity(), Y, [(0.5, 1)]), "^pixels: 0.5 is not"),
        (lambda: equivalent_filters(nn.Identity(), Y, [3]), "^pixels: 3 is not a pair"),
        (lambda: principal_angles(Y, Y[0]), r"^b: shape \(1, 2, 2\) is not"),
        (lambda: principal_angles(Y, Y[..., :1]), r"^b: images of \(1, 2, 1\); accepted"),
        (lambda: principal_angles(torch.cat([Y, Y]), Y), "^a: 2 images of rank 1; accepted"),
        (lambda: coefficients(adaptive_basis(nn.Identity(), Y), Y[0]), "^x: shape"),
        (lambda: coefficients(adaptive_basis(nn.Identity(), Y), Y[..., :1]), "^x: images of"),
        (lambda: projection(adaptive_basis(nn.Identity(), Y), Y, 5), "^k: 5 is not .* from 1 to 4"),
        (lambda: rank_above(adaptive_basis(nn.Identity(), Y, 2)), "^threshold: all 2 factors"),
    ],
)
def test_bad_input_gives_one_clear_line(call, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message) as error:
        call()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("k", [None, 3])
def test_a_function_without_forward_mode_has_its_pairs(k) -> None:
    basis = adaptive_basis(WithoutForwardMode.apply, Y, k)
    torch.testing.assert_close(basis.eigenvalues, torch.full((k or 4,), 0.5))


@pytest.mark.parametrize("activation", [nn.SiLU, nn.ELU, nn.ReLU])
def test_activations_in_place_change_no_basis(activation) -> None:
    def basis(inplace: bool, k: int | None) -> Basis:
        torch.manual_seed(0)
        ends = nn.Conv2d(1, 6, 3, padding=1), nn.Conv2d(6, 1, 3, padding=1)
        f = nn.Sequential(ends[0], activation(inplace=inplace), ends[1]).double()
        return adaptive_basis(f, randoms(1, 1, 5, 5), k)

    expected = basis(False, None).eigenvalues[:3]
    torch.testing.assert_close(basis(True, 3).eigenvalues, expected, atol=1e-4, rtol=0)


# --- what follows from a basis ---


def test_coefficients_give_the_image_back_and_the_denoised_one() -> None:
    f = linear(with_eigenvalues(torch.linspace(0, 1, 36)))
    y = randoms(3, 1, 6, 6)
    basis = adaptive_basis(f, y[:1])
    c = coefficients(basis, y)
    assert c.shape == (3, 36)
    torch.testing.assert_close(torch.einsum("nk,kchw->nchw", c, basis.eigenvectors), y)
    torch.testing.assert_close(projection(basis, y), y)
    part = projection(basis, y, 3)
    torch.testing.assert_close(coefficients(basis, part)[:, :3], c[:, :3])
    assert coefficients(basis, part)[:, 3:].abs().max() < 1e-10
    shrunk = torch.einsum("nk,kchw->nchw", c * basis.eigenvalues, basis.eigenvectors)
    torch.testing.assert_close(shrunk, f(y))


def test_ranks() -> None:
    basis = adaptive_basis(linear(torch.diag(torch.tensor([1.2, 0.5, 0.1, -0.2]))), Y)
    assert effective_rank(basis) == pytest.approx(1.6)
    assert (rank_above(basis), rank_above(basis, 0.05), rank_above(basis, 1.5)) == (2, 3, 0)


@pytest.mark.parametrize("angle", [0.0, 1e-12, 1e-9, 1e-3, 0.5, 1.2, math.pi / 2 - 1e-9])
def test_principal_angles_great_and_small(angle: float) -> None:
    """Two planes that share one direction, given by vectors neither orthogonal nor of length 1."""
    e = torch.linalg.qr(randoms(16, 16)).Q.T
    a = torch.stack([e[0], 3 * e[1] + e[0]]).view(2, 1, 4, 4)
    turned = math.cos(angle) * e[1] + math.sin(angle) * e[2]
    b = torch.stack([5 * turned - e[0], -e[0]]).view(2, 1, 4, 4)
    expected = torch.tensor([0.0, angle], dtype=torch.float64)
    precision = {"atol": 1e-14, "rtol": 1e-3 if angle < 1e-10 else 1e-12}
    torch.testing.assert_close(principal_angles(a, b), expected, **precision)
    torch.testing.assert_close(principal_angles(b, a[:1]), expected[:1], atol=1e-14, rtol=0)


def test_equivalent_filters_are_rows_of_the_jacobian_and_give_its_pixels() -> None:
    f, y = denoiser("unet"), noisy_image()
    pixels = [(0, 0), (3, 17), (19, 2)]
    filters = equivalent_filters(f, y, pixels)
    numbers = [20 * row + column for row, column in pixels]
    torch.testing.assert_close(filters.flatten(1), brute_force(f, y)[numbers])
    estimate = f(y)[0, 0, [0, 3, 19], [0, 17, 2]]
    torch.testing.assert_close((filters * y).sum((1, 2, 3)), estimate)


@pytest.mark.parametrize("kind", ["unet", "bfcnn"])
def test_bias_free_networks_are_linear_around_an_image_others_are_not(kind: str) -> None:
    def linearity_error(f, y: Tensor) -> Tensor:
        """||f(y) - J y|| / ||f(y)|| (equation 6)."""
        with jacobian_at(f, y) as jacobian:
            shrunk = jacobian.times(y.flatten(1))
        return (f(y).flatten(1) - shrunk).norm() / f(y).norm()

    f, y = denoiser(kind), noisy_image()
    assert linearity_error(f, y) < 1e-12
    assert linearity_error(lambda y: f(y) + 0.1, y) > 0.01
    assert linearity_error(lambda y: f(y).square(), y) > 0.5


def test_a_basis_is_frozen() -> None:
    basis = adaptive_basis(nn.Identity(), Y)
    assert isinstance(basis, Basis)
    with pytest.raises(AttributeError):
        basis.method = "other"  # type: ignore[misc]
    assert gahb.basis.eigen.adaptive_basis is adaptive_basis


def test_filters_of_an_oblong_image_are_those_of_their_pixels() -> None:
    y = torch.rand(1, 1, 3, 5)
    (found,) = equivalent_filters(lambda y: 2 * y, y, [(1, 3)])
    expected = torch.zeros(1, 3, 5)
    expected[0, 1, 3] = 2
    assert found.equal(expected)


def test_a_jacobian_of_nothing_but_rounding_is_accepted() -> None:
    x = torch.rand(11, 1, 4, 5, generator=torch.Generator().manual_seed(0)).double()
    y = x[:1] + 0.1 * randoms(1, 1, 4, 5)  # one of them, beyond doubt
    basis = adaptive_basis(CovarianceLocal(x), y, k=2, sigma=0.05)
    assert basis.eigenvalues.abs().max() < 1e-9
