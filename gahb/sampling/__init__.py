"""Drawing images from the density that a denoiser implies, freely or given linear measurements."""

from gahb.sampling.algorithm import Samples, Trajectory, exact_steps, sample
from gahb.sampling.measurement import (
    Measurement,
    inpainting,
    random_projection,
    super_resolution,
)

__all__ = [
    "Measurement",
    "Samples",
    "Trajectory",
    "exact_steps",
    "inpainting",
    "random_projection",
    "sample",
    "super_resolution",
]
