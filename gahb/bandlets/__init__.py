"""Denoising by thresholding in orthogonal bases: wavelets, and bandlets, which adapt to geometry.

floor: 3
"""

from gahb.bandlets.denoisers import Bandlets, Wavelets
from gahb.bandlets.oracle import OracleBandlets
from gahb.bandlets.wavelets import wavelet_basis

__all__ = ["Bandlets", "OracleBandlets", "Wavelets", "wavelet_basis"]
