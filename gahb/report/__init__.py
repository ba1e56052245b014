"""Whether two denoisers memorize their training sets or have learned the same density.

floor: 4
"""

from gahb.report.findings import Report, Side
from gahb.report.memorization import memorization_report

__all__ = ["Report", "Side", "memorization_report"]
