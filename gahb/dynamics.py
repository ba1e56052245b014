"""What happens along a training: when a network generalizes, and when it begins to memorize."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from scipy.stats import linregress, t
from torch import Tensor

from gahb.checks import check_count, check_number
from gahb.images.store import read_tensors, write_tensors
from gahb.intervals import FEWEST, UNKNOWN, Estimate, by_unit, fraction, resampled
from gahb.metrics.curves import INPUT_PSNR, psnr_curve
from gahb.sampling import sample
from gahb.settings import damaged
from gahb.similarity import cosine_similarity, verdicts
from gahb.vectors import gray_levels, repeated

__all__ = ["Dynamics", "PowerLaw", "follow", "power_law"]

Model = Callable[..., Tensor]
Snapshots = Iterable[tuple[int, Model]]

MEASURED = 64  # images, of a curve
AT = 20.0  # dB: the noise level at which a training is said to generalize
KEPT = 8  # samples whose images are kept


@dataclass(frozen=True, eq=False)
class Dynamics:
    """What was measured on k snapshots of one training, see :func:`follow`."""

    updates: Tensor  #: number of updates before each snapshot, (k,)
    input_psnr: Tensor  #: noise levels, in dB, (l,)
    on_train: Tensor  #: output PSNR of each image, in dB, (k, l, n); n is 64 at most
    on_test: Tensor  #: the same on images that the network has not seen
    copies: Tensor  #: which samples are copies of a training image, (k, m) bool; no diverged one is
    to_train: Tensor  #: cosine similarity of each sample to the closest training image, (k, m)
    #: The same to what the other network draws from the same noise, (k, m); NaN where none does.
    between: Tensor
    samples: Tensor  #: the first samples, (k, s, C, H, W) uint8, clipped to [0, 1]
    extras: Mapping[str, Tensor] = field(default_factory=dict)  #: what else was measured, (k, ...)

    def tau_gen(self, tolerance: float = 0.5) -> Estimate:
        r"""Return :math:`\tau_\mathrm{gen}`, from which update on a network is as good as it gets.

        The first update at which the test PSNR is within ``tolerance`` dB of its best, linear in
        the logarithm of the updates between two snapshots, all at an input PSNR of 20 dB; the
        interval is over test images.
        """
        check_number("tolerance", tolerance, low=0)
        means = _means(self.on_test[:, self._level])
        return self._passage(means, means.amax(0) - tolerance)

    def tau_psnr(self, output_psnr: float) -> Estimate:
        """Return the first update at which the test PSNR reaches a level, or infinity.

        The input PSNR is 20 dB, and the interval is over test images.
        """
        check_number("output_psnr", output_psnr, low=-math.inf)
        means = _means(self.on_test[:, self._level])
        return self._passage(means, torch.tensor(float(output_psnr)))

    def tau_gap(self, gap: float = 1.0) -> Estimate:
        r"""Return the update at which the train-test gap at 20 dB has opened by ``gap`` dB.

        An earlier sign of memory than copies. It counts from where the gap was smallest, as some
        sets of images are easier than others. Infinite if the training never gets there. The
        interval is over training and test images.
        """
        check_number("gap", gap, low=0)
        level = self._level
        above = _means(self.on_train[:, level], seed=1) - _means(self.on_test[:, level])
        return self._passage(above - above.cummin(0).values, torch.tensor(float(gap)))

    def tau_mem(self, share: float = 0.1) -> Estimate:
        r"""Return :math:`\tau_\mathrm{mem}`, from which update on a share of samples is copied.

        Infinite if the training never gets there. The interval is over the noise of the samples,
        of which the share should be five or more.
        """
        check_number("share", share, low=1e-6, high=1)
        return self._passage(_means(self.copies), torch.tensor(float(share)))

    def share_of_copies(self) -> dict[int, Estimate]:
        """Return the share of samples that are copies, by number of updates."""
        return dict(zip(self.updates.tolist(), map(fraction, self.copies), strict=True))

    @property
    def _level(self) -> int:
        levels: list[float] = self.input_psnr.tolist()
        if AT not in levels:
            raise ValueError(f"input_psnr: {levels}; accepted: some with {AT:g} dB among them")
        return levels.index(AT)

    def _passage(self, means: Tensor, level: Tensor) -> Estimate:
        """Return the update at which means (k, 1 + r), by :func:`_means`, first reach a level."""
        passed = _first_passage(self.updates.double().log(), means, level).exp()
        if means[:, 1:].isnan().any():
            return Estimate(float(passed[0]), *UNKNOWN)
        ends = passed.new_tensor([0.025, 0.975])
        # Without interpolation: where a resampled training does not get there, it is infinite.
        low, high = passed[1:].quantile(ends, interpolation="nearest").tolist()
        return Estimate(float(passed[0]), low, high)

    def save(self, path: Path, **origin: Any) -> None:
        """Write all of it to one file of safetensors, with its origin."""
        named = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "extras"}
        named |= {f"extras.{name}": value for name, value in self.extras.items()}
        write_tensors(path, named, origin=json.dumps(origin))

    @classmethod
    def load(cls, path: Path) -> tuple[Dynamics, dict[str, Any]]:
        """Return what ``save`` has written, and its origin."""
        named, facts = read_tensors(path)
        extras = {n.removeprefix("extras."): named.pop(n) for n in [*named] if "extras." in n}
        try:
            return cls(**named, extras=extras), json.loads(facts["origin"])
        except (TypeError, KeyError, ValueError) as error:
            raise damaged(path, "is no whole measurement of a training") from error


def _means(values: Tensor, seed: int = 0) -> Tensor:
    """Return means of values (k, n) over the n, and over r resamples of them, (k, 1 + r).

    Those of few units are NaN: they tell too little.
    """
    values = values.double()
    drawn = torch.cat([values[:, units].mean(2) for units in resampled(values.shape[1], seed)], 1)
    few = values.shape[1] < FEWEST
    return torch.cat([values.mean(1, keepdim=True), drawn * math.nan if few else drawn], dim=1)


def _first_passage(x: Tensor, curves: Tensor, level: Tensor) -> Tensor:
    """Return where curves (k, c) over x (k,) first reach levels (c,), linear between, (c,)."""
    above = curves >= level
    first = above.int().argmax(0)
    before = (first - 1).clamp(min=0)
    low, high = (curves.gather(0, i[None])[0] for i in (before, first))
    part = torch.where(first > 0, (level - low) / (high - low), 1)
    passed = x[before] + part * (x[first] - x[before])
    return torch.where(above.any(0), passed, torch.inf)


def follow(
    snapshots: Snapshots,
    train: Tensor,
    test: Tensor,
    *,
    other: Snapshots | None = None,
    samples: int = 64,
    extras: Mapping[str, Callable[[Any], Tensor]] | None = None,
    **sampling: Any,
) -> Dynamics:
    """Measure a training along its way: does the network generalize, and does it memorize?

    Parameters
    ----------
    snapshots, other : iterable of (int, callable)
        Number of updates and denoiser, as :func:`gahb.training.snapshots` gives them, or a
        generator that trains and yields: each denoiser is measured before the next is asked for.
        And the same, at the same updates, of a second training, on other images, which may end
        earlier.
    train, test : Tensor
        Training images, and unseen ones of the same class, (N, C, H, W), in [0, 1] or uint8.
    samples : int
        Number m of samples of each snapshot, always from the same noise.
    extras : mapping of str to callable, optional
        What else to measure on each denoiser, by name: functions that return a tensor.
    **sampling
        What else :func:`gahb.sample` takes.

    Examples
    --------
    Three "snapshots" of a denoiser that turns into an exact memorizer:

    >>> from gahb.optimal import EmpiricalBayes
    >>> train, test = torch.rand(2, 8, 1, 8, 8)
    >>> stages = ((10, lambda y: 0 * y), (20, lambda y: 0.1 * y), (40, EmpiricalBayes(train)))
    >>> found = follow(stages, train, test, samples=4)
    >>> found.share_of_copies()[40].value, found.updates
    (1.0, tensor([10, 20, 40]))
    """
    check_count("samples", samples)
    clean = [gray_levels(repeated(x, MEASURED)) for x in (train, test)]
    usual = {"n": samples, "size": tuple(train.shape[2:]), "channels": train.shape[1], "seed": 0}
    found: list[dict[str, Tensor]] = []
    seconds = iter(other) if other is not None else None
    for update, f in snapshots:
        beside = _at(update, seconds, first=not found)
        curves = [psnr_curve(f, x, INPUT_PSNR) for x in clean]
        on_train, on_test = (by_unit(c.per_image, *c.sets).float() for c in curves)
        row = {"updates": torch.tensor(update), "on_train": on_train, "on_test": on_test}
        row |= _judged(f, beside, train, usual | sampling)
        row |= {f"extras.{name}": measure(f) for name, measure in (extras or {}).items()}
        found.append(row)
    if not found:
        raise ValueError("snapshots: there are none; accepted: at least one (update, denoiser)")
    rows = {name: torch.stack([row[name] for row in found]) for name in found[0]}
    more = {n.removeprefix("extras."): rows.pop(n) for n in list(rows) if n.startswith("extras.")}
    return Dynamics(input_psnr=torch.tensor(INPUT_PSNR).float(), **rows, extras=more)


def _at(update: int, others: Iterable[tuple[int, Model]] | None, first: bool) -> Model | None:
    """Return the other training's denoiser after as many updates; None where it has ended."""
    for theirs, f in others or ():
        if theirs == update:
            return f
        if theirs > update:
            break
    else:
        if others is None or not first:
            return None
    accepted = "the same updates, of which the last may lack"
    raise ValueError(f"other: has no snapshot at update {update}; accepted: {accepted}")


def _judged(
    f: Model, other: Model | None, train: Tensor, sampling: dict[str, Any]
) -> dict[str, Tensor]:
    """Return which samples are copies, what they are similar to, and the first of them."""
    drawn = sample(f, strict=False, **sampling)
    there = drawn.steps >= 0
    copies = torch.zeros(len(there), dtype=torch.bool)
    to_train, between = torch.full((2, len(there)), torch.nan)
    if there.any():
        verdict = verdicts(drawn.images[there], train)
        copies[there] = torch.tensor([each == "memorized" for each in verdict.each])
        to_train[there] = verdict.to_train.float()
    if other is not None:
        theirs = sample(other, strict=False, **sampling)
        both = there & (theirs.steps >= 0)
        if both.any():
            alike = cosine_similarity(drawn.images[both], theirs.images[both])
            between[both] = alike.float()
    shown = (255 * drawn.images[:KEPT].nan_to_num().clamp(0, 1)).round().to(torch.uint8)
    return {"copies": copies, "to_train": to_train, "between": between, "samples": shown}


@dataclass(frozen=True)
class PowerLaw:
    r"""A power law :math:`\tau = c N^\gamma`.

    It has the ``exponent`` :math:`\gamma`, with its 95% interval by Student's t, the ``prefactor``
    c, and the number of ``points``, pairs of N and tau that it is fitted to.
    """

    exponent: Estimate
    prefactor: float
    points: int

    def __call__(self, n: float) -> float:
        """Return what the power law gives for N."""
        return float(self.prefactor * n**self.exponent.value)


def power_law(n: Sequence[float], tau: Sequence[float]) -> PowerLaw:
    r"""Fit :math:`\tau = c N^\gamma` by least squares of the logarithms.

    Points that are not finite, such as trainings that did not get there, are left out.
    At least three pairs of a number of training images and a number of updates must be finite.

    Examples
    --------
    >>> law = power_law([10, 100, 1000], [200, 2100, 19_000])
    >>> round(law.exponent.value, 2), round(law(10_000), -4)
    (0.99, 190000.0)
    """
    pairs = [(x, y) for x, y in zip(n, tau, strict=True) if math.isfinite(x) and math.isfinite(y)]
    if len(pairs) < 3 or any(x <= 0 or y <= 0 for x, y in pairs):
        raise ValueError(f"tau: {len(pairs)} finite values; accepted: at least 3, positive")
    fit = linregress([math.log(x) for x, _ in pairs], [math.log(y) for _, y in pairs])
    margin = t.ppf(0.975, len(pairs) - 2) * fit.stderr
    exponent = map(float, (fit.slope, fit.slope - margin, fit.slope + margin))
    return PowerLaw(Estimate(*exponent), math.exp(fit.intercept), len(pairs))
