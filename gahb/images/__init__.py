"""Image classes: distributions of clean images x, each in three disjoint subsets."""

from gahb.images.calpha import calpha_images as calpha_images
from gahb.images.duplicates import remove_duplicates as remove_duplicates
from gahb.images.folder import file_names as file_names
from gahb.images.folder import read_pictures as read_pictures
from gahb.images.load import CLASSES as CLASSES
from gahb.images.load import load as load
from gahb.images.load import pick as pick
