"""Sample images from the density that a denoiser implies, freely or given linear measurements."""

from gahb.sampling.algorithm import Samples, Schedule, Trajectory, sample
from gahb.sampling.diffusion import noise_schedule, reverse_diffusion
from gahb.sampling.measurement import Measurement, inpainting, random_projection, super_resolution

__all__ = [
    "Measurement",
    "Samples",
    "Schedule",
    "Trajectory",
    "inpainting",
    "noise_schedule",
    "random_projection",
    "reverse_diffusion",
    "sample",
    "super_resolution",
]
