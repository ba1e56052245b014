"""One-line errors for bad input, ``argument: given; accepted: ...``, the same everywhere."""

from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor


def shown(value: Any) -> str:
    """Return what an error says of a value, on one line."""
    if isinstance(value, Tensor | np.ndarray):
        return f"{type(value).__name__} of shape {tuple(value.shape)}"
    return " ".join(repr(value).split())


def listed(numbers: Sequence[float], at_most: int = 10) -> str:
    """Return numbers as text, or the first of many."""
    rest = len(numbers) - at_most
    text = ", ".join(f"{number:g}" for number in numbers[:at_most])
    return f"{text} and {rest} others" if rest > 0 else text


def check_type(argument: str, value: Any, kind: Any, accepted: str) -> None:
    """Raise TypeError unless ``value`` is of a type, or one of several, as ``accepted`` says."""
    if not isinstance(value, kind):
        raise TypeError(f"{argument}: {shown(value)} is not {accepted}")


def check_choice(argument: str, value: Any, accepted: Collection[str]) -> None:
    """Raise ValueError unless ``value`` is one of the ``accepted`` names."""
    if not isinstance(value, str) or value not in accepted:
        raise ValueError(f"{argument}: {shown(value)} is unknown; accepted: {', '.join(accepted)}")


def as_numbers(argument: str, value: Any, accepted: str) -> Tensor:
    """Return one or several numbers as a tensor in float64, or raise TypeError."""
    try:
        return torch.as_tensor(value, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"{argument}: {shown(value)} is not {accepted}") from error


def check_count(argument: str, value: Any, minimum: int = 1, maximum: int | None = None) -> None:
    """Raise unless ``value`` is a whole number, of Python or numpy, in [minimum, maximum]."""
    limits = f"of at least {minimum}" if maximum is None else f"from {minimum} to {maximum}"
    accepted = f"a whole number {limits}"
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"{argument}: {shown(value)} is not {accepted}")
    if value < minimum or (maximum is not None and value > maximum):
        raise ValueError(f"{argument}: {value} is not {accepted}")


def check_seed(seed: Any) -> None:
    """Raise unless ``seed`` is in [0, 2^32): of larger ones some generators take a part."""
    check_count("seed", seed, 0, 2**32 - 1)


def check_number(argument: str, value: Any, low: float, high: float = float("inf")) -> None:
    """Raise unless ``value`` is a finite real number, of Python or numpy, in [low, high]."""
    accepted = f"a finite number in [{low:g}, {high:g}]"
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise TypeError(f"{argument}: {shown(value)} is not {accepted}")
    if not low <= value <= high or value == float("inf"):
        raise ValueError(f"{argument}: {value} is not {accepted}")


def check_range(argument: str, ends: Any) -> tuple[float, float]:
    """Return two finite numbers, the first below the second, or raise."""
    accepted = "two finite numbers (low, high), low below high"
    if not isinstance(ends, tuple | list) or len(ends) != 2:
        raise TypeError(f"{argument}: {shown(ends)} is not {accepted}")
    low, high = ends
    for end in (low, high):
        check_number(argument, end, -float("inf"))
    if not -float("inf") < low < high:
        raise ValueError(f"{argument}: {shown(ends)} is not {accepted}")
    return float(low), float(high)


def check_float(argument: str, value: Any, accepted: str) -> None:
    """Raise TypeError unless ``value`` is a floating-point tensor, as ``accepted`` says."""
    if not isinstance(value, Tensor) or not value.is_floating_point():
        given = value.dtype if isinstance(value, Tensor) else type(value).__name__
        raise TypeError(f"{argument}: {given} is not {accepted}")


def check_shape(
    argument: str, value: Any, accepted: str, fits: Callable[[torch.Size], bool]
) -> None:
    """Raise unless ``value`` is a floating-point tensor of a shape that ``fits``, and finite."""
    check_float(argument, value, accepted)
    if not value.numel() or not fits(value.shape):
        raise ValueError(f"{argument}: shape {tuple(value.shape)} is not {accepted}")
    check_finite(argument, value)


def check_finite(argument: str, value: Tensor) -> None:
    """Raise ValueError unless all values of a tensor are finite."""
    if not value.isfinite().all():
        raise ValueError(f"{argument}: holds NaN or infinity; accepted: finite values only")


def check_images(
    argument: str,
    x: Any,
    channels: int | None = None,
    *,
    size: Sequence[int] | None = None,
    finite: bool = True,
) -> None:
    """Raise unless ``x`` is a non-empty floating-point batch (n, C, H, W), of finite values.

    ``channels`` fixes C, and ``size`` (C, H, W). ``finite=False`` leaves the values unread, as in
    ``torch.func`` transforms, where they cannot steer the program.
    """
    accepted = "a float tensor of shape (n, C, H, W)"
    if not isinstance(x, Tensor):
        raise TypeError(f"{argument}: {type(x).__name__} is not {accepted}")
    if x.ndim != 4 or x.numel() == 0:
        raise ValueError(f"{argument}: shape {tuple(x.shape)} is not {accepted}")
    if not x.is_floating_point():
        raise TypeError(f"{argument}: dtype {x.dtype} is not {accepted}; divide uint8 by 255")
    if channels is not None and x.shape[1] != channels:
        raise ValueError(f"{argument}: {x.shape[1]} channels where {channels} are accepted")
    if size is not None and x.shape[1:] != torch.Size(size):
        fitting = ", ".join(str(side) for side in size)
        raise ValueError(f"{argument}: shape {tuple(x.shape)} is not the accepted (n, {fitting})")
    if finite and not x.is_meta:
        check_finite(argument, x)
