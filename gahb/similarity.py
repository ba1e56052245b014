"""How alike images are: two samples, a sample and its training set; and what follows from it."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from gahb.checks import check_choice, check_count, check_number
from gahb.intervals import FEWEST, UNKNOWN, Estimate, fraction, median, resampled
from gahb.vectors import check_batch, directions, rows

__all__ = [
    "SAME",
    "VERDICTS",
    "Closest",
    "Verdicts",
    "aligned",
    "closest",
    "cosine_similarity",
    "distance_ratio",
    "fractions",
    "median",
    "same_image",
    "transition",
    "verdicts",
]

VERDICTS = ("memorized", "spurious", "new")
BETWEEN = {"directions": "direction", "images": "distance"}
BLOCK = 1024  # images compared with as many others at a time
MIXED = 4  # training images in a mixture
MIXED_AT_A_TIME = 256  # images
PROBES = 1000  # unseen images, at most, that show how similar mixtures are by chance
ENOUGH = 20  # of them, for a quantile of 95%
COPY = 1 / 3  # distance ratio below which a sample is a copy
SAME = 0.95  # cosine above which the paper removes images as duplicates


@torch.no_grad()
def cosine_similarity(a: Tensor, b: Tensor, *, centered: bool = True) -> Tensor:
    """Return the cosine of the angle between image i of ``a`` and of ``b``, (n,) (Figure 2, blue).

    Images are (n, C, H, W), floating-point or uint8; one image is compared with all of the other.
    Every image's own mean is subtracted first, as the released code of the paper does; without
    ``centered`` it is the plain normalized inner product, which the paper's text states. An image
    without direction (constant if centered, black if not) has cosine 1 to its like and 0 to others.

    Examples
    --------
    >>> x = torch.rand(2, 1, 8, 8)
    >>> cosine_similarity(x, 0.5 * x + 0.2)
    tensor([1.0000, 1.0000], dtype=torch.float64)
    """
    check_batch("a", a)
    check_batch("b", b, like=a)
    if len(a) != len(b) and 1 not in (len(a), len(b)):
        raise ValueError(f"b: {len(b)} images; accepted: 1, or {len(a)} as in a")
    cosines: Tensor = directions("a", a, centered) * directions("b", b.to(a.device), centered)
    return cosines.sum(1).clamp(-1, 1)


# --- The images of a set that are closest to others, found in blocks ---


@dataclass(frozen=True, eq=False)
class Closest:
    """The k closest images of a set to each of n images, closest first."""

    index: Tensor  #: their numbers in the set, (n, k)
    value: Tensor  #: cosine similarities to them, or distances from them, (n, k) in float64


@torch.no_grad()
def closest(
    x: Tensor, among: Tensor, k: int = 1, *, by: str = "cosine", centered: bool = True
) -> Closest:
    """Find the ``k`` images of ``among`` that are closest to each image of ``x`` (Figures 2, 6).

    Both are read 1,024 images at a time, which bounds the memory, below 0.5 GB for images of 80x80.

    Parameters
    ----------
    x, among : Tensor
        Images, (n, C, H, W) and (N, C, H, W), floating-point or uint8.
    k : int
        How many, at most N.
    by : str
        ``cosine``; ``distance``: Euclidean, gray levels being in [0, 1]; or ``direction``: the
        distance once images have unit length, sqrt(2 - 2 cosine), exact for near copies as well.
    centered : bool
        Subtract every image's own mean first, see :func:`cosine_similarity`.

    Examples
    --------
    >>> among = torch.rand(10, 1, 8, 8)
    >>> closest(among[[7, 2]], among).index.flatten()
    tensor([7, 2])
    """
    check_batch("x", x)
    check_batch("among", among, like=x)
    check_count("k", k, 1, len(among))
    check_choice("by", by, ("cosine", "distance", "direction"))
    found = [_closest(part, among, k, by, centered) for part in x.split(BLOCK)]
    return Closest(*(torch.cat(parts) for parts in zip(*found, strict=True)))


def _closest(x: Tensor, among: Tensor, k: int, by: str, centered: bool) -> tuple[Tensor, Tensor]:
    """Return index and value, (n, k) each, for one block of images x."""
    vectors = rows if by == "distance" else directions
    own = vectors("x", x, centered)
    score, index = own.new_empty(len(x), 0), own.new_empty(len(x), 0, dtype=torch.long)
    for start in range(0, len(among), BLOCK):
        others = vectors("among", among[start : start + BLOCK].to(x.device), centered)
        new = own @ others.T
        if by != "cosine":  # -||x - x_i||^2 / 2, but for ||x||^2, which is common to all
            new -= others.square().sum(1) / 2
        new, where = new.topk(min(k, len(others)), dim=1)
        score, index = torch.cat([score, new], dim=1), torch.cat([index, where + start], dim=1)
        score, best = score.topk(min(k, score.shape[1]), dim=1)
        index = index.gather(1, best)
    if by == "cosine":
        return index, score.clamp(-1, 1)
    # The distances of close images are canceled there: once more, from differences.
    chosen = (among[numbers].to(x.device) for numbers in index.to(among.device).T)
    found = [(own - vectors("among", images, centered)).norm(dim=1) for images in chosen]
    distance, order = torch.stack(found, dim=1).sort(dim=1)
    return index.gather(1, order), distance


# --- From how many training images on a network generalizes ---


def transition(between: Mapping[int, Tensor], to_train: Mapping[int, Tensor]) -> Estimate:
    """Return the number N* of training images from which on two networks sample the same.

    Below N*, the median sample is more similar to its network's own training set; above it, to what
    a network trained on other images samples from the same noise (Figure 2). The difference of the
    two medians is taken as linear in log N between the sizes that were trained. The interval is a
    bootstrap over pairs of samples, from 8 pairs on: it does not know how the difference runs
    between two sizes. It ends at 0 or infinity if 1 in 40 resamples does not cross between them.

    Both mappings are by N: of the similarities of the samples of the two networks, (m,), and of
    those of samples i to the closest image of their training set, (m,) or of both networks (m, 2).

    Examples
    --------
    >>> between = {10: torch.full((9,), 0.1), 1000: torch.full((9,), 0.9)}
    >>> transition(between, {10: torch.full((9,), 0.9), 1000: torch.full((9,), 0.1)}).value
    100.0
    """
    sizes = sorted(between)
    if len(sizes) < 2 or sizes != sorted(to_train):
        given = f"sizes {sorted(to_train)} beside {sizes} of between"
        raise ValueError(f"to_train: {given}; accepted: the same, at least two")
    for n in sizes:
        check_count("between, to_train: N", n)
        if len(between[n]) != len(to_train[n]):
            given = f"{len(to_train[n])} samples at N = {n}"
            raise ValueError(f"to_train: {given}; accepted: {len(between[n])}, as in between")
    medians = [median(between[n]).value - median(to_train[n]).value for n in sizes]
    difference = torch.tensor(medians)
    crossing = _last_crossing(sizes, difference)
    if crossing in (0, math.inf):
        shown = ", ".join(f"{value:+.2f}" for value in difference)
        raise ValueError(f"between, to_train: medians do not cross: they differ by {shown}")
    if min(map(len, between.values())) < FEWEST:
        return Estimate(crossing, *UNKNOWN)
    redrawn = [
        _resampled_medians(between[n], seed=n) - _resampled_medians(to_train[n], seed=n)
        for n in sizes
    ]
    crossings = torch.tensor([_last_crossing(sizes, drawn) for drawn in torch.stack(redrawn, 1)])
    ends = torch.tensor([0.025, 0.975])
    return Estimate(crossing, *crossings.quantile(ends, interpolation="nearest").tolist())


def _resampled_medians(values: Tensor, seed: int) -> Tensor:
    """Return the medians over units drawn with replacement, the same by the same seed, (r,)."""
    drawn = (values.double()[units].flatten(1) for units in resampled(len(values), seed))
    return torch.cat([each.quantile(0.5, dim=1) for each in drawn])


def _last_crossing(sizes: list[int], difference: Tensor) -> float:
    """Return N at which differences (k,), linear in log N, become positive for good.

    It is 0 where all are, and infinite where the last one is not.
    """
    positive = (difference > 0).tolist()
    if all(positive) or not positive[-1]:
        return 0.0 if positive[-1] else math.inf
    last = max(i for i, above in enumerate(positive) if not above)
    below, above = difference[last : last + 2].tolist()
    share = below / (below - above)
    return float(sizes[last] * (sizes[last + 1] / sizes[last]) ** share)


# --- Whether samples are copies of training images, mixtures that recur, or new ---


def distance_ratio(
    x: Tensor, train: Tensor, *, between: str = "directions", same: float = 1.0
) -> Tensor:
    r"""Return the distances from the closest over the second closest training image, (n,).

    Below 1/3, a sample counts as a copy of the closest (Yoon et al., 2023; Gu et al., 2025): the
    rule adapts to how densely the training images lie. It is undefined, NaN, where there is no
    second one (N = 1). An exact copy has ratio 0.

    Parameters
    ----------
    x, train : Tensor
        Samples and training images, (n, C, H, W) and (N, C, H, W), floating-point or uint8.
    between : str
        What the distances are between: ``directions``, images of mean zero and norm one, so that
        brightness and contrast, which a bias-free network leaves free, do not count:
        :math:`\sqrt{(1 - c_1) / (1 - c_2)}` of the two largest centered cosines; or ``images``, as
        they are and as in Yoon et al. (2023) and Gu et al. (2025).
    same : float
        Centered cosine similarity above which training images count as one: the second closest is
        the first that is no such near-duplicate of the closest.

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
    check_batch("x", x)
    check_batch("train", train, like=x)
    first, second = _closest_two(x, train, BETWEEN[between], between == "directions", same)
    return torch.where((first == 0) & ~second.isnan(), first, first / second)


def _closest_two(
    x: Tensor, train: Tensor, by: str, centered: bool, same: float, k: int = MIXED
) -> tuple[Tensor, Tensor]:
    """Return the distances from the closest image and from the next one unlike it, (n,) each."""
    k = min(k, len(train))
    found = closest(x, train, k, by=by, centered=centered)
    nearest = train[found.index[:, 0].to(train.device)]
    alike = [cosine_similarity(nearest, train[i.to(train.device)]) for i in found.index.T]
    unlike = torch.stack(alike, dim=1) <= same
    unlike[:, 0] = False
    some = unlike.any(dim=1).to(found.value.device)
    second = found.value.gather(1, unlike.int().argmax(dim=1, keepdim=True).to(some.device))[:, 0]
    second[~some] = torch.nan
    if k < len(train) and not some.all():  # more copies than were looked at
        more = _closest_two(x[~some.to(x.device)], train, by, centered, same, 8 * k)
        second[~some] = more[1]
    return found.value[:, 0], second


def same_image(unseen: Tensor | None) -> float:
    """Return the centered cosine similarity above which two images of a class count as one.

    That is half of the distance at which images of the class lie by chance, and at least 0.95: the
    distance, sqrt(2 - 2 cosine), is that from the fourth closest of the ``unseen`` images (m, C, H,
    W), as closer ones may be copies.

    Examples
    --------
    >>> smooth = torch.linspace(0, 1, 64).view(1, 1, 8, 8)
    >>> same_image(smooth + 0.05 * torch.rand(50, 1, 8, 8)) > 0.99
    True
    """
    if unseen is None or len(unseen) < ENOUGH:
        return SAME
    fresh = unseen[:PROBES]
    usual = closest(fresh, unseen, MIXED + 1).value[:, -1].quantile(0.5)
    return max(SAME, 1 - (1 - float(usual)) / 4)


def aligned(x: Tensor, train: Tensor, flips: bool = False, shifts: int = 0) -> Tensor:
    """Return each image as it is most similar to a training image: mirrored, or shifted, or not.

    Examples
    --------
    >>> train = torch.rand(3, 1, 8, 8)
    >>> aligned(train.flip(3), train, flips=True).equal(train)
    True
    """
    if not flips and not shifts:
        return x
    center = _center(train, shifts)
    height, width = center.shape[2:]
    views = [
        image[:, :, top : top + height, left : left + width]
        for image in ((x, x.flip(3)) if flips else (x,))
        for top in range(2 * shifts + 1)
        for left in range(2 * shifts + 1)
    ]
    similar = torch.stack([closest(view, center).value[:, 0] for view in views])
    return torch.stack(views)[similar.argmax(0).to(x.device), torch.arange(len(x))]


def _center(x: Tensor, shifts: int) -> Tensor:
    """Return images without ``shifts`` pixels on every side."""
    return x[:, :, shifts : x.shape[2] - shifts, shifts : x.shape[3] - shifts]


@dataclass(frozen=True, eq=False)
class Verdicts:
    """Whether each of n samples is memorized, spurious or new, and what that was judged by."""

    each: tuple[str, ...]  #: the verdict on each sample, one of ``VERDICTS``
    closest: Tensor  #: the number of the most similar training image, (n,)
    to_train: Tensor  #: cosine similarity to that image, (n,)
    ratio: Tensor  #: see :func:`distance_ratio`, (n,)

    @property
    def fractions(self) -> dict[str, Estimate]:
        """Fraction of the samples with each verdict."""
        return fractions(self.each)


def verdicts(
    x: Tensor,
    train: Tensor,
    unseen: Tensor | None = None,
    *,
    same: float | None = None,
    flips: bool = False,
    shifts: int = 0,
) -> Verdicts:
    """Judge whether each sample is memorized, a spurious mixture, or new.

    - *memorized*: a copy of a training image. Its distance ratio, between directions, is below 1/3;
      or, as that is undefined for N = 1, its similarity to the only training image is above
      ``same``.
    - *spurious*: no such copy, yet made of the training set, in either of two ways. Another sample,
      from other noise, is the ``same``: training has put an attractor where there is no image (Pham
      et al., 2025). Or it has an affinity with the training set: a mixture of a few training images
      is more similar to it than one of ``unseen`` images, by more than for 95% of the unseen
      images.
    - *new*: neither. Of samples as independent of the training set as the unseen images are, about
      5% are spurious by chance.

    The first way needs as many samples as there may be attractors: one met once shows nothing.

    Parameters
    ----------
    x, train : Tensor
        Samples of one network and its training images, as for :func:`distance_ratio`.
    unseen : Tensor, optional
        Other images of the same class, such as the other subset. Mixtures are made of the first N;
        what is usual is told by those beyond, if there are 20. Without them, or for N = 1, only
        samples that recur count as spurious.
    same : float, optional
        Centered cosine similarity, in [-1, 1], above which two images count as one, by default
        that of :func:`same_image`. The paper removes images as duplicates above 0.95.
    flips, shifts : bool, int
        Whether mirror images of training images count as copies, and those shifted by up to so many
        pixels: say what a network was trained with.

    Examples
    --------
    >>> train = torch.rand(4, 1, 8, 8)
    >>> mixture = train[2:].mean(0, keepdim=True)
    >>> verdicts(torch.cat([train[:1], mixture, mixture, torch.rand(1, 1, 8, 8)]), train).each
    ('memorized', 'spurious', 'spurious', 'new')
    """
    for argument, images in (("x", x), ("train", train)):
        check_batch(argument, images)
    check_count("shifts", shifts, 0, (min(train.shape[-2:]) - 1) // 2)
    if unseen is not None:
        check_batch("unseen", unseen)
    view = partial(aligned, train=train, flips=flips, shifts=shifts)
    same = same_image(unseen) if same is None else same
    check_number("same", same, -1, 1)
    x, train = view(x), _center(train, shifts)
    ratios = distance_ratio(x, train, same=same).cpu()
    nearest = closest(x, train)
    to_train = nearest.value[:, 0].cpu()
    recurs = torch.zeros(len(x), dtype=torch.bool)
    if len(x) > 1:
        recurs = cosine_similarity(x, x[_closest_others(x, x, k=1)[:, 0]]).cpu() > same
    affinity, usual = _affinity(x, train, unseen, view, shifts)
    copied = torch.where(ratios.isnan(), to_train > same, ratios < COPY)
    mixed = ~copied & (recurs | (affinity > usual))
    number = torch.stack([copied, mixed, ~copied & ~mixed]).int().argmax(0)
    each = tuple(VERDICTS[i] for i in number.tolist())
    return Verdicts(each, nearest.index[:, 0].cpu(), to_train, ratios)


def fractions(each: Sequence[str] | Sequence[tuple[str, ...]]) -> dict[str, Estimate]:
    """Return the fraction of samples with each verdict, with its 95% interval.

    Samples of several networks that started from the same noise belong together, as a tuple.

    Examples
    --------
    >>> fractions(["new", "new", "spurious", "new"])["new"].value
    0.75
    """
    if not each:
        raise ValueError(f"each: empty; accepted: at least one of {', '.join(VERDICTS)}")
    units = [(unit,) if isinstance(unit, str) else unit for unit in each]
    for verdict in {verdict for unit in units for verdict in unit}:
        check_choice("each", verdict, VERDICTS)
    return {
        name: fraction(torch.tensor([[verdict == name for verdict in unit] for unit in units]))
        for name in VERDICTS
    }


def _affinity(
    x: Tensor, train: Tensor, unseen: Tensor | None, view: Callable[[Tensor], Tensor], shifts: int
) -> tuple[Tensor, float]:
    """Return the affinity of each image with ``train``, (n,), and its 95% quantile if unseen.

    It is by how much a mixture of training images is more similar than one of unseen images, and
    NaN where there are none to compare with. ``view`` aligns the unseen images with training
    images, as ``x`` has been.
    """
    n = len(train)
    k = 0 if unseen is None else min(MIXED, n - 1, len(unseen) - 1)
    if unseen is None or k < 1:
        return torch.full((len(x),), torch.nan, dtype=torch.float64), torch.nan
    among = _center(unseen[:n], shifts)

    def affinity(x: Tensor, others: Tensor) -> Tensor:
        seen = closest(x, train, k).index
        return mixture_similarity(x, train, seen) - mixture_similarity(x, among, others)

    # Images that are not mixed themselves tell what is usual, even where few are mixed.
    apart = len(unseen) - n >= ENOUGH
    fresh = view((unseen[n:] if apart else unseen)[:PROBES])
    others = closest(fresh, among, k).index if apart else _closest_others(fresh, among, k)
    usual = affinity(fresh, others).quantile(0.95)
    return affinity(x, closest(x, among, k).index).cpu(), float(usual)


def _closest_others(first: Tensor, among: Tensor, k: int) -> Tensor:
    """Return the numbers of the k closest other images to the first ones of a set, (n, k)."""
    index = closest(first, among, k + 1).index
    itself = index == torch.arange(len(first), device=index.device)[:, None]
    # Equal images may crowd an image out of its own list: then the last one goes.
    itself[~itself.any(dim=1), -1] = True
    return index[~itself].view(-1, k)


@torch.no_grad()
def mixture_similarity(x: Tensor, among: Tensor, index: Tensor) -> Tensor:
    """Return the cosine similarity of each image to the best mixture of ``among[index]``, (n,).

    The mixture is the least-squares combination of these k images, ``index`` being (n, k); all
    images are centered.
    """
    found = []
    indices = index.to(among.device).split(MIXED_AT_A_TIME)
    for part, numbers in zip(x.split(MIXED_AT_A_TIME), indices, strict=True):
        own = rows("x", part, centered=True)
        mixed = [rows("among", among[c].to(x.device), centered=True) for c in numbers.T]
        columns = torch.stack(mixed, dim=2)
        # Not solved from normal equations: near-duplicates among the columns do no harm here.
        weights = torch.linalg.pinv(columns) @ own[:, :, None]
        explained = (columns @ weights).squeeze(2).norm(dim=1)
        found.append((explained / own.norm(dim=1)).nan_to_num(0).clamp(max=1))
    return torch.cat(found)
