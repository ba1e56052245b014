"""Exact and analytic denoisers: posterior means of known densities or of images, and oracles.

They compute in double precision. Apple's GPUs have none: left on the CPU, they take images from
such a GPU and give their estimates back to it.
"""

from gahb.optimal.densities import EmpiricalBayes as EmpiricalBayes
from gahb.optimal.densities import Gaussian as Gaussian
from gahb.optimal.densities import GaussianMixture as GaussianMixture
from gahb.optimal.densities import OracleBasis as OracleBasis
from gahb.optimal.local import CovarianceLocal as CovarianceLocal
from gahb.optimal.local import EquivariantLocal as EquivariantLocal
from gahb.optimal.local import Local as Local
from gahb.optimal.manifolds import Disks as Disks
from gahb.optimal.manifolds import Ray as Ray
from gahb.optimal.manifolds import Sines as Sines
