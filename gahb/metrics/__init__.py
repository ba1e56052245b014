"""How well a denoiser does: PSNR curves, their slopes, and gaps to the test set and the optimum."""

from gahb.metrics.curves import (
    Estimate,
    Gap,
    LocalSlopes,
    PsnrCurve,
    Slope,
    average_gap,
    local_slopes,
    psnr,
    psnr_curve,
    psnr_from_sigma,
    sigma_from_psnr,
    train_test_gap,
)
from gahb.metrics.divergence import Divergence, kl_gap
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
