"""Networks with one ingredient changed: what the change takes away, and what it leaves."""

import pytest
import torch

from gahb.basis import adaptive_basis
from gahb.book import recipes
from gahb.denoiser import Denoiser
from gahb.networks import Dense, Transformer, UNet, receptive_field
from gahb.training import Recipe
from gahb.training.loop import Muon, Optimizer

KINDS = ("unet", "linear", "biased", "placed", "shallow", "dense", "transformer")


@pytest.fixture
def y():
    return torch.rand(3, 1, 16, 16, generator=torch.Generator().manual_seed(0))


def lively(network):
    """The network with all constants away from their start, where they do nothing."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weights in network.parameters():
            if weights.ndim == 1:
                weights.add_(0.1 * torch.randn(weights.shape, generator=generator))
    return network.eval()


@pytest.mark.parametrize("kind", KINDS)
def test_recipes_differ_in_the_network_alone(kind):
    found = recipes.find(f"faces-{kind}-n10000-s?-small", "laptop")
    assert [recipe.subset for recipe in found] == ["S1", "S2"]
    for recipe in found:
        assert (recipe.size, recipe.n, recipe.updates, recipe.batch) == (16, 10_000, 6_000, 32)
        assert (recipe.optimizer, recipe.schedule, recipe.step) == ("muon", "cosine", 0.02)
    weights = sum(p.numel() for p in found[0].build().parameters())
    unet = sum(p.numel() for p in UNet(2, 32).parameters())
    assert weights == pytest.approx(unet, rel=0.05)


@pytest.mark.parametrize("kind", KINDS)
def test_each_is_a_denoiser_that_can_be_analyzed(kind, y):
    recipe = recipes.find(f"faces-{kind}-n10000-s1-small", "laptop")[0].but(depth=2, width=8)
    f = Denoiser(lively(recipe.build()))
    assert f(y).shape == y.shape
    small = adaptive_basis(f, y[:1, :, :16, :16])
    assert small.eigenvalues.isfinite().all()


def test_without_rectifiers_it_is_linear(y):
    linear = lively(UNet(2, 8, rectified=False))
    mixed = linear(0.3 * y[:1] - 2 * y[1:2])
    assert torch.allclose(mixed, 0.3 * linear(y[:1]) - 2 * linear(y[1:2]), atol=1e-5)
    plain = lively(UNet(2, 8))
    assert not torch.allclose(plain(-y), -plain(y), atol=1e-2)


@pytest.mark.parametrize(
    ("network", "homogeneous"),
    [
        (lambda: UNet(2, 8), True),
        (lambda: Dense(3, 32, 16), True),
        (lambda: UNet(2, 8, biased=True), False),
        (lambda: UNet(2, 8, placed=True), False),
        (lambda: Transformer(2, 8, 16), False),
    ],
)
def test_constants_end_homogeneity(network, homogeneous, y):
    f = lively(network())
    scaled = (f(3 * y) - 3 * f(y)).norm() / f(3 * y).norm()
    assert scaled < 1e-5 if homogeneous else scaled > 1e-2


@pytest.mark.parametrize("placed", [False, True])
def test_only_coordinates_tell_the_places_of_a_shifted_image(placed):
    f = lively(UNet(1, 8, placed=placed))
    y = torch.zeros(1, 1, 32, 32)
    y[..., 12:16, 12:16] = 1
    difference = (f(y.roll(4, 3)) - f(y).roll(4, 3))[..., 12:22, 12:22].abs().max()
    assert difference > 1e-3 if placed else difference < 1e-6


def test_dense_layers_join_all_pixels(y):
    J = torch.autograd.functional.jacobian(lively(Dense(3, 64, 16)), y[:1])
    assert (J.view(256, 256) != 0).all()


def test_the_shallow_network_sees_eleven_pixels():
    network = recipes.get("faces-shallow-n10000-s1-small", "laptop").build()
    assert receptive_field(network, side=32, positions=2) == (11, 11)


def test_norms_are_kept_only_where_nothing_depends_on_them():
    convolution = torch.nn.Parameter(torch.randn(4, 2, 3, 3))
    matrix = torch.nn.Parameter(torch.randn(6, 5))
    before = convolution.norm(), matrix.norm()
    optimizer = Muon([convolution, matrix], lr=0.1)
    for _ in range(3):
        convolution.grad, matrix.grad = -convolution.detach(), -matrix.detach()
        optimizer.step()
    assert torch.isclose(convolution.norm(), before[0])
    assert matrix.norm() > 1.05 * before[1]


def test_muon_takes_the_matrices_of_a_transformer_and_adam_the_rest():
    network = Transformer(2, 8, 16)
    recipe = recipes.get("faces-transformer-n10000-s1-small", "laptop")
    (_, _), (muon, rate) = Optimizer(recipe, network).parts
    taken = {id(p) for group in muon.param_groups for p in group["params"]}
    assert rate == recipe.step
    assert {id(p) for p in network.parameters() if p.ndim == 2} == taken


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Transformer(2, 10, 16), "width: 10; accepted: a multiple of 4"),
        (lambda: Transformer(2, 8, 15), "size: 15 is odd"),
        (lambda: Dense(1, 8, 16), "layers: 1"),
        (lambda: Dense(2, 8, 16)(torch.rand(1, 1, 8, 8)), "y: shape"),
    ],
)
def test_what_cannot_be_built_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_an_unknown_network_is_refused():
    known = recipes.get("faces-unet-n10-s1", "laptop")
    with pytest.raises(ValueError, match=r"network: 'none' is unknown; accepted: unet, bfcnn, lin"):
        known.but(network="none")
    assert isinstance(known, Recipe)
