"""Exact denoisers: the posterior means of densities that are known, and oracles that bound others.

floor: 2
"""

from gahb.optimal.empirical import EmpiricalBayes
from gahb.optimal.gaussian import Gaussian
from gahb.optimal.mixture import GaussianMixture
from gahb.optimal.oracle import OracleBasis

__all__ = ["EmpiricalBayes", "Gaussian", "GaussianMixture", "OracleBasis"]
