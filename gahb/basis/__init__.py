"""The adaptive basis of a denoiser at an image, and its risk without the clean image."""

from gahb.basis.eigen import (
    Basis,
    adaptive_basis,
    coefficients,
    effective_rank,
    principal_angles,
    projection,
    rank_above,
)
from gahb.basis.jacobian import equivalent_filters
from gahb.basis.risk import sure, trace_jacobian

__all__ = [
    "Basis",
    "adaptive_basis",
    "coefficients",
    "effective_rank",
    "equivalent_filters",
    "principal_angles",
    "projection",
    "rank_above",
    "sure",
    "trace_jacobian",
]
