"""Denoising by thresholding in orthogonal bases: wavelets, and bandlets that follow geometry."""

from gahb.bandlets.bases import wavelet_basis
from gahb.bandlets.denoisers import Bandlets, OracleBandlets, Wavelets

__all__ = ["Bandlets", "OracleBandlets", "Wavelets", "wavelet_basis"]
