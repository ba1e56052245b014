"""The two optimisers of the recipes behind one face."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from gahb.training.recipe import Recipe

__all__ = ["Optimiser", "annealing"]

RMS_OF_MUON = 0.2  # root mean square of an update of torch's Muon at learning rate 1


class Optimiser:
    """Adam on all weights, or orthogonalised momentum on the convolutions and Adam on the rest.

    ``torch.optim.Muon`` takes matrices only. A convolution's weight is one, (out, in k k), when
    its memory is seen as such. Muon's step has a fixed root mean square; here it is made a fixed
    fraction of the weight's own norm, which is what counts where a normalisation follows. So Muon
    moves matrices of zeros, and gives the direction in which the weights are moved.

    Parameters
    ----------
    recipe : Recipe
        Gives the optimiser's name, its learning rate and step, and the schedule.
    network : torch.nn.Module
        The network to train, already on its device.
    """

    def __init__(self, recipe: Recipe, network: nn.Module) -> None:
        self.recipe = recipe
        matrices = [p for p in network.parameters() if p.ndim == 4 and recipe.optimiser == "muon"]
        chosen = {id(p) for p in matrices}
        others = [p for p in network.parameters() if id(p) not in chosen]
        self.pairs = [(p, nn.Parameter(torch.zeros_like(as_matrix(p.detach())))) for p in matrices]
        fused = others[0].device.type == "cuda"
        self.adam = torch.optim.Adam(others, lr=recipe.learning_rate, fused=fused)
        self.muon = muon([direction for _, direction in self.pairs]) if self.pairs else None

    def step(self, update: int) -> None:
        """Apply the gradients of one update, and clear them."""
        factor = annealing(self.recipe.schedule, update, self.recipe.updates)
        for group in self.adam.param_groups:
            group["lr"] = self.recipe.learning_rate * factor
        self.adam.step()
        if self.muon is not None:
            self.orthogonalised_step(self.muon, self.recipe.step * factor)
        self.adam.zero_grad()

    def orthogonalised_step(self, optimiser: torch.optim.Optimizer, fraction: float) -> None:
        """One step of Muon, of length ``fraction`` of each weight's norm."""
        groups = optimiser.param_groups
        for group, (weight, direction) in zip(groups, self.pairs, strict=True):
            assert weight.grad is not None
            direction.grad = as_matrix(weight.grad.contiguous(memory_format=layout(weight)))
            direction.detach().zero_()
            group["lr"] = 1 / adjustment(direction)
            weight.grad = None
        optimiser.step()
        for weight, direction in self.pairs:
            # Data-parallel wrappers may have moved the weight, so the view is taken anew.
            matrix = as_matrix(weight.detach())
            rms = matrix.norm() / math.sqrt(matrix.numel())
            add_scaled(matrix, direction.detach(), rms, fraction)

    def state_dict(self) -> dict[str, Any]:
        """State of both optimisers: plain containers of tensors and numbers."""
        muon_state = self.muon.state_dict() if self.muon is not None else None
        return {"adam": self.adam.state_dict(), "muon": muon_state}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state given by ``state_dict``."""
        self.adam.load_state_dict(state["adam"])
        if self.muon is not None:
            self.muon.load_state_dict(state["muon"])


def muon(matrices: Iterable[nn.Parameter]) -> torch.optim.Muon:
    """Muon with a learning rate of its own for each matrix."""
    groups = [{"params": [matrix]} for matrix in matrices]
    return torch.optim.Muon(groups, weight_decay=0.0, adjust_lr_fn="match_rms_adamw")


def adjustment(matrix: torch.Tensor) -> float:
    """What torch's Muon multiplies a learning rate by."""
    return RMS_OF_MUON * math.sqrt(max(matrix.shape))


def add_scaled(
    matrix: torch.Tensor, direction: torch.Tensor, rms: torch.Tensor, fraction: float
) -> None:
    """Add to a matrix the fraction of its root mean square in an orthogonal direction, in place."""
    if matrix.device.type == "cpu":
        length = float(rms) * fraction / RMS_OF_MUON * adjustment(matrix)
        matrix.add_(direction, alpha=length)
    else:  # without waiting for the number
        matrix.addcmul_(direction, rms * (fraction / RMS_OF_MUON * adjustment(matrix)))


def layout(weight: torch.Tensor) -> torch.memory_format:
    """Memory format of a weight (out, in, k, k)."""
    contiguous = weight.is_contiguous()
    return torch.contiguous_format if contiguous else torch.channels_last


def as_matrix(weight: torch.Tensor) -> torch.Tensor:
    """View of a weight (out, in, k, k) as (out, in k k), columns in the order of its memory."""
    if weight.is_contiguous():
        return weight.view(len(weight), -1)
    return weight.permute(0, 2, 3, 1).view(len(weight), -1)


def annealing(schedule: str, update: int, updates: int) -> float:
    """Factor of the learning rate at one of ``updates`` updates: cosine to 0, or ten halvings."""
    if schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * update / updates))
    return 0.5 ** (update * 10 // updates)
