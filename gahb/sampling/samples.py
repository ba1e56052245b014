"""What a run of the sampler gives, and how it is collected while images finish one by one.

floor: 3
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from gahb.checks import check_count
from gahb.sampling.steps import Steps

__all__ = ["Collector", "Samples", "State", "Trajectory"]

NAMED_AT_MOST = 10


@dataclass(frozen=True, eq=False)
class State:
    """The m images that are under way after t steps.

    ``which`` are their numbers (m,), ``noisy`` is x_t and ``denoised`` f(x_t), both (m, C, H, W),
    and ``sigma`` is the noise level ||f(x_t) - x_t|| / sqrt(d) of each, (m,).
    """

    t: int
    which: Tensor
    noisy: Tensor
    denoised: Tensor
    sigma: Tensor

    def only(self, chosen: Tensor) -> State:
        """The images for which ``chosen``, (m,) bool, is true."""
        which = self.which[chosen.cpu()]
        return State(self.t, which, self.noisy[chosen], self.denoised[chosen], self.sigma[chosen])


@dataclass(frozen=True, eq=False)
class Trajectory:
    """Images on their way, at k chosen steps; one that had finished before stays as it ended.

    Attributes
    ----------
    steps : Tensor
        The steps, (k,).
    noisy, denoised : Tensor
        x_t, and what the denoiser makes of it in one shot, f(x_t), (n, k, C, H, W).
    sigma : Tensor
        Noise level of x_t, (n, k).
    """

    steps: Tensor
    noisy: Tensor
    denoised: Tensor
    sigma: Tensor


@dataclass(frozen=True, eq=False)
class Samples:
    """Images drawn with a denoiser, on the CPU.

    Attributes
    ----------
    images : Tensor
        Denoised images f(x_t) at the end, (n, C, H, W); not clipped to [0, 1].
    steps : Tensor
        Number of steps t that each image took, (n,).
    sigma : Tensor
        Noise level of each image after 0, 1, 2, ... steps, (n, 1 + max(steps)); NaN after its end.
    trajectory : Trajectory or None
        Images on their way, if any were to be kept.
    """

    images: Tensor
    steps: Tensor
    sigma: Tensor
    trajectory: Trajectory | None


class Collector:
    """Gathers the states of images until all have finished."""

    def __init__(self, n: int, shape: tuple[int, ...], keep: Iterable[int]) -> None:
        chosen = list(keep)
        for step in chosen:
            check_count("keep", step, minimum=0)
        self.keep = torch.tensor(chosen, dtype=torch.long)
        self.images = torch.empty(n, *shape)
        self.steps = torch.full((n,), -1)
        self.sigma: list[Tensor] = []
        self.noisy, self.denoised = torch.empty(2, n, len(chosen), *shape)
        self.kept_sigma = torch.empty(n, len(chosen))

    def add(self, state: State, sigma_end: float) -> None:
        """Note a state; images whose noise level is below ``sigma_end`` have finished."""
        if state.t == len(self.sigma):
            self.sigma.append(torch.full((len(self.images),), torch.nan))
        self.sigma[state.t][state.which] = _on_cpu(state.sigma)
        self._keep(state, self.keep == state.t)
        finished = state.only(state.sigma < sigma_end)
        if len(finished.which):
            self.images[finished.which] = _on_cpu(finished.denoised)
            self.steps[finished.which] = state.t
            self._keep(finished, self.keep > state.t)

    def _keep(self, state: State, columns: Tensor) -> None:
        if columns.any():
            there = state.which[:, None], columns.nonzero().T
            self.noisy[there] = _on_cpu(state.noisy)[:, None]
            self.denoised[there] = _on_cpu(state.denoised)[:, None]
            self.kept_sigma[there] = _on_cpu(state.sigma)[:, None]

    def require(self, which: Tensor, steps: Steps) -> None:
        """Raise RuntimeError, naming them, unless the images ``which`` have all finished."""
        failed = which[self.steps[which] < 0]
        if not len(failed):
            return
        last = torch.stack(self.sigma).T[failed]
        went_on = (last <= steps.bound).sum(1) == len(self.sigma)
        slow, diverged = failed[went_on], failed[~went_on]
        problems = []
        if len(diverged):
            problems.append(
                f"f: {_named(diverged)} diverged: their noise level is not finite, or above "
                f"{steps.bound:g}"
            )
        if len(slow):
            problems.append(
                f"max_steps: {_named(slow)} did not fall below sigma_end = {steps.sigma_end:g} "
                f"in {len(self.sigma) - 1} steps"
            )
        raise RuntimeError("; ".join(problems))

    def samples(self) -> Samples:
        """All that was gathered."""
        trajectory = None
        if len(self.keep):
            trajectory = Trajectory(self.keep, self.noisy, self.denoised, self.kept_sigma)
        return Samples(self.images, self.steps, torch.stack(self.sigma, dim=1), trajectory)


def _on_cpu(x: Tensor) -> Tensor:
    return x.to("cpu", torch.float32)


def _named(which: Tensor) -> str:
    listed = ", ".join(str(i) for i in which[:NAMED_AT_MOST].tolist())
    rest = len(which) - NAMED_AT_MOST
    return f"images {listed}" + (f" and {rest} others" if rest > 0 else "")
