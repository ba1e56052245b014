"""Numbers that the chapters measured, kept in files so that other pages can quote them.

A chapter writes its numbers at its end, and reads them nowhere: whoever quotes one, quotes what the
last execution of the chapter gave. A file changes only when a number does by more than the digits
that are kept, so that an execution that finds the same numbers leaves no trace.

floor: 4
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from gahb.metrics import Estimate, Slope
from gahb.settings import artifacts_folder, edition, written_whole

__all__ = ["read", "record"]

RELATIVE = 2e-3
"""Changes below this share of a number, or of 1 where it is small, are those of another machine."""


def record(page: str, **numbers: float | Estimate | Slope) -> None:
    """Keep the numbers that a chapter has measured, for the scorecard and other pages to quote.

    Parameters
    ----------
    page : str
        Name of the chapter, such as ``model_variance``.
    **numbers : float, Estimate or Slope
        What was measured, by name; estimates and slopes are kept with their intervals.

    Raises
    ------
    TypeError, ValueError
        If the page is not a plain name, there is no number, or one is not finite.

    Examples
    --------
    >>> record("example", slope=0.61, gap=Estimate(1.2, (1.1, 1.3)))  # doctest: +SKIP
    >>> read("example")["slope"]  # doctest: +SKIP
    Estimate(value=0.61, interval=(nan, nan))
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
        name: Estimate(value, (interval[0], interval[1]) if interval else (math.nan, math.nan))
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
    estimated = isinstance(number, Estimate | Slope)
    try:
        value = float(number.value if estimated else number)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name}: {number!r} is not a number, Estimate or Slope") from error
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
