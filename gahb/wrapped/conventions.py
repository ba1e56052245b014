"""How denoisers of other makes are called: blind, told the noise level, or told a time step.

floor: 2
"""

from __future__ import annotations

from typing import Any, Self

import torch
from torch import Tensor

from gahb.checks import check_choice, check_number
from gahb.denoiser import BaseDenoiser, NonBlindDenoiser
from gahb.devices import in_double
from gahb.wrapped.network import ForeignNetwork

__all__ = ["Blind", "Informed", "Residual", "Scheduled"]

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
        """Denoiser for noise of standard deviation ``sigma``, sharing the network.

        Raises
        ------
        ValueError
            If ``sigma`` is not within the range of levels that the network takes.
        """
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
