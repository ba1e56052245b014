"""Claims of the paper, what the book measured of each, and whether it holds.

floor: 5
"""

from gahb.scorecard.card import Row, anchor, as_html, as_text, committed, count, rows, worse, write
from gahb.scorecard.claims import VERDICTS, Claim, claims

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
    "rows",
    "worse",
    "write",
]
