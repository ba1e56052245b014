"""Figures of the book: each function draws one kind of axes and returns them.

What is drawn is a mapping: by number of training images N, which the legend writes ``N = ...`` and
which has one color in all figures, or by name. Shades are 95% intervals. All functions have the
look of the book, whatever the settings of the caller.

``ax=`` is where to draw; by default these are the axes of a new figure as wide as a page, and
:func:`panels` makes several. ``legend=False`` leaves the legend out. Titles, limits and scales are
the caller's, ``ax.set_title("Test images")``.
"""

from gahb.book.figures.curves import (
    curve_against_updates,
    curves_against,
    gap_map,
    gaps,
    psnr_curves,
    psnr_slopes,
    rank_against_residual,
    time_map,
    variance_and_bias,
)
from gahb.book.figures.densities import density_1d, density_2d
from gahb.book.figures.images import (
    as_gray,
    basis_vectors,
    drawn_from_one_noise,
    image_grid,
    shrinkage_and_coefficients,
    shrinkage_factors,
    similarity_histograms,
)
from gahb.book.figures.look import colors, count_label, panels, style
from gahb.book.figures.report import report_curves, report_images, report_page, report_similarities

__all__ = [
    "as_gray",
    "basis_vectors",
    "colors",
    "count_label",
    "curve_against_updates",
    "curves_against",
    "density_1d",
    "density_2d",
    "drawn_from_one_noise",
    "gap_map",
    "gaps",
    "image_grid",
    "panels",
    "psnr_curves",
    "psnr_slopes",
    "rank_against_residual",
    "report_curves",
    "report_images",
    "report_page",
    "report_similarities",
    "shrinkage_and_coefficients",
    "shrinkage_factors",
    "similarity_histograms",
    "style",
    "time_map",
    "variance_and_bias",
]
