"""Exact denoisers: the posterior means of densities that are known.

floor: 2
"""

from gahb.optimal.empirical import EmpiricalBayes
from gahb.optimal.gaussian import Gaussian
from gahb.optimal.mixture import GaussianMixture

__all__ = ["EmpiricalBayes", "Gaussian", "GaussianMixture"]
