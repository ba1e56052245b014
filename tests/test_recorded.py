"""Numbers that chapters keep for other pages."""

import math
import re

import pytest

import gahb
from gahb.book.scorecard import Condition, claims, measured
from gahb.intervals import Estimate
from gahb.settings import read_json


@pytest.fixture
def file(artifacts, monkeypatch):
    monkeypatch.setenv("GAHB_EDITION", "smoke")
    return artifacts / "smoke" / "measured" / "page.json"


def test_numbers_come_back_with_their_intervals(file):
    slope = Estimate(0.61, 0.6, 0.62)
    late, early = Estimate(900.0, 800.0, math.inf), Estimate(5.0, -math.inf, 7.0)
    gahb.record("page", slope=slope, gap=Estimate(1.0, 0.9, 1.1), steps=97, late=late, early=early)
    found = measured("page")[""]
    assert (found["late"], found["early"]) == (late, early)
    assert Condition(number="late", holds=[0, 1000]).verdict(found["late"]) == "undecided"
    assert found["slope"] == slope
    assert found["gap"] == Estimate(1.0, 0.9, 1.1)
    assert found["steps"].value == 97
    far = Condition(number="late", holds=[0, 2000])
    assert far.shown(found["late"]) == "900 [800, ∞]"
    gahb.record("page", share=2 / 3)
    assert measured("page")[""]["share"].value == 0.66667
    assert all(math.isnan(end) for end in found["steps"].interval)


@pytest.mark.parametrize(
    ("second", "rewritten"),
    [
        ({"a": 30.01, "b": Estimate(1.0, 0.9, 1.1)}, False),
        ({"a": 30.0, "b": Estimate(1.0, 0.9, 1.101)}, False),
        ({"a": 30.2, "b": Estimate(1.0, 0.9, 1.1)}, True),
        ({"a": 30.0, "b": Estimate(1.0, 0.9, 1.2)}, True),
        ({"a": 30.0, "b": 1.0}, True),
        ({"a": 30.0, "b": Estimate(1.0, 0.9, math.inf)}, True),
        ({"a": 30.0}, True),
        ({"a": 30.0, "c": Estimate(1.0, 0.9, 1.1)}, True),
    ],
)
def test_a_file_changes_only_with_a_number(file, second, rewritten):
    gahb.record("page", a=30.0, b=Estimate(1.0, 0.9, 1.1))
    before = file.read_text()
    gahb.record("page", **second)
    assert (file.read_text() != before) == rewritten
    if rewritten:
        assert read_json(file).keys() == second.keys()


@pytest.mark.parametrize(
    ("page", "number", "limit"),
    [
        ("derivations", "score_error", 1e-8),
        ("derivations", "hessian_error", 1e-8),
        ("adaptive_basis", "linearity", 1e-5),
        ("shuffled_faces", "gaussian_difference", 1e-3),
    ],
)
def test_small_numbers_change_where_their_claim_would_feel_it(artifacts, page, number, limit):
    gahb.record(page, **{number: 1e-12})
    gahb.record(page, **{number: 2e-12})
    assert measured(page)[""][number].value == 1e-12  # rounding of another machine
    gahb.record(page, **{number: 1.1 * limit})
    assert measured(page)[""][number].value == pytest.approx(1.1 * limit)
    gahb.record(page, **{number: 1.9e-3})
    assert measured(page)[""][number].value == pytest.approx(1.9e-3)


@pytest.mark.parametrize(
    ("page", "numbers", "error", "message"),
    [
        ("a/b", {"a": 1.0}, ValueError, "page: 'a/b' is not the name of a chapter"),
        ("page", {}, ValueError, "numbers: there are none"),
        ("page", {"a": math.nan}, ValueError, "a: nan is not a finite number"),
        ("page", {"a": "much"}, TypeError, "a: 'much' is not a number or Estimate"),
    ],
)
def test_bad_numbers_are_named_and_nothing_is_written(file, page, numbers, error, message):
    with pytest.raises(error, match=f"^{message}"):
        gahb.record(page, **numbers)
    assert not file.exists()


def test_numbers_of_controls_are_kept_apart(file):
    trivial = {"affine": {"slope": Estimate(0.4, 0.3, 0.5)}, "zero": {"slope": 0.0}}
    gahb.record("page", trivial, slope=0.61)
    found = measured("page")
    assert found[""].keys() == {"slope"}
    assert found["affine"]["slope"] == trivial["affine"]["slope"]
    assert found["zero"]["slope"].value == 0
    with pytest.raises(TypeError, match=r"^affine/slope: 'much' is not a number"):
        gahb.record("page", {"affine": {"slope": "much"}}, slope=0.61)


@pytest.mark.parametrize(
    ("number", "control", "rewritten"),
    [
        (2.1e-7, 0.06, False),  # rounding: the claim allows 1e-5
        (2.2e-6, 0.06, True),
        (2.2e-5, 0.06, True),
        (-2.4e-7, 0.06, True),
        (2.4e-7, 0.9, False),  # of a control the verdict alone is shown
        (2.4e-7, 0.0, True),
    ],
)
def test_what_machines_differ_by_rewrites_nothing(artifacts, number, control, rewritten):
    gahb.record("adaptive_basis", {"affine": {"linearity": 0.06}}, linearity=2.4e-7)
    (file,) = artifacts.rglob("adaptive_basis.json")
    before = file.read_bytes()
    gahb.record("adaptive_basis", {"affine": {"linearity": control}}, linearity=number)
    assert (file.read_bytes() != before) == rewritten


@pytest.mark.parametrize("page", sorted({claim.page for claim in claims()}))
def test_a_claim_judges_what_is_kept(page):
    """Or another of its family: the similarity at another N, the slope at another alpha."""

    def family(number):
        return re.sub(r"_(n?\d+|largest)$", "", number)

    judging = {family(part.number) for c in claims() if c.page == page for part in c.conditions}
    assert {family(number) for number in measured(page)[""]} <= judging
