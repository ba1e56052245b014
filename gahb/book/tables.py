"""Tables of numbers as plain text, narrow enough to be read on a phone."""

from collections.abc import Iterable, Mapping
from numbers import Integral, Real
from textwrap import wrap
from typing import Any

from torch import Tensor

WIDTH = 60
GAP = "   "
TWO_DECIMALS = "z.2f"


def table(
    rows: Iterable[Mapping[str, Any]] | Mapping[Any, Any],
    formats: str | Mapping[str, str] = TWO_DECIMALS,
    *,
    first: str = "",
) -> None:
    """Print rows as a table of aligned columns, numbers to the right and text to the left.

    Each row is by the names of its columns; what it lacks stays empty. Of a mapping of rows the
    keys are the ``first`` column, and a row may also be a single value. Whole numbers are written
    with separators of thousands, the others in one format, or in one for each column. Where the
    table would be wider than 60 characters, its headings are broken into lines.

    Examples
    --------
    >>> gaps = {1: {"train": 41.31, "gap": 20.14}, 10000: {"train": 29.5, "gap": -0.04}}
    >>> table(gaps, "z.1f", first="N")
         N   train    gap
         1    41.3   20.1
    10,000    29.5    0.0
    >>> table({"dimensions": 1024, "effective rank": 61.5, "share of the face": "97%"}, "z.1f")
    dimensions          1,024
    effective rank       61.5
    share of the face     97%
    """
    if isinstance(rows, Mapping):
        single = {key: row if isinstance(row, Mapping) else {" ": row} for key, row in rows.items()}
        rows = [{first: key, **row} for key, row in single.items()]
    rows = list(rows)
    if not rows:
        raise ValueError("rows: empty; accepted: at least one row")
    columns = {}
    for name in dict.fromkeys(name for row in rows for name in row):
        rounded = formats if isinstance(formats, str) else formats.get(name, TWO_DECIMALS)
        columns[name] = [_text(row.get(name, ""), rounded) for row in rows]
    for longest in range(WIDTH, 0, -1):
        lines = _aligned(columns, longest)
        if max(map(len, lines)) <= WIDTH:
            break
    print("\n".join(line for line in lines if line))


def _text(value: Any, rounded: str) -> tuple[str, bool]:
    """Return what stands in a cell, and whether it is a number."""
    value = value.item() if isinstance(value, Tensor) else value
    if isinstance(value, bool) or not isinstance(value, Real):
        return str(value), False
    return format(value, "," if isinstance(value, Integral) else rounded), True


def _aligned(columns: Mapping[str, list[tuple[str, bool]]], longest: int) -> list[str]:
    """Return the lines of a table, with headings broken to ``longest`` or their cells' width."""
    headings = {}
    for name, cells in columns.items():
        width = max(longest, *(len(text) for text, _ in cells))
        headings[name] = wrap(name, width, break_long_words=False)
    height = max(map(len, headings.values()))
    blocks = []
    for name, cells in columns.items():
        missing = height - len(headings[name])
        block = [""] * missing + headings[name] + [text for text, _ in cells]
        width = max(map(len, block))
        numbers = any(number for _, number in cells)
        blocks.append([text.rjust(width) if numbers else text.ljust(width) for text in block])
    return [GAP.join(line).rstrip() for line in zip(*blocks, strict=True)]
