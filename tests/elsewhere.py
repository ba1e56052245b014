"""A second device in software: its tensors hold values, and mix with the CPU's as a GPU's do.

Inside ``Elsewhere()`` the device ``meta`` computes, on the CPU in secret. An operation on tensors
of both devices raises as it does with a GPU, so that a tensor made on the wrong device is found
without one. Reading a value, which lets the CPU wait for a GPU, is counted.
"""

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

__all__ = ["DEVICE", "Elsewhere", "Far"]

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


def compute(operation: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Run an operation on the CPU, and give its results the device that they would have."""
    require_one_device(operation, args, kwargs)
    far = any(isinstance(leaf, Far) for leaf in tree_leaves((args, kwargs)))
    near_args, near_kwargs = tree_map(lambda x: x.near if isinstance(x, Far) else x, (args, kwargs))
    if (device := kwargs.get("device")) is not None:
        far = torch.device(device) == DEVICE
        near_kwargs["device"] = torch.device("cpu")
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
