"""Image classes: distributions of clean images x, each in three disjoint subsets."""

from gahb.images.calpha import calpha_images
from gahb.images.duplicates import remove_duplicates
from gahb.images.load import CLASSES, load, pick

__all__ = ["CLASSES", "calpha_images", "load", "pick", "remove_duplicates"]
