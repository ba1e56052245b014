"""Denoisers of other libraries go wherever ours go, and are called as their libraries call them."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor, nn

import gahb
from gahb.basis import equivalent_filters
from gahb.denoiser import (
    BaseDenoiser,
    Denoiser,
    FixedSigma,
    Unshuffled,
    at,
    limits_of,
    noise_levels,
)
from gahb.optimal import EmpiricalBayes, Gaussian
from gahb.sampling import reverse_diffusion

SIDE, SIGMA = 6, 0.2
CLEAN = torch.rand(12, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(0))


class Exact(nn.Module):
    """The Wiener filter that the stand-ins hold, for sigma as each of the libraries gives it."""

    def __init__(self) -> None:
        super().__init__()
        self.gaussian = Gaussian.of(CLEAN)

    def wiener(self, y: Tensor, sigma: Tensor) -> Tensor:
        assert sigma.shape == (len(y),) and sigma.dtype == y.dtype and sigma.device == y.device
        return self.gaussian(y, sigma)


class KDiffusion(Exact):
    """Like ``k_diffusion.layers.Denoiser``."""

    def forward(self, input: Tensor, sigma: Tensor, **kwargs) -> Tensor:
        assert not kwargs
        return self.wiener(input, sigma)


class EDM(Exact):
    """Like ``EDMPrecond``."""

    def forward(
        self, x: Tensor, sigma: Tensor, class_labels=None, force_fp32=False, **model_kwargs
    ) -> Tensor:
        return self.wiener(x, sigma.to(x.dtype).reshape(-1, 1, 1, 1).flatten())


class DeepInverse(Exact):
    """Like ``deepinv.models.Denoiser``, which spreads sigma over the pixels."""

    def forward(self, x: Tensor, sigma: float | Tensor | None = None) -> Tensor:
        noise_map = torch.ones_like(x) * sigma.view(-1, 1, 1, 1)
        return self.wiener(x, noise_map[:, 0, 0, 0])


KINDS = {kind.__name__: kind for kind in (KDiffusion, EDM, DeepInverse)}


def function(y: Tensor, sigma: Tensor) -> Tensor:
    return Gaussian.of(CLEAN)(y, sigma)


@pytest.fixture(params=[*KINDS, "function"])
def theirs(request):
    return function if request.param == "function" else KINDS[request.param]()


@pytest.fixture
def ours() -> Gaussian:
    return Gaussian.of(CLEAN)


def noisy(n: int = 12, dtype: torch.dtype = torch.float64) -> Tensor:
    noise = torch.randn(n, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    return (CLEAN[:n] + SIGMA * noise).to(dtype)


def test_psnr_curve(theirs, ours) -> None:
    curves = [gahb.psnr_curve(f, CLEAN, [0, 10, 20]).per_image for f in (theirs, ours)]
    torch.testing.assert_close(*curves)


def test_sample(theirs, ours) -> None:
    drawn = [gahb.sample(f, 3, SIDE, seed=0) for f in (theirs, ours)]
    torch.testing.assert_close(*(d.images.double() for d in drawn), rtol=0, atol=1e-4)


@pytest.mark.parametrize("k", [None, 4])
def test_adaptive_basis(theirs, ours, k) -> None:
    bases = [gahb.adaptive_basis(f, noisy(1), k, sigma=SIGMA) for f in (theirs, ours)]
    torch.testing.assert_close(*(basis.eigenvalues for basis in bases))
    assert max(basis.asymmetry for basis in bases) < 1e-9
    by_hand = gahb.adaptive_basis(ours.at(SIGMA), noisy(1), k)
    assert torch.equal(by_hand.eigenvalues, bases[1].eigenvalues)


def test_rows_of_the_jacobian(theirs, ours) -> None:
    filters = [equivalent_filters(f, noisy(1), [(2, 3)], sigma=SIGMA) for f in (theirs, ours)]
    torch.testing.assert_close(*filters)


def test_risk_and_trace(theirs, ours) -> None:
    risks = [gahb.sure(f, noisy(), SIGMA, probes=2).per_image for f in (theirs, ours)]
    torch.testing.assert_close(*risks)
    traces = [gahb.trace_jacobian(f, noisy(), 2, sigma=SIGMA).value for f in (theirs, ours)]
    torch.testing.assert_close(*traces)


def test_divergence_and_shuffling(theirs, ours) -> None:
    gap = gahb.kl_gap(theirs, ours, CLEAN.double(), [0.1, 0.2, 0.4])
    assert abs(gap.value) < 1e-12
    unshuffled = [Unshuffled(f)(noisy(), SIGMA) for f in (theirs, ours)]
    torch.testing.assert_close(*unshuffled)


def test_forms_of_the_noise_level(ours) -> None:
    y = noisy(3)
    levels = torch.tensor([0.1, 0.2, 0.4], dtype=torch.float64)
    one = ours(y, 0.2)
    assert torch.equal(ours(y, torch.tensor(0.2, dtype=torch.float64)), one)
    assert torch.equal(ours(y, levels)[1], one[1])
    for f in (ours, KDiffusion()):
        torch.testing.assert_close(at(f, levels)(y), ours(y, levels))
        torch.testing.assert_close(at(f, torch.tensor(0.2).double())(y), one)
    assert torch.equal(noise_levels(0.5, 2), torch.full((2,), 0.5, dtype=torch.float64))


def test_a_noise_level_for_each_image_keeps_forward_mode(monkeypatch) -> None:
    monkeypatch.setattr("gahb.basis.jacobian.Jacobian._backwards", lambda *_: pytest.fail())
    y, levels = noisy(1), torch.tensor([SIGMA], dtype=torch.float64)
    for f in (EmpiricalBayes(CLEAN), EDM()):
        one, other = (gahb.adaptive_basis(f, y, 3, sigma=sigma) for sigma in (SIGMA, levels))
        torch.testing.assert_close(one.eigenvalues, other.eigenvalues)


def test_blind_denoisers_ignore_the_noise_level() -> None:
    f, y = gahb.Denoiser(gahb.UNet(blocks=1, width=4)), noisy(2, torch.float32)
    assert torch.equal(f(y, 0.3), f(y)) and torch.equal(f.at(0.3)(y), f(y))
    assert torch.equal(f.residual(y, 0.3), f.residual(y))

    class Blind(BaseDenoiser):
        def forward(self, y: Tensor) -> Tensor:
            return y / 2

    assert torch.equal(Blind().score(y, 0.5), -2 * y)
    for g in (Blind(), lambda y: y, torch.zeros_like, lambda y, rate=3: y):
        assert at(g, 0.3) is g


@pytest.mark.parametrize("wrapper", [nn.DataParallel, partial(torch.compile, backend="eager")])
def test_what_wraps_a_denoiser_hides_neither_its_signature_nor_its_limits(wrapper) -> None:
    class Limited(BaseDenoiser):
        limits = 0.01, 2.0

        def forward(self, y: Tensor, sigma: Tensor) -> Tensor:
            return y / (1 + sigma**2)

    f = wrapper(Limited())
    assert isinstance(at(f, SIGMA), FixedSigma)
    with pytest.raises(ValueError, match=r"^sigma"):
        at(f, None)
    assert limits_of(f) == Limited.limits


def test_residual_and_score(ours) -> None:
    y = noisy()
    assert torch.equal(ours.residual(y, SIGMA), y - ours(y, SIGMA))
    torch.testing.assert_close(ours.score(y, SIGMA), (ours(y, SIGMA) - y) / SIGMA**2)
    assert torch.equal(ours.at(SIGMA).score(y, SIGMA), ours.score(y, SIGMA))


@pytest.mark.parametrize("training", [True, False])
def test_what_fixes_sigma_is_in_the_mode_and_on_the_device_of_its_denoiser(training) -> None:
    f = KDiffusion().train(training)
    g = at(f, SIGMA)
    assert isinstance(g, FixedSigma) and g.training == training == f.gaussian.training
    assert {id(b) for b in g.buffers()} == {id(b) for b in f.buffers()}
    assert gahb.devices.device_of(g, torch.device("meta")).type == "cpu"
    assert "sigma" not in f.__dict__


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda f, y: f(y), r"sigma: not given; accepted: f\(y, sigma\), as f is not blind$"),
        (lambda f, y: f.residual(y), "sigma: not given"),
        (lambda f, y: gahb.adaptive_basis(f, y[:1]), "sigma: not given"),
        (lambda f, y: gahb.adaptive_basis(KDiffusion(), y[:1]), "sigma: not given"),
        (lambda f, y: gahb.trace_jacobian(function, y), "sigma: not given"),
        (lambda f, y: f.at(0.0), "sigma: 0.0 is not a finite number"),
        (lambda f, y: at(function, torch.tensor([0.1, -1.0])), "sigma: -1.0 is not a finite"),
        (lambda f, y: at(function, torch.ones(2, 1)), r"sigma: .* of shape \(2, 1\) is not"),
        (lambda f, y: at(function, torch.ones(2))(y), "sigma: 2 noise levels for 12 noisy images"),
        (lambda f, y: f(y, "0.1"), "sigma: '0.1' is not a finite number"),
        (lambda f, y: f.score(y, -1.0), "sigma: -1.0 is not a finite number"),
        (
            lambda f, y: at(lambda sample, timestep: sample, 0.1),
            r"f: takes \(sample, timestep\); accepted: \(y\) or \(y, sigma\), or see gahb.wrap$",
        ),
    ],
)
def test_bad_input_gives_one_clear_line(ours, call, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=f"^{message}") as error:
        call(ours, noisy())
    assert "\n" not in str(error.value)


MEASUREMENTS = {
    "curve": lambda f, y: gahb.psnr_curve(f, y.clamp(0, 1), [10, 20, 30]).value,
    "sample": lambda f, y: gahb.sample(f, n=2, size=16, seed=0, max_steps=200).images,
    "reverse diffusion": lambda f, y: reverse_diffusion(f, y, seed=0, steps=5),
    "basis": lambda f, y: gahb.adaptive_basis(f, y[:1]).eigenvalues,
    "risk": lambda f, y: gahb.sure(f, y, 0.1, probes=2).per_image,
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> torch.nn.Module:
    recipe = gahb.book.recipes.get("faces-unet-n10-s1", edition="smoke")
    recipe = recipe.but(images="leaves", updates=150)
    return gahb.train(recipe, tmp_path_factory.mktemp("trained")).network


@pytest.mark.parametrize("measure", MEASUREMENTS.values(), ids=MEASUREMENTS)
@pytest.mark.parametrize("bare", [False, True])
def test_measuring_a_network_in_training_mode_neither_differs_nor_changes_it(
    trained, measure, bare
) -> None:
    class Bare(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = trained

        def forward(self, y: Tensor) -> Tensor:
            return y - self.network(y)

    f, y = Bare() if bare else Denoiser(trained), gahb.images.load("leaves", 4, 16)
    expected = measure(f.eval(), y)
    trained.train()
    before = {name: value.clone() for name, value in trained.state_dict().items()}
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(measure(f, y), expected)
    assert trained.training and all(part.training for part in trained.modules())
    for name, value in trained.state_dict().items():
        assert torch.equal(value, before[name]), name
    trained.eval()


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_images_of_any_precision_are_denoised_in_that_of_the_network(trained, dtype) -> None:
    f, y = Denoiser(trained), gahb.images.load("leaves", 4, 16)
    found = f(y.to(dtype))
    assert found.dtype == dtype
    torch.testing.assert_close(found.float(), f(y), atol=2e-3, rtol=0)
    if dtype == torch.float64:
        curves = [gahb.psnr_curve(f, x, [10, 20]).value for x in (y.double(), y)]
        torch.testing.assert_close(*curves, atol=1e-4, rtol=0)
        gap = gahb.kl_gap(f, f, y.double(), [0.1, 0.2, 0.4])
        assert gap.value == 0
    f64 = Denoiser(gahb.UNet(1, 4).double())
    assert f64(y).dtype == torch.float32


def test_a_network_without_parameters_has_the_precision_of_its_buffers() -> None:
    class Fixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("factors", torch.full((4, 4), 0.5, dtype=torch.float64))

        def forward(self, y: Tensor) -> Tensor:
            assert y.dtype == self.factors.dtype
            return y * self.factors

    y = torch.rand(2, 1, 4, 4)
    found = Denoiser(Fixed())(y)
    assert found.dtype == y.dtype
    torch.testing.assert_close(found, y / 2)
