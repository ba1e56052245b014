"""Wrapped denoisers against exact ones, in every convention, and real networks of diffusers."""

import math
import warnings
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diffusers import (
    DDPMScheduler,
    DiTTransformer2DModel,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    SD3Transformer2DModel,
    UNet2DConditionModel,
    UNet2DModel,
)
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from gahb.basis import adaptive_basis, sure
from gahb.denoiser import Denoiser
from gahb.metrics import psnr_curve, sigma_from_psnr
from gahb.networks import UNet
from gahb.optimal import EmpiricalBayes
from gahb.sampling import sample
from gahb.wrap import KINDS, wrap

SIDE = 8
LEVELS = [0.006, 0.05, 0.1, 0.4321, 1.0, 30.0]  # most of them between the steps of the schedule
RANGES = [(-1.0, 1.0), (0.0, 1.0), (0.0, 255.0)]

MEAN = torch.rand(1, SIDE, SIDE, generator=torch.Generator().manual_seed(0)).double()
VARIANCE = 0.01 + 0.1 * MEAN.flip(1).square()


def posterior_mean(y: Tensor, sigma: Tensor | float, data_range=(0.0, 1.0)) -> Tensor:
    """E[x | y] for independent Gaussian pixels, on any range of gray levels."""
    low, span = data_range[0], data_range[1] - data_range[0]
    mean, variance = low + span * MEAN, span**2 * VARIANCE
    noise = torch.as_tensor(sigma, dtype=torch.float64).reshape(-1, 1, 1, 1) ** 2
    return mean + variance / (variance + noise) * (y - mean)


def noisy(sigma: float | Tensor, n: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(2)
    x = MEAN + VARIANCE.sqrt() * torch.randn(n, 1, SIDE, SIDE, generator=generator)
    z = torch.randn(x.shape, generator=generator)
    return x + torch.as_tensor(sigma).reshape(-1, 1, 1, 1) * z


class ExactUNet:
    """The exact network for Gaussian pixels, called and answering as those of diffusers do."""

    def __init__(self, scheduler, data_range=(-1.0, 1.0)) -> None:
        self.euler = EulerDiscreteScheduler.from_config(scheduler.config)
        self.prediction, self.data_range = scheduler.config.prediction_type, data_range

    def level(self, t: Tensor) -> Tensor:
        """Noise level s of time steps, by the inverse of what diffusers does with it."""
        log_levels = self._log_levels()
        steps = np.arange(len(log_levels))
        return torch.from_numpy(np.exp(np.interp(t.numpy(), steps, log_levels)))

    def time(self, sigma: float) -> float:
        """Time step of a noise level, by diffusers itself."""
        return float(self.euler._sigma_to_t(np.array(sigma), self._log_levels()))

    def _log_levels(self) -> np.ndarray:
        alphas = self.euler.alphas_cumprod.double().numpy()
        return np.log(((1 - alphas) / alphas) ** 0.5)

    def __call__(self, u: Tensor, t: Tensor) -> SimpleNamespace:
        s = self.level(t)[:, None, None, None]
        alpha = 1 / (1 + s**2)
        x = posterior_mean(u / alpha.sqrt(), s, self.data_range)
        z = (u - alpha.sqrt() * x) / (1 - alpha).sqrt()
        v = alpha.sqrt() * z - (1 - alpha).sqrt() * x
        answers = {"epsilon": z, "sample": x, "v_prediction": v}
        return SimpleNamespace(sample=answers[self.prediction])


def tiny_unet(**changes) -> UNet2DModel:
    torch.manual_seed(0)
    arguments = {
        "sample_size": 16,
        "in_channels": 1,
        "out_channels": 1,
        "block_out_channels": (8, 16),
        "layers_per_block": 1,
        "norm_num_groups": 4,
        "attention_head_dim": 8,
        "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
        "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
    }
    return UNet2DModel(**{**arguments, **changes})


@pytest.fixture
def unet() -> UNet2DModel:
    return tiny_unet()


# --- exact denoisers, whatever the convention ---


@pytest.mark.parametrize("sigma", LEVELS)
@pytest.mark.parametrize("data_range", RANGES)
def test_network_that_is_told_the_noise_level(sigma, data_range) -> None:
    f = wrap(lambda u, s: posterior_mean(u, s, data_range), "sigma", data_range=data_range)
    y = noisy(sigma)
    torch.testing.assert_close(f(y, sigma), posterior_mean(y, sigma), rtol=0, atol=1e-8)


@pytest.mark.parametrize("sigma", LEVELS)
@pytest.mark.parametrize("data_range", RANGES)
def test_blind_networks(sigma, data_range) -> None:
    def network(u: Tensor) -> Tensor:
        return posterior_mean(u, sigma * (data_range[1] - data_range[0]), data_range)

    y = noisy(sigma)
    for kind, model in (("blind", network), ("residual", lambda u: u - network(u))):
        f = wrap(model, kind, data_range=data_range)
        torch.testing.assert_close(f(y), posterior_mean(y, sigma), rtol=0, atol=1e-8)
        assert torch.equal(f(y, 0.3), f(y))


@pytest.mark.parametrize("schedule", ["linear", "scaled_linear", "squaredcos_cap_v2"])
@pytest.mark.parametrize("prediction", ["epsilon", "sample", "v_prediction"])
def test_networks_of_diffusers(prediction, schedule) -> None:
    scheduler = DDPMScheduler(beta_schedule=schedule, prediction_type=prediction)
    for data_range in RANGES[:2]:
        exact = ExactUNet(scheduler, data_range)
        f = wrap(exact, "diffusers", scheduler=scheduler, data_range=data_range)
        for sigma in (0.05, 0.1, 0.4321, 1.0, 5.0):
            y = noisy(sigma)
            torch.testing.assert_close(f(y, sigma), posterior_mean(y, sigma), rtol=0, atol=1e-5)


# --- other kinds: each is the exact denoiser, of a Gaussian and of a training set ---

TRAIN = torch.rand(5, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(3)).double()
EXACT = {"gaussian": posterior_mean, "memorizer": EmpiricalBayes(TRAIN)}
DDPM = DDPMScheduler(variance_type="learned_range")
CONDITION = torch.full((1, 2, 3), 0.25)


class Exact(nn.Module):
    """The exact denoiser as a network for images in [-1, 1], which must not be in training mode."""

    def __init__(self, f) -> None:
        super().__init__()
        self.f = f

    def clean(self, u: Tensor, s: Tensor) -> Tensor:
        assert not self.training
        return 2 * self.f((u + 1) / 2, s.double() / 2) - 1

    def velocity(self, u_t: Tensor, t: Tensor) -> Tensor:
        """z - u at u_t = (1 - t) u + t z."""
        t = t.double()
        level = t[:, None, None, None]
        return (u_t - self.clean(u_t / (1 - level), t / (1 - t))) / level

    def epsilon(self, u_t: Tensor, t: Tensor) -> Tensor:
        s = ExactUNet(DDPM).level(t)
        level = s[:, None, None, None]
        u = u_t * (1 + level**2).sqrt()
        return (u - self.clean(u, s)) / level


class ToNoise(Exact):
    def forward(self, u_t: Tensor, t: Tensor) -> Tensor:
        return self.velocity(u_t, t)


class ToData(Exact):
    def forward(self, u_t: Tensor, t: Tensor) -> Tensor:
        return -self.velocity(u_t, 1 - t.double())


class FlowOfDiffusers(Exact):
    def forward(self, sample: Tensor, timestep: Tensor) -> SimpleNamespace:
        return SimpleNamespace(sample=self.velocity(sample, timestep.double() / 1000))


class Inverted(Exact):
    def forward(self, sample: Tensor, timestep: Tensor) -> SimpleNamespace:
        return SimpleNamespace(sample=-self.velocity(sample, 1 - timestep.double() / 1000))


class LearnedVariance(Exact):
    def forward(self, sample: Tensor, timestep: Tensor) -> SimpleNamespace:
        epsilon = self.epsilon(sample, timestep)
        return SimpleNamespace(sample=torch.cat([epsilon, torch.rand_like(epsilon)], dim=1))


class OfClass(Exact):
    """The images of class 2 are the ones sought, those of class 0 twice as far from black."""

    def forward(self, sample: Tensor, timestep: Tensor, class_labels: Tensor) -> SimpleNamespace:
        assert class_labels.dtype == torch.int64
        right = self.epsilon(sample, timestep)
        chosen = (class_labels == 2)[:, None, None, None]
        return SimpleNamespace(sample=torch.where(chosen, right, 2 * right))


class OfText(Exact):
    """The time is not the second argument, as in DiT of Stable Diffusion 3."""

    def forward(self, hidden_states, encoder_hidden_states, added=None, timestep=None):
        assert encoder_hidden_states.shape == (len(hidden_states), 2, 3)
        assert added["pooled"].shape == (len(hidden_states), 1)
        weight = encoder_hidden_states.mean((1, 2)) + added["pooled"][:, 0]
        return (weight.view(-1, 1, 1, 1) * self.epsilon(hidden_states, timestep),)


class FourierScore(Exact):
    """The score, given the logarithm of the noise level, as networks of score-based models are."""

    def forward(self, u: Tensor, log_sigma: Tensor) -> Tensor:
        s = log_sigma.exp()
        return (self.clean(u, s) - u) / s.view(-1, 1, 1, 1) ** 2


def from_score(model, u: Tensor, sigma: Tensor) -> Tensor:
    return u + sigma.view(-1, 1, 1, 1) ** 2 * model(u, sigma.log())


FLOW = FlowMatchEulerDiscreteScheduler(shift=3.0)
OTHERS = {
    "flow_to_noise": (ToNoise, "flow_to_noise", {}),
    "flow_to_data": (ToData, "flow_to_data", {}),
    "flow_by_hand": (
        ToData,
        "flow_to_noise",
        {"call": lambda m, u, t: -m(u, 1 - t)},
    ),
    "flow_of_diffusers": (FlowOfDiffusers, "diffusers", {"scheduler": FLOW}),
    "flow_of_a_solver": (
        FlowOfDiffusers,
        "diffusers",
        {
            "scheduler": DPMSolverMultistepScheduler(
                prediction_type="flow_prediction", use_flow_sigmas=True
            )
        },
    ),
    "inverted_flow": (
        Inverted,
        "diffusers",
        {"scheduler": FlowMatchEulerDiscreteScheduler(invert_sigmas=True)},
    ),
    "learned_variance": (LearnedVariance, "diffusers", {"scheduler": DDPM}),
    "learned_variance_by_hand": (
        LearnedVariance,
        "diffusers",
        {"scheduler": DDPMScheduler(), "call": lambda m, u, t: m(u, t).sample[:, :1]},
    ),
    "class": (OfClass, "diffusers", {"scheduler": DDPM, "class_labels": torch.tensor([2])}),
    "text": (
        OfText,
        "diffusers",
        {
            "scheduler": DDPM,
            "call": lambda m, u, t, **given: m(u, timestep=t, **given)[0],
            "encoder_hidden_states": CONDITION,
            "added": {"pooled": torch.tensor([[0.75]])},
        },
    ),
    "fourier": (FourierScore, "sigma", {"call": from_score}),
}


@pytest.mark.parametrize("exact", EXACT)
@pytest.mark.parametrize("kind", OTHERS)
def test_other_kinds(kind, exact) -> None:
    network, name, options = OTHERS[kind]
    f = wrap(network(EXACT[exact]).train(), name, **options)
    for levels in (torch.tensor([0.01, 0.3, 1.0]), 0.05, 20.0):
        y = noisy(levels)
        expected = EXACT[exact](y, levels)
        torch.testing.assert_close(f(y, levels), expected, rtol=0, atol=1e-5)


def test_flow_is_that_of_diffusers() -> None:
    """The noisy image and the time that the network gets are what its scheduler makes."""
    seen = []

    def network(sample: Tensor, timestep: Tensor) -> SimpleNamespace:
        seen.append((sample, timestep))
        return SimpleNamespace(sample=sample)

    f = wrap(network, "diffusers", scheduler=FLOW)
    x, z = noisy(0.0, 1), torch.randn(1, 1, SIDE, SIDE).double()
    for i in (0, 300, 999):
        t = FLOW.sigmas[i].double()
        if t == 1:  # no image is left: beyond all noise levels
            continue
        f(x + t / (1 - t) / 2 * z, t / (1 - t) / 2)
        u_t, time = seen.pop()
        expected = FLOW.scale_noise(2 * x - 1, FLOW.timesteps[i : i + 1], z)
        torch.testing.assert_close(u_t, expected, rtol=0, atol=1e-5)
        torch.testing.assert_close(time, FLOW.timesteps[i : i + 1], rtol=1e-6, atol=0)


def small(kind: type, **arguments) -> nn.Module:
    torch.manual_seed(0)
    return kind(sample_size=16, in_channels=1, **arguments)


BLOCKS = {"block_out_channels": (8,), "layers_per_block": 1, "norm_num_groups": 4}
UNET_BLOCKS = {**BLOCKS, "down_block_types": ("DownBlock2D",), "up_block_types": ("UpBlock2D",)}
TEXT_BLOCKS = {
    **BLOCKS,
    "down_block_types": ("CrossAttnDownBlock2D",),
    "up_block_types": ("CrossAttnUpBlock2D",),
}
HEADS = {"num_attention_heads": 2, "attention_head_dim": 4, "num_layers": 1, "patch_size": 4}
REAL = {
    "UNet2DModel": (
        lambda: small(UNet2DModel, out_channels=1, num_class_embeds=4, **UNET_BLOCKS),
        {"class_labels": torch.tensor([2])},
        DDPM,
    ),
    "UNet2DConditionModel": (
        lambda: small(
            UNet2DConditionModel,
            out_channels=1,
            cross_attention_dim=6,
            attention_head_dim=4,
            **TEXT_BLOCKS,
        ),
        {"encoder_hidden_states": torch.rand(1, 3, 6)},
        DDPM,
    ),
    "DiT": (
        lambda: small(
            DiTTransformer2DModel,
            out_channels=2,
            num_embeds_ada_norm=5,
            norm_num_groups=4,
            **HEADS,
        ),
        {"class_labels": torch.tensor([2])},
        DDPM,
    ),
    "SD3": (
        lambda: small(
            SD3Transformer2DModel,
            out_channels=1,
            joint_attention_dim=6,
            caption_projection_dim=8,
            pooled_projection_dim=5,
            pos_embed_max_size=8,
            **HEADS,
        ),
        {
            "encoder_hidden_states": torch.rand(1, 3, 6),
            "pooled_projections": torch.rand(1, 5),
        },
        FLOW,
    ),
}


@pytest.mark.parametrize("name", REAL)
def test_conditional_networks_of_diffusers(name) -> None:
    """As they are called by hand, in training mode before, with a risk, and with samples."""
    make, conditioning, scheduler = REAL[name]
    network = make().train()
    f = wrap(network, "diffusers", scheduler=scheduler, **conditioning)
    y, s = torch.rand(2, 1, 16, 16), 0.6
    shrunk = 1 / (1 + s) if scheduler is FLOW else (1 + s**2) ** -0.5
    time = ExactUNet(DDPM).time(s) if scheduler is DDPM else 1000 * s / (1 + s)
    with torch.no_grad():
        both = {key: value.expand(2, *value.shape[1:]) for key, value in conditioning.items()}
        given = network(shrunk * (2 * y - 1), timestep=torch.full((2,), time), **both)
        scale = s if scheduler is DDPM else s / (1 + s)
        u = (2 * y - 1) * (1 if scheduler is DDPM else shrunk) - scale * given.sample[:, :1]
        torch.testing.assert_close(f(y, s / 2), (u + 1) / 2, rtol=0, atol=1e-5)
    assert sure(f, y, 0.3).per_image.isfinite().all()
    assert (
        sample(f, 3, 16, seed=0, sigma_end=0.5, max_steps=3, strict=False).images.isfinite().all()
    )


def test_time_is_that_of_diffusers_between_its_steps_too() -> None:
    scheduler = DDPMScheduler(num_train_timesteps=50)
    seen = []

    def network(u: Tensor, t: Tensor) -> SimpleNamespace:
        seen.append(t)
        return SimpleNamespace(sample=u)

    f = wrap(network, "diffusers", scheduler=scheduler)
    exact = ExactUNet(scheduler)
    levels = torch.tensor([0.006, 0.01, 0.02, 0.05, 0.1, 0.2])
    f(noisy(levels, 6), levels)
    f(noisy(0.02, 2), 0.02)
    expected = torch.tensor([exact.time(2 * float(sigma)) for sigma in levels])
    assert len(set(expected.frac().tolist())) > 3
    torch.testing.assert_close(seen[0], expected, rtol=0, atol=1e-4)
    torch.testing.assert_close(seen[1], expected[[2, 2]], rtol=0, atol=1e-4)


def test_each_image_has_its_own_noise_level() -> None:
    scheduler = DDPMScheduler()
    levels = torch.tensor([0.05, 0.3, 1.0])
    y = noisy(levels)
    told = wrap(lambda u, s: posterior_mean(u, s, (-1, 1)), "sigma")
    scheduled = wrap(ExactUNet(scheduler), "diffusers", scheduler=scheduler)
    for f in (told, scheduled):
        expected = posterior_mean(y, levels)
        torch.testing.assert_close(f(y, levels), expected, rtol=0, atol=1e-4)
        torch.testing.assert_close(f(y[1:2], 0.3), expected[1:2], rtol=0, atol=1e-4)


def test_score_is_that_of_the_noisy_density() -> None:
    f = wrap(lambda u, s: posterior_mean(u, s, (-1, 1)), "sigma")
    y = noisy(0.2)
    torch.testing.assert_close(f.score(y, 0.2), -(y - MEAN) / (VARIANCE + 0.2**2))


def test_common_ranges_are_the_defaults() -> None:
    for kind, (low, high) in KINDS.items():
        seen = []

        def network(u: Tensor, *_: Tensor, seen: list[Tensor] = seen) -> Tensor:
            seen.append(u)
            return u

        f = wrap(network, kind, scheduler=DDPMScheduler() if kind == "diffusers" else None)
        shrunk = {"diffusers": math.sqrt(1 + 0.2**2)}.get(kind, 1.2 if "flow" in kind else 1)
        f(torch.tensor([0.0, 1.0]).expand(1, 1, 2, 2), 0.1)
        assert seen[0][0, 0, 0].tolist() == pytest.approx([low / shrunk, high / shrunk])


# --- where trained denoisers go ---


def test_curve_and_samples_are_those_of_the_exact_denoiser() -> None:
    """Through the wrapping of diffusers, all that is measured stays as it is."""
    scheduler = DDPMScheduler()
    f = wrap(ExactUNet(scheduler), "diffusers", scheduler=scheduler)
    x = noisy(0.0, 8).float().clamp(0, 1)
    curve = psnr_curve(f, x, range(0, 41, 10))
    plain = wrap(lambda u, s: posterior_mean(u, s), "sigma", data_range=(0, 1))
    torch.testing.assert_close(
        curve.per_image, psnr_curve(plain, x, range(0, 41, 10)).per_image, rtol=0, atol=0.01
    )
    drawn = [sample(g, 4, SIDE, seed=0).images for g in (f, plain)]
    torch.testing.assert_close(drawn[0], drawn[1], rtol=0, atol=1e-3)


def test_residual_network_is_the_denoiser_of_this_package() -> None:
    network = UNet(blocks=1, width=8)
    y = torch.rand(2, 1, 16, 16)
    assert torch.equal(wrap(network, "residual")(y), Denoiser(network)(y))


def test_network_of_diffusers_is_measured_and_sampled(unet) -> None:
    f = wrap(unet, "diffusers", scheduler=DDPMScheduler())
    x = torch.rand(4, 1, 16, 16)
    curve = psnr_curve(f, x, [0, 20, 40])
    assert curve.value.isfinite().all()
    drawn = sample(f, 3, 16, seed=0, sigma_end=0.25)
    assert drawn.steps.min() > 0
    assert drawn.images.isfinite().all()


@pytest.mark.parametrize("prediction", ["epsilon", "sample", "v_prediction"])
def test_estimates_are_differentiable(unet, prediction) -> None:
    """Many rows of the Jacobian at a time, against differences along a direction."""
    scheduler = DDPMScheduler(prediction_type=prediction)
    f = wrap(unet, "diffusers", scheduler=scheduler).at(0.1)
    y, direction = torch.rand(2, 1, 1, 16, 16)
    step = 1e-2
    along = (f(y + step * direction) - f(y - step * direction)) / (2 * step)
    chosen = torch.eye(256)[::16].view(16, 1, 1, 16, 16)
    # Elsewhere, torch warns that it takes attention row by row.
    with sdpa_kernel(SDPBackend.MATH):
        rows = torch.func.vmap(torch.func.vjp(f, y)[1])(chosen)[0]
    products = (rows * direction).flatten(1).sum(1)
    torch.testing.assert_close(products, along.flatten()[::16], rtol=0.01, atol=1e-3)


# --- the network stays as it was ---


def test_network_is_in_evaluation_mode_and_otherwise_untouched(unet) -> None:
    unet.train()
    unet.conv_in.requires_grad_(False)
    before = {name: value.clone() for name, value in unet.state_dict().items()}
    f = wrap(unet, "diffusers", scheduler=DDPMScheduler())
    f.train()
    assert not any(module.training for module in unet.modules())
    f(torch.rand(1, 1, 16, 16), 0.1).sum().backward()
    frozen = [name for name, p in unet.named_parameters() if not p.requires_grad]
    assert frozen == ["conv_in.weight", "conv_in.bias"]
    assert all(torch.equal(value, before[name]) for name, value in unet.state_dict().items())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_network_computes_in_its_own_precision(unet, dtype) -> None:
    y = torch.rand(2, 1, 16, 16)
    scheduler = DDPMScheduler()
    expected = wrap(unet, "diffusers", scheduler=scheduler)(y, 0.1)
    estimate = wrap(tiny_unet().to(dtype), "diffusers", scheduler=scheduler)(y, 0.1)
    assert estimate.dtype == torch.float32
    torch.testing.assert_close(estimate, expected, rtol=0, atol=0.02)


class Autocast(nn.Module):
    """A network that takes to half precision by itself, as accelerate's do."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, sample: Tensor, timestep: Tensor) -> SimpleNamespace:
        with torch.autocast("cpu", torch.bfloat16):
            self.enabled = torch.is_autocast_enabled("cpu")
            return self.network(sample, timestep)


@pytest.mark.parametrize("case", ["bfloat16", "float16", "autocast", "checkpoints"])
def test_bases_and_risks_are_computed_in_the_precision_of_the_image(case) -> None:
    def network() -> nn.Module:
        return small(UNet2DModel, out_channels=1, **UNET_BLOCKS)

    own, plain, options = network(), network(), {"scheduler": DDPMScheduler()}
    if "float" in case:
        own.to(getattr(torch, case))
        plain.load_state_dict(own.state_dict())
    if case == "checkpoints":
        own.train().enable_gradient_checkpointing()
    before = {name: value.clone() for name, value in own.state_dict().items()}
    y, used = torch.rand(1, 1, 8, 8), Autocast(own) if case == "autocast" else own
    f, expected = (wrap(each, "diffusers", **options) for each in (used, plain))
    whole = [adaptive_basis(each, y, sigma=0.2).eigenvalues for each in (f, expected)]
    torch.testing.assert_close(*whole, rtol=0, atol=1e-6)
    risks = [sure(each, y, 0.2).per_image for each in (f, expected)]
    torch.testing.assert_close(*risks, rtol=1e-6, atol=0)
    for name, value in own.state_dict().items():
        assert value.dtype == before[name].dtype and torch.equal(value, before[name])
    assert (case == "checkpoints") == any(
        getattr(part, "gradient_checkpointing", False) for part in own.modules()
    )
    if case == "autocast":
        leading = adaptive_basis(f, y, 1, sigma=0.2).eigenvalues
        torch.testing.assert_close(leading, whole[0][:1], rtol=0, atol=0.01)
        assert not used.enabled
        f(y, 0.2)
        assert used.enabled


def test_noise_level_is_told_in_the_precision_of_the_network() -> None:
    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones((), dtype=torch.float16))

        def forward(self, u: Tensor, sigma: Tensor) -> Tensor:
            assert u.dtype == sigma.dtype == torch.float16
            return self.scale * u

    y = torch.rand(1, 1, 4, 4)
    torch.testing.assert_close(wrap(Network(), "sigma")(y, 0.1), y, rtol=0, atol=1e-3)


# --- noise levels that are not taken ---


def test_range_of_noise_levels_is_that_of_the_schedule() -> None:
    scheduler = DDPMScheduler()
    f = wrap(ExactUNet(scheduler), "diffusers", scheduler=scheduler)
    alphas = scheduler.alphas_cumprod.double()
    low, high = (float((1 / alphas[i] - 1).sqrt() / 2) for i in (0, -1))
    for sigma in (low, high, torch.tensor([low, high])):
        f(noisy(sigma, 2), sigma)
    for sigma in (0.99 * low, 1.01 * high, torch.tensor([0.1, 100.0])):
        with pytest.raises(ValueError, match=r"^sigma: [\d.]+ is not .* in \[0.005\d*, 78.\d+\]$"):
            f(noisy(sigma, 2), sigma)
    wider = wrap(ExactUNet(scheduler), "diffusers", scheduler=scheduler, data_range=(0, 1))
    wider(noisy(1.0), 1.9 * high)


def test_a_step_without_signal_is_left_out() -> None:
    scheduler = DDPMScheduler(rescale_betas_zero_snr=True, prediction_type="v_prediction")
    assert scheduler.alphas_cumprod[-1] == 0
    f = wrap(ExactUNet(DDPMScheduler()), "diffusers", scheduler=scheduler)
    with pytest.raises(ValueError, match=r"^sigma: 1000000.0 is not a finite number in"):
        f(noisy(1.0), 1e6)


def test_limits_that_a_network_states_are_kept() -> None:
    network = nn.Module()
    network.forward = lambda u, sigma: u
    network.sigma_min, network.sigma_max = 0.02, torch.tensor(80.0)
    f = wrap(network, "sigma")
    f(noisy(0.01), 0.01), f(noisy(40.0), 40.0)
    for sigma in (0.009, 41.0):
        with pytest.raises(ValueError, match=r"^sigma: .* accepted|^sigma: .* in \["):
            f(noisy(1.0), sigma)
    network.sigma_min = network.sigma_max = None  # stated, and none
    wrap(network, "sigma")(noisy(1e-3), 1e-3)


@pytest.mark.parametrize(
    ("sigma", "message"),
    [
        (0.0, r"^sigma: 0.0 is not a finite number in \[1.17549e-38, inf\]$"),
        (math.nan, "^sigma: nan is not"),
        (torch.ones(1, 1), r"^sigma: torch.float32 of shape \(1, 1\) is not a number or"),
        (torch.tensor([1]), "^sigma: torch.int64 of shape"),
    ],
)
def test_noise_levels_that_are_none(sigma, message) -> None:
    with pytest.raises(ValueError, match=message):
        wrap(lambda u, s: u, "sigma")(noisy(1.0), sigma)


def test_noise_level_must_be_given_and_fit() -> None:
    f = wrap(lambda u, s: u, "sigma")
    f(noisy(0.1), 0.1)
    with pytest.raises(ValueError, match=r"^sigma: not given; accepted: f\(y, sigma\), as f is"):
        f(noisy(0.1))
    with pytest.raises(ValueError, match=r"^sigma: 2 noise levels for 3 noisy images$"):
        f(noisy(0.1), torch.tensor([0.1, 0.2]))


# --- bad arguments ---


@pytest.mark.parametrize(
    ("model", "arguments", "error", "message"),
    [
        (1, {"kind": "blind"}, TypeError, "^model: int is not callable$"),
        (abs, {"kind": "edm"}, ValueError, "^kind: 'edm' is unknown; accepted: blind, residual"),
        (abs, {"kind": "blind", "scheduler": 1}, ValueError, "^scheduler: the kind 'blind' takes"),
        (abs, {"kind": "diffusers"}, TypeError, "^scheduler: NoneType is none"),
        (abs, {"kind": "blind", "data_range": 1.0}, TypeError, "^data_range: 1.0 is not two"),
        (abs, {"kind": "blind", "data_range": (1, 0)}, ValueError, "^data_range: .* low below"),
        (abs, {"kind": "blind", "data_range": (0, math.nan)}, ValueError, "^data_range: nan"),
        (abs, {"kind": "blind", "data_range": (-math.inf, 1)}, ValueError, "^data_range: "),
    ],
)
def test_bad_arguments(model, arguments, error, message) -> None:
    with pytest.raises(error, match=message):
        wrap(model, **arguments)


def test_schedules_and_embeddings_that_are_not_known() -> None:
    none = SimpleNamespace(config=SimpleNamespace(prediction_type="none"))
    with pytest.raises(TypeError, match=r"^scheduler: SimpleNamespace .* such as DDPMScheduler$"):
        wrap(abs, "diffusers", scheduler=none)
    none.alphas_cumprod = torch.linspace(0.99, 0.01, 10)
    with pytest.raises(ValueError, match=r"^scheduler: prediction_type: 'none' is unknown"):
        wrap(abs, "diffusers", scheduler=none)
    learned = tiny_unet(time_embedding_type="learned", num_train_timesteps=10)
    for network in (learned, nn.DataParallel(learned)):
        with pytest.raises(ValueError, match=r"^model: time_embedding_type: 'learned'; accepted: "):
            wrap(network, "diffusers", scheduler=DDPMScheduler(num_train_timesteps=10))


def test_calls_that_cannot_be_are_named_before() -> None:
    wrapped = partial(wrap, scheduler=DDPMScheduler())
    network = REAL["UNet2DConditionModel"][0]()
    with pytest.raises(TypeError, match=r"^model: missing .* 'encoder_hidden_states'; accepted: "):
        wrapped(network, "diffusers")
    with pytest.raises(TypeError, match=r"^model: got an unexpected .* 'labels'; accepted: "):
        wrapped(tiny_unet(), "diffusers", labels=torch.tensor([1]))
    with pytest.raises(ValueError, match=r"^class_labels: of 2 images; accepted: of one, \(1, "):
        wrapped(tiny_unet(), "diffusers", class_labels=torch.tensor([1, 2]))
    with pytest.raises(TypeError, match=r"^model: missing a required argument: 'sigma'"):
        wrap(lambda u, sigma: u, "blind")


def test_a_variance_is_left_out_only_if_the_scheduler_says_so() -> None:
    f = wrap(LearnedVariance(posterior_mean), "diffusers", scheduler=DDPMScheduler())
    with pytest.raises(ValueError, match=r"^model: gives \(3, 2, 8, 8\) .* variance_type is learn"):
        f(noisy(0.1), 0.1)


class Guided:
    """An adapter that is no module."""

    def __init__(self, network: nn.Module) -> None:
        self.network = network

    def __call__(self, u: Tensor) -> Tensor:
        return self.network(u)


def test_a_function_around_a_network_in_training_mode_is_a_warning() -> None:
    network = nn.Dropout()

    def calls(u: Tensor, module: nn.Module) -> Tensor:
        return module(u)

    hidden = (
        lambda u: network(u),
        partial(calls, module=network),
        Guided(network),
        network.forward,
    )
    for function in hidden:
        with pytest.warns(
            UserWarning, match=r"^model: calls a module in training mode; accepted: "
        ):
            wrap(function, "blind")
    network.eval()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for function in (*hidden, nn.Dropout(), abs):
            wrap(function, "blind")


@pytest.mark.parametrize("answer", [lambda u: u[:1], lambda u: None])
def test_what_a_network_gives_must_be_images(answer) -> None:
    with pytest.raises(ValueError, match=r"^model: gives .* for images of shape"):
        wrap(answer, "blind")(noisy(0.1))


def test_input_must_be_images() -> None:
    with pytest.raises(ValueError, match=r"^y: shape"):
        wrap(abs, "blind")(torch.rand(8, 8))


def test_levels_are_those_of_the_curve() -> None:
    told = []

    def network(u: Tensor, sigma: Tensor) -> Tensor:
        told.append(sigma.tolist())
        return u

    psnr_curve(wrap(network, "sigma"), torch.rand(2, 1, 8, 8), [0, 20])
    assert told == [pytest.approx(2 * [2 * sigma_from_psnr(level)]) for level in (0, 20)]


def test_networks_with_attention_have_an_adaptive_basis(unet) -> None:
    f = wrap(unet, "diffusers", scheduler=DDPMScheduler()).at(0.1)
    y = torch.rand(1, 1, 16, 16)
    whole, leading = adaptive_basis(f, y), adaptive_basis(f, y, 5, tolerance=1e-3)
    torch.testing.assert_close(leading.eigenvalues, whole.eigenvalues[:5], atol=1e-3, rtol=0)
    assert leading.asymmetry == pytest.approx(whole.asymmetry, rel=0.3)
    assert all(weight.requires_grad for weight in unet.parameters())
