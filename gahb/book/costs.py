"""What a training costs, counted on torch's ``meta`` device, where tensors hold no values.

Operations and memory of an update are counted, not estimated. Hours follow from the peak speed of a
GPU and from the share of it that is assumed to be reached.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from gahb.checks import check_number
from gahb.training import Recipe

UTILIZATION = 0.3  # of the peak speed: convolutions of few channels reach less than products
GIGA, TERA, HOUR = 1e9, 1e12, 3600


class Processor(NamedTuple):
    """A GPU, by its vendor's data sheet."""

    name: str
    teraflops: float  # peak speed without sparsity, TFLOP/s
    arithmetic: str  # in which
    memory: float  # GB


PROCESSORS = (
    Processor("T4", 8.1, "float32", 16),
    Processor("L4", 121, "bfloat16", 24),
    Processor("A100", 312, "bfloat16", 40),
    Processor("H100", 989, "bfloat16", 80),
)


class Cost(NamedTuple):
    """Cost of one training: its updates, and the operations and bytes of one update."""

    name: str
    updates: int
    flops: int  # of all convolutions
    # Of weights, gradients, two moments and what the backward pass needs, in float32, not images.
    memory: int

    def hours(self, processor: Processor, utilization: float = UTILIZATION) -> float:
        """Return the hours of the training on a GPU that reaches a share of its peak speed."""
        check_number("utilization", utilization, low=1e-3, high=1)
        return self.updates * self.flops / (processor.teraflops * TERA * utilization) / HOUR


def cost(recipe: Recipe) -> Cost:
    """Return the cost of the training of a recipe, counted on the ``meta`` device.

    Examples
    --------
    >>> from gahb.book import recipes
    >>> c = cost(recipes.get("faces-unet-n100000-s1", edition="paper"))
    >>> round(c.flops / 1e12, 1)  # 10^12 operations an update of 512 images
    10.3
    """
    # All that the counts depend on, and nothing else, so that trainings share them.
    same = recipe.but(name="any", edition="paper", images="folder", n=1, subset="S1", updates=1)
    flops, memory = _counted(same)
    return Cost(recipe.name, recipe.updates, flops, memory)


@cache
def _counted(recipe: Recipe) -> tuple[int, int]:
    """Return the operations and bytes of one update."""
    kept: dict[int, int] = {}

    def keep(x: Tensor) -> Tensor:
        storage = x.untyped_storage()
        kept[storage._cdata] = storage.nbytes()
        return x

    with torch.device("meta"):
        network, y = recipe.build(), torch.empty(recipe.batch, recipe.channels, *[recipe.size] * 2)
    counter = FlopCounterMode(display=False)
    with counter, torch.enable_grad(), saved_tensors_hooks(keep, lambda x: x):
        network(y).square().mean().backward()
    weights = sum(p.numel() * p.element_size() for p in network.parameters())
    # The weights are among what is kept; gradients and the two moments are as large.
    return counter.get_total_flops(), sum(kept.values()) + 3 * weights


def plan(trainings: Sequence[Recipe], utilization: float = UTILIZATION) -> str:
    """Return a table of the costs of trainings, one line each, and of their sum."""
    costs = [cost(recipe) for recipe in trainings]
    rows = {
        f"{c.name:34}{c.updates:>9,}{c.flops / GIGA:>14,.1f}{c.memory / GIGA:>7.2f}": [c]
        for c in costs
    }
    rows[f"{f'sum of {len(costs)}':64}"] = costs
    return _table(f"{'recipe':34}{'updates':>9}{'GFLOP/update':>14}{'GB':>7}", rows, utilization)


def overview(groups: Mapping[str, Sequence[Recipe]]) -> str:
    """Return a table of the costs of groups of trainings, such as those behind each figure."""
    rows = {}
    for name, trainings in groups.items():
        costs = [cost(recipe) for recipe in trainings]
        largest = max(c.memory for c in costs) / GIGA
        rows[f"{name:24}{len(costs):>10}{largest:>7.1f}"] = costs
    return _table(f"{'':24}{'trainings':>10}{'GB':>7}", rows, UTILIZATION)


def _table(head: str, rows: dict[str, list[Cost]], utilization: float) -> str:
    """Return rows with the hours on each GPU behind them, and what these rest on."""
    heads = "".join(f"{p.name + ' h':>9}" for p in PROCESSORS)
    speeds = ", ".join(f"{p.name} {p.teraflops:g} ({p.arithmetic})" for p in PROCESSORS)
    lines = [head + heads, *(row + _hours(costs, utilization) for row, costs in rows.items()), ""]
    lines.append(f"Computed, not measured: {utilization:.0%} of the peak speeds in TFLOP/s,")
    lines.append(f"{speeds}.")
    lines.append("* In float32 it needs more memory than one has: share it among several.")
    return "\n".join(lines)


def _hours(costs: Sequence[Cost], utilization: float) -> str:
    """Return the hours of consecutive trainings on each GPU; * where its memory is too small."""
    cells = []
    for processor in PROCESSORS:
        hours = sum(c.hours(processor, utilization) for c in costs)
        large = any(c.memory / GIGA > processor.memory for c in costs)
        number = f"{hours:,.0f}" if hours >= 10 else f"{hours:.2g}"
        cells.append(f"{number}{'*' if large else ' '}".rjust(9))
    return "".join(cells)
