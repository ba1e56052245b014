"""The scorecard: each claim beside what was measured, and its verdict.

floor: 5
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from gahb import recorded
from gahb.metrics import Estimate
from gahb.scorecard.claims import VERDICTS, Claim, claims
from gahb.settings import artifacts_folder, edition, written_whole

__all__ = ["Row", "anchor", "as_html", "as_text", "committed", "count", "rows", "worse", "write"]


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
        verdicts: dict[str, str] = json.loads(_file().read_text())
    except FileNotFoundError:
        return {}
    return verdicts


def write(table: Iterable[Row]) -> None:
    """Write the verdicts of the present edition, to which later ones are compared."""
    verdicts = {row.claim.name: row.verdict for row in table}
    with written_whole(_file()) as temporary:
        temporary.write_text(json.dumps(verdicts, indent=2) + "\n")


def worse(table: Iterable[Row], before: dict[str, str]) -> list[Row]:
    """The claims whose verdict is worse than it was; no measurement is worse than any."""
    rank = VERDICTS.index
    return [
        row
        for row in table
        if row.claim.name in before and rank(row.verdict) > rank(before[row.claim.name])
    ]


def _file() -> Path:
    return artifacts_folder() / edition() / "scorecard.json"
