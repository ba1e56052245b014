"""Numbers that the chapters measured, kept in files so that other pages can quote them.

A chapter writes its numbers at its end, and reads them nowhere: whoever quotes one, quotes what the
last execution of the chapter gave. A file changes only when a number does by more than the digits
that are kept, so that an execution that finds the same numbers leaves no trace.
"""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from gahb.book import scorecard as recorded
from gahb.metrics import Estimate
from gahb.settings import artifacts_folder, edition, written_whole

__all__ = [
    "VERDICTS",
    "Claim",
    "Row",
    "anchor",
    "as_html",
    "as_text",
    "claims",
    "committed",
    "count",
    "read",
    "record",
    "rows",
    "worse",
    "write",
]


RELATIVE = 2e-3
"""Changes below this share of a number, or of 1 where it is small, are those of another machine."""


def record(page: str, **numbers: float | Estimate) -> None:
    """Keep the numbers that a chapter has measured, for the scorecard and other pages to quote.

    Parameters
    ----------
    page : str
        Name of the chapter, such as ``model_variance``.
    **numbers : float or Estimate
        What was measured, by name; estimates are kept with their intervals.

    Examples
    --------
    >>> record("example", slope=0.61, gap=Estimate(1.2, 1.1, 1.3))  # doctest: +SKIP
    >>> read("example")["slope"]  # doctest: +SKIP
    Estimate(value=0.61, low=nan, high=nan)
    """
    if not page.isidentifier():
        raise ValueError(f"page: {page!r} is not the name of a chapter, such as 'model_variance'")
    if not numbers:
        raise ValueError("numbers: there are none; accepted: at least one, as name=value")
    new = {name: _kept(name, number) for name, number in numbers.items()}
    file = _file(page)
    if not _same(_stored(file), new):
        with written_whole(file) as temporary:
            temporary.write_text(json.dumps(new, indent=2) + "\n")


def read(page: str) -> dict[str, Estimate]:
    """The numbers of a chapter; those without an interval have NaN at its ends.

    Raises
    ------
    FileNotFoundError
        If the chapter has not been executed at this edition.
    """
    stored = _stored(_file(page))
    if stored is None:
        raise FileNotFoundError(f"page: {page} has recorded no numbers; execute the chapter first")
    return {
        name: Estimate(value, *(interval or (math.nan, math.nan)))
        for name, (value, *interval) in stored.items()
    }


def _file(page: str) -> Path:
    return artifacts_folder() / edition() / "measured" / f"{page}.json"


def _stored(file: Path) -> dict[str, list[float]] | None:
    try:
        content: dict[str, list[float]] = json.loads(file.read_text())
    except FileNotFoundError:
        return None
    return content


def _kept(name: str, number: Any) -> list[float]:
    """The number, and the ends of its interval if it has one, each to five significant digits."""
    estimated = isinstance(number, Estimate)
    try:
        value = float(number.value if estimated else number)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name}: {number!r} is not a number or Estimate") from error
    if not math.isfinite(value):
        raise ValueError(f"{name}: {value} is not a finite number")
    ends = [end for end in number.interval if math.isfinite(end)] if estimated else []
    return [float(f"{x:.5g}") for x in (value, *ends)]


def _same(old: dict[str, list[float]] | None, new: dict[str, list[float]]) -> bool:
    if old is None or old.keys() != new.keys():
        return False
    return all(
        len(old[name]) == len(new[name])
        and all(
            math.isclose(a, b, rel_tol=RELATIVE, abs_tol=RELATIVE)
            for a, b in zip(old[name], new[name], strict=True)
        )
        for name in new
    )


# --- The claims of the paper, as ``claims.toml`` lists them ---


VERDICTS = ("holds", "holds in part", "does not hold at this scale", "not tested")
"""From the best to the one that says nothing."""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One checkable sentence of the paper.

    Parameters
    ----------
    name : str
        Identifies it, for good.
    where : str
        Where the paper says it: a figure, a table, an equation, a section.
    says : str
        What it says, in our words.
    paper : str
        The paper's own value, in words and numbers.
    page, heading : str
        The chapter that tests it, and the section that does.
    number : str, optional
        Name under which that chapter records what it measured (:func:`gahb.record`).
    unit : str
        Of that number, and of what it is a measure.
    holds, in_part : tuple of float, optional
        Ranges, ends included, of the number where the claim holds, and where it holds in part.
    """

    name: str
    where: str
    says: str
    paper: str
    page: str
    heading: str
    number: str | None = None
    unit: str = ""
    holds: tuple[float, float] | None = None
    in_part: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if self.number is None:
            return
        if self.holds is None:
            raise ValueError(f"{self.name}: holds: missing; accepted: a range [low, high]")
        for name in ("holds", "in_part"):
            low, high = getattr(self, name) or self.holds
            if not low <= high:
                raise ValueError(f"{self.name}: {name}: [{low}, {high}] is not [low, high]")

    def verdict(self, found: Estimate | None) -> str:
        """One of ``VERDICTS``, for what was measured, or for None if nothing was.

        The number itself is judged, not its interval, which only knows of chance.
        """
        if found is None or math.isnan(found.value):
            return VERDICTS[3]
        for verdict, bounds in zip(VERDICTS, (self.holds, self.in_part), strict=False):
            if bounds is not None and bounds[0] <= found.value <= bounds[1]:
                return verdict
        return VERDICTS[2]


@cache
def claims() -> tuple[Claim, ...]:
    """All claims, in the order of the paper.

    Examples
    --------
    >>> len(claims()) >= 25
    True
    """
    text = files("gahb.book").joinpath("claims.toml").read_text(encoding="utf-8")
    return tuple(_claim(fields) for fields in tomllib.loads(text)["claim"])


def _claim(fields: dict[str, object]) -> Claim:
    """A claim of the file, where ranges are lists."""
    return Claim(**{k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()})  # type: ignore[arg-type]


# --- The scorecard: each claim beside what was measured, and its verdict ---


@dataclass(frozen=True)
class Row:
    """A claim, what the present edition measured of it (None if nothing), and the verdict."""

    claim: Claim
    found: Estimate | None
    verdict: str

    @property
    def ours(self) -> str:
        """What was measured, with its interval if it has one, and its unit."""
        if self.found is None:
            return "–"
        low, high = self.found.interval
        number = _shown(self.found.value)
        if not math.isnan(low):
            number += f" [{_shown(low)}, {_shown(high)}]"
        return f"{number} {self.claim.unit}".rstrip()


def _shown(number: float) -> str:
    """Three significant digits, or all before the point if there are more."""
    return f"{number:,.0f}" if abs(number) >= 100 else f"{number:.3g}"


def rows() -> list[Row]:
    """All claims of the paper, judged by what the chapters recorded at the present edition.

    Examples
    --------
    >>> {row.verdict for row in rows()} <= set(VERDICTS)
    True
    """
    numbers = {page: _recorded(page) for page in {claim.page for claim in claims()}}
    found = [numbers[claim.page].get(claim.number or "") for claim in claims()]
    return [
        Row(claim, number, claim.verdict(number))
        for claim, number in zip(claims(), found, strict=True)
    ]


def _recorded(page: str) -> dict[str, Estimate]:
    """What a chapter recorded; nothing where it was not executed at the present edition."""
    try:
        return recorded.read(page)
    except FileNotFoundError:
        return {}


def as_text(table: Sequence[Row]) -> str:
    """The scorecard for a terminal: three lines a claim, and how many have each verdict."""
    lines = []
    for row in table:
        lines.append(f"{row.verdict.upper()}: {row.claim.says}")
        lines.append(f"    {row.claim.where}; paper: {row.claim.paper}; ours: {row.ours}")
        lines.append(f"    book/{row.claim.page}.md, {row.claim.heading!r} ({row.claim.name})")
    counts = ", ".join(f"{count(table, verdict)} {verdict}" for verdict in VERDICTS)
    return "\n".join([*lines, f"{len(table)} claims at edition {edition()}: {counts}"])


def count(table: Iterable[Row], verdict: str) -> int:
    """How many claims have that verdict."""
    return sum(row.verdict == verdict for row in table)


def as_html(table: Sequence[Row]) -> str:
    """The scorecard as a table for a page of the book, with links to the sections that measure."""
    head = ("Where", "The paper says", "Paper", f"Here ({edition()})", "Verdict")
    cells = "".join(f"<th>{title}</th>" for title in head)
    body = "".join(_html_row(row) for row in table)
    return f'<table class="scorecard"><thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table>'


def _html_row(row: Row) -> str:
    claim = row.claim
    where = f'<a href="{claim.page}.html#{anchor(claim.heading)}">{escape(claim.where)}</a>'
    kind = row.verdict.split(" at ")[0].replace(" ", "-")
    cells = (
        where,
        escape(claim.says),
        escape(claim.paper),
        escape(row.ours),
        f'<span class="verdict {kind}">{row.verdict}</span>',
    )
    return f'<tr id="{claim.name}">' + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def anchor(heading: str) -> str:
    """What a heading becomes in the address of its section."""
    kept = "".join(c if c.isalnum() else "-" for c in heading.lower())
    return "-".join(word for word in kept.split("-") if word)


def committed() -> dict[str, str]:
    """Verdicts by the name of the claim, as last written; empty if they never were."""
    try:
        verdicts: dict[str, str] = json.loads(_card_file().read_text())
    except FileNotFoundError:
        return {}
    return verdicts


def write(table: Iterable[Row]) -> None:
    """Write the verdicts of the present edition, to which later ones are compared."""
    verdicts = {row.claim.name: row.verdict for row in table}
    with written_whole(_card_file()) as temporary:
        temporary.write_text(json.dumps(verdicts, indent=2) + "\n")


def worse(table: Iterable[Row], before: dict[str, str]) -> list[Row]:
    """The claims whose verdict is worse than it was; no measurement is worse than any."""
    rank = VERDICTS.index
    return [
        row
        for row in table
        if row.claim.name in before and rank(row.verdict) > rank(before[row.claim.name])
    ]


def _card_file() -> Path:
    return artifacts_folder() / edition() / "scorecard.json"
