"""Intervals: how often they hold the truth, by simulation, and what counts as one unit."""

import math

import pytest
import torch
from scipy import stats
from torch import Tensor

from gahb import intervals
from gahb.intervals import by_unit, fraction, mean, median, of_means

SIZES = (4, 8, 16, 32, 64, 128)
DRAWN = {  # what is drawn: of normal values, and its mean
    "normal": (lambda z: z, 0.0),
    "lognormal": (lambda z: (z / 2).exp(), math.exp(1 / 8)),
    "very skewed": (lambda z: z.exp(), math.exp(1 / 2)),
}


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).double()


def share_covered(low: Tensor, high: Tensor, truth: float) -> float:
    return float(((low <= truth) & (truth <= high)).double().mean())


# --- coverage ---


@pytest.mark.parametrize("name", ["normal", "lognormal"])
@pytest.mark.parametrize("n", SIZES)
def test_intervals_of_means_hold_the_truth(name: str, n: int) -> None:
    draw, truth = DRAWN[name]
    assert 0.935 < share_covered(*of_means([draw(normal(6000, n))]), truth) < 0.98


@pytest.mark.parametrize(("n", "least"), [(4, 0.87), (8, 0.9), (16, 0.92), (64, 0.93)])
def test_of_very_skewed_values_they_need_more_units(n: int, least: float) -> None:
    draw, truth = DRAWN["very skewed"]
    assert least < share_covered(*of_means([draw(normal(6000, n))]), truth) < 0.98


@pytest.mark.parametrize("sizes", [(4, 4), (4, 64), (10, 100)])
def test_intervals_of_differences_hold_the_truth(sizes: tuple[int, int]) -> None:
    draw, truth = DRAWN["lognormal"]
    first, second = (draw(normal(6000, n, seed=n)) for n in sizes)
    second = 3 * draw(normal(6000, sizes[1], seed=1))
    assert 0.92 < share_covered(*of_means([first, -second]), -2 * truth) < 0.98


@pytest.mark.parametrize("n", [8, 16, 33, 64, 128])
def test_intervals_of_medians_hold_the_truth(n: int) -> None:
    found = [median(row) for row in normal(1500, n)]
    low, high = (torch.tensor([getattr(e, end) for e in found]) for end in ("low", "high"))
    assert 0.925 < share_covered(low, high, 0.0) < 0.975


@pytest.mark.parametrize("n", [1, 10, 30, 100])
@pytest.mark.parametrize("p", [0.01, 0.05, 0.2, 0.5, 0.95, 0.99])
def test_intervals_of_fractions_hold_the_truth(n: int, p: float) -> None:
    """Exactly: every number of hits with its probability."""
    covered = 0.0
    for k in range(n + 1):
        found = fraction(torch.arange(n) < k)
        covered += stats.binom.pmf(k, n, p) * (found.low <= p <= found.high)
    # Of ten and fewer, no set of numbers of hits may have a probability near 95%: of one, p = 0.2
    # is either told by both outcomes or left out by that of probability 0.2.
    assert (0.9 if n > 1 else 0.79) < covered <= (0.985 if n > 10 else 1)


@pytest.mark.parametrize("statistic", [median, lambda x: fraction(x < 0)])
def test_members_of_a_unit_are_not_independent(statistic) -> None:
    """Samples of two networks from the same noise; taken as independent, 85% would hold it."""
    truth = 0.0 if statistic is median else 0.5
    found = []
    for seed in range(800):
        shared, own = normal(50, 1, seed=seed), normal(50, 2, seed=10_000 + seed)
        found.append(statistic(0.95 * shared + math.sqrt(1 - 0.95**2) * own))
    low, high = (torch.tensor([getattr(e, end) for e in found]) for end in ("low", "high"))
    assert 0.925 < share_covered(low, high, truth) < 0.975


def test_intervals_that_hold_together() -> None:
    values = normal(2000, 9, 20)
    held = torch.stack(
        [
            torch.tensor(share_covered(*of_means([one], together=9), 0.0) == 1)
            for one in values  # nine means at once, all of them
        ]
    )
    assert 0.94 < held.double().mean() < 0.99
    alone = [share_covered(*of_means([one]), 0.0) == 1 for one in values[:500]]
    assert sum(alone) / 500 < 0.75


# --- what they are in closed form ---


@pytest.mark.parametrize(("k", "n"), [(0, 48), (1, 48), (30, 30), (5, 9), (0, 1)])
def test_fractions_are_those_of_wilson(k: int, n: int) -> None:
    expected = stats.binomtest(k, n).proportion_ci(method="wilson")
    found = fraction(torch.arange(n) < k)
    assert found.value == k / n
    assert found.interval == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_symmetric_values_have_the_interval_of_student() -> None:
    values = torch.tensor([1.0, 2, 3, 4, 7, 8, 9, 10])
    expected = stats.ttest_1samp(values.numpy(), 0).confidence_interval()
    assert mean(values).interval == pytest.approx((expected.low, expected.high), abs=1e-6)
    first, second = values, 3 * values[:4] + torch.tensor([0.0, 1, 1, 0])
    welch = stats.ttest_ind(first.numpy(), second.numpy(), equal_var=False).confidence_interval()
    low, high = of_means([first[None], -second[None]])
    assert low < welch.low + 1e-6 and high > welch.high - 1e-6


def test_a_long_tail_widens_its_side() -> None:
    found = mean(normal(30).exp())
    assert found.high - found.value > 1.3 * (found.value - found.low)


def test_of_hits_that_agree_as_much_as_chance_lets_them_all_count() -> None:
    hits = torch.tensor([[True, True], [False, True], [True, False], [False, False]]).repeat(20, 1)
    both, same = fraction(hits), fraction(hits[:, :1].expand(-1, 2))
    assert both.value == same.value == 0.5
    assert both.interval == pytest.approx(fraction(hits.flatten()).interval, abs=0.002)
    assert same.interval == pytest.approx(fraction(hits[:, 0]).interval, abs=0.002)


# --- units ---


def test_of_hits_that_agree_less_than_by_chance_each_counts_once() -> None:
    hits = torch.tensor([[True, False]] * 9 + [[False, True]] * 10 + [[True, True]]).repeat(3, 1)
    assert fraction(hits).interval == pytest.approx(fraction(hits.flatten()).interval)


def test_copies_of_an_image_count_once() -> None:
    values, units = normal(3, 10), list("abcdefghij")
    tiled = by_unit(values.repeat(1, 13)[:, :128], (13 * units)[:128])
    assert tiled.shape == (3, 10)
    torch.testing.assert_close(tiled.mean(1), values.repeat(1, 13)[:, :128].mean(1))
    torch.testing.assert_close(by_unit(values.repeat(1, 4), 4 * units), values)
    # Of unlike numbers of copies the level must not come in: 13 and 12 of 30 dB.
    torch.testing.assert_close(by_unit(30 + 0 * values.repeat(1, 13)[:, :128], (13 * units)[:128]),
                               torch.full((3, 10), 30.0).double())  # fmt: skip


@pytest.mark.parametrize("n", [1, 2, 7, 8])
def test_few_units_have_no_interval_or_that_of_student(n: int) -> None:
    values = normal(n)
    assert math.isnan(mean(values).low) == (n == 1)
    assert math.isnan(median(values).low) == (n < intervals.FEWEST)
    told = str(mean(values))
    assert ("(no interval)" in told) == (n == 1)


def test_equal_values_leave_no_doubt() -> None:
    assert mean(torch.full((9,), 0.5)).interval == (0.5, 0.5)
    assert median(torch.full((9,), 0.5)).interval == (0.5, 0.5)
    low, high = of_means([torch.full((1, 5), 2.0), torch.full((1, 3), 1.0)])
    assert low == high == 3


def test_draws_are_of_whole_units_and_repeatable() -> None:
    first, again, other = (torch.cat(list(intervals.resampled(5, seed=s))) for s in (3, 3, 4))
    assert first.shape == (1000, 5) and first.equal(again) and not first.equal(other)
    assert set(first.flatten().tolist()) == set(range(5))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1.0], "is not a float tensor of shape"),
        (torch.zeros(2, 3, 4), r"\(2, 3, 4\) is not"),
        (torch.zeros(0), r"\(0,\) is not"),
        (torch.tensor([1.0, math.inf]), "is not .* finite"),
    ],
)
def test_bad_values_give_one_clear_line(values, message: str) -> None:
    for statistic in (mean, median):
        with pytest.raises((TypeError, ValueError), match=f"^values: .*{message}"):
            statistic(values)
