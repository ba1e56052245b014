"""How well a denoiser does: PSNR curves, their slopes, and gaps to the test set and the optimum.

floor: 3
"""

from gahb.metrics.curves import PsnrCurve, Slope, psnr_curve
from gahb.metrics.decibels import psnr, psnr_from_sigma, sigma_from_psnr
from gahb.metrics.divergence import Divergence, kl_gap
from gahb.metrics.estimate import Estimate
from gahb.metrics.gap import Gap, average_gap, train_test_gap
from gahb.metrics.slopes import LocalSlopes, local_slopes
from gahb.metrics.subspaces import error_dimensions

__all__ = [
    "Divergence",
    "Estimate",
    "Gap",
    "LocalSlopes",
    "PsnrCurve",
    "Slope",
    "average_gap",
    "error_dimensions",
    "kl_gap",
    "local_slopes",
    "psnr",
    "psnr_curve",
    "psnr_from_sigma",
    "sigma_from_psnr",
    "train_test_gap",
]
