"""The adaptive basis of a denoiser at an image, and its risk without the clean image."""

from gahb.basis.eigen import Basis as Basis
from gahb.basis.eigen import adaptive_basis as adaptive_basis
from gahb.basis.eigen import coefficients as coefficients
from gahb.basis.eigen import effective_rank as effective_rank
from gahb.basis.eigen import principal_angles as principal_angles
from gahb.basis.eigen import projection as projection
from gahb.basis.eigen import rank_above as rank_above
from gahb.basis.jacobian import equivalent_filters as equivalent_filters
from gahb.basis.jacobian import sure as sure
from gahb.basis.jacobian import trace_jacobian as trace_jacobian
