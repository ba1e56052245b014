"""What a training costs, computed from its recipe without running it.

A network is evaluated once on torch's ``meta`` device, where tensors have shapes but no values:
its arithmetic and what it must remember are counted, not estimated. Hours then follow from what
a graphics processor is sold to do and from the share of it that is assumed to be reached.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from gahb.checks import check_number
from gahb.training import Recipe

__all__ = ["PROCESSORS", "UTILIZATION", "Cost", "Processor", "cost", "overview", "plan"]


UTILIZATION = 0.3
"""Share of the peak speed assumed to be reached. Convolutions of few channels, between
normalizations that wait for memory, reach less than matrix products do."""
GIGA, TERA, HOUR = 1e9, 1e12, 3600


@dataclass(frozen=True)
class Processor:
    """A graphics processor: its peak speed in the arithmetic used on it, and its memory.

    Parameters
    ----------
    name : str
        Name of the product.
    teraflops : float
        10^12 operations a second, without sparsity, by the maker's data sheet.
    arithmetic : str
        Number format of the products: bfloat16 where the processor has it.
    memory : float
        GB (10^9 bytes).
    """

    name: str
    teraflops: float
    arithmetic: str
    memory: float


PROCESSORS = (
    Processor("T4", 8.1, "float32", 16),
    Processor("L4", 121, "bfloat16", 24),
    Processor("A100", 312, "bfloat16", 40),
    Processor("H100", 989, "bfloat16", 80),
)


@dataclass(frozen=True)
class Cost:
    """Cost of one training: computed, not measured.

    Parameters
    ----------
    name : str
        Name of the recipe.
    updates : int
        Number of updates of the weights.
    flops : int
        Operations of one update: the products and sums of all convolutions, forward and backward.
    memory : int
        Bytes in float32: weights, gradients, two moments, and what the backward pass needs; the
        training images and the step of the optimizer come on top.
    """

    name: str
    updates: int
    flops: int
    memory: int

    def hours(self, processor: Processor, utilization: float = UTILIZATION) -> float:
        """Hours of the whole training on one processor that reaches a share of its peak speed."""
        check_number("utilization", utilization, low=1e-3, high=1)
        return self.updates * self.flops / (processor.teraflops * TERA * utilization) / HOUR


def cost(recipe: Recipe) -> Cost:
    """Cost of the training of a recipe, counted on the ``meta`` device.

    Examples
    --------
    >>> from gahb.book import recipes
    >>> c = cost(recipes.get("faces-unet-n100000-s1", edition="paper"))
    >>> round(c.flops / 1e12, 1)  # 10^12 operations an update of 512 images
    10.3
    """
    flops, memory = counted(recipe.network, recipe.depth, recipe.width, recipe.size, recipe.batch)
    return Cost(recipe.name, recipe.updates, flops, memory)


@lru_cache(maxsize=128)
def counted(network: str, depth: int, width: int, size: int, batch: int) -> tuple[int, int]:
    """Operations and bytes of one update of a network on a batch of images."""
    with torch.device("meta"):
        trained: nn.Module = Recipe(
            name="counted",
            edition="paper",
            images="leaves",
            n=1,
            subset="S1",
            network=network,
            depth=depth,
            width=width,
            size=size,
            batch=batch,
            updates=1,
        ).build()
        y = torch.empty(batch, 1, size, size)
    kept: dict[int, int] = {}

    def keep(x: Tensor) -> Tensor:
        storage = x.untyped_storage()
        kept[storage._cdata] = storage.nbytes()
        return x

    counter = FlopCounterMode(display=False)
    with counter, torch.enable_grad(), saved_tensors_hooks(keep, lambda x: x):
        trained(y).square().mean().backward()
    weights = sum(p.numel() * p.element_size() for p in trained.parameters())
    # The weights are among what is kept; gradients and the two moments are as large.
    return counter.get_total_flops(), sum(kept.values()) + 3 * weights


def plan(trainings: Sequence[Recipe], utilization: float = UTILIZATION) -> str:
    """Table of the costs of trainings and of their sum, one line each.

    Examples
    --------
    >>> from gahb.book import recipes
    >>> table = plan(recipes.find("faces-unet-n1*-s1", edition="colab"))
    >>> len(table.splitlines())
    12
    """
    costs = [cost(recipe) for recipe in trainings]
    lines = [f"{'recipe':34}{'updates':>9}{'GFLOP/update':>14}{'GB':>7}{_heads()}"]
    for c in costs:
        numbers = f"{c.updates:>9,}{c.flops / GIGA:>14,.1f}{c.memory / GIGA:>7.2f}"
        lines.append(f"{c.name:34}{numbers}{_hours([c], utilization)}")
    lines.append(f"{f'sum of {len(costs)}':64}{_hours(costs, utilization)}")
    return "\n".join([*lines, *_explanation(utilization)])


def overview(groups: Mapping[str, Sequence[Recipe]], utilization: float = UTILIZATION) -> str:
    """Table of the costs of groups of trainings, such as those behind a figure, one line each.

    Examples
    --------
    >>> from gahb.book import recipes
    >>> table = overview({"Figure 21": recipes.find("shuffled-*", edition="colab")})
    >>> table.splitlines()[1].split()[:3]
    ['Figure', '21', '1']
    """
    lines = [f"{'':24}{'trainings':>10}{'GB':>7}{_heads()}"]
    for name, trainings in groups.items():
        costs = [cost(recipe) for recipe in trainings]
        largest = max(c.memory for c in costs) / GIGA
        lines.append(f"{name:24}{len(costs):>10}{largest:>7.1f}{_hours(costs, utilization)}")
    return "\n".join([*lines, *_explanation(utilization)])


def _heads() -> str:
    return "".join(f"{p.name + ' h':>9}" for p in PROCESSORS)


def _hours(costs: Sequence[Cost], utilization: float) -> str:
    """Hours of trainings one after the other on each processor; * where the memory is too small."""
    cells = []
    for processor in PROCESSORS:
        hours = sum(c.hours(processor, utilization) for c in costs)
        large = any(c.memory / GIGA > processor.memory for c in costs)
        number = f"{hours:,.0f}" if hours >= 10 else f"{hours:.2g}"
        cells.append(f"{number}{'*' if large else ' '}".rjust(9))
    return "".join(cells)


def _explanation(utilization: float) -> list[str]:
    speeds = ", ".join(f"{p.name} {p.teraflops:g} ({p.arithmetic})" for p in PROCESSORS)
    return [
        "",
        f"Computed, not measured: {utilization:.0%} of the peak speeds in TFLOP/s,",
        f"{speeds}.",
        "* In float32 it needs more memory than one has: share it among several.",
    ]
