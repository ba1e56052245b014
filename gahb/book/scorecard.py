"""The paper's claims, the numbers that chapters measured of them, and the verdicts.

A chapter writes its numbers at its end, and reads them nowhere: whoever quotes one, quotes what the
last execution of the chapter gave. A file changes only when a number does by more than the digits
that are kept, so that an execution that finds the same numbers leaves no trace.

Beside its own numbers it writes those that trivial denoisers give in their place
(:mod:`gahb.book.controls`): a claim that holds of one of them says little of a network.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from gahb.book.artifacts import read_stored
from gahb.checks import shown
from gahb.intervals import Estimate
from gahb.settings import DamagedError, artifacts_folder, edition, write_json

__all__ = [
    "VERDICTS",
    "Claim",
    "Condition",
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
RELATIVE_OF_CONTROLS = 5e-2
"""The same for controls, whose verdict alone counts: some have bases that rounding chooses."""

VERDICTS = ("holds", "undecided", "does not hold at this scale", "not tested")
"""From the best to the one that says nothing."""

OF = "/"  # in a file, before the name of a number and after that of the control which gave it


def record(
    page: str,
    controls: Mapping[str, Mapping[str, float | Estimate]] | None = None,
    **numbers: float | Estimate,
) -> None:
    """Keep the numbers that a chapter has measured, for the scorecard and other pages to quote.

    Parameters
    ----------
    page : str
        Name of the chapter, such as ``model_variance``.
    controls : mapping of str to mapping, optional
        By the name of a trivial denoiser (:func:`gahb.book.controls.of`): what the same cells
        measured of it, under the same names.
    **numbers : float or Estimate
        What was measured, by name; estimates are kept with their intervals.

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
    trivial = {
        f"{control}{OF}{name}": number
        for control, found in (controls or {}).items()
        for name, number in found.items()
    }
    new = {name: _kept(name, number) for name, number in {**numbers, **trivial}.items()}
    try:
        old = read_stored(_file(page)) or {}
    except DamagedError:
        old = {}
    if not _same(page, old, new):
        write_json(_file(page), new)


def read(page: str) -> dict[str, Estimate]:
    """Return the numbers of a chapter; those without an interval have NaN at its ends."""
    if read_stored(_file(page)) is None:
        raise FileNotFoundError(f"page: {page} has recorded no numbers; execute the chapter first")
    return _measured(page)[""]


def _measured(page: str) -> dict[str, dict[str, Estimate]]:
    """Return the numbers of a chapter itself, under no name, and those of each control."""
    found: dict[str, dict[str, Estimate]] = {"": {}}
    for key, (value, *interval) in (read_stored(_file(page)) or {}).items():
        control, _, name = key.rpartition(OF)
        number = Estimate(value, *(interval or (math.nan, math.nan)))
        found.setdefault(control, {})[name] = number
    return found


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
        math.isclose(a, b, rel_tol=share, abs_tol=share * _deciding(page, name))
        for name in new
        for share in [RELATIVE_OF_CONTROLS if OF in name else RELATIVE]
        for a, b in zip(old[name], new[name], strict=True)
    )


def _deciding(page: str, key: str) -> float:
    """Return the smallest bound by which a number is judged: what is far below decides nothing."""
    judged = (part for claim in claims() if claim.page == page for part in claim.conditions)
    bounds = [part.holds for part in judged if part.number == key.rpartition(OF)[2]]
    return min((abs(bound) for both in bounds for bound in both if bound), default=0.0)


@dataclass(frozen=True, kw_only=True)
class Condition:
    """A recorded number, its unit, and the range, ends included, in which a claim holds."""

    number: str
    unit: str = ""
    holds: tuple[float, float]

    def verdict(self, found: Estimate | None) -> str:
        """Return one of ``VERDICTS`` by the interval, or by the number where it has none.

        The claim holds if all of it is in the range, does not if none is, and else is undecided.
        """
        if found is None or math.isnan(found.value):
            return VERDICTS[3]
        low, high = (found.value if math.isnan(end) else end for end in found.interval)
        if self.holds[0] <= low and high <= self.holds[1]:
            return VERDICTS[0]
        return VERDICTS[1] if low <= self.holds[1] and self.holds[0] <= high else VERDICTS[2]

    def shown(self, found: Estimate | None) -> str:
        """Return what was measured, with its interval if it has one, and the unit."""
        if found is None:
            return "–"
        text = _shown(found.value)
        if not math.isnan(found.low):
            text += f" [{_shown(found.low)}, {_shown(found.high)}]"
        return f"{text} {self.unit}".rstrip()


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
    holds : tuple of float, optional
        Range, ends included, of the number where the claim holds.
    requires : tuple of Condition
        What must hold besides, for the claim to be more than a trivial denoiser can do.
    also_true_of : tuple of str
        Controls (:mod:`gahb.book.controls`) of which it holds as well, and says nothing.
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
    requires: tuple[Condition, ...] = ()
    also_true_of: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.number is not None and self.holds is None:
            raise ValueError(f"{self.name}: holds: missing; accepted: a range [low, high]")
        for low, high in (part.holds for part in self.conditions):
            if not low <= high:
                raise ValueError(f"{self.name}: holds: [{low}, {high}] is not [low, high]")

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """All that must hold; nothing where no number tests the claim."""
        if self.number is None or self.holds is None:
            return ()
        first = Condition(number=self.number, unit=self.unit, holds=self.holds)
        return (first, *self.requires)

    def verdict(self, found: Mapping[str, Estimate]) -> str:
        """Return the worst verdict on its conditions, for numbers by name."""
        verdicts = [part.verdict(found.get(part.number)) for part in self.conditions]
        return max(verdicts, key=VERDICTS.index, default=VERDICTS[3])


@cache
def claims() -> tuple[Claim, ...]:
    """Return all claims, in the order of the paper."""
    listed = tomllib.loads(files("gahb.book").joinpath("claims.toml").read_text(encoding="utf-8"))
    return tuple(_claim(**fields) for fields in listed["claim"])


def _claim(requires: Sequence[dict[str, Any]] = (), **fields: Any) -> Claim:
    """Return a claim of the file, where ranges are lists and conditions are tables."""
    conditions = tuple(Condition(**_with_tuples(part)) for part in requires)
    return Claim(requires=conditions, **_with_tuples(fields))


def _with_tuples(fields: dict[str, Any]) -> dict[str, Any]:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()}


@dataclass(frozen=True)
class Row:
    """A claim, what the present edition measured of it, and the verdict.

    ``found`` holds the numbers of the chapter by name; ``controls`` the verdict on each trivial
    denoiser that was measured in the same way.
    """

    claim: Claim
    found: Mapping[str, Estimate]
    verdict: str
    controls: Mapping[str, str] = field(default_factory=dict)

    @property
    def ours(self) -> str:
        """What was measured of each condition, with its interval if it has one, and its unit."""
        parts = [part.shown(self.found.get(part.number)) for part in self.claim.conditions]
        return "; ".join(parts) or "–"

    @property
    def passing(self) -> tuple[str, ...]:
        """The controls of which the claim holds."""
        return tuple(name for name, verdict in self.controls.items() if verdict == VERDICTS[0])

    @property
    def trivial(self) -> str:
        """Which controls pass, in words."""
        if self.passing:
            return "also true of: " + ", ".join(self.passing)
        return f"none of {len(self.controls)}" if self.controls else "–"


def _shown(number: float) -> str:
    """Return three significant digits, or all before the point if there are more."""
    return f"{number:,.0f}" if abs(number) >= 100 else f"{number:.3g}"


def rows() -> list[Row]:
    """Return all claims, judged by what the chapters recorded at the present edition.

    Examples
    --------
    >>> {row.verdict for row in rows()} <= set(VERDICTS)
    True
    """
    pages = {claim.page: _measured(claim.page) for claim in claims()}
    return [_row(claim, pages[claim.page]) for claim in claims()]


def _row(claim: Claim, measured: Mapping[str, Mapping[str, Estimate]]) -> Row:
    """Return a claim, judged by the numbers of its page; controls without these are left out."""
    verdicts = {name: claim.verdict(numbers) for name, numbers in measured.items()}
    tested = {name: verdict for name, verdict in verdicts.items() if verdict != VERDICTS[3]}
    tested.pop("", None)
    return Row(claim, measured[""], verdicts[""], tested)


def as_text(table: Sequence[Row]) -> str:
    """Return the scorecard for a terminal: four lines per claim, then the counts."""
    lines = []
    for row in table:
        lines.append(f"{row.verdict.upper()}: {row.claim.says}")
        lines.append(f"    {row.claim.where}; paper: {row.claim.paper}; ours: {row.ours}")
        lines.append(f"    book/{row.claim.page}.md, {row.claim.heading!r} ({row.claim.name})")
        lines.append(f"    controls that pass: {row.trivial}")
    counts = ", ".join(f"{count(table, verdict)} {verdict}" for verdict in VERDICTS)
    return "\n".join([*lines, f"{len(table)} claims at edition {edition()}: {counts}"])


def count(table: Iterable[Row], verdict: str) -> int:
    """Return how many claims have that verdict."""
    return sum(row.verdict == verdict for row in table)


def as_html(table: Sequence[Row]) -> str:
    """Return the scorecard as a table for a page, with links to the sections that measure."""
    head = ("Where", "The paper says", "Paper", f"Here ({edition()})", "Verdict", "Controls")
    cells = "".join(f"<th>{title}</th>" for title in head)
    body = "".join(_html_row(row) for row in table)
    return f'<table class="scorecard"><thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table>'


def _html_row(row: Row) -> str:
    claim = row.claim
    where = f'<a href="{claim.page}.html#{anchor(claim.heading)}">{escape(claim.where)}</a>'
    kind = row.verdict.split(" at ")[0].replace(" ", "-")
    verdict = f'<span class="verdict {kind}">{row.verdict}</span>'
    texts = (claim.says, claim.paper, row.ours)
    cells = (where, *map(escape, texts), verdict, escape(row.trivial))
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
