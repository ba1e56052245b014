"""Third-party denoisers of another kind than f(y) and f(y, sigma), or of other gray levels."""

import inspect
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Self

import torch
from torch import Tensor, nn

from gahb.checks import check_choice, check_images, check_range
from gahb.denoiser import SMALLEST, BaseDenoiser, Sigma, noise_levels
from gahb.devices import weight_of

__all__ = ["KINDS", "wrap"]

SLACK = 1e-6  # of the limits, which rounding may exceed
PREDICTIONS = ("epsilon", "sample", "v_prediction")
FLOW = "flow_prediction"
LEARNED = ("learned", "learned_range")  # variances, in channels behind those of the image
ANY_LEVEL = (0.0, float("inf"))


class Network(nn.Module):
    """Third-party network as it is called: in the precision of its weights, and conditioned.

    It is left as it is. ``call(model, u, t, **conditioning)`` calls it, without t if it is blind.
    """

    def __init__(
        self,
        model: Callable[..., Any],
        call: Callable[..., Any],
        conditioning: dict[str, Any],
        learned_variance: bool,
    ) -> None:
        super().__init__()
        self.model, self.call, self.conditioning = model, call, conditioning
        self.learned_variance = learned_variance

    def forward(self, u: Tensor, *time: Tensor) -> Tensor:
        """Return what the network makes of images on its scale, (n, C, H, W)."""
        weight = weight_of(self.model, otherwise=u)
        conditioning = _for_all(self.conditioning, len(u), weight)
        given = self.call(self.model, u.to(weight), *time, **conditioning)
        given = getattr(given, "sample", given)  # what the networks of diffusers wrap it in
        if isinstance(given, Tensor) and self.learned_variance:
            given = given[:, : u.shape[1]]
        if not isinstance(given, Tensor) or given.shape != u.shape:
            what = tuple(given.shape) if isinstance(given, Tensor) else type(given).__name__
            raise ValueError(
                f"model: gives {what} for images of shape {tuple(u.shape)}; accepted: that shape, "
                "or twice the channels if the scheduler's variance_type is learned, or call="
            )
        return given.to(u)


def _for_all(value: Any, n: int, weight: Tensor) -> Any:
    """Return what conditions one image for n of them, on the device and in the precision."""
    if isinstance(value, dict):
        return {key: _for_all(entry, n, weight) for key, entry in value.items()}
    if not isinstance(value, Tensor):
        return value
    value = value.to(weight if value.is_floating_point() else weight.device)
    return value.expand(n, *value.shape[1:])


class Wrapped(BaseDenoiser):
    """Third-party network of images u = low + (high - low) x, where ours are x in [0, 1].

    ``meaning(network, u, s)`` gives clean images on its scale, for noise levels s (n,) on that
    scale. ``limits`` are the smallest and the largest level that it takes; a blind one, without
    limits, gets no level. It is put into evaluation mode.
    """

    def __init__(
        self,
        network: Network,
        data_range: tuple[float, float],
        meaning: Callable[..., Tensor],
        limits: tuple[float, float] | None,
    ) -> None:
        super().__init__()
        self.network, self.meaning, self.blind = network, meaning, limits is None
        self.low, self.span = data_range[0], data_range[1] - data_range[0]
        if limits is not None:
            self.limits = max(SMALLEST, limits[0] / self.span), limits[1] / self.span
        self.eval()

    def forward(self, y: Tensor, sigma: Sigma | None = None) -> Tensor:
        """Return the estimate of the clean images, (n, C, H, W), of the dtype of ``y``."""
        check_images("y", y, finite=False)
        levels = []
        if not self.blind:
            # A limit that is met exactly must not be missed by rounding.
            low, high = self.limits[0] * (1 - SLACK), self.limits[1] * (1 + SLACK)
            levels = [self.span * noise_levels(sigma, len(y), low, high)]
        estimate = self.meaning(self.network, self.low + self.span * y, *levels)
        return (estimate - self.low) / self.span

    def train(self, mode: bool = True) -> Self:
        """Stay in evaluation mode."""
        return super().train(False)


def _image(network: Network, u: Tensor, *levels: Tensor) -> Tensor:
    """Return what a network of images gives, which takes the noise level as it is, if at all."""
    weight = weight_of(network, otherwise=u)
    estimate: Tensor = network(u, *(s.to(weight) for s in levels))
    return estimate


def _residual(network: Network, u: Tensor) -> Tensor:
    noise: Tensor = network(u)
    return u - noise


def _flow(network: Network, u: Tensor, s: Tensor, steps: int | None, mirrored: bool) -> Tensor:
    r"""Return the images of a network of the velocity :math:`v = z - u` from images to noise.

    At time t in [0, 1] it knows

    .. math::

        u_t = (1 - t) u + t z = (1 - t) (u + s_t z), \quad s_t = t / (1 - t).

    It takes t times the number of ``steps``, where it counts such, or t itself. One that is
    ``mirrored`` goes from noise to images: it takes 1 - t, and gives -v.
    """
    t = s / (1 + s)
    time = (1 - t if mirrored else t) * (steps or 1)
    weight = weight_of(network, otherwise=u)
    # Numbers of steps do not fit into half precision.
    time = time.to(weight.device, weight.dtype if steps is None else torch.float32)
    t = t.to(u)[:, None, None, None]
    u_t = (1 - t) * u
    velocity: Tensor = (-1 if mirrored else 1) * network(u_t, time)
    return u_t - t * velocity


def _scheduled(network: Network, u: Tensor, s: Tensor, levels: Tensor, prediction: str) -> Tensor:
    r"""Return the images of a network for which they shrink as noise is added, by the time step.

    At step t, with :math:`\bar\alpha_t` = ``scheduler.alphas_cumprod[t]``, it knows

    .. math::

        u_t = \sqrt{\bar\alpha_t} u + \sqrt{1 - \bar\alpha_t} z
            = \sqrt{\bar\alpha_t} (u + s_t z), \quad s_t = \sqrt{1 / \bar\alpha_t - 1}.

    Noise of any level s has its place on that curve, at :math:`\bar\alpha = 1 / (1 + s^2)`;
    t is interpolated between the steps, linearly in log s.
    """
    log_s, log_levels = s.log(), levels.log().to(s.device)
    after = torch.searchsorted(log_levels, log_s).clamp(1, len(log_levels) - 1)
    before = log_levels[after - 1]
    t = after - 1 + (log_s - before) / (log_levels[after] - before)
    s = s.to(u)[:, None, None, None]
    shrinkage = (1 + s**2).rsqrt()  # sqrt(alpha_bar)
    device = weight_of(network, otherwise=u).device
    predicted: Tensor = network(shrinkage * u, t.to(device, torch.float32))
    if prediction == "epsilon":
        return u - s * predicted
    if prediction == "v_prediction":
        # v = sqrt(a) z - sqrt(1 - a) x, hence x = sqrt(a) u_t - sqrt(1 - a) v
        return shrinkage**2 * u - s * shrinkage * predicted
    return predicted


def _levels_of(scheduler: Any) -> Tensor:
    """Return the noise level s_t of each step of a schedule, in float64 on the CPU."""
    alphas = getattr(scheduler, "alphas_cumprod", None)
    if not isinstance(alphas, Tensor) or not hasattr(scheduler, "config"):
        accepted = "one of diffusers, for diffusion or flow matching, such as DDPMScheduler"
        raise TypeError(f"scheduler: {type(scheduler).__name__} is none; accepted: {accepted}")
    # A last step without any signal, which some schedules have, lies at infinite noise.
    alphas = alphas[alphas > 0].double().cpu()
    return (1 / alphas - 1).sqrt()


BLIND = {"blind": _image, "residual": _residual}
KINDS = {
    "blind": (0.0, 1.0),
    "residual": (0.0, 1.0),
    "sigma": (-1.0, 1.0),
    "diffusers": (-1.0, 1.0),
    "flow_to_data": (-1.0, 1.0),
    "flow_to_noise": (-1.0, 1.0),
}
"""The kinds of third-party denoisers, and the gray levels (low, high) that each commonly knows."""


def wrap(
    model: Callable[..., Any],
    kind: str,
    *,
    data_range: tuple[float, float] | None = None,
    scheduler: Any = None,
    call: Callable[..., Any] | None = None,
    **conditioning: Any,
) -> BaseDenoiser:
    """Return a third-party denoiser as one of this package: f(y) or f(y, sigma), gray in [0, 1].

    One that is called so already, as those of k-diffusion, EDM and deepinv are, goes everywhere
    as it is if its gray levels are ours. Estimates are differentiable, and not clipped.

    Parameters
    ----------
    model : callable
        Usually a ``torch.nn.Module``. It is put into evaluation mode and stays so; it is called
        on the device and in the precision of its weights, images being converted there and back.
        Of a function that calls a module nothing of that is known: give the module, and ``call``.
    kind : str
        How it is called, u being images of its own range of gray levels, and z unit noise:

        - ``blind``: model(u) is the clean image;
        - ``residual``: model(u) is the noise, as in the networks of the paper;
        - ``sigma``: model(u, sigma) is the clean image (Karras et al., 2022), ``sigma`` (n,) being
          on the scale of u. Attributes ``sigma_min`` and ``sigma_max``, where it has them, limit
          the noise levels;
        - ``diffusers``: model(u_t, t).sample is what the scheduler says, epsilon, sample, v or the
          velocity of a flow, such as that of a ``diffusers.UNet2DModel``. Between time steps t is
          interpolated. Where the scheduler says that the variance is learned, it is left out;
        - ``flow_to_data``: model(u_t, t) is the velocity u - z of flow matching (Lipman et al.,
          2023) or rectified flow at u_t = t u + (1 - t) z, t (n,) in [0, 1];
        - ``flow_to_noise``: the same in the other direction, z - u at u_t = (1 - t) u + t z.
    data_range : tuple of float, optional
        Gray levels (low, high) that stand for black and white in u. By default (0, 1) for
        ``blind`` and ``residual``, and (-1, 1) for the others.
    scheduler : optional
        For ``diffusers``: the scheduler it was trained with, such as ``DDPMScheduler``, of which
        ``alphas_cumprod`` and ``config`` are read, or ``FlowMatchEulerDiscreteScheduler``.
    call : callable, optional
        How it is called where that is not said above: ``call(model, u, t, **conditioning)``, t
        being the noise level or time, which a blind one does not get.
    **conditioning
        What the model is given besides, at every call: labels, or embeddings of text. Tensors are
        those of one image, (1, ...), and repeated for all.

    Examples
    --------
    A network of images in [-1, 1] of a class, which is told the logarithm of the noise level:

    >>> def network(u, log_sigma, labels):
    ...     return 0 * u + labels.view(-1, 1, 1, 1)
    >>> def call(model, u, sigma, labels):
    ...     return model(u, sigma.log(), labels)
    >>> f = wrap(network, "sigma", call=call, labels=torch.tensor([0]))
    >>> f(torch.rand(2, 1, 8, 8), sigma=0.5).unique()
    tensor([0.5000])
    """
    if not callable(model):
        raise TypeError(f"model: {type(model).__name__} is not callable")
    check_choice("kind", kind, list(KINDS))
    if scheduler is not None and kind != "diffusers":
        raise ValueError(f"scheduler: the kind {kind!r} takes none")
    levels = KINDS[kind] if data_range is None else check_range("data_range", data_range)
    for name, value in conditioning.items():
        if isinstance(value, Tensor) and value.ndim and len(value) != 1:
            raise ValueError(f"{name}: of {len(value)} images; accepted: of one, (1, ...), for all")
    meaning, limits = _meaning(kind, model, scheduler, checked=call is None)
    learned = _config(scheduler, "variance_type") in LEARNED
    call = call or _usual_call(model, kind in BLIND, conditioning)
    _warn_of_training(model)
    return Wrapped(Network(model, call, conditioning, learned), levels, meaning, limits)


def _meaning(
    kind: str, model: Callable[..., Any], scheduler: Any, checked: bool
) -> tuple[Callable[..., Tensor], tuple[float, float] | None]:
    """Return what gives clean images by a network of that kind, and the limits of its levels."""
    if kind in BLIND:
        return BLIND[kind], None
    if kind == "sigma":
        low, high = (getattr(model, f"sigma_{end}", None) for end in ("min", "max"))
        return _image, (float(low or 0), float(high or ANY_LEVEL[1]))
    if kind != "diffusers":
        return partial(_flow, steps=None, mirrored=kind == "flow_to_data"), ANY_LEVEL
    prediction = _config(scheduler, "prediction_type")
    if prediction == FLOW or type(scheduler).__name__.startswith("FlowMatch"):
        mirrored = bool(_config(scheduler, "invert_sigmas"))
        steps = _config(scheduler, "num_train_timesteps")
        return partial(_flow, steps=steps, mirrored=mirrored), ANY_LEVEL
    levels = _levels_of(scheduler)
    check_choice("scheduler: prediction_type", prediction, (*PREDICTIONS, FLOW))
    # Other embeddings know whole time steps only, or another time than the schedule's.
    for part in model.modules() if checked and isinstance(model, nn.Module) else ():
        embedding = _config(part, "time_embedding_type") or "positional"
        if embedding != "positional":
            accepted = "positional, or call= that gives it its time"
            raise ValueError(f"model: time_embedding_type: {embedding!r}; accepted: {accepted}")
    limits = float(levels[0]), float(levels[-1])
    return partial(_scheduled, levels=levels, prediction=prediction), limits


def _config(of: Any, name: str) -> Any:
    """Return what the configuration of a scheduler or network of diffusers says, or None."""
    return getattr(getattr(of, "config", None), name, None)


def _usual_call(
    model: Callable[..., Any], blind: bool, conditioning: dict[str, Any]
) -> Callable[..., Any]:
    """Return how a model is called if nothing is said, or raise if its signature differs."""
    try:
        signature = inspect.signature(model.forward if isinstance(model, nn.Module) else model)
    except (TypeError, ValueError):  # of functions that are not written in Python
        return _by_position
    call = _by_name if not blind and "timestep" in signature.parameters else _by_position
    try:
        call(signature.bind, *("u" if blind else "ut"), **conditioning)
    except TypeError as error:
        accepted = "what its signature asks for, as in wrap(..., class_labels=...), or call="
        raise TypeError(f"model: {error}; accepted: {accepted}") from None
    return call


def _by_position(model: Callable[..., Any], u: Any, *time: Any, **conditioning: Any) -> Any:
    return model(u, *time, **conditioning)


def _by_name(model: Callable[..., Any], u: Any, t: Any, **conditioning: Any) -> Any:
    """Call a network of diffusers: the time is not always its second argument."""
    return model(u, timestep=t, **conditioning)


def _warn_of_training(model: Callable[..., Any]) -> None:
    """Warn of modules in training mode that a function calls, as far as can be seen."""
    if not isinstance(model, nn.Module) and any(
        isinstance(used, nn.Module) and used.training for used in _used_by(model)
    ):
        accepted = "the module itself, with call= or conditioning, or module.eval() before"
        warnings.warn(f"model: calls a module in training mode; accepted: {accepted}", stacklevel=3)


def _used_by(function: Any) -> Iterator[Any]:
    """Yield what a function uses: its closure and globals, its object, what it was given."""
    if isinstance(function, partial):
        yield from (*function.args, *function.keywords.values(), *_used_by(function.func))
    elif inspect.isfunction(function) or inspect.ismethod(function):
        yield getattr(function, "__self__", None)
        variables = inspect.getclosurevars(function)
        yield from (*variables.nonlocals.values(), *variables.globals.values())
    else:
        yield from getattr(function, "__dict__", {}).values()
