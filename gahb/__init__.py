"""Why diffusion models generalise: train denoisers and analyse them.

The flat public API: ``images`` and ``networks`` give data and architectures, ``train`` and ``load``
give denoisers, ``psnr_curve`` and its companions measure them, ``figures`` draws what was measured.
"""

from gahb import artifacts, figures, images, networks, optimal, recipes
from gahb.artifacts import load, verify
from gahb.denoiser import BaseDenoiser, Denoiser
from gahb.metrics import (
    PsnrCurve,
    psnr,
    psnr_curve,
    psnr_from_sigma,
    sigma_from_psnr,
    train_test_gap,
)
from gahb.networks import BFCNN, UNet
from gahb.settings import edition
from gahb.training import Recipe, train

__all__ = [
    "BFCNN",
    "BaseDenoiser",
    "Denoiser",
    "PsnrCurve",
    "Recipe",
    "UNet",
    "artifacts",
    "edition",
    "figures",
    "images",
    "load",
    "networks",
    "optimal",
    "psnr",
    "psnr_curve",
    "psnr_from_sigma",
    "recipes",
    "sigma_from_psnr",
    "train",
    "train_test_gap",
    "verify",
]
