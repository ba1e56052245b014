"""The paper's claims, the numbers that chapters measured of them, and the verdicts.

A chapter writes its numbers at its end, and reads them nowhere: whoever quotes one, quotes what the
last execution of the chapter gave. A file changes only when a number does by more than the digits
that are kept, so that an execution that finds the same numbers leaves no trace.

Beside its own numbers it writes those that trivial denoisers give in their place
(:mod:`gahb.book.controls`): a claim that holds of one of them says little of a network.
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, field
from functools import cache
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from gahb.book.artifacts import path_of, read_stored
from gahb.checks import shown
from gahb.intervals import Estimate
from gahb.settings import DamagedError, artifacts_folder, edition, write_json

RELATIVE = 2e-3
"""Changes below this share of a number, or of 1 where it is small, are those of another machine."""
FAR_BELOW = 0.1
"""Numbers below this share of the smallest bound that judges them may be all rounding."""

VERDICTS = ("holds", "undecided", "does not hold at this scale", "not tested")
"""From the best to the one that says nothing."""

Kept = list[Any]
"""A number and the ends of its interval, if any, as a file has them: null if infinite."""

OF = "/"  # in a file, before the name of a number and after that of the control which gave it


def record(
    page: str,
    controls: Mapping[str, Mapping[str, float | Estimate]] | None = None,
    **numbers: float | Estimate,
) -> None:
    """Keep the numbers that a chapter has measured, for the scorecard and other pages to quote.

    The ``page`` is the name of the chapter, such as ``model_variance``; estimates are kept with
    their intervals. ``controls`` are, by the name of a trivial denoiser
    (:func:`gahb.book.controls.of`), what the same cells measured of it, under the same names.

    Examples
    --------
    >>> record("example", slope=0.61, gap=Estimate(1.2, 1.1, 1.3))  # doctest: +SKIP
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
        old = read_stored(path_of("measured", page)) or {}
    except DamagedError:
        old = {}
    if not _same(page, old, new):
        write_json(path_of("measured", page), new, indent=2)


def measured(page: str) -> dict[str, dict[str, Estimate]]:
    """Return the numbers of a chapter itself, under no name, and those of each control.

    Those without an interval have NaN at its ends.
    """
    found: dict[str, dict[str, Estimate]] = {"": {}}
    for key, (value, *interval) in (read_stored(path_of("measured", page)) or {}).items():
        control, _, name = key.rpartition(OF)
        found.setdefault(control, {})[name] = _estimate(value, *interval)
    return found


def _estimate(value: float, *interval: float | None) -> Estimate:
    """Return the estimate of a stored number; JSON has no infinite end of an interval but null."""
    if not interval:
        return Estimate(value, math.nan, math.nan)
    low, high = interval
    return Estimate(value, -math.inf if low is None else low, math.inf if high is None else high)


def _kept(name: str, number: Any) -> Kept:
    """Return the number, and the ends of its interval if any, to five significant digits."""
    estimated = isinstance(number, Estimate)
    try:
        value = float(number.value if estimated else number)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"{name}: {shown(number)} is not a number or Estimate") from error
    if not math.isfinite(value):
        raise ValueError(f"{name}: {value} is not a finite number")
    known = estimated and not any(map(math.isnan, number.interval))
    parts = (value, *number.interval) if known else (value,)
    return [float(f"{x:.5g}") if math.isfinite(x) else None for x in parts]


def _same(page: str, old: dict[str, Kept], new: dict[str, Kept]) -> bool:
    """Return whether the same numbers were measured, up to what machines differ by."""
    if {name: len(x) for name, x in old.items()} != {name: len(x) for name, x in new.items()}:
        return False
    return all(_alike(_judging(page, key), key, old[key], new[key]) for key in new)


def _judging(page: str, key: str) -> list[Condition]:
    """Return the conditions on a number, of the chapter or of a control."""
    judged = (part for claim in claims() if claim.page == page for part in claim.conditions)
    return [part for part in judged if part.number == key.rpartition(OF)[2]]


def _alike(judging: Sequence[Condition], key: str, old: Kept, new: Kept) -> bool:
    before, now = _estimate(*old), _estimate(*new)
    if any(part.verdict(before) != part.verdict(now) for part in judging):
        return False
    bound = min((abs(bound) for part in judging for bound in part.holds if bound), default=0.0)
    # Of a control the verdict alone counts: some have bases that rounding chooses.
    return OF in key or all(
        math.isclose(a, b, rel_tol=RELATIVE, abs_tol=RELATIVE * bound)
        or max(abs(a), abs(b)) < FAR_BELOW * bound
        for a, b in zip(_numbers(before), _numbers(now), strict=True)
    )


def _numbers(found: Estimate) -> list[float]:
    return [x for x in (found.value, *found.interval) if not math.isnan(x)]


@dataclass(frozen=True, kw_only=True)
class Condition:
    """A recorded number, its unit, and the range, ends included, in which a claim holds."""

    number: str
    unit: str = ""
    holds: Sequence[float]

    def __post_init__(self) -> None:
        low, high = self.holds
        if not low <= high:
            raise ValueError(f"{self.number}: holds: [{low}, {high}] is not [low, high]")

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
        """Return what was measured, with its interval if it has one, and the unit.

        Numbers are rounded as the interval allows; further digits follow where the verdict hangs
        on them.
        """
        if found is None:
            return "–"
        decimals = _decimals(found)
        while self.verdict(_rounded(found, decimals)) != self.verdict(found):
            decimals += 1
        value, low, high = (_shown(end, decimals) for end in astuple(_rounded(found, decimals)))
        interval = "" if math.isnan(found.low) else f" [{low}, {high}]"
        return f"{value}{interval} {self.unit}".rstrip()

    @property
    def range(self) -> str:
        """Where the claim holds, as it is shown."""
        return "[{:,.8g}, {:,.8g}]".format(*self.holds)


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One checkable sentence of the paper."""

    name: str  # what identifies it for good
    where: str  # the figure, table, equation or section that says it
    says: str  # in our words
    paper: str  # the paper's own value, in words and numbers
    page: str  # the chapter that tests it
    heading: str  # its section that does
    # All that must hold; nothing where no number tests the claim. Those behind the first are there
    # for the claim to be more than a trivial denoiser can do.
    conditions: Sequence[Condition] = ()
    also_true_of: Sequence[str] = ()  # controls of which it holds as well, and says nothing

    @property
    def places(self) -> tuple[str, ...]:
        """Each figure, table, equation or section by itself: "Figures 9 and 10" are two."""
        found, kind = [], ""
        for word, first, last in re.findall(r"([A-Z][a-z]+)|(\d[\d.]*)(?: to (\d+))?", self.where):
            kind = word.removesuffix("s") or kind
            numbers = range(int(first), int(last) + 1) if last else [first] * bool(first)
            found += [f"{kind} {number}" for number in numbers]
        return tuple(found) or (self.where,)

    def verdict(self, found: Mapping[str, Estimate]) -> str:
        """Return the worst verdict on its conditions, for numbers by name."""
        verdicts = [part.verdict(found.get(part.number)) for part in self.conditions]
        return max(verdicts, key=VERDICTS.index, default=VERDICTS[3])


@cache
def claims() -> tuple[Claim, ...]:
    """Return all claims, in the order of the paper."""
    listed = tomllib.loads(files("gahb.book").joinpath("claims.toml").read_text(encoding="utf-8"))
    found = []
    for fields in listed["claim"]:
        # The first of its conditions is among a claim's own fields.
        first = {key: fields.pop(key) for key in ("number", "unit", "holds") if key in fields}
        parts = [first, *fields.pop("requires", ())] if first else []
        found.append(Claim(conditions=[Condition(**part) for part in parts], **fields))
    return tuple(found)


@dataclass(frozen=True)
class Row:
    """A claim, what the present edition measured of it, and the verdict."""

    claim: Claim
    found: Mapping[str, Estimate]  # the numbers of the chapter by name
    verdict: str
    # The verdict on each trivial denoiser that was measured in the same way.
    controls: Mapping[str, str] = field(default_factory=dict)

    @property
    def ours(self) -> list[tuple[str, str]]:
        """What was measured of each condition, and the range in which the claim holds."""
        conditions = self.claim.conditions
        return [(part.shown(self.found.get(part.number)), part.range) for part in conditions]

    def judged(self, verdict: str) -> list[str]:
        """Return the controls of which the claim has that verdict."""
        return [name for name, each in self.controls.items() if each == verdict]

    @property
    def trivial(self) -> str:
        """Which controls pass, and which do not clearly fail, in words."""
        named = {"also true of": self.judged("holds"), "undecided for": self.judged("undecided")}
        told = "; ".join(f"{words}: {', '.join(who)}" for words, who in named.items() if who)
        return told or (f"none of {len(self.controls)}" if self.controls else "–")


def _decimals(found: Estimate) -> int:
    """Return how many decimals to show: one digit of the half width that is uncertain.

    Two where that digit is a one, and four digits of the number at most; three where it has no
    finite interval, or all before the point if there are more.
    """
    first = math.floor(math.log10(abs(found.value))) if found.value else 0
    half = (found.high - found.low) / 2
    if not math.isfinite(half):
        return max(2 - first, 0)
    digit, exponent = f"{half:.1e}".split("e")
    return min((digit[0] == "1") - int(exponent), 3 - first) if half else 3 - first


def _rounded(found: Estimate, decimals: int) -> Estimate:
    return Estimate(*(round(number, decimals) for number in astuple(found)))


def _shown(number: float, decimals: int) -> str:
    shown = f"{number:.3g}" if decimals > 6 else f"{number:z,.{max(decimals, 0)}f}"
    return shown.replace("inf", "∞")


def rows() -> list[Row]:
    """Return all claims, judged by what the chapters recorded at the present edition."""
    pages = {claim.page: measured(claim.page) for claim in claims()}
    table = []
    for claim in claims():
        found = pages[claim.page]
        verdicts = {name: claim.verdict(numbers) for name, numbers in found.items()}
        # Controls without these numbers are left out.
        tested = {n: verdict for n, verdict in verdicts.items() if n and verdict != VERDICTS[3]}
        table.append(Row(claim, found[""], verdicts[""], tested))
    return table


def as_text(table: Sequence[Row]) -> str:
    """Return the scorecard for a terminal: four lines per claim, then the counts."""
    lines = []
    for row in table:
        lines.append(f"{row.verdict.upper()}: {row.claim.says}")
        ours = "; ".join(f"{found}, holds in {holds}" for found, holds in row.ours) or "–"
        lines.append(f"    {row.claim.where}; paper: {row.claim.paper}; ours: {ours}")
        lines.append(f"    book/{row.claim.page}.md, {row.claim.heading!r} ({row.claim.name})")
        lines.append(f"    controls that pass: {row.trivial}")
    counts = ", ".join(f"{count(table, verdict)} {verdict}" for verdict in VERDICTS)
    return "\n".join([*lines, f"{len(table)} claims at edition {edition()}: {counts}"])


def count(table: Iterable[Row], verdict: str) -> int:
    """Return how many claims have that verdict."""
    return sum(row.verdict == verdict for row in table)


def as_html(table: Sequence[Row]) -> str:
    """Return the scorecard for a page: how many claims have which verdict, then all of them.

    Links lead to the sections that measure. Where scripts run, ``scorecard.js`` of the book makes
    buttons of the counts, which choose the rows to show.
    """
    counts = "".join(
        f'<li data-verdict="{each}">{_verdict(f"{count(table, each)} {each}", each)}</li>'
        for each in VERDICTS
    )
    titles = ("Where", "The paper says", "Paper", f"Here ({edition()})", "Verdict", "Controls")
    body = "".join(_html_row(row, titles) for row in table)
    head = "".join(f'<th scope="col">{title}</th>' for title in titles)
    return (
        f'<div class="scorecard"><ul class="tally">{counts}</ul>'
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _html_row(row: Row, titles: Sequence[str]) -> str:
    claim = row.claim
    where = f'<a href="{claim.page}.html#{anchor(claim.heading)}">{escape(claim.where)}</a>'
    ours = "".join(
        f'<p>{escape(found)} <span class="range">holds in {holds}</span></p>'
        for found, holds in row.ours
    )
    says, paper, trivial = map(escape, (claim.says, claim.paper, row.trivial))
    cells = (where, says, paper, ours or "–", _verdict(row.verdict, row.verdict), trivial)
    named = zip(titles, cells, strict=True)
    filled = "".join(f'<td data-column="{name}">{cell}</td>' for name, cell in named)
    places = "|".join(claim.places)
    found_by = f'id="{claim.name}" data-verdict="{row.verdict}" data-places="{places}"'
    return f"<tr {found_by}>{filled}</tr>"


def _verdict(text: str, verdict: str) -> str:
    """Return words on a verdict, marked with its color."""
    kind = verdict.split(" at ")[0].replace(" ", "-")
    return f'<span class="verdict {kind}">{text}</span>'


def anchor(heading: str) -> str:
    """Return what a heading becomes in the address of its section."""
    return re.sub(r"[\W_]+", "-", heading.lower()).strip("-")


def committed() -> dict[str, str]:
    """Return the verdicts by the name of the claim, as last written; empty if they never were."""
    return dict(read_stored(_card_file()) or {})


def write(table: Iterable[Row]) -> None:
    """Write the verdicts of the present edition, to which later ones are compared."""
    write_json(_card_file(), {row.claim.name: row.verdict for row in table}, indent=2)


def worse(table: Iterable[Row], before: dict[str, str]) -> list[Row]:
    """Return the claims whose verdict is worse than it was; no measurement is worse than any."""
    known = [row for row in table if before.get(row.claim.name) in VERDICTS]
    rank = VERDICTS.index
    return [row for row in known if rank(row.verdict) > rank(before[row.claim.name])]


def _card_file() -> Path:
    return artifacts_folder() / edition() / "scorecard.json"
