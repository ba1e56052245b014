"""Denoisers: maps from a noisy image y = x + z to an estimate of the clean image x.

All are called as ``f(y, sigma)``, as those of k-diffusion, EDM and deepinv are; blind ones ignore
``sigma`` and can be called as ``f(y)``. Gray levels lie in [0, 1], and ``sigma`` is the standard
deviation of the noise on that scale: one for all images, or a tensor (n,) of one for each.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, Self

import torch
from torch import Tensor, nn

from gahb.checks import check_images, check_number
from gahb.devices import device_of, in_double, weight_of
from gahb.images.shuffled import shuffle, unshuffle

__all__ = [
    "BaseDenoiser",
    "Denoiser",
    "FixedSigma",
    "Sigma",
    "Unshuffled",
    "at",
    "check_levels",
    "evaluation",
    "limits_of",
    "noise_levels",
]


Sigma = float | Tensor
"""Standard deviation of the noise: of all images, or (n,) of each."""
NOT_GIVEN = "sigma: not given; accepted: f(y, sigma), as f is not blind"
SMALLEST = torch.finfo(torch.float32).tiny


def at(f: Callable[..., Tensor], sigma: Sigma | None) -> Callable[..., Tensor]:
    """Return the denoiser of one argument y -> f(y, sigma), such as a Jacobian is taken of.

    Parameters
    ----------
    f : callable
        A denoiser of this package; or of another, such as a module of k-diffusion, EDM or deepinv,
        whose second argument is called ``sigma`` and which gets it as a tensor (n,) of the dtype
        and on the device of y. One without such an argument is blind, and returned as it is.
    sigma : float or Tensor or None
        Noise level, one for all images or one for each, (n,). None is for blind denoisers only.

    Examples
    --------
    >>> def field(x, sigma):
    ...     return x / (1 + sigma**2).view(-1, 1, 1, 1)
    >>> at(field, 2.0)(torch.ones(1, 1, 1, 1))
    tensor([[[[0.2000]]]])
    """
    if not callable(f):
        raise TypeError(f"f: {type(f).__name__} is not a function f(y) or f(y, sigma)")
    parameter = _sigma_parameter(f)
    if parameter is None:
        return f
    if sigma is not None:
        return FixedSigma(f, sigma)
    if parameter.default is parameter.empty:
        raise ValueError(NOT_GIVEN)
    return f


def _sigma_parameter(f: Callable[..., Any]) -> inspect.Parameter | None:
    """Return the parameter by which ``f`` takes the noise level, or None where it is blind."""
    f = unwrapped(f)
    try:
        signature = inspect.signature(f.forward if isinstance(f, nn.Module) else f)
    except (TypeError, ValueError):  # of functions that are not written in Python
        return None
    second = list(signature.parameters.values())[1:2]
    for parameter in second:
        if parameter.name == "sigma":
            return parameter
        positional = parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
        if positional and parameter.default is parameter.empty:
            raise ValueError(f"f: takes {signature}; accepted: (y) or (y, sigma), or see gahb.wrap")
    return None


def unwrapped(f: Any) -> Any:
    """Return what was given to torch.compile or DataParallel, whose wrappers take ``*args``."""
    while isinstance(f, nn.Module):
        if isinstance(f, nn.DataParallel | nn.parallel.DistributedDataParallel):
            f = f.module
        elif hasattr(f, "_orig_mod"):
            f = f._orig_mod
        else:
            break
    return f


def noise_levels(
    sigma: Sigma | None, n: int, low: float = SMALLEST, high: float = torch.inf
) -> Tensor:
    """Return the noise level of each of n images, (n,) in float64, all of them in [low, high]."""
    if sigma is None:
        raise ValueError(NOT_GIVEN)
    given: Any = sigma
    if isinstance(sigma, Tensor):
        if sigma.ndim > 1 or not sigma.is_floating_point() or not sigma.numel():
            shown = f"{sigma.dtype} of shape {tuple(sigma.shape)}"
            raise ValueError(f"sigma: {shown} is not a number or a float tensor of shape (n,)")
        given = sigma.cpu().tolist()  # forward mode hides what operations on it give
    for level in given if isinstance(given, list) else [given]:
        check_number("sigma", level, low, high)
    levels = in_double(sigma)
    if levels.ndim and len(levels) != n:
        raise ValueError(f"sigma: {len(levels)} noise levels for {n} noisy images")
    return levels.expand(n)


def limits_of(f: Any) -> tuple[float, float]:
    """Return the smallest and the largest noise level that a denoiser takes, as far as it says."""
    f = unwrapped(f)
    return f.limits if isinstance(f, BaseDenoiser) else BaseDenoiser.limits


def check_levels(f: Any, **levels: float) -> None:
    """Raise unless a denoiser takes the noise levels, given by the names of arguments."""
    low, high = limits_of(f)
    for name, sigma in levels.items():
        check_number(name, sigma, low, high)


@contextmanager
def evaluation(f: Callable[..., Any], *, autocast: bool = True) -> Iterator[None]:
    """Measure a network as it is used: in evaluation mode and its own precision, as it was after.

    In training mode it would normalize by the batch and overwrite its running deviations; with
    checkpoints of activations, which save memory in training, torch.func cannot derive it. Without
    ``autocast``, it does not take to half precision by itself either.

    Examples
    --------
    >>> with evaluation(network := nn.Dropout()):
    ...     network.training
    False
    """
    network = f if isinstance(f, nn.Module) else nn.Module()
    modes = {
        (part, mode): getattr(part, mode)
        for part in network.modules()
        for mode in ("training", "gradient_checkpointing")
        if hasattr(part, mode)
    }
    device = device_of(f, otherwise=torch.device("cpu")).type
    try:
        for part, mode in modes:
            setattr(part, mode, False)
        with _outside_autocast(device, also_within=not autocast):
            yield
    finally:
        for (part, mode), value in modes.items():
            setattr(part, mode, value)


@contextmanager
def _outside_autocast(device: str, *, also_within: bool) -> Iterator[None]:
    """Leave the caller's regions of autocast, and disable also those that are entered within."""
    enabled = torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)
    enter = torch.autocast.__enter__

    def enter_disabled(region: torch.autocast) -> Any:
        entered = enter(region)  # which notes what is to be restored at its end
        torch.set_autocast_enabled(region.device, False)
        return entered

    with torch.autocast(device, enabled=False) if enabled else nullcontext():
        try:
            if also_within:
                torch.autocast.__enter__ = enter_disabled  # type: ignore[method-assign]
            yield
        finally:
            torch.autocast.__enter__ = enter  # type: ignore[method-assign]


class BaseDenoiser(nn.Module):
    """A map f from noisy images to estimates of the clean ones, and the score that it implies.

    Subclasses define ``forward(y, sigma=None)``; blind ones may define ``forward(y)``. ``limits``
    are the smallest and the largest noise level that it takes.
    """

    limits: tuple[float, float] = (SMALLEST, torch.inf)

    def residual(self, y: Tensor, sigma: Sigma | None = None) -> Tensor:
        """Return the estimated noise y - f(y), of the shape of ``y``."""
        estimate: Tensor = at(self, sigma)(y)
        return y - estimate

    def score(self, y: Tensor, sigma: float) -> Tensor:
        """Return the score of the noisy density, (f(y) - y) / sigma^2 (equation 3)."""
        check_number("sigma", sigma, SMALLEST)
        return -self.residual(y, sigma) / sigma**2

    def at(self, sigma: Sigma) -> BaseDenoiser:
        """Return the denoiser y -> f(y, sigma), as the function :func:`at` does."""
        return FixedSigma(self, sigma)


class FixedSigma(BaseDenoiser):
    """The denoiser y -> f(y, sigma), as blind as a denoiser that knows one noise level can be."""

    def __init__(self, f: Callable[..., Tensor], sigma: Sigma) -> None:
        super().__init__()
        self.f, self.sigma = f, sigma
        self.training = getattr(f, "training", False)
        noise_levels(sigma, sigma.numel() if isinstance(sigma, Tensor) else 1)

    def forward(self, y: Tensor, sigma: Sigma | None = None) -> Tensor:
        """Return the estimate f(y, sigma) for the noise level that is fixed, (n, C, H, W)."""
        ours = isinstance(self.f, BaseDenoiser)
        levels = self.sigma if ours else noise_levels(self.sigma, len(y)).to(y)
        estimate: Tensor = self.f(y, levels)
        return estimate


class Denoiser(BaseDenoiser):
    """Blind denoiser f(y) = y - network(y), the network's output being the residual.

    The network, such as :class:`gahb.UNet`, maps noisy images (n, C, H, W) to their estimated
    noise, on its own device and in its own precision; results are in those of ``y``. It is put into
    evaluation mode: running deviations are used and f is homogeneous, f(c y) = c f(y) for c > 0.

    Examples
    --------
    >>> import gahb
    >>> f = Denoiser(gahb.UNet(blocks=1, width=8))
    >>> y = torch.rand(2, 1, 16, 16)
    >>> f(y).shape
    torch.Size([2, 1, 16, 16])
    >>> torch.allclose(f.score(y, sigma=0.5), (f(y) - y) / 0.25, atol=1e-4)
    True
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        if not isinstance(network, nn.Module):
            raise TypeError(f"network: {type(network).__name__} is not a torch.nn.Module")
        self.network = network
        self.eval()

    def forward(self, y: Tensor, sigma: Sigma | None = None) -> Tensor:
        """Return the estimate f(y) = y - network(y) of the clean images, (n, C, H, W)."""
        return y - self.residual(y)

    def residual(self, y: Tensor, sigma: Sigma | None = None) -> Tensor:
        """Return the estimated noise network(y), (n, C, H, W)."""
        check_images("y", y, finite=False)
        estimate: Tensor = self.network(y.to(weight_of(self.network, otherwise=y)))
        return estimate.to(y)

    def train(self, mode: bool = True) -> Self:
        """Stay in evaluation mode: only a bare network is trained."""
        return super().train(False)


class Unshuffled(BaseDenoiser):
    """Denoiser that shuffles the pixels, denoises, and puts them back in order (Figure 21).

    The ``denoiser`` is one of images such as the class ``shuffled-faces``. Shuffling turns white
    noise into white noise, so that this has the error that ``denoiser`` has on shuffled images, and
    where one of the two is optimal, so is the other. Its adaptive basis is that of ``denoiser``
    with the pixels in their own order.

    Examples
    --------
    >>> import gahb
    >>> f = Unshuffled(gahb.Denoiser(gahb.UNet(blocks=1, width=4)))
    >>> f(torch.rand(1, 1, 16, 16)).shape
    torch.Size([1, 1, 16, 16])
    """

    def __init__(self, denoiser: Callable[..., Tensor]) -> None:
        super().__init__()
        self.denoiser = denoiser
        self.training = getattr(denoiser, "training", False)

    def forward(self, y: Tensor, sigma: Sigma | None = None) -> Tensor:
        """Return the estimate from noisy images (n, C, size, size) in their own order."""
        return unshuffle(at(self.denoiser, sigma)(shuffle(y)))
