"""Third-party denoisers under one calling convention: all that is measured here can be theirs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import torch
from torch import Tensor, nn

from gahb.checks import check_choice, check_images, check_number
from gahb.denoiser import BaseDenoiser, NonBlindDenoiser
from gahb.devices import in_double

__all__ = ["KINDS", "Blind", "ForeignNetwork", "Informed", "Residual", "Scheduled", "wrap"]


ROUNDING = 1e-6
PREDICTIONS = ("epsilon", "sample", "v_prediction")


class Blind(BaseDenoiser):
    """The network gives the image and is not told the noise level."""

    def __init__(self, network: ForeignNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, y: Tensor) -> Tensor:
        """Estimate of the clean images, (n, C, H, W), of the dtype of ``y``."""
        return self.network.unscaled(self.estimate(self.network.scaled(y)))

    def estimate(self, u: Tensor) -> Tensor:
        """Clean images from noisy ones, both on the network's scale, (n, C, H, W)."""
        estimate: Tensor = self.network(u)
        return estimate


class Residual(Blind):
    """The network gives the noise and is not told its level."""

    def estimate(self, u: Tensor) -> Tensor:
        """Clean images: the noise is taken out of ``u``."""
        return u - super().estimate(u)


class Informed(NonBlindDenoiser):
    """The network gives the image and is told the noise level, on its own scale.

    ``limits`` are the smallest and the largest level that it takes.
    """

    def __init__(self, network: ForeignNetwork, limits: tuple[float, float]) -> None:
        super().__init__()
        self.network = network
        # A limit that is met exactly must not be missed by rounding.
        self.smallest = limits[0] / network.span * (1 - ROUNDING)
        self.largest = limits[1] / network.span * (1 + ROUNDING)

    def at(self, sigma: float | Tensor) -> Self:
        """Denoiser for noise of standard deviation ``sigma``, sharing the network."""
        denoiser = super().at(sigma)
        for extreme in in_double(sigma).aminmax():
            check_number("sigma", float(extreme), self.smallest, self.largest)
        return denoiser

    def forward(self, y: Tensor) -> Tensor:
        """Estimate of the clean images, (n, C, H, W), of the dtype of ``y``."""
        u = self.network.scaled(y)
        s = self.network.span * self.noise_levels(len(y))
        return self.network.unscaled(self.estimate(u, s))

    def estimate(self, u: Tensor, s: Tensor) -> Tensor:
        """Clean images from noisy ones, (n, C, H, W), of noise levels (n,), on its scale."""
        estimate: Tensor = self.network(u, s.to(u.device, self.network.precision(u)))
        return estimate


class Scheduled(Informed):
    """The network sees images that shrink as noise is added, and is told the time step.

    At step t of its schedule, with a_t short for ``scheduler.alphas_cumprod[t]``, it knows

        u_t = sqrt(a_t) u + sqrt(1 - a_t) z = sqrt(a_t) (u + s_t z),   s_t = sqrt(1 / a_t - 1).

    Noise of any level s has its place on that curve: a = 1 / (1 + s^2), and t is interpolated
    between the steps, linearly in log s.
    """

    def __init__(self, network: ForeignNetwork, scheduler: Any) -> None:
        levels = _noise_levels(scheduler)
        super().__init__(network, (float(levels[0]), float(levels[-1])))
        self.log_levels = levels.log()
        self.prediction = scheduler.config.prediction_type
        check_choice("scheduler: prediction_type", self.prediction, PREDICTIONS)
        # Other embeddings know whole time steps only, or another time than the schedule's.
        config = getattr(network.model, "config", None)
        embedding = getattr(config, "time_embedding_type", "positional")
        check_choice("model: time_embedding_type", embedding, ("positional",))

    def estimate(self, u: Tensor, s: Tensor) -> Tensor:
        """Clean images: the prediction, taken out of ``u`` if it is of noise or of velocity."""
        t = self.time(s).to(u.device, torch.float32)
        s = s.to(u)[:, None, None, None]
        shrinkage = (1 + s**2).rsqrt()  # sqrt(a_t)
        predicted: Tensor = self.network(shrinkage * u, t)
        if self.prediction == "epsilon":
            return u - s * predicted
        if self.prediction == "v_prediction":
            # v = sqrt(a) z - sqrt(1 - a) x, hence x = sqrt(a) u_t - sqrt(1 - a) v
            return shrinkage**2 * u - s * shrinkage * predicted
        return predicted

    def time(self, s: Tensor) -> Tensor:
        """Time steps, between whole ones too, of noise levels on the network's scale, (n,)."""
        log_s, log_levels = s.log(), self.log_levels.to(s.device)
        after = torch.searchsorted(log_levels, log_s).clamp(1, len(log_levels) - 1)
        before = log_levels[after - 1]
        return after - 1 + (log_s - before) / (log_levels[after] - before)


def _noise_levels(scheduler: Any) -> Tensor:
    """Noise level s_t of each step of a schedule, in double precision, on the CPU."""
    alphas = getattr(scheduler, "alphas_cumprod", None)
    if not isinstance(alphas, Tensor) or not hasattr(scheduler, "config"):
        accepted = "accepted: one of diffusers that has alphas_cumprod, such as DDPMScheduler"
        raise TypeError(f"scheduler: {type(scheduler).__name__} is none; {accepted}")
    # A last step without any signal, which some schedules have, lies at infinite noise.
    alphas = alphas[alphas > 0].double().cpu()
    return (1 / alphas - 1).sqrt()


# --- A network of another make, on its own range of gray levels and in its own precision ---


class ForeignNetwork(nn.Module):
    """A network that knows images u = low + (high - low) x, where ours are x in [0, 1].

    It is put into evaluation mode and otherwise left as it is.

    Parameters
    ----------
    model : callable
        Called with images (n, C, H, W), and what else it is told of each.
    data_range : tuple of float
        Its gray levels (low, high) of black and white.
    """

    def __init__(self, model: Callable[..., Any], data_range: tuple[float, float]) -> None:
        super().__init__()
        self.model = model
        self.low, self.span = data_range[0], data_range[1] - data_range[0]
        self.eval()

    def scaled(self, y: Tensor) -> Tensor:
        """Images of ours, (n, C, H, W), on the network's scale."""
        check_images("y", y, finite=False)
        return self.low + self.span * y

    def unscaled(self, u: Tensor) -> Tensor:
        """Images on the network's scale, (n, C, H, W), on ours."""
        return (u - self.low) / self.span

    def forward(self, u: Tensor, *told: Tensor) -> Tensor:
        """What the network makes of images on its scale, (n, C, H, W), of the dtype of ``u``."""
        given = self.model(u.to(self.precision(u)), *told)
        given = getattr(given, "sample", given)  # what the networks of diffusers wrap it in
        if not isinstance(given, Tensor) or given.shape != u.shape:
            what = tuple(given.shape) if isinstance(given, Tensor) else type(given).__name__
            raise ValueError(f"model: gives {what} for images of shape {tuple(u.shape)}")
        return given.to(u.dtype)

    def precision(self, u: Tensor) -> torch.dtype:
        """Floating-point type of the network's weights, or else of ``u``."""
        return next((p.dtype for p in self.parameters() if p.is_floating_point()), u.dtype)

    def train(self, mode: bool = True) -> Self:
        """Keep the network in evaluation mode."""
        return super().train(False)


# --- One calling convention for denoisers that come from elsewhere ---


KINDS = {
    "blind": (0.0, 1.0),
    "residual": (0.0, 1.0),
    "sigma": (-1.0, 1.0),
    "diffusers": (-1.0, 1.0),
}
"""The kinds of denoisers, and the range of gray levels that each commonly knows."""


def wrap(
    model: Callable[..., Any],
    kind: str,
    *,
    data_range: tuple[float, float] | None = None,
    scheduler: Any = None,
) -> BaseDenoiser:
    """Give a denoiser of another make the convention of this package: y in, estimate of x out.

    The result goes wherever a trained denoiser goes: ``psnr_curve``, ``sample``,
    ``memorization_report``. Its estimates are differentiable, and not clipped.

    Parameters
    ----------
    model : callable
        Usually a ``torch.nn.Module``. It is put into evaluation mode and stays so; it is called
        in the precision of its weights, images being converted there and back.
    kind : str
        How it is called, u being images of its own range of gray levels:

        - ``blind``: model(u) is the clean image;
        - ``residual``: model(u) is the noise, as in the networks of the paper;
        - ``sigma``: model(u, sigma) is the clean image [1]_, ``sigma`` (n,) being on the scale of
          u. Attributes ``sigma_min`` and ``sigma_max``, where it has them, limit the noise levels;
        - ``diffusers``: model(u_t, t).sample is epsilon, sample or v, as the scheduler says, such
          as that of a ``diffusers.UNet2DModel``. Between time steps t is interpolated.
    data_range : tuple of float, optional
        Gray levels (low, high) that stand for black and white in u. By default (0, 1) for
        ``blind`` and ``residual``, and (-1, 1) for ``sigma`` and ``diffusers``.
    scheduler : optional
        For ``diffusers``: the scheduler it was trained with, such as ``DDPMScheduler``, of which
        ``alphas_cumprod`` and ``config.prediction_type`` are read.

    Returns
    -------
    BaseDenoiser
        Maps y = x + sigma z, x in [0, 1], to an estimate of x. Those of kind ``sigma`` and
        ``diffusers`` are not blind: ``f.at(sigma)(y)``.

    References
    ----------
    .. [1] T. Karras, M. Aittala, T. Aila and S. Laine, "Elucidating the design space of
       diffusion-based generative models", NeurIPS 2022.

    Examples
    --------
    A network for images in [-1, 1] that is told the noise level, and does not look at the image:

    >>> import torch
    >>> f = wrap(lambda u, sigma: 0 * u, "sigma", data_range=(-1, 1))
    >>> f.at(0.5)(torch.rand(2, 1, 8, 8)).unique()
    tensor([0.5000])
    """
    if not callable(model):
        raise TypeError(f"model: {type(model).__name__} is not callable")
    check_choice("kind", kind, list(KINDS))
    if scheduler is not None and kind != "diffusers":
        raise ValueError(f"scheduler: the kind {kind!r} takes none")
    levels = KINDS[kind] if data_range is None else _checked_range(data_range)
    network = ForeignNetwork(model, levels)
    if kind == "diffusers":
        return Scheduled(network, scheduler)
    if kind == "sigma":
        return Informed(network, _stated_limits(model))
    return Residual(network) if kind == "residual" else Blind(network)


def _checked_range(data_range: Any) -> tuple[float, float]:
    accepted = "two finite numbers (low, high), low below high"
    if not isinstance(data_range, tuple | list) or len(data_range) != 2:
        raise TypeError(f"data_range: {data_range!r} is not {accepted}")
    low, high = data_range
    for level in (low, high):
        check_number("data_range", level, -float("inf"))
    if not -float("inf") < low < high:
        raise ValueError(f"data_range: {data_range!r} is not {accepted}")
    return float(low), float(high)


def _stated_limits(model: Any) -> tuple[float, float]:
    """Smallest and largest noise level that a model says it takes, if it says so."""
    return float(getattr(model, "sigma_min", 0)), float(getattr(model, "sigma_max", float("inf")))
