"""The optimizers of the recipes: Adam, or Muon on the convolutions and Adam on the rest."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from gahb.training.recipe import Recipe

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # coefficients of Muon's odd polynomial of degree 5
WARM_UP = 100  # updates, for a learning rate that is constant afterwards


class Muon(torch.optim.Optimizer):
    r"""Orthogonalized momentum whose step is a fraction of a weight's norm, which stays constant.

    A weight (out, in, k, k) is seen as a matrix :math:`W` of (out, in k k). With the momentum
    :math:`M` of its gradients, and its nearest (semi-)orthogonal matrix :math:`O`,

    .. math:: W \leftarrow \|W_0\| \frac{W'}{\|W'\|}, \quad
              W' = W - \eta \|W_0\| \frac{O}{\|O\|}.

    What a normalization follows does not depend on the norm of W, and elsewhere the factors of
    the normalization before it, which Adam trains, can take its place. Without the rescaling,
    steps that momentum correlates make norms grow exponentially.

    A weight (out, in) is that of a transformer, where nothing makes up for its norm, as in the
    products of attention. It takes steps of the length :math:`\eta \|W_0\|` and keeps its own norm.

    ``lr`` is :math:`\eta`, and ``momentum`` the decay of the (Nesterov) momentum.
    """

    def __init__(self, weights: Iterable[nn.Parameter], lr: float, momentum: float = 0.95) -> None:
        super().__init__(weights, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Apply the gradients of one update."""
        for group in self.param_groups:
            for weight in group["params"]:
                state = self.state[weight]
                if not state:
                    state["momentum"] = torch.zeros_like(weight)
                    state["norm"] = weight.norm()
                state["momentum"].lerp_(weight.grad, 1 - group["momentum"])
                ahead = weight.grad.lerp(state["momentum"], group["momentum"])
                direction = orthogonalized(ahead.flatten(1)).view_as(weight)
                weight.sub_(direction * (group["lr"] * state["norm"] / direction.norm()))
                if weight.ndim == 4:
                    weight.mul_(state["norm"] / weight.norm())


def orthogonalized(matrix: Tensor, steps: int = 5) -> Tensor:
    """The matrix with all its singular values brought near 1, by Newton-Schulz iterations.

    In bfloat16 on a GPU, which multiplies it fastest; a CPU may have to emulate it.
    """
    a, b, c = NEWTON_SCHULZ
    wide = matrix if len(matrix) <= matrix.shape[1] else matrix.T
    x = wide.bfloat16() if wide.is_cuda else wide
    x = x / x.norm().clamp(min=1e-7)
    for _ in range(steps):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x if wide is matrix else x.T).to(matrix.dtype)


class Optimizer:
    """The optimizer of a recipe for a network on its device, in one or two parts, with schedule."""

    def __init__(self, recipe: Recipe, network: nn.Module) -> None:
        if recipe.optimizer == "muon-1":
            raise ValueError(
                "optimizer: 'muon-1' is that of the first edition, whose trainings can be loaded "
                "but not made again; accepted: 'muon' or 'adam'"
            )
        self.recipe = recipe
        weights = list(network.parameters())
        matrices = [p for p in weights if p.ndim in (2, 4) and recipe.optimizer == "muon"]
        chosen = {id(p) for p in matrices}
        others = [p for p in weights if id(p) not in chosen]
        fused = others[0].device.type == "cuda"
        adam = torch.optim.Adam(others, lr=recipe.learning_rate, fused=fused)
        self.parts: list[tuple[torch.optim.Optimizer, float]] = [(adam, recipe.learning_rate)]
        if matrices:
            self.parts.append((Muon(matrices, lr=recipe.step), recipe.step))

    def step(self, update: int) -> None:
        """Apply the gradients of one update, and clear them."""
        factor = annealing(self.recipe.schedule, update, self.recipe.updates)
        for optimizer, rate in self.parts:
            for group in optimizer.param_groups:
                group["lr"] = rate * factor
            optimizer.step()
            optimizer.zero_grad()

    def state_dict(self) -> list[dict[str, Any]]:
        """State of each part: plain containers of tensors and numbers."""
        return [optimizer.state_dict() for optimizer, _ in self.parts]

    def load_state_dict(self, states: list[dict[str, Any]]) -> None:
        """Go on from what ``state_dict`` gave."""
        for (optimizer, _), state in zip(self.parts, states, strict=True):
            optimizer.load_state_dict(state)


def annealing(schedule: str, update: int, updates: int) -> float:
    """Factor of the learning rate at one of ``updates`` updates.

    ``cosine`` to 0, ten ``halving`` steps, or ``constant`` after a linear warm-up.
    """
    if schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * update / updates))
    if schedule == "halving":
        return 0.5 ** (update * 10 // updates)
    return min(1.0, (update + 1) / WARM_UP)
