# The names at the top, once: for type checkers, and for __init__.py, which imports them when used.
from gahb import basis as basis
from gahb import book as book
from gahb import images as images
from gahb import metrics as metrics
from gahb import networks as networks
from gahb import optimal as optimal
from gahb import sampling as sampling
from gahb import similarity as similarity
from gahb import training as training
from gahb.basis import adaptive_basis as adaptive_basis
from gahb.basis import effective_rank as effective_rank
from gahb.basis import principal_angles as principal_angles
from gahb.basis import sure as sure
from gahb.basis import trace_jacobian as trace_jacobian
from gahb.book.artifacts import load as load
from gahb.book.scorecard import record as record
from gahb.book.variance import variance as variance
from gahb.denoiser import Denoiser as Denoiser
from gahb.metrics import Curve as Curve
from gahb.metrics import kl_gap as kl_gap
from gahb.metrics import noisy as noisy
from gahb.metrics import psnr as psnr
from gahb.metrics import psnr_curve as psnr_curve
from gahb.metrics import psnr_from_sigma as psnr_from_sigma
from gahb.metrics import sigma_from_psnr as sigma_from_psnr
from gahb.networks import BFCNN as BFCNN
from gahb.networks import UNet as UNet
from gahb.report import memorization_report as memorization_report
from gahb.sampling import sample as sample
from gahb.similarity import closest as closest
from gahb.similarity import cosine_similarity as cosine_similarity
from gahb.training import Recipe as Recipe
from gahb.training import train as train
from gahb.wrap import wrap as wrap

__version__: str
