"""Exact and analytic denoisers: posterior means of known densities or of images, and oracles.

They compute in double precision. Apple's GPUs have none: left on the CPU, they take images from
such a GPU and give their estimates back to it.
"""

from gahb.optimal.densities import EmpiricalBayes, Gaussian, GaussianMixture, OracleBasis
from gahb.optimal.local import CovarianceLocal, EquivariantLocal, Local
from gahb.optimal.manifolds import Disks, Ray, Sines

__all__ = [
    "CovarianceLocal",
    "Disks",
    "EmpiricalBayes",
    "EquivariantLocal",
    "Gaussian",
    "GaussianMixture",
    "Local",
    "OracleBasis",
    "Ray",
    "Sines",
]
