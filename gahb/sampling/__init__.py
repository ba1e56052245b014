"""Drawing images from the density that a denoiser implies, freely or given linear measurements.

floor: 3
"""

from gahb.sampling.algorithm import sample
from gahb.sampling.measurement import (
    Measurement,
    inpainting,
    random_projection,
    super_resolution,
)
from gahb.sampling.samples import Samples, Trajectory
from gahb.sampling.steps import exact_steps

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
