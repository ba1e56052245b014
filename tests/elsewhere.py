"""A second device in software: its tensors hold values, and mix with the CPU's as a GPU's do.

Inside ``Elsewhere()`` the device ``meta`` computes, on the CPU in secret. An operation on tensors
of both devices raises as it does with a GPU, so that a tensor made on the wrong device is found
without one. Reading a value, which lets the CPU wait for a GPU, is counted. Inside ``Apple()`` the
device also lacks what Apple's GPUs do: double precision, and the operations that torch's own list
of kernels has for a CPU but not for them.
"""

from functools import cache
from pathlib import Path
from typing import Any

import torch
import torchgen
import yaml
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

__all__ = ["DEVICE", "Apple", "Elsewhere", "Far"]

DEVICE = torch.device("meta")  # of all devices, the one that torch lets us make ours
ATEN = torch.ops.aten
MOVES = {ATEN._to_copy, ATEN.copy_}
READS = {ATEN._local_scalar_dense, ATEN.nonzero}
INDEXING = {ATEN.index, ATEN.index_put, ATEN.index_put_}  # take indices from the CPU


class Far(torch.Tensor):
    """A tensor on the second device, with its values on the CPU in ``near``."""

    near: torch.Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, near: torch.Tensor) -> "Far":
        layout = {"strides": near.stride(), "storage_offset": near.storage_offset()}
        far = torch.Tensor._make_wrapper_subclass(
            cls, near.size(), dtype=near.dtype, device=DEVICE, **layout
        )
        far.near = near
        return far

    @classmethod
    def __torch_dispatch__(
        cls, operation: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        return compute(operation, args, kwargs or {})


class Elsewhere(TorchDispatchMode):
    """Inside of it the second device computes; ``waits`` counts the values read from it."""

    def __init__(self) -> None:
        super().__init__()
        self.waits = 0

    def __enter__(self) -> "Elsewhere":
        # Moved modules would otherwise keep their tensors' old ``near``.
        torch.__future__.set_swap_module_params_on_conversion(True)
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        torch.__future__.set_swap_module_params_on_conversion(False)

    def __torch_dispatch__(
        self, operation: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        results = compute(operation, args, kwargs or {})
        asked = isinstance(args[0], Far) if args else False
        copied = operation.overloadpacket in MOVES and not isinstance(results, Far)
        self.waits += asked and (copied or operation.overloadpacket in READS)
        return results


class Apple(Elsewhere):
    """Inside of it the second device lacks what one of Apple's GPUs does."""

    def __torch_dispatch__(
        self, operation: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        results = super().__torch_dispatch__(operation, types, args, kwargs)
        tensors = [x for x in tree_leaves((args, kwargs, results)) if isinstance(x, torch.Tensor)]
        far = [x for x in tensors if isinstance(x, Far)]
        # Metal converts what it copies to a CPU, but not to a precision that it does not have.
        converted = operation.overloadpacket in MOVES and isinstance(args[-1], Far)
        if any(x.dtype == torch.float64 for x in (tensors if converted else far)):
            raise TypeError(f"{operation}: Cannot convert a MPS Tensor to float64 dtype")
        if far and operation._schema.name.removeprefix("aten::") in without_kernel():
            raise NotImplementedError(f"{operation}: not currently implemented for the MPS device")
        return results


@cache
def without_kernel() -> set[str]:
    """Names of the operations that have a kernel of their own for a CPU, and none for Apple's."""
    folder = Path(torchgen.__file__).parent / "packaged" / "ATen" / "native"
    with (folder / "native_functions.yaml").open() as file:
        entries = yaml.load(file, Loader=yaml.CSafeLoader)
    kernels: dict[str, set[str]] = {}
    for entry in entries:
        # Structured operations name the overload that has the kernels.
        name = entry["func"].split("(")[0].split(".")[0]
        keys = " ".join(entry.get("dispatch", {})).replace(",", " ").split()
        kernels.setdefault(name, set()).update(keys)
    return {
        name
        for name, keys in kernels.items()
        if "CPU" in keys and not any(key == "MPS" or key.startswith("Composite") for key in keys)
    }


def compute(operation: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Run an operation on the CPU, and give its results the device that they would have."""
    require_one_device(operation, args, kwargs)
    far = any(isinstance(leaf, Far) for leaf in tree_leaves((args, kwargs)))
    near_args, near_kwargs = tree_map(lambda x: x.near if isinstance(x, Far) else x, (args, kwargs))
    if (device := kwargs.get("device")) is not None:
        far = torch.device(device) == DEVICE
        near_kwargs["device"] = torch.device("cpu")
    if operation.overloadpacket == ATEN._efficientzerotensor:
        operation = ATEN.zeros.default  # zeros without memory, which only torch's own devices know
    results = operation(*near_args, **near_kwargs)
    if operation._schema.is_mutable and operation._schema.name.endswith("_"):
        return args[0]
    return tree_map(lambda x: Far(x) if far and isinstance(x, torch.Tensor) else x, results)


def require_one_device(operation: Any, args: Any, kwargs: dict[str, Any]) -> None:
    """Raise if an operation takes tensors of both devices; single numbers may come from the CPU."""
    if operation.overloadpacket in MOVES | INDEXING:
        return
    tensors = [x for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)]
    near = [x for x in tensors if not isinstance(x, Far) and x.ndim]
    if near and len(near) < len([x for x in tensors if x.ndim]):
        raise RuntimeError(f"{operation}: expected all tensors to be on the same device")
