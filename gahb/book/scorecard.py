"""The paper's claims, the numbers that chapters measured of them, and the verdicts.

A chapter writes its numbers at its end, and reads them nowhere: whoever quotes one, quotes what the
last execution of the chapter gave. A file changes only when a number does by more than the digits
that are kept, so that an execution that finds the same numbers leaves no trace.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from gahb.book.artifacts import read_stored
from gahb.checks import shown
from gahb.metrics import Estimate
from gahb.settings import DamagedError, artifacts_folder, edition, write_json

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

VERDICTS = ("holds", "holds in part", "does not hold at this scale", "not tested")
"""From the best to the one that says nothing."""


def record(page: str, **numbers: float | Estimate) -> None:
    """Keep the numbers that a chapter has measured, for the scorecard and other pages to quote.

    Estimates are kept with their intervals.

    Examples
    --------
    >>> record("example", slope=0.61, gap=Estimate(1.2, 1.1, 1.3))  # doctest: +SKIP
    >>> read("example")["slope"]  # doctest: +SKIP
    Estimate(value=0.61, low=nan, high=nan)
    """
    if not isinstance(page, str) or not page.isidentifier():
        raise ValueError(
            f"page: {shown(page)} is not the name of a chapter, such as 'model_variance'"
        )
    if not numbers:
        raise ValueError("numbers: there are none; accepted: at least one, as name=value")
    new = {name: _kept(name, number) for name, number in numbers.items()}
    try:
        old = read_stored(_file(page)) or {}
    except DamagedError:
        old = {}
    if not _same(page, old, new):
        write_json(_file(page), new)


def read(page: str) -> dict[str, Estimate]:
    """Return the numbers of a chapter; those without an interval have NaN at its ends."""
    stored = read_stored(_file(page))
    if stored is None:
        raise FileNotFoundError(f"page: {page} has recorded no numbers; execute the chapter first")
    return {
        name: Estimate(value, *(interval or (math.nan, math.nan)))
        for name, (value, *interval) in stored.items()
    }


def _file(page: str) -> Path:
    return artifacts_folder() / edition() / "measured" / f"{page}.json"


def _kept(name: str, number: Any) -> list[float]:
    """Return the number, and the ends of its interval if any, to five significant digits."""
    estimated = isinstance(number, Estimate)
    try:
        value = float(number.value if estimated else number)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"{name}: {shown(number)} is not a number or Estimate") from error
    if not math.isfinite(value):
        raise ValueError(f"{name}: {value} is not a finite number")
    ends = [end for end in number.interval if math.isfinite(end)] if estimated else []
    return [float(f"{x:.5g}") for x in (value, *ends)]


def _same(page: str, old: dict[str, list[float]], new: dict[str, list[float]]) -> bool:
    """Return whether the same numbers were measured, up to what machines differ by."""
    if {name: len(x) for name, x in old.items()} != {name: len(x) for name, x in new.items()}:
        return False
    return all(
        math.isclose(a, b, rel_tol=RELATIVE, abs_tol=RELATIVE * _deciding(page, name))
        for name in new
        for a, b in zip(old[name], new[name], strict=True)
    )


def _deciding(page: str, name: str) -> float:
    """Return the smallest bound by which a number is judged: what is far below decides nothing."""
    judged = [claim for claim in claims() if (claim.page, claim.number) == (page, name)]
    ranges = [claim.holds or () for claim in judged] + [claim.in_part or () for claim in judged]
    return min((abs(bound) for bounds in ranges for bound in bounds if bound), default=0.0)


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One checkable sentence of the paper.

    Parameters
    ----------
    name, where, says, paper : str
        What identifies it for good; the figure, table, equation or section that says it; what it
        says in our words; and the paper's own value, in words and numbers.
    page, heading : str
        The chapter that tests it, and the section that does.
    number, unit : str, optional
        Name under which that chapter records what it measured (:func:`gahb.record`), and of what
        it is a measure.
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
        """Return one of ``VERDICTS``, for what was measured, or for None if nothing was.

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
    """Return all claims, in the order of the paper."""
    listed = tomllib.loads(files("gahb.book").joinpath("claims.toml").read_text(encoding="utf-8"))
    return tuple(_claim(**fields) for fields in listed["claim"])


def _claim(**fields: Any) -> Claim:
    """Return a claim of the file, where ranges are lists."""
    return Claim(**fields | {k: tuple(v) for k, v in fields.items() if isinstance(v, list)})


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
    """Return three significant digits, or all before the point if there are more."""
    return f"{number:,.0f}" if abs(number) >= 100 else f"{number:.3g}"


def rows() -> list[Row]:
    """Return all claims, judged by what the chapters recorded at the present edition."""
    pages = {claim.page for claim in claims()}
    numbers = {page: read(page) if _file(page).is_file() else {} for page in pages}
    found = [(claim, numbers[claim.page].get(claim.number or "")) for claim in claims()]
    return [Row(claim, number, claim.verdict(number)) for claim, number in found]


def as_text(table: Sequence[Row]) -> str:
    """Return the scorecard for a terminal: three lines per claim, then the counts."""
    lines = []
    for row in table:
        lines.append(f"{row.verdict.upper()}: {row.claim.says}")
        lines.append(f"    {row.claim.where}; paper: {row.claim.paper}; ours: {row.ours}")
        lines.append(f"    book/{row.claim.page}.md, {row.claim.heading!r} ({row.claim.name})")
    counts = ", ".join(f"{count(table, verdict)} {verdict}" for verdict in VERDICTS)
    return "\n".join([*lines, f"{len(table)} claims at edition {edition()}: {counts}"])


def count(table: Iterable[Row], verdict: str) -> int:
    """Return how many claims have that verdict."""
    return sum(row.verdict == verdict for row in table)


def as_html(table: Sequence[Row]) -> str:
    """Return the scorecard as a table for a page, with links to the sections that measure."""
    head = ("Where", "The paper says", "Paper", f"Here ({edition()})", "Verdict")
    cells = "".join(f"<th>{title}</th>" for title in head)
    body = "".join(_html_row(row) for row in table)
    return f'<table class="scorecard"><thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table>'


def _html_row(row: Row) -> str:
    claim = row.claim
    where = f'<a href="{claim.page}.html#{anchor(claim.heading)}">{escape(claim.where)}</a>'
    kind = row.verdict.split(" at ")[0].replace(" ", "-")
    verdict = f'<span class="verdict {kind}">{row.verdict}</span>'
    cells = (where, escape(claim.says), escape(claim.paper), escape(row.ours), verdict)
    return f'<tr id="{claim.name}">' + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def anchor(heading: str) -> str:
    """Return what a heading becomes in the address of its section."""
    kept = "".join(c if c.isalnum() else "-" for c in heading.lower())
    return "-".join(word for word in kept.split("-") if word)


def committed() -> dict[str, str]:
    """Return the verdicts by the name of the claim, as last written; empty if they never were."""
    return dict(read_stored(_card_file()) or {})


def write(table: Iterable[Row]) -> None:
    """Write the verdicts of the present edition, to which later ones are compared."""
    write_json(_card_file(), {row.claim.name: row.verdict for row in table})


def worse(table: Iterable[Row], before: dict[str, str]) -> list[Row]:
    """Return the claims whose verdict is worse than it was; no measurement is worse than any."""
    known = [row for row in table if before.get(row.claim.name) in VERDICTS]
    rank = VERDICTS.index
    return [row for row in known if rank(row.verdict) > rank(before[row.claim.name])]


def _card_file() -> Path:
    return artifacts_folder() / edition() / "scorecard.json"
