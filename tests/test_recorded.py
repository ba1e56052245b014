"""Numbers that chapters keep for other pages."""

import math

import pytest

import gahb
from gahb.book.scorecard import measured
from gahb.intervals import Estimate
from gahb.settings import read_json


@pytest.fixture
def file(artifacts, monkeypatch):
    monkeypatch.setenv("GAHB_EDITION", "smoke")
    return artifacts / "smoke" / "measured" / "page.json"


def test_numbers_come_back_with_their_intervals(file):
    slope = Estimate(0.61, 0.6, 0.62)
    gahb.record("page", slope=slope, gap=Estimate(1.0, 0.9, 1.1), steps=97)
    found = measured("page")[""]
    assert found["slope"] == slope
    assert found["gap"] == Estimate(1.0, 0.9, 1.1)
    assert found["steps"].value == 97
    assert all(math.isnan(end) for end in found["steps"].interval)


@pytest.mark.parametrize(
    ("second", "rewritten"),
    [
        ({"a": 30.01, "b": Estimate(1.0, 0.9, 1.1)}, False),
        ({"a": 30.0, "b": Estimate(1.0, 0.9, 1.101)}, False),
        ({"a": 30.2, "b": Estimate(1.0, 0.9, 1.1)}, True),
        ({"a": 30.0, "b": Estimate(1.0, 0.9, 1.2)}, True),
        ({"a": 30.0, "b": 1.0}, True),
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
    assert measured("page")[""].keys() == {"slope"}
    before = file.read_text()
    gahb.record("page", {**trivial, "zero": {"slope": 0.1}}, slope=0.61)
    assert file.read_text() != before
    with pytest.raises(TypeError, match=r"^affine/slope: 'much' is not a number"):
        gahb.record("page", {"affine": {"slope": "much"}}, slope=0.61)


def test_rounding_of_controls_rewrites_nothing(file):
    gahb.record("page", {"affine": {"slope": 1.0}}, slope=1.0)
    before = file.read_bytes()
    gahb.record("page", {"affine": {"slope": 1.02}}, slope=1.0)
    assert file.read_bytes() == before
    gahb.record("page", {"affine": {"slope": 1.2}}, slope=1.0)
    assert file.read_bytes() != before
