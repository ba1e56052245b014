"""Pictures of the book: each function draws one kind of axes and returns it.

floor: 5
"""

from gahb.figures.bases import basis_vectors, shrinkage_and_coefficients, shrinkage_factors
from gahb.figures.curves import gaps, psnr_curves
from gahb.figures.densities import density_1d, density_2d
from gahb.figures.images import image_grid
from gahb.figures.manifolds import dimensions_against_noise, vector_grid
from gahb.figures.report import report_curves, report_images, report_similarities
from gahb.figures.risks import divergence_by_noise, rank_against_residual, variance_and_bias
from gahb.figures.similarity import drawn_from_one_noise, similarity_histograms
from gahb.figures.sizes import estimates_against_n
from gahb.figures.slopes import psnr_slopes, slopes_against_noise
from gahb.figures.style import colours, count_label, panels, style
from gahb.figures.updates import curve_against_updates, gap_map

__all__ = [
    "basis_vectors",
    "colours",
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
