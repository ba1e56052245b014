"""What a GPU and a CPU differ in: precision, a compiler, tiny numbers, memory that may run out."""

import gc
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

Result = TypeVar("Result")

COMPLETE = ("cpu", "cuda", "xpu")  # Apple's GPUs lack double precision, and eigenvectors
ON_A_CPU = 64  # images at a time: faster than fewer, and no slower than more
AT_MOST = 1024
USABLE = 0.25  # of the free memory: what follows may need more than what was tried


def best_device() -> torch.device:
    """Return the GPU, or the CPU if there is none or ``ACCELERATE_USE_CPU`` asks for it."""
    from accelerate.utils import parse_flag_from_env  # here, as it takes as long as all of gahb

    if parse_flag_from_env("ACCELERATE_USE_CPU"):
        return torch.device("cpu")
    return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")


def weight_of(f: Any, otherwise: Tensor) -> Tensor:
    """Return a floating-point weight of ``f``, whose device and precision it has, or another."""
    return next((tensor for tensor in held(f) if tensor.is_floating_point()), otherwise)


def device_of(f: Any, otherwise: torch.device) -> torch.device:
    """Return the device of the weights of ``f``, or another where it shows none."""
    return next((tensor.device for tensor in held(f)), otherwise)


def held(f: Any) -> Iterator[Tensor]:
    """Yield the parameters and buffers of ``f``, if it is a module."""
    if isinstance(f, nn.Module):
        yield from f.parameters()
        yield from f.buffers()


def mixed_precision() -> str:
    """Return the precision to train in, as accelerate names it: ``bf16`` where a GPU has it."""
    cuda = best_device().type == "cuda"
    return "bf16" if cuda and torch.cuda.is_bf16_supported(including_emulation=False) else "no"


def with_double(device: torch.device) -> torch.device:
    """Return the device, or the CPU where it lacks double precision, as Apple's GPUs do."""
    return device if device.type in COMPLETE else torch.device("cpu")


def in_double(x: Tensor | float) -> Tensor:
    """Return a tensor or number in double precision; on the CPU where its device has none."""
    if isinstance(x, Tensor):  # in two steps: such a device cannot convert on the way either
        x = x.to(with_double(x.device))
    return torch.as_tensor(x, dtype=torch.float64)


def decomposed(
    decomposition: Callable[[Tensor], tuple[Tensor, Tensor]], matrix: Tensor
) -> tuple[Tensor, Tensor]:
    """Return both factors of a matrix, on its device; by the CPU if that cannot decompose."""
    first, second = decomposition(matrix.to(with_double(matrix.device)))
    return first.to(matrix.device), second.to(matrix.device)


def compiled(network: nn.Module, y: Tensor, backend: str = "inductor") -> Callable[..., Any]:
    """Return the network by ``torch.compile``, or itself, with a warning, if that fails on ``y``.

    Both passes are tried; gradients and buffers of the network are left as they were.
    """
    before = {name: buffer.clone() for name, buffer in network.named_buffers()}
    fast: Callable[..., Any] = torch.compile(network, backend=backend)
    try:
        with torch.enable_grad():
            fast(y).float().sum().backward()
    except Exception as error:  # of whatever kind the compiler's is
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        warnings.warn(f"torch.compile: {reason}; going on without it", stacklevel=2)
        fast = network
    network.zero_grad()
    for name, buffer in network.named_buffers():
        buffer.data.copy_(before[name])
    return fast


@contextmanager
def without_denormals() -> Iterator[None]:
    """Take numbers below float32's normal range as zero meanwhile: a CPU is slow with them."""
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


@torch.no_grad()
def images_at_a_time(f: Callable[[Tensor], Tensor], x: Tensor) -> int:
    """Return how many images like ``x``, (n, C, H, W), to give ``f`` at a time.

    On a GPU by its free memory and what ``f`` takes for one image; 64 elsewhere.
    """
    device = device_of(f, x.device)
    if device.type != "cuda":
        return ON_A_CPU
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    f(x[:1])
    taken = max(torch.cuda.max_memory_allocated(device) - before, 1)
    # What torch has reserved and does not use is free as well.
    free = torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device) - before
    return max(1, min(int(USABLE * free) // taken, AT_MOST))


def in_batches(run: Callable[[slice], Result], n: int, size: int) -> list[Result]:
    """Return what ``run`` gives on n items, ``size`` at a time, or half when memory runs out."""
    from accelerate.utils.memory import clear_device_cache, should_reduce_batch_size

    results: list[Result] = []
    start = 0
    while start < n:
        stop = min(start + size, n)
        try:
            results.append(run(slice(start, stop)))
            start = stop
            continue
        except RuntimeError as error:
            if stop - start == 1 or not should_reduce_batch_size(error):
                raise
            size = (stop - start) // 2
        # Only here, behind the handler, nothing holds what the failed call had allocated.
        gc.collect()
        clear_device_cache()
    return results
