"""Exact denoisers: the posterior means of densities that are known, and oracles that bound others.

They compute in double precision. Apple's GPUs have none: left on the CPU, they take images from
such a GPU and give their estimates back to it.
"""

from gahb.optimal.densities import EmpiricalBayes, Gaussian, GaussianMixture, OracleBasis
from gahb.optimal.manifolds import Disks, Ray, Sines

__all__ = [
    "Disks",
    "EmpiricalBayes",
    "Gaussian",
    "GaussianMixture",
    "OracleBasis",
    "Ray",
    "Sines",
]
