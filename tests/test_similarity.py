"""Cosines, closest images, the distance rule and the verdicts against definitions and limits."""

import math

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from gahb import similarity
from gahb.similarity import (
    VERDICTS,
    _affinity,
    closest,
    cosine_similarity,
    distance_ratio,
    median,
    mixture_similarity,
    same_image,
    transition,
    verdicts,
)


def images(n: int, side: int = 8, seed: int = 0, channels: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand((n, channels, side, side), generator=generator)


def as_bytes(x: Tensor) -> Tensor:
    return (x * 255).round().to(torch.uint8)


def cosines(a: Tensor, b: Tensor, centered: bool) -> Tensor:
    """All pairs, from the definition."""
    a, b = a.flatten(1).double(), b.flatten(1).double()
    if centered:
        a, b = a - a.mean(1, keepdim=True), b - b.mean(1, keepdim=True)
    return (a @ b.T) / a.norm(dim=1)[:, None] / b.norm(dim=1)


def distances(a: Tensor, b: Tensor) -> Tensor:
    """All pairs, from the definition."""
    return (a.double()[:, None] - b.double()[None]).flatten(2).norm(dim=2)


# --- cosine similarity ---


@pytest.mark.parametrize("centered", [True, False])
@pytest.mark.parametrize("channels", [1, 3])
def test_cosine_is_its_definition(centered, channels) -> None:
    a, b = images(9, channels=channels), images(9, seed=1, channels=channels)
    expected = cosines(a, b, centered)
    torch.testing.assert_close(cosine_similarity(a, b, centered=centered), expected.diagonal())
    torch.testing.assert_close(cosine_similarity(a[:1], b, centered=centered), expected[0])
    torch.testing.assert_close(cosine_similarity(a, b[:1], centered=centered), expected[:, 0])


def test_the_paper_text_and_its_code_differ_by_centering() -> None:
    """Images of independent pixels: unrelated if centered, alike through their means if not."""
    a, b = images(40, side=32), images(40, side=32, seed=1)
    assert cosine_similarity(a, b).abs().max() < 0.15
    mean_square_over_square_mean = 0.25 / (1 / 3)
    values = cosine_similarity(a, b, centered=False)
    assert values.mean() == pytest.approx(mean_square_over_square_mean, abs=0.01)


def test_brightness_and_contrast_do_not_count_if_centered() -> None:
    a = images(5)
    torch.testing.assert_close(cosine_similarity(a, 0.3 * a + 0.5), torch.ones(5).double())
    torch.testing.assert_close(cosine_similarity(a, 1 - a), -torch.ones(5).double())


@pytest.mark.parametrize("kind", [torch.uint8, torch.float32])
def test_images_without_direction_are_alike_and_like_no_other(kind) -> None:
    """Also where the mean of 63 equal numbers is not quite that number."""
    flat = torch.tensor([30.3, 200.7]).to(kind).view(2, 1, 1, 1).expand(2, 1, 9, 7)
    other = as_bytes(images(1, side=9)[..., :7]).to(kind)
    assert cosine_similarity(flat[:1], flat[1:]).tolist() == [1]
    assert cosine_similarity(flat, other).tolist() == [0, 0]
    black = torch.zeros_like(other)
    assert cosine_similarity(black, black, centered=False).tolist() == [1]
    assert cosine_similarity(black, other, centered=False).tolist() == [0]


# --- closest ---


@pytest.mark.parametrize("centered", [True, False])
@pytest.mark.parametrize("by", ["cosine", "distance", "direction"])
@pytest.mark.parametrize("block", [1, 7, 40, 1000])
@pytest.mark.parametrize("kind", [torch.uint8, torch.float32, torch.float64])
def test_closest_are_those_of_all_pairs(by, centered, block, kind, monkeypatch) -> None:
    monkeypatch.setattr(similarity, "BLOCK", block)
    x, among = as_bytes(images(11)), as_bytes(images(40, seed=1))
    if kind != torch.uint8:
        x, among = x.to(kind) / 255, among.to(kind) / 255
    a, b = (y.double() / 255 if kind == torch.uint8 else y.double() for y in (x, among))
    if centered:
        a, b = (y - y.mean((1, 2, 3), keepdim=True) for y in (a, b))
    pairs = distances(a, b) if by == "distance" else cosines(a, b, centered=False)
    if by == "direction":
        pairs = (2 - 2 * pairs).sqrt()
    value, index = pairs.topk(5, dim=1, largest=by == "cosine")
    found = closest(x, among, 5, by=by, centered=centered)
    assert torch.equal(found.index, index)
    torch.testing.assert_close(found.value, value)


def test_all_of_the_set_can_be_asked_for(monkeypatch) -> None:
    monkeypatch.setattr(similarity, "BLOCK", 4)
    x, among = images(3), images(6, seed=1)
    found = closest(x, among, k=6)
    assert torch.equal(found.index.sort(dim=1).values, torch.arange(6).expand(3, -1))
    assert (found.value.diff(dim=1) <= 0).all()


def test_distance_from_a_near_copy_is_exact() -> None:
    """A distance of 10^-9 between images of norm 40: lost if it came from inner products."""
    among = images(5, side=80).double()
    x = among[3:4].clone()
    x[0, 0, 0, 0] += 1e-9
    found = closest(x, among, by="distance", centered=False)
    assert found.index.item() == 3
    assert found.value.item() == pytest.approx(1e-9, rel=1e-4)
    assert closest(among[3:4], among, by="distance").value.item() == 0


def test_direction_of_a_near_copy_is_exact() -> None:
    """1 - cosine is 10^-18 there: lost if the distance came from the cosine."""
    among = images(5, side=80).double()
    x = 0.7 * among[3:4] + 0.2
    assert closest(x, among, by="direction").value.item() < 1e-12
    x[0, 0, 0, 0] += 7e-8
    found = closest(x, among, by="direction").value.item()
    assert found == pytest.approx(1e-7 / among[3].std().item() / 80, rel=1e-3)


class Largest(TorchDispatchMode):
    """Notes the largest tensor that is made, in bytes."""

    def __init__(self) -> None:
        super().__init__()
        self.size = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        tensors = result if isinstance(result, tuple | list) else [result]
        for tensor in tensors:
            if isinstance(tensor, Tensor) and not tensor.is_meta and not func.is_view:
                self.size = max(self.size, tensor.nbytes)
        return result


@pytest.mark.parametrize("by", ["cosine", "distance", "direction"])
@pytest.mark.parametrize("kind", [torch.uint8, torch.float32])
def test_memory_is_that_of_blocks(by, kind, monkeypatch) -> None:
    side, block = 16, 64
    monkeypatch.setattr(similarity, "BLOCK", block)
    among = as_bytes(images(5000, side)).to(kind)
    with Largest() as largest:
        closest(among[:300], among, 2, by=by)
    assert 0 < largest.size <= 2 * block * (side**2 + 1) * 8
    assert largest.size < among.nbytes / 3


# --- distance ratio ---


def test_ratio_is_its_definition() -> None:
    x, train = images(10), images(30, seed=1)
    first, second = cosines(x, train, centered=True).sort(dim=1, descending=True).values[:, :2].T
    expected = ((1 - first) / (1 - second)).sqrt()
    torch.testing.assert_close(distance_ratio(x, train), expected)
    first, second = distances(x, train).sort(dim=1).values[:, :2].T
    torch.testing.assert_close(distance_ratio(x, train, between="images"), first / second)


def test_ratio_between_directions_is_to_the_two_of_largest_cosine() -> None:
    """The two that are closest as they are lie elsewhere: near in brightness, not in content."""
    x = images(1, side=16)
    alike = 0.2 * x + 0.05 * images(2, side=16, seed=1)
    level = x.mean() + 0.1 * images(2, side=16, seed=2)
    train = torch.cat([level, alike])
    by_distance = closest(x, train, 2, by="distance", centered=False).index
    assert by_distance.sort().values.tolist() == [[0, 1]]
    torch.testing.assert_close(distance_ratio(x, train), distance_ratio(x, alike))


@pytest.mark.parametrize("between", ["directions", "images"])
def test_ratio_of_a_single_training_image_is_undefined(between) -> None:
    assert distance_ratio(images(3), images(1), between=between).isnan().tolist() == [True] * 3


@pytest.mark.parametrize("between", ["directions", "images"])
def test_an_exact_copy_has_ratio_zero_even_of_an_image_that_is_there_twice(between) -> None:
    x = images(2)
    assert distance_ratio(x, images(2), between=between).tolist() == [0, 0]
    assert distance_ratio(x, torch.cat([x, x]), between=between).tolist() == [0, 0]


def test_brightness_and_contrast_count_between_images_alone() -> None:
    x, train = images(3), images(30, seed=1)
    changed = 0.5 * x + 0.3
    torch.testing.assert_close(distance_ratio(changed, train), distance_ratio(x, train))
    raw = (distance_ratio(y, train, between="images") for y in (x, changed))
    assert not torch.isclose(*raw).any()


def test_ratio_of_an_image_without_direction_is_one() -> None:
    assert distance_ratio(torch.full((1, 1, 8, 8), 0.2), images(9)).item() == pytest.approx(1)


def test_ratio_between_images_counts_brightness() -> None:
    train = torch.tensor([0.0, 1.0]).view(2, 1, 1, 1).expand(2, 1, 8, 8)
    ratio = distance_ratio(torch.full((1, 1, 8, 8), 0.2), train, between="images")
    assert ratio.item() == pytest.approx(0.25)


# --- mixtures ---


def affinity(x: Tensor, train: Tensor, unseen: Tensor | None) -> tuple[Tensor, float]:
    return _affinity(x, train, unseen, view=lambda y: y, shifts=0)


def mixture(x: Tensor, among: Tensor, k: int) -> Tensor:
    return mixture_similarity(x, among, closest(x, among, k).index)


def test_mixture_is_the_least_squares_projection() -> None:
    x, among = images(6), images(12, seed=1)
    center = [y.flatten(1).double() for y in (x, among)]
    center = [y - y.mean(1, keepdim=True) for y in center]
    for i, numbers in enumerate(closest(x, among, 3).index):
        columns = center[1][numbers].T
        weights = torch.linalg.lstsq(columns, center[0][i][:, None]).solution
        expected = (columns @ weights).norm() / center[0][i].norm()
        torch.testing.assert_close(mixture(x, among, 3)[i], expected)


def test_mixture_of_one_is_the_cosine_and_grows_with_more() -> None:
    x, among = images(6), images(12, seed=1)
    one, two, four = (mixture(x, among, k) for k in (1, 2, 4))
    torch.testing.assert_close(one, closest(x, among).value[:, 0].abs())
    assert (two >= one - 1e-9).all() and (four >= two - 1e-9).all()


def test_mixture_bears_repeated_and_constant_images() -> None:
    among = images(3)
    x = torch.cat([among[:1], torch.full((1, 1, 8, 8), 0.4)])
    found = mixture(x, among[[0, 0, 1, 2]], k=4)
    torch.testing.assert_close(found, torch.tensor([1.0, 0.0]).double())


# --- estimates ---


def test_median_and_its_interval_cover_the_truth() -> None:
    generator = torch.Generator().manual_seed(0)
    covered = 0
    for _ in range(60):
        estimate = median(torch.randn(101, generator=generator))
        low, high = estimate.interval
        assert low <= estimate.value <= high
        covered += low <= 0 <= high
    assert 51 <= covered <= 60  # 95% of 60 is 57, with a standard deviation of 1.7


def test_interval_of_the_median_shrinks_with_the_sample() -> None:
    widths = []
    for n in (50, 5000):
        low, high = median(torch.randn(n, generator=torch.Generator().manual_seed(1))).interval
        widths.append(high - low)
    assert widths[0] / widths[1] == pytest.approx(10, rel=0.5)


def test_median_of_an_even_number_and_of_one() -> None:
    assert median(torch.tensor([0.0, 1.0, 2.0, 3.0])).value == 1.5
    alone = median(torch.tensor([0.4]))
    assert alone.value == pytest.approx(0.4)
    assert all(math.isnan(bound) for bound in alone.interval)


def test_estimate_is_printed_with_its_interval() -> None:
    assert str(median(torch.full((9,), 0.5))) == "0.50 [0.50, 0.50]"


# --- verdicts ---


def fresh(n: int, seed: int) -> Tensor:
    return images(n, side=16, seed=seed)


def test_copies_are_memorized() -> None:
    train = fresh(20, 1)
    copies = train[:5] + 0.02 * fresh(5, 2)
    judged = verdicts(copies, train, fresh(20, 3))
    assert judged.each == ("memorized",) * 5
    assert judged.fractions["memorized"].value == 1
    assert (judged.ratio < 1 / 3).all()
    assert (judged.to_train > 0.95).all()


def test_paler_copies_are_memorized() -> None:
    train = fresh(20, 1)
    paler = 0.5 * train[:5] + 0.4 + 0.02 * fresh(5, 2)
    assert verdicts(paler, train).each == ("memorized",) * 5


def test_with_one_training_image_similarity_decides() -> None:
    train = fresh(1, 1)
    copies = 0.5 * train + 0.2 + 0.02 * fresh(3, 2)
    x, unseen = torch.cat([copies, fresh(2, 4)]), fresh(5, 3)
    judged = verdicts(x, train, unseen)
    assert judged.each == ("memorized",) * 3 + ("new",) * 2
    assert judged.ratio.isnan().all()
    assert affinity(x, train, unseen)[0].isnan().all()


def test_a_mixture_that_recurs_is_spurious_also_without_unseen_images() -> None:
    train = fresh(20, 1)
    mixture = train[:2].mean(0, keepdim=True)
    again = mixture + 0.01 * fresh(3, 2)
    x = torch.cat([again, fresh(1, 5)])
    assert verdicts(x, train).each == ("spurious",) * 3 + ("new",)
    assert (cosine_similarity(again, again.roll(1, 0)) > 0.95).all()
    assert math.isnan(affinity(x, train, None)[1])


def test_mixtures_that_do_not_recur_are_found_by_unseen_images() -> None:
    train = fresh(30, 1)
    mixtures = (train[0:10] + train[10:20] + train[20:30]) / 3
    assert verdicts(mixtures, train).each == ("new",) * 10
    assert verdicts(mixtures, train, fresh(30, 2)).each == ("spurious",) * 10
    assert verdicts(mixtures, fresh(30, 2), train).each == ("new",) * 10


def test_independent_images_are_new_but_for_chance() -> None:
    judged = verdicts(fresh(400, 1), fresh(300, 2), fresh(300, 3))
    fraction = judged.fractions["spurious"]
    assert judged.fractions["memorized"].value == 0
    assert fraction.value == pytest.approx(0.05, abs=0.04)
    low, high = fraction.interval
    assert low < fraction.value < high
    assert high - low == pytest.approx(4 * (0.05 * 0.95 / 400) ** 0.5, rel=0.4)


def test_what_is_usual_is_the_95_percent_quantile_over_mixtures_of_four() -> None:
    train, unseen, fresh_ones = fresh(12, 1), fresh(12, 2), fresh(60, 3)
    expected = mixture(fresh_ones, train, 4) - mixture(fresh_ones, unseen, 4)
    found, usual = affinity(fresh(3, 4), train, torch.cat([unseen, fresh_ones]))
    assert usual == pytest.approx(float(expected.quantile(0.95)))
    own = mixture(fresh(3, 4), train, 4) - mixture(fresh(3, 4), unseen, 4)
    torch.testing.assert_close(found, own)


def test_few_unseen_images_are_enough() -> None:
    train, unseen = fresh(60, 1), fresh(25, 2)
    judged = verdicts(fresh(200, 3), train, unseen)
    assert judged.fractions["spurious"].value < 0.2
    mixtures = (train[0:20] + train[20:40] + train[40:60]) / 3
    assert verdicts(mixtures, train, unseen).each.count("spurious") > 15


def test_near_duplicates_are_passed_over() -> None:
    distinct = fresh(6, 1)
    train = torch.cat([distinct + 0.002 * fresh(6, 10 + i) for i in range(9)])
    copies = distinct + 0.01 * fresh(6, 2)
    assert verdicts(copies, train).each == ("memorized",) * 6
    ratios = distance_ratio(copies, train, same=0.95)
    torch.testing.assert_close(ratios, distance_ratio(copies, distinct), atol=0.02, rtol=0)
    assert (distance_ratio(copies, train) > 0.9).all()
    assert distance_ratio(copies[:1], train[::6], same=0.95).isnan().all()


def test_equal_samples_are_another_to_each_other() -> None:
    x = fresh(1, 1).repeat(4, 1, 1, 1)
    assert verdicts(x, fresh(9, 2)).each == ("spurious",) * 4
    assert verdicts(x[:1], fresh(9, 2)).each == ("new",)


def test_fractions_are_of_all_verdicts() -> None:
    train = fresh(20, 1)
    judged = verdicts(torch.cat([train[:2], fresh(3, 4)]), train)
    assert tuple(judged.fractions) == VERDICTS
    assert [e.value for e in judged.fractions.values()] == pytest.approx([0.4, 0, 0.6])


def test_verdicts_on_bytes_are_the_same() -> None:
    x, train, unseen = (as_bytes(fresh(n, n)) for n in (6, 20, 25))
    x = torch.cat([x, train[:2]])
    sets, floats = (x, train, unseen), (x / 255, train / 255, unseen / 255)
    assert verdicts(*sets).each == verdicts(*floats).each
    torch.testing.assert_close(affinity(*sets)[0], affinity(*floats)[0], atol=1e-5, rtol=0)


# --- bad input ---


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: cosine_similarity(x, x[:2]), "^b: 2 images; accepted: 1, or 3 as in a"),
        (lambda x: cosine_similarity(x, x[..., 1:]), r"^b: images of \(1, 8, 7\); accepted: of"),
        (lambda x: cosine_similarity(x[0], x), r"^a: shape \(1, 8, 8\) is not"),
        (lambda x: cosine_similarity(x, x / 0), "^b: holds NaN or infinity"),
        (lambda x: cosine_similarity(x.int(), x), "^a: dtype torch.int32 is not"),
        (lambda x: closest(x, x[:0]), "^among: shape"),
        (lambda x: closest(x, x / 0), "^among: holds NaN or infinity"),
        (lambda x: closest(x / 0, x, by="distance"), "^x: holds NaN or infinity"),
        (lambda x: closest(x, x, k=4), "^k: 4 is not a whole number from 1 to 3"),
        (
            lambda x: closest(x, x, by="eye"),
            "^by: 'eye' is unknown; accepted: cosine, distance, dir",
        ),
        (lambda x: closest(x, [x]), "^among: list is not"),
        (lambda x: closest(x, x, k=0), "^k: 0 is not"),
        (lambda x: distance_ratio(x, x[..., 1:]), "^.*: images of"),
        (lambda x: verdicts(x, x, shifts=4), "^shifts: 4 is not a whole number from 0 to 3"),
        (
            lambda x: distance_ratio(x, x, between="them"),
            "^between: 'them' is unknown; accepted: d",
        ),
        (lambda x: verdicts(x, x, same=float("nan")), "^same: nan is not"),
        (lambda x: median(x), r"^values: \(3, 1, 8, 8\) is not"),
        (
            lambda x: transition(dict.fromkeys((1, 9), torch.ones(3)), {1: x[0, 0, 0], 9: x[0, 0]}),
            "^to_train: 8 samples at N = 1; accepted: 3, as in between",
        ),
        (
            lambda x: transition(*[dict.fromkeys((0, 9), torch.ones(3))] * 2),
            "^between, to_train: N: 0 is not a whole number of at least 1",
        ),
        (lambda x: median(torch.tensor([float("nan")])), "^values: .* finite"),
        (lambda x: median([1.0]), "^values: is not a float tensor"),
    ],
)
def test_bad_input_gives_one_clear_line(call, message) -> None:
    with pytest.raises((ValueError, TypeError), match=message) as error:
        call(images(3))
    assert "\n" not in str(error.value)


def test_the_transition_redraws_pairs_and_not_samples():
    """Where both similarities of a pair vary together, their difference is sure."""
    ease = 0.1 * torch.randn(200, generator=torch.Generator().manual_seed(0))
    between = {n: 0.5 + step + ease for n, step in ((10, -0.2), (1000, 0.2))}
    to_train = {n: 0.5 + ease for n in between}
    found = transition(between, to_train)
    assert found.interval == pytest.approx((100, 100), rel=1e-3)
    of_both = {n: torch.stack([values, values], dim=1) for n, values in to_train.items()}
    assert transition(between, of_both).interval == pytest.approx(found.interval)
    few = ({n: values[:7] for n, values in part.items()} for part in (between, to_train))
    assert transition(*few).interval == pytest.approx((math.nan, math.nan), nan_ok=True)


def normal(center: float, seed: int, n: int = 200) -> Tensor:
    return center + 0.05 * torch.randn(n, generator=torch.Generator().manual_seed(seed))


def test_the_transition_lies_where_the_medians_cross():
    between = {n: normal(value, n) for n, value in ((10, 0.1), (100, 0.4), (1000, 0.9))}
    to_train = {n: normal(value, n + 1) for n, value in ((10, 0.9), (100, 0.8), (1000, 0.7))}
    found = transition(between, to_train)
    # From -0.4 to +0.2 in a decade: two thirds of the way.
    assert found.value == pytest.approx(100 * 10 ** (2 / 3), rel=0.1)
    low, high = found.interval
    assert low < found.value < high
    assert high < 1.4 * low


def test_an_interval_ends_where_resamples_no_longer_cross():
    spread = 0.3 * torch.linspace(-1, 1, 24)
    difference = {10: spread - 0.02, 100: spread + 0.02}
    found = transition(difference, {n: torch.zeros(24) for n in difference})
    assert 10 < found.value < 100
    assert found.interval == (0, math.inf)


def test_what_crosses_twice_has_crossed_for_good_the_last_time():
    levels = {1: -0.2, 10: 0.2, 100: -0.3, 1000: 0.3}
    between = {n: torch.full((9,), 0.5 + value) for n, value in levels.items()}
    to_train = {n: torch.full((9,), 0.5) for n in levels}
    found = transition(between, to_train)
    assert found.value == pytest.approx(10**2.5)
    assert found.interval == pytest.approx((10**2.5, 10**2.5))


@pytest.mark.parametrize(
    ("between", "to_train", "message"),
    [
        (
            {1: 0.1, 10: 0.2},
            {1: 0.5, 10: 0.5},
            r"between, to_train: medians do not cross: .* -0\.40",
        ),
        ({1: 0.6, 10: 0.7}, {1: 0.5, 10: 0.5}, "between, to_train: medians do not cross"),
        ({1: 0.1, 10: 0.7}, {1: 0.5, 100: 0.5}, r"to_train: sizes \[1, 100\] beside \[1, 10\]"),
        ({1: 0.1}, {1: 0.5}, r"to_train: sizes \[1\] beside \[1\] of between; accepted"),
        ({1: float("nan"), 10: 0.7}, {1: 0.5, 10: 0.5}, "values: "),
    ],
)
def test_no_transition_is_made_up(between, to_train, message):
    filled = [
        {n: torch.full((3,), value) for n, value in levels.items()}
        for levels in (between, to_train)
    ]
    with pytest.raises(ValueError, match=f"^{message}"):
        transition(*filled)


def test_images_are_the_same_within_half_the_distance_of_the_fourth_closest() -> None:
    x = torch.linspace(0, 1, 64).view(1, 1, 8, 8) + 0.1 * images(21)
    fourth = cosines(x, x, centered=True).sort(dim=1, descending=True).values[:, 4]
    expected = float((2 - 2 * fourth).sqrt().quantile(0.5)) / 2
    assert math.sqrt(2 - 2 * same_image(x)) == pytest.approx(expected)
