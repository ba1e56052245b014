"""Whether denoisers memorize their training sets or have learned the same density."""

from gahb.report.measure import memorization_report
from gahb.report.result import NOT_A_DENOISER, Report

__all__ = ["NOT_A_DENOISER", "Report", "memorization_report"]
