"""Image classes: distributions of clean images x, each in three disjoint subsets.

floor: 1
"""

from gahb.images.calpha import calpha_images
from gahb.images.classes import CLASSES
from gahb.images.duplicates import remove_duplicates
from gahb.images.load import load, pick

__all__ = ["CLASSES", "calpha_images", "load", "pick", "remove_duplicates"]
