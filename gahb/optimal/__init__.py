"""Exact denoisers: the posterior means of densities that are known.

floor: 2
"""

from gahb.optimal.empirical import EmpiricalBayes

__all__ = ["EmpiricalBayes"]
