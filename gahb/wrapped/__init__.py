"""Denoisers of other makes under one calling convention: all that is measured here can be theirs.

floor: 2
"""

from gahb.wrapped.foreign import KINDS, wrap

__all__ = ["KINDS", "wrap"]
