"""Why diffusion models generalise: train denoisers and analyse them.

The flat public API: ``images`` and ``networks`` give data and architectures, ``train`` and ``load``
give denoisers, ``psnr_curve`` and its companions measure them, ``figures`` draws what was measured.
"""

from gahb import (
    artifacts,
    bandlets,
    figures,
    images,
    networks,
    optimal,
    recipes,
    sampling,
    scorecard,
    similarity,
)
from gahb.artifacts import load, verify
from gahb.bandlets import Bandlets, Wavelets
from gahb.basis import (
    Basis,
    adaptive_basis,
    coefficients,
    effective_rank,
    equivalent_filters,
    linearity_error,
    principal_angles,
    projection,
    rank_above,
    sure,
    trace_jacobian,
)
from gahb.denoiser import BaseDenoiser, Denoiser
from gahb.metrics import (
    Divergence,
    PsnrCurve,
    average_gap,
    kl_gap,
    local_slopes,
    psnr,
    psnr_curve,
    psnr_from_sigma,
    sigma_from_psnr,
    train_test_gap,
)
from gahb.model_variance import Variance, variance
from gahb.networks import BFCNN, UNet
from gahb.recorded import record
from gahb.report import Report, memorization_report
from gahb.sampling import Samples, sample
from gahb.settings import edition
from gahb.similarity import closest, cosine_similarity, distance_ratio, verdicts
from gahb.training import Recipe, train
from gahb.unshuffled import Unshuffled
from gahb.wrapped import wrap

__all__ = [
    "BFCNN",
    "Bandlets",
    "BaseDenoiser",
    "Basis",
    "Denoiser",
    "Divergence",
    "PsnrCurve",
    "Recipe",
    "Report",
    "Samples",
    "UNet",
    "Unshuffled",
    "Variance",
    "Wavelets",
    "adaptive_basis",
    "artifacts",
    "average_gap",
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
    "linearity_error",
    "load",
    "local_slopes",
    "memorization_report",
    "networks",
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
    "train_test_gap",
    "variance",
    "verdicts",
    "verify",
    "wrap",
]
