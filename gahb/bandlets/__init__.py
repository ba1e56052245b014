"""Denoising by thresholding in orthogonal bases: wavelets, and bandlets, which adapt to geometry.

floor: 3
"""

from gahb.bandlets.denoisers import Bandlets, Wavelets

__all__ = ["Bandlets", "Wavelets"]
