"""Figures of the book: each function draws one kind of axes and returns them.

What is drawn is a mapping: by number of training images N, which the legend writes ``N = ...`` and
which has one color in all figures, or by name. Shades are 95% intervals. All functions have the
look of the book, whatever the settings of the caller.

``ax=`` is where to draw; by default these are the axes of a new figure as wide as a page, and
:func:`panels` makes several. ``legend=False`` leaves the legend out. Titles, limits and scales are
the caller's, ``ax.set_title("Test images")``.
"""

from gahb.book.figures.curves import curve_against_updates as curve_against_updates
from gahb.book.figures.curves import curves_against as curves_against
from gahb.book.figures.curves import gap_map as gap_map
from gahb.book.figures.curves import gaps as gaps
from gahb.book.figures.curves import psnr_curves as psnr_curves
from gahb.book.figures.curves import psnr_slopes as psnr_slopes
from gahb.book.figures.curves import rank_against_residual as rank_against_residual
from gahb.book.figures.curves import time_map as time_map
from gahb.book.figures.curves import variance_and_bias as variance_and_bias
from gahb.book.figures.densities import density_1d as density_1d
from gahb.book.figures.densities import density_2d as density_2d
from gahb.book.figures.images import as_gray as as_gray
from gahb.book.figures.images import basis_vectors as basis_vectors
from gahb.book.figures.images import drawn_from_one_noise as drawn_from_one_noise
from gahb.book.figures.images import image_grid as image_grid
from gahb.book.figures.images import shrinkage_and_coefficients as shrinkage_and_coefficients
from gahb.book.figures.images import shrinkage_factors as shrinkage_factors
from gahb.book.figures.images import similarity_histograms as similarity_histograms
from gahb.book.figures.look import colors as colors
from gahb.book.figures.look import count_label as count_label
from gahb.book.figures.look import panels as panels
from gahb.book.figures.look import style as style
from gahb.book.figures.report import report_curves as report_curves
from gahb.book.figures.report import report_images as report_images
from gahb.book.figures.report import report_page as report_page
from gahb.book.figures.report import report_similarities as report_similarities
