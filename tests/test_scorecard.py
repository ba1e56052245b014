"""The scorecard: its claims, its verdicts, and that none has become worse."""

import math
import re
from pathlib import Path

import pytest
from browser import CHROMIUM, Page, opened

from gahb.__main__ import main
from gahb.book import controls, scorecard
from gahb.book import scorecard as recorded
from gahb.book.scorecard import Claim, Condition
from gahb.intervals import Estimate
from gahb.settings import read_json

BOOK = Path(__file__).resolve().parents[1] / "book"
VERDICTS = scorecard.VERDICTS
NUMBERED = [claim for claim in scorecard.claims() if claim.conditions]


@pytest.fixture
def claim():
    return Claim(
        name="agree",
        where="Figure 2",
        says="Two networks agree.",
        paper="0.9",
        page="model_variance",
        heading="In numbers",
        conditions=[Condition(number="between", holds=(0.9, 1))],
    )


@pytest.fixture
def one_claim(artifacts, claim, monkeypatch):
    """A scorecard of one claim, in an edition of its own."""
    monkeypatch.setenv("GAHB_EDITION", "smoke")
    monkeypatch.setattr("gahb.book.scorecard.claims", lambda: (claim,))


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        ((0.95, 0.9, 1.0), "holds"),
        ((0.95, 0.89, 1.0), "undecided"),
        ((0.8, 0.7, 0.9), "undecided"),
        ((0.95, 0.8, 1.2), "undecided"),
        ((0.8, 0.7, 0.89), "does not hold at this scale"),
        ((1.2, 1.1, 1.3), "does not hold at this scale"),
        ((0.9, math.nan, math.nan), "holds"),
        ((0.89, math.nan, math.nan), "does not hold at this scale"),
        ((math.nan, math.nan, math.nan), "not tested"),
    ],
)
def test_a_verdict_goes_by_the_interval(claim, found, verdict):
    assert claim.verdict({"between": Estimate(*found)}) == verdict


def test_what_was_not_measured_is_not_tested(claim):
    assert claim.verdict({}) == "not tested"


@pytest.mark.parametrize(
    ("gain", "verdict"),
    [
        ((2.0, 1.9, 2.1), "holds"),
        ((1.0, 0.9, 1.1), "undecided"),
        ((0.0, 0.0, 0.0), "does not hold at this scale"),
        (None, "not tested"),
    ],
)
def test_all_conditions_of_a_claim_must_hold(claim, gain, verdict):
    more = Condition(number="gain", unit="dB", holds=(1, 9))
    strict = Claim(**{**vars(claim), "conditions": [*claim.conditions, more]})
    found = {"between": Estimate(0.95, 0.94, 0.96)}
    if gain:
        found["gain"] = Estimate(*gain)
    assert strict.verdict(found) == verdict


@pytest.mark.parametrize(
    ("found", "shown"),
    [
        ((0.7372, 0.6912, 0.7899), "0.74 [0.69, 0.79]"),
        ((0.9571, 0.9436, 0.9698), "0.957 [0.944, 0.970]"),  # two digits where the first is 1
        ((306.9, 279.4, 331.2), "310 [280, 330]"),
        ((0.9, 0.8962, 0.9037), "0.900 [0.896, 0.904]"),
        ((0.93, 0.9004, 0.96), "0.93 [0.90, 0.96]"),
        ((0.93, 0.8996, 0.96), "0.9300 [0.8996, 0.9600]"),  # 0.90 would be in the range
        ((0.9996, 0.9996, 0.9996), "0.9996 [0.9996, 0.9996]"),
        ((0.0, math.nan, math.nan), "0.00"),
        ((12.345, math.nan, math.nan), "12.3"),
        ((30_992_960.0, math.nan, math.nan), "30,992,960"),
        ((3.06e-12, math.nan, math.nan), "3.06e-12"),
        ((0.8996, math.nan, math.nan), "0.8996"),
        ((-0.0001, -0.1, 0.1), "0.00 [-0.10, 0.10]"),
    ],
)
def test_numbers_are_rounded_as_intervals_and_verdicts_allow(found, shown):
    condition = Condition(number="between", unit="dB", holds=(0.9, 1))
    assert condition.shown(Estimate(*found)) == f"{shown} dB"


@pytest.mark.parametrize(
    ("where", "places"),
    [
        ("Figure 1, Section 2.2", ("Figure 1", "Section 2.2")),
        ("Figures 9, 10, 13 and 14", ("Figure 9", "Figure 10", "Figure 13", "Figure 14")),
        ("Equations 11 to 13", ("Equation 11", "Equation 12", "Equation 13")),
        ("Beyond the paper", ("Beyond the paper",)),
    ],
)
def test_a_claim_is_found_by_each_of_its_places(claim, where, places):
    assert Claim(**{**vars(claim), "where": where}).places == places


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium, to open a page")
def test_claims_are_chosen_by_verdict_and_place(tmp_path):
    table = scorecard.rows()
    script = (BOOK / "_static" / "scorecard.js").read_text(encoding="utf-8")
    html = f"<body>{scorecard.as_html(table)}<script>{script}</script>"
    (tmp_path / "page.html").write_text(html, encoding="utf-8")

    def names(*verdicts, place=None):
        return [
            row.claim.name
            for row in table
            if row.verdict in verdicts and place in (None, *row.claim.places)
        ]

    with opened(tmp_path / "profile") as browser:
        page = Page(browser, (tmp_path / "page.html").as_uri())

        def shown():
            return page.run("[...document.querySelectorAll('tr[id]:not([hidden])')].map(r => r.id)")

        assert shown() == names(*VERDICTS)
        page.run("document.querySelectorAll('button')[1].click()")
        assert shown() == names("undecided")
        pressed = "[...document.querySelectorAll('button')].map(b => b.ariaPressed)"
        assert page.run(pressed) == ["false", "true", "false", "false"]
        page.run("document.querySelectorAll('button')[0].click()")
        place = "document.querySelector('select')"
        page.run(f"{place}.value = 'Figure 16'; {place}.dispatchEvent(new Event('change'))")
        assert shown() == names("holds", "undecided", place="Figure 16") != []
        told = page.run("document.querySelector('[role=status]').textContent")
        assert told == f"{len(shown())} of {len(table)} claims shown"
        assert page.errors() == []
        page.close()


def test_a_number_needs_a_range():
    with pytest.raises(ValueError, match=r"^between: holds: \[1.0, 0.9\] is not"):
        Condition(number="between", holds=(1.0, 0.9))


def test_there_is_one_row_for_every_claim():
    names = [claim.name for claim in scorecard.claims()]
    assert len(names) == len(set(names)) >= 25
    assert [row.claim.name for row in scorecard.rows()] == names


@pytest.mark.parametrize("claim", scorecard.claims(), ids=lambda claim: claim.name)
def test_every_claim_points_to_a_section_of_a_page(claim):
    text = (BOOK / f"{claim.page}.md").read_text(encoding="utf-8")
    assert claim.heading in re.findall(r"^#{1,3} (.+)$", text, re.MULTILINE)


@pytest.mark.parametrize("claim", NUMBERED, ids=lambda claim: claim.name)
def test_every_number_was_recorded_by_the_page_that_it_is_credited_to(claim):
    text = (BOOK / f"{claim.page}.md").read_text(encoding="utf-8")
    assert re.search(rf'gahb\.record\(\s*"{claim.page}"', text)
    found = recorded.measured(claim.page)[""]
    assert all(math.isfinite(found[part.number].value) for part in claim.conditions)


@pytest.mark.parametrize("row", scorecard.rows(), ids=lambda row: row.claim.name)
def test_a_claim_says_which_controls_pass(row):
    assert set(row.judged("holds")) == set(row.claim.also_true_of)
    assert not row.controls.keys() - set(controls.NAMES)
    assert row.controls or not row.claim.conditions


def test_no_verdict_is_worse_than_the_one_that_was_kept():
    kept = scorecard.committed()
    assert kept.keys() == {claim.name for claim in scorecard.claims()}
    assert not scorecard.worse(scorecard.rows(), kept)


def test_a_changed_number_changes_the_verdict_and_the_command_fails(one_claim, capsys):
    recorded.record("model_variance", between=0.95)
    assert main(["scorecard", "--write"]) == 0
    recorded.record("model_variance", between=Estimate(0.8, 0.7, 0.9))
    (row,) = scorecard.rows()
    assert row.verdict == "undecided"
    assert "0.80 [0.70, 0.90]" in scorecard.as_html([row])
    assert main(["scorecard"]) == 1
    assert "gahb: agree is worse than before: undecided" in capsys.readouterr().err
    recorded.record("model_variance", between=0.99)
    assert main(["scorecard"]) == 0


def test_a_number_that_is_gone_is_worse_than_any(one_claim):
    recorded.record("model_variance", between=0.1)
    scorecard.write(scorecard.rows())
    recorded.record("model_variance", other=0.1)
    (row,) = scorecard.worse(scorecard.rows(), scorecard.committed())
    assert row.verdict == "not tested"


def test_the_command_shows_paper_and_ours(one_claim, capsys):
    trivial = {"affine": {"between": 0.995}, "zero": {"other": 0.0}}
    recorded.record("model_variance", trivial, between=Estimate(0.957, 0.94, 0.97))
    assert main(["scorecard"]) == 0
    shown = capsys.readouterr().out
    assert "HOLDS: Two networks agree." in shown
    assert "paper: 0.9; ours: 0.957 [0.940, 0.970], holds in [0.9, 1]" in shown
    assert "1 claims at edition smoke: 1 holds, 0 undecided" in shown
    assert "controls that pass: also true of: affine" in shown


@pytest.mark.parametrize(
    ("trivial", "told"),
    [
        ({"affine": {"between": 0.995}, "box blur": {"between": 0.95}}, "of: affine, box blur"),
        ({"affine": {"between": 0.5}, "box blur": {"between": 0.6}}, "none of 2"),
        ({"affine": {"between": Estimate(0.95, 0.8, 1.0)}}, "undecided for: affine"),
        (
            {"affine": {"between": 0.995}, "zero": {"between": Estimate(0.95, 0.8, 1.0)}},
            "also true of: affine; undecided for: zero",
        ),
        ({"affine": {"other": 0.995}}, "–"),
        ({}, "–"),
    ],
)
def test_the_table_shows_the_controls_that_pass(one_claim, trivial, told):
    recorded.record("model_variance", trivial, between=0.1)
    (row,) = scorecard.rows()
    assert row.trivial.endswith(told)
    assert told in scorecard.as_html([row])
    assert row.verdict == "does not hold at this scale"  # theirs do not count


def test_the_table_is_safe_and_links_to_the_section(one_claim):
    html = scorecard.as_html(scorecard.rows())
    assert '<a href="model_variance.html#in-numbers">Figure 2</a>' in html
    assert '<td data-column="Controls">–</td>' in html
    assert '<span class="range">holds in [0.9, 1]</span>' in html
    assert ">1 not tested</span></li></ul><table>" in html  # the tally comes first


def test_kept_verdicts_are_json_by_name(one_claim, artifacts):
    scorecard.write(scorecard.rows())
    kept = read_json(artifacts / "smoke" / "scorecard.json")
    assert kept == {"agree": "not tested"}


@pytest.mark.parametrize(
    ("heading", "anchor"),
    [
        ("In numbers", "in-numbers"),
        ("Is there a gap at large N?", "is-there-a-gap-at-large-n"),
        ("Another network: BF-CNN", "another-network-bf-cnn"),
    ],
)
def test_anchors_are_those_of_the_rendered_page(heading, anchor):
    assert scorecard.anchor(heading) == anchor
