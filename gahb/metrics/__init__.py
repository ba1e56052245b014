"""How well a denoiser does: PSNR curves, their slopes, and gaps to the test set and the optimum."""

from gahb.intervals import Estimate
from gahb.metrics.comparison import (
    Divergence,
    agreement,
    best_predictors,
    error_dimensions,
    kl_gap,
    r_squared,
)
from gahb.metrics.curves import (
    Curve,
    noisy,
    psnr,
    psnr_curve,
    psnr_from_sigma,
    sigma_from_psnr,
)

__all__ = [
    "Curve",
    "Divergence",
    "Estimate",
    "agreement",
    "best_predictors",
    "error_dimensions",
    "kl_gap",
    "noisy",
    "psnr",
    "psnr_curve",
    "psnr_from_sigma",
    "r_squared",
    "sigma_from_psnr",
]
