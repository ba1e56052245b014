"""Exact denoisers: the posterior means of densities that are known, and oracles that bound others.

They compute in double precision. Apple's GPUs have none: left on the CPU, they take images from
such a GPU and give their estimates back to it.

floor: 2
"""

from gahb.optimal.disks import Disks
from gahb.optimal.empirical import EmpiricalBayes
from gahb.optimal.gaussian import Gaussian
from gahb.optimal.mixture import GaussianMixture
from gahb.optimal.oracle import OracleBasis
from gahb.optimal.ray import Ray
from gahb.optimal.sines import Sines

__all__ = [
    "Disks",
    "EmpiricalBayes",
    "Gaussian",
    "GaussianMixture",
    "OracleBasis",
    "Ray",
    "Sines",
]
