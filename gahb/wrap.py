"""Third-party denoisers of another kind than f(y) and f(y, sigma), or of other gray levels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import torch
from torch import Tensor

from gahb.checks import check_choice, check_images, check_number
from gahb.denoiser import SMALLEST, BaseDenoiser, Sigma, noise_levels

__all__ = ["KINDS", "wrap"]


ROUNDING = 1e-6
PREDICTIONS = ("epsilon", "sample", "v_prediction")


class Blind(BaseDenoiser):
    """Third-party network that gives the image, and does not take the noise level.

    It knows images u = low + (high - low) x, where ours are x in [0, 1]. It is put into evaluation
    mode and otherwise left as it is; it is called in the precision of its weights.
    """

    def __init__(self, model: Callable[..., Any], data_range: tuple[float, float]) -> None:
        super().__init__()
        self.model = model
        self.low, self.span = data_range[0], data_range[1] - data_range[0]
        self.eval()

    def forward(self, y: Tensor, sigma: Sigma | None = None) -> Tensor:
        """Return the estimate of the clean images, (n, C, H, W), of the dtype of ``y``."""
        check_images("y", y, finite=False)
        return (self.estimate(self.low + self.span * y, sigma) - self.low) / self.span

    def estimate(self, u: Tensor, sigma: Sigma | None) -> Tensor:
        """Return the clean images of noisy ones, both on the network's scale, (n, C, H, W)."""
        return self.output(u)

    def output(self, u: Tensor, *condition: Tensor) -> Tensor:
        """Return what the network makes of images on its scale, (n, C, H, W)."""
        given = self.model(u.to(self.precision(u)), *condition)
        given = getattr(given, "sample", given)  # what the networks of diffusers wrap it in
        if not isinstance(given, Tensor) or given.shape != u.shape:
            what = tuple(given.shape) if isinstance(given, Tensor) else type(given).__name__
            raise ValueError(f"model: gives {what} for images of shape {tuple(u.shape)}")
        return given.to(u.dtype)

    def precision(self, u: Tensor) -> torch.dtype:
        """Return the floating-point type of the network's weights, or else of ``u``."""
        return next((p.dtype for p in self.parameters() if p.is_floating_point()), u.dtype)

    def train(self, mode: bool = True) -> Self:
        """Stay in evaluation mode."""
        return super().train(False)


class Residual(Blind):
    """Third-party network that gives the noise, and does not take its level."""

    def estimate(self, u: Tensor, sigma: Sigma | None) -> Tensor:
        """Return the clean images: the noise is taken out of ``u``."""
        return u - self.output(u)


class NonBlind(Blind):
    """Third-party network that gives the image, and takes the noise level on its own scale.

    ``limits`` are the smallest and the largest level that it takes.
    """

    def __init__(
        self,
        model: Callable[..., Any],
        data_range: tuple[float, float],
        limits: tuple[float, float],
    ) -> None:
        super().__init__(model, data_range)
        # A limit that is met exactly must not be missed by rounding.
        self.smallest = max(SMALLEST, limits[0] / self.span * (1 - ROUNDING))
        self.largest = limits[1] / self.span * (1 + ROUNDING)

    def estimate(self, u: Tensor, sigma: Sigma | None) -> Tensor:
        """Return the clean images of noisy ones, both on the network's scale, (n, C, H, W)."""
        levels = noise_levels(sigma, len(u), self.smallest, self.largest)
        return self.denoised(u, self.span * levels)

    def denoised(self, u: Tensor, s: Tensor) -> Tensor:
        """Return the same for noise levels on the network's scale, (n,)."""
        return self.output(u, s.to(u.device, self.precision(u)))


class Scheduled(NonBlind):
    r"""Third-party network of images that shrink as noise is added, which takes the time step.

    At step t of its schedule, with :math:`\bar\alpha_t` = ``scheduler.alphas_cumprod[t]``, it knows

    .. math::

        u_t = \sqrt{\bar\alpha_t} u + \sqrt{1 - \bar\alpha_t} z
            = \sqrt{\bar\alpha_t} (u + s_t z), \quad s_t = \sqrt{1 / \bar\alpha_t - 1}.

    Noise of any level s has its place on that curve, at :math:`\bar\alpha = 1 / (1 + s^2)`;
    t is interpolated between the steps, linearly in log s.
    """

    def __init__(
        self, model: Callable[..., Any], data_range: tuple[float, float], scheduler: Any
    ) -> None:
        levels = _levels_of(scheduler)
        super().__init__(model, data_range, (float(levels[0]), float(levels[-1])))
        self.log_levels = levels.log()
        self.prediction = scheduler.config.prediction_type
        check_choice("scheduler: prediction_type", self.prediction, PREDICTIONS)
        # Other embeddings know whole time steps only, or another time than the schedule's.
        config = getattr(model, "config", None)
        embedding = getattr(config, "time_embedding_type", "positional")
        check_choice("model: time_embedding_type", embedding, ("positional",))

    def denoised(self, u: Tensor, s: Tensor) -> Tensor:
        """Return the prediction, taken out of ``u`` if it is of noise or of velocity."""
        t = self.time(s).to(u.device, torch.float32)
        s = s.to(u)[:, None, None, None]
        shrinkage = (1 + s**2).rsqrt()  # sqrt(alpha_bar)
        predicted = self.output(shrinkage * u, t)
        if self.prediction == "epsilon":
            return u - s * predicted
        if self.prediction == "v_prediction":
            # v = sqrt(a) z - sqrt(1 - a) x, hence x = sqrt(a) u_t - sqrt(1 - a) v
            return shrinkage**2 * u - s * shrinkage * predicted
        return predicted

    def time(self, s: Tensor) -> Tensor:
        """Return the time steps, whole or not, of noise levels on the network's scale, (n,)."""
        log_s, log_levels = s.log(), self.log_levels.to(s.device)
        after = torch.searchsorted(log_levels, log_s).clamp(1, len(log_levels) - 1)
        before = log_levels[after - 1]
        return after - 1 + (log_s - before) / (log_levels[after] - before)


def _levels_of(scheduler: Any) -> Tensor:
    """Return the noise level s_t of each step of a schedule, in float64 on the CPU."""
    alphas = getattr(scheduler, "alphas_cumprod", None)
    if not isinstance(alphas, Tensor) or not hasattr(scheduler, "config"):
        accepted = "accepted: one of diffusers that has alphas_cumprod, such as DDPMScheduler"
        raise TypeError(f"scheduler: {type(scheduler).__name__} is none; {accepted}")
    # A last step without any signal, which some schedules have, lies at infinite noise.
    alphas = alphas[alphas > 0].double().cpu()
    return (1 / alphas - 1).sqrt()


KINDS = {
    "blind": (0.0, 1.0),
    "residual": (0.0, 1.0),
    "sigma": (-1.0, 1.0),
    "diffusers": (-1.0, 1.0),
}
"""The kinds of third-party denoisers, and the gray levels (low, high) that each commonly knows."""


def wrap(
    model: Callable[..., Any],
    kind: str,
    *,
    data_range: tuple[float, float] | None = None,
    scheduler: Any = None,
) -> BaseDenoiser:
    """Return a third-party denoiser as one of this package: f(y) or f(y, sigma), gray in [0, 1].

    One that is called so already, as those of k-diffusion, EDM and deepinv are, goes everywhere
    as it is if its gray levels are ours. Estimates are differentiable, and not clipped.

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

    References
    ----------
    .. [1] T. Karras, M. Aittala, T. Aila and S. Laine, "Elucidating the design space of
       diffusion-based generative models", NeurIPS 2022.

    Examples
    --------
    A non-blind network for images in [-1, 1], which does not look at the image:

    >>> f = wrap(lambda u, sigma: 0 * u, "sigma", data_range=(-1, 1))
    >>> f(torch.rand(2, 1, 8, 8), sigma=0.5).unique()
    tensor([0.5000])
    """
    if not callable(model):
        raise TypeError(f"model: {type(model).__name__} is not callable")
    check_choice("kind", kind, list(KINDS))
    if scheduler is not None and kind != "diffusers":
        raise ValueError(f"scheduler: the kind {kind!r} takes none")
    levels = KINDS[kind] if data_range is None else _checked_range(data_range)
    if kind == "diffusers":
        return Scheduled(model, levels, scheduler)
    if kind == "sigma":
        limits = getattr(model, "sigma_min", 0), getattr(model, "sigma_max", float("inf"))
        return NonBlind(model, levels, (float(limits[0]), float(limits[1])))
    return (Residual if kind == "residual" else Blind)(model, levels)


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
