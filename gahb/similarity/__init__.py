"""How alike images are: two samples, a sample and its training set; and what follows from that.

floor: 3
"""

from gahb.similarity.closest import Closest, closest
from gahb.similarity.cosine import cosine_similarity
from gahb.similarity.estimate import median
from gahb.similarity.mixture import mixture_similarity
from gahb.similarity.transition import transition
from gahb.similarity.verdicts import VERDICTS, Verdicts, distance_ratio, fractions, verdicts

__all__ = [
    "VERDICTS",
    "Closest",
    "Verdicts",
    "closest",
    "cosine_similarity",
    "distance_ratio",
    "fractions",
    "median",
    "mixture_similarity",
    "transition",
    "verdicts",
]
