"""Image classes: distributions of clean images x, each in three disjoint subsets.

floor: 1
"""

from gahb.images.duplicates import remove_duplicates
from gahb.images.load import CLASSES, load

__all__ = ["CLASSES", "load", "remove_duplicates"]
