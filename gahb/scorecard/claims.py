"""The claims of the paper, as ``claims.toml`` lists them.

floor: 5
"""

from __future__ import annotations

import math
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from gahb.metrics import Estimate

__all__ = ["VERDICTS", "Claim", "claims"]

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
    text = files("gahb.scorecard").joinpath("claims.toml").read_text(encoding="utf-8")
    return tuple(_claim(fields) for fields in tomllib.loads(text)["claim"])


def _claim(fields: dict[str, object]) -> Claim:
    """A claim of the file, where ranges are lists."""
    return Claim(**{k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()})  # type: ignore[arg-type]
