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
    its memory is seen as such; so Muon is given these views, which share the weights' memory.
    Its step has a fixed root mean square; the learning rate turns that into a fixed fraction of
    the weight's own norm, which is what counts where a normalisation follows.

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
        self.pairs = [(p, nn.Parameter(as_matrix(p.detach()))) for p in matrices]
        self.adam = torch.optim.Adam(others, lr=recipe.learning_rate)
        self.muon = muon([matrix for _, matrix in self.pairs]) if self.pairs else None

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
        for group, (weight, matrix) in zip(groups, self.pairs, strict=True):
            if weight.grad is None:
                continue
            # Data-parallel wrappers may have moved the weight, so the view is taken anew.
            matrix.data = as_matrix(weight.detach())
            matrix.grad = as_matrix(weight.grad.contiguous(memory_format=layout(weight)))
            rms = matrix.detach().norm() / math.sqrt(matrix.numel())
            group["lr"] = float(rms) * fraction / RMS_OF_MUON
            weight.grad = None
        optimiser.step()

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
