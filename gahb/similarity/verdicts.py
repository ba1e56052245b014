"""Whether samples are copies of training images, mixtures that recur, or new.

floor: 3
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gahb.checks import check_choice, check_number
from gahb.metrics.bootstrap import interval, resampled_means
from gahb.metrics.estimate import Estimate
from gahb.similarity.closest import closest
from gahb.similarity.cosine import cosine_similarity
from gahb.similarity.mixture import MIXED, mixture_similarity, similarity_to_mixture

__all__ = ["VERDICTS", "Verdicts", "distance_ratio", "fractions", "verdicts"]

VERDICTS = ("memorized", "spurious", "new")
BETWEEN = {"directions": "direction", "images": "distance"}
PROBES = 1000
"""Unseen images, at most, that show how much chance alone makes an image lean."""


def distance_ratio(x: Tensor, train: Tensor, *, between: str = "directions") -> Tensor:
    """Distance from the closest training image over that from the second closest, (n,).

    Below 1/3, a sample counts as a copy of the closest [1]_ [2]_: the rule adapts to how densely
    the training images lie. It is undefined, NaN, where there is no second one (N = 1), and means
    little where training images have near-duplicates (see ``gahb.images.remove_duplicates``). An
    exact copy has ratio 0.

    Parameters
    ----------
    x, train : Tensor
        Samples and training images, (n, C, H, W) and (N, C, H, W), floating-point or uint8.
    between : str
        What the distances are between: ``directions``, images whose means are removed and whose
        norms are one, so that brightness and contrast, which a bias-free network leaves free, do
        not count: sqrt((1 - c1) / (1 - c2)) of the two largest centred cosines; or ``images``, as
        they are and as in [1]_ and [2]_.

    Raises
    ------
    TypeError, ValueError
        If either is not a finite batch of images, their sizes differ, or ``between`` is unknown.

    References
    ----------
    .. [1] T. Yoon, J. Y. Choi, S. Kwon and E. K. Ryu, "Diffusion probabilistic models generalize
       when they fail to memorize", ICML workshop on structured probabilistic inference, 2023.
    .. [2] X. Gu, C. Du, T. Pang, C. Li, M. Lin and Y. Wang, "On memorization in diffusion
       models", TMLR 2025.

    Examples
    --------
    >>> train = torch.rand(9, 1, 8, 8)
    >>> paler = 0.5 * train[:1] + 0.4
    >>> float(distance_ratio(paler, train).round(decimals=4))
    0.0
    >>> float(distance_ratio(paler, train, between="images")) > 1 / 3
    True
    """
    check_choice("between", between, BETWEEN)
    centred = between == "directions"
    found = closest(x, train, min(2, len(train)), by=BETWEEN[between], centred=centred)
    distance = found.value
    if distance.shape[1] == 1:
        return distance.new_full((len(distance),), torch.nan)
    first, second = distance.unbind(dim=1)
    return torch.where(first == 0, first, first / second)


@dataclass(frozen=True, eq=False)
class Verdicts:
    """Whether samples are memorized, spurious or new, and what that was judged by.

    Attributes
    ----------
    labels : tuple of str
        The verdict on each of n samples, one of ``VERDICTS``.
    fractions : dict
        Fraction of the samples with each verdict, as an :class:`Estimate`.
    ratio : Tensor
        Distance from the closest training image over that from the second closest, (n,), see
        :func:`distance_ratio`.
    to_train, to_samples : Tensor
        Cosine similarity to the closest training image, and to the closest other sample, (n,);
        NaN where there is no other.
    leaning : Tensor
        By how much a mixture of training images is more similar than one of unseen images, (n,);
        NaN where there are none to compare with.
    usual_leaning : float
        What 95% of the unseen images stay below.
    """

    labels: tuple[str, ...]
    fractions: dict[str, Estimate]
    ratio: Tensor
    to_train: Tensor
    to_samples: Tensor
    leaning: Tensor
    usual_leaning: float


def verdicts(
    x: Tensor,
    train: Tensor,
    unseen: Tensor | None = None,
    *,
    ratio: float = 1 / 3,
    same: float = 0.95,
    between: str = "directions",
) -> Verdicts:
    """Judge whether each sample is memorized, a spurious mixture, or new.

    - *memorized*: a copy of a training image. Its distance ratio is below ``ratio``; or, as that is
      undefined for N = 1, its similarity to the only training image is above ``same``.
    - *spurious*: no such copy, yet made of the training set, in either of two ways. Another sample,
      from other noise, is the ``same``: training has put an attractor where there is no image
      [1]_. Or it leans on the training set: a mixture of a few training images is more similar to
      it than one of ``unseen`` images, by more than for 95% of the unseen images themselves.
    - *new*: neither. Of samples as independent of the training set as the unseen images are, about
      5% lean on it by chance.

    The first way needs as many samples as there may be attractors: one met once shows nothing.

    Parameters
    ----------
    x : Tensor
        Samples of one network, (n, C, H, W), floating-point or uint8.
    train : Tensor
        Its training images, (N, C, H, W), floating-point or uint8.
    unseen : Tensor, optional
        At least N other images of the same class, such as the other subset. The first N are used;
        for N = 1 none are. Without them, only samples that recur count as spurious.
    ratio : float
        Distance ratio, in [0, 1], below which a sample is a copy.
    same : float
        Centred cosine similarity, in [-1, 1], above which two images count as one. The paper
        removes images as duplicates above 0.95.
    between : str
        What the distances of the ratio are between, see :func:`distance_ratio`. All other
        comparisons are of directions anyway: cosines of images whose means are removed.

    Raises
    ------
    TypeError, ValueError
        If one is not a finite batch of images, their sizes differ, there are fewer unseen than
        training images, or an argument is out of range.

    References
    ----------
    .. [1] B. Pham, G. Raya, M. Negri, M. J. Zaki, L. Ambrogioni and D. Krotov, "Memorization to
       generalization: emergence of diffusion models from associative memory", 2025.

    Examples
    --------
    >>> train = torch.rand(4, 1, 8, 8)
    >>> mixture = train[2:].mean(0, keepdim=True)
    >>> verdicts(torch.cat([train[:1], mixture, mixture, torch.rand(1, 1, 8, 8)]), train).labels
    ('memorized', 'spurious', 'spurious', 'new')
    """
    check_number("ratio", ratio, 0, 1)
    check_number("same", same, -1, 1)
    ratios = distance_ratio(x, train, between=between).cpu()
    to_train = closest(x, train).value[:, 0].cpu()
    to_samples = _to_another(x)
    leaning, usual = _leaning(x, train, unseen)
    copied = torch.where(ratios.isnan(), to_train > same, ratios < ratio)
    mixed = ~copied & ((to_samples > same) | (leaning > usual))
    each = torch.stack([copied, mixed, ~copied & ~mixed])
    labels = tuple(VERDICTS[i] for i in each.int().argmax(0).tolist())
    return Verdicts(labels, fractions(labels), ratios, to_train, to_samples, leaning, usual)


def fractions(labels: Sequence[str]) -> dict[str, Estimate]:
    """Fraction of samples with each verdict, with its 95% interval.

    Raises
    ------
    ValueError
        If there are no labels, or one is not of ``VERDICTS``.

    Examples
    --------
    >>> fractions(["new", "new", "spurious", "new"])["new"].value
    0.75
    """
    if not labels:
        raise ValueError(f"labels: empty; accepted: at least one of {', '.join(VERDICTS)}")
    for label in labels:
        check_choice("labels", label, VERDICTS)
    shares = torch.tensor([[label == name for label in labels] for name in VERDICTS]).double()
    bounds = torch.stack(interval(resampled_means(shares)), dim=1).tolist()
    return {
        name: Estimate(value, (low, high))
        for name, value, (low, high) in zip(VERDICTS, shares.mean(1).tolist(), bounds, strict=True)
    }


def _to_another(x: Tensor) -> Tensor:
    """Cosine similarity of each image to the closest other one of the same set, (n,)."""
    if len(x) == 1:
        return torch.full((1,), torch.nan, dtype=torch.float64)
    index = _closest_others(x, x, k=1)
    return cosine_similarity(x, x[index[:, 0]]).cpu()


def _leaning(x: Tensor, train: Tensor, unseen: Tensor | None) -> tuple[Tensor, float]:
    """By how much each image leans on ``train``, (n,), and the 95% quantile for unseen images."""
    n = len(train)
    if unseen is not None and len(unseen) < n:
        raise ValueError(f"unseen: {len(unseen)} images; accepted: at least {n}, as in train")
    if unseen is None or n == 1:
        return torch.full((len(x),), torch.nan, dtype=torch.float64), torch.nan
    unseen, k = unseen[:n], min(MIXED, n - 1)
    leaning = mixture_similarity(x, train, k) - mixture_similarity(x, unseen, k)
    fresh = unseen[:PROBES]
    others = similarity_to_mixture(fresh, unseen, _closest_others(fresh, unseen, k))
    usual = (mixture_similarity(fresh, train, k) - others).quantile(0.95)
    return leaning.cpu(), float(usual)


def _closest_others(first: Tensor, among: Tensor, k: int) -> Tensor:
    """Numbers of the k closest other images to each of the first ones of a set, (n, k)."""
    index = closest(first, among, k + 1).index
    itself = index == torch.arange(len(first), device=index.device)[:, None]
    # Equal images may crowd an image out of its own list: then the last one goes.
    itself[~itself.any(dim=1), -1] = True
    return index[~itself].view(-1, k)
