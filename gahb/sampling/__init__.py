"""Sample images from the density that a denoiser implies, freely or given linear measurements."""

from gahb.sampling.algorithm import Samples as Samples
from gahb.sampling.algorithm import Schedule as Schedule
from gahb.sampling.algorithm import Trajectory as Trajectory
from gahb.sampling.algorithm import noise_schedule as noise_schedule
from gahb.sampling.algorithm import reverse_diffusion as reverse_diffusion
from gahb.sampling.algorithm import sample as sample
from gahb.sampling.measurement import Measurement as Measurement
from gahb.sampling.measurement import inpainting as inpainting
from gahb.sampling.measurement import random_projection as random_projection
from gahb.sampling.measurement import super_resolution as super_resolution
