"""How well a denoiser does: PSNR curves, their slopes, and gaps to the test set and the optimum."""

from gahb.intervals import Estimate
from gahb.metrics.curves import (
    Curve,
    noisy,
    psnr,
    psnr_curve,
    psnr_from_sigma,
    sigma_from_psnr,
)
from gahb.metrics.divergence import Divergence, kl_gap
from gahb.metrics.subspaces import error_dimensions

__all__ = [
    "Curve",
    "Divergence",
    "Estimate",
    "error_dimensions",
    "kl_gap",
    "noisy",
    "psnr",
    "psnr_curve",
    "psnr_from_sigma",
    "sigma_from_psnr",
]
