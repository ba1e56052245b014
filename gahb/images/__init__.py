"""Image classes: distributions of clean images x, each in three disjoint subsets."""

from gahb.images.calpha import calpha_images
from gahb.images.duplicates import remove_duplicates
from gahb.images.folder import file_names, read_pictures
from gahb.images.load import CLASSES, load, pick

__all__ = [
    "CLASSES",
    "calpha_images",
    "file_names",
    "load",
    "pick",
    "read_pictures",
    "remove_duplicates",
]
