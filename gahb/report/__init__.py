"""Whether denoisers memorize their training sets or have learned the same density."""

from gahb.report.measure import memorization_report as memorization_report
from gahb.report.result import NOT_A_DENOISER as NOT_A_DENOISER
from gahb.report.result import Report as Report
