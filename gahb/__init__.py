"""Why diffusion models generalize: train denoisers and analyze them.

The flat public API: ``images`` and ``networks`` give data and architectures, ``train`` and ``load``
give denoisers, ``psnr_curve`` and its companions measure them, ``figures`` draws what was measured.
"""

from gahb import bandlets, images, networks, optimal, sampling, similarity
from gahb.bandlets import Bandlets, Wavelets
from gahb.basis import (
    Basis,
    adaptive_basis,
    coefficients,
    effective_rank,
    equivalent_filters,
    principal_angles,
    projection,
    rank_above,
    sure,
    trace_jacobian,
)
from gahb.book import artifacts, figures, recipes, scorecard
from gahb.book.artifacts import load, verify
from gahb.book.scorecard import record
from gahb.book.variance import variance
from gahb.denoiser import BaseDenoiser, Denoiser, Unshuffled
from gahb.metrics import (
    Curve,
    Divergence,
    kl_gap,
    noisy,
    psnr,
    psnr_curve,
    psnr_from_sigma,
    sigma_from_psnr,
)
from gahb.networks import BFCNN, UNet
from gahb.report import Report, memorization_report
from gahb.sampling import Samples, sample
from gahb.settings import edition
from gahb.similarity import closest, cosine_similarity, distance_ratio, verdicts
from gahb.training import Recipe, train
from gahb.wrap import wrap

__all__ = [
    "BFCNN",
    "Bandlets",
    "BaseDenoiser",
    "Basis",
    "Curve",
    "Denoiser",
    "Divergence",
    "Recipe",
    "Report",
    "Samples",
    "UNet",
    "Unshuffled",
    "Wavelets",
    "adaptive_basis",
    "artifacts",
    "bandlets",
    "closest",
    "coefficients",
    "cosine_similarity",
    "distance_ratio",
    "edition",
    "effective_rank",
    "equivalent_filters",
    "figures",
    "images",
    "kl_gap",
    "load",
    "memorization_report",
    "networks",
    "noisy",
    "optimal",
    "principal_angles",
    "projection",
    "psnr",
    "psnr_curve",
    "psnr_from_sigma",
    "rank_above",
    "recipes",
    "record",
    "sample",
    "sampling",
    "scorecard",
    "sigma_from_psnr",
    "similarity",
    "sure",
    "trace_jacobian",
    "train",
    "variance",
    "verdicts",
    "verify",
    "wrap",
]
