"""One calling convention for denoisers that come from elsewhere.

floor: 2
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gahb.checks import check_choice, check_number
from gahb.denoiser import BaseDenoiser
from gahb.wrapped.conventions import Blind, Informed, Residual, Scheduled
from gahb.wrapped.network import ForeignNetwork

__all__ = ["KINDS", "wrap"]

KINDS = {
    "blind": (0.0, 1.0),
    "residual": (0.0, 1.0),
    "sigma": (-1.0, 1.0),
    "diffusers": (-1.0, 1.0),
}
"""The kinds of denoisers, and the range of grey levels that each commonly knows."""


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
        How it is called, u being images of its own range of grey levels:

        - ``blind``: model(u) is the clean image;
        - ``residual``: model(u) is the noise, as in the networks of the paper;
        - ``sigma``: model(u, sigma) is the clean image [1]_, ``sigma`` (n,) being on the scale of
          u. Attributes ``sigma_min`` and ``sigma_max``, where it has them, limit the noise levels;
        - ``diffusers``: model(u_t, t).sample is epsilon, sample or v, as the scheduler says, such
          as that of a ``diffusers.UNet2DModel``. Between time steps t is interpolated.
    data_range : tuple of float, optional
        Grey levels (low, high) that stand for black and white in u. By default (0, 1) for
        ``blind`` and ``residual``, and (-1, 1) for ``sigma`` and ``diffusers``.
    scheduler : optional
        For ``diffusers``: the scheduler it was trained with, such as ``DDPMScheduler``, of which
        ``alphas_cumprod`` and ``config.prediction_type`` are read.

    Returns
    -------
    BaseDenoiser
        Maps y = x + sigma z, x in [0, 1], to an estimate of x. Those of kind ``sigma`` and
        ``diffusers`` are not blind: ``f.at(sigma)(y)``.

    Raises
    ------
    TypeError, ValueError
        If an argument is unknown or does not fit the others. Later, if a noise level is outside
        of what the model takes, or the model gives something else than images of the same shape.

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
