"""Pictures of the book: each function draws one kind of axes and returns it."""

from gahb.book.figures.curves import (
    curve_against_updates,
    divergence_by_noise,
    estimates_against_n,
    gap_map,
    gaps,
    psnr_curves,
    psnr_slopes,
    rank_against_residual,
    slopes_against_noise,
    variance_and_bias,
)
from gahb.book.figures.densities import density_1d, density_2d
from gahb.book.figures.images import (
    basis_vectors,
    dimensions_against_noise,
    drawn_from_one_noise,
    image_grid,
    shrinkage_and_coefficients,
    shrinkage_factors,
    similarity_histograms,
    vector_grid,
)
from gahb.book.figures.report import report_curves, report_images, report_similarities
from gahb.book.figures.style import colors, count_label, panels, style

__all__ = [
    "basis_vectors",
    "colors",
    "count_label",
    "curve_against_updates",
    "density_1d",
    "density_2d",
    "dimensions_against_noise",
    "divergence_by_noise",
    "drawn_from_one_noise",
    "estimates_against_n",
    "gap_map",
    "gaps",
    "image_grid",
    "panels",
    "psnr_curves",
    "psnr_slopes",
    "rank_against_residual",
    "report_curves",
    "report_images",
    "report_similarities",
    "shrinkage_and_coefficients",
    "shrinkage_factors",
    "similarity_histograms",
    "slopes_against_noise",
    "style",
    "variance_and_bias",
    "vector_grid",
]
