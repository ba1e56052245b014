"""How well a denoiser does: PSNR curves, their slopes, and gaps to the test set and the optimum."""

from gahb.intervals import Estimate as Estimate
from gahb.metrics.comparison import Divergence as Divergence
from gahb.metrics.comparison import best_predictors as best_predictors
from gahb.metrics.comparison import error_dimensions as error_dimensions
from gahb.metrics.comparison import kl_gap as kl_gap
from gahb.metrics.comparison import r_squared as r_squared
from gahb.metrics.curves import Curve as Curve
from gahb.metrics.curves import noisy as noisy
from gahb.metrics.curves import psnr as psnr
from gahb.metrics.curves import psnr_curve as psnr_curve
from gahb.metrics.curves import psnr_from_sigma as psnr_from_sigma
from gahb.metrics.curves import sigma_from_psnr as sigma_from_psnr
