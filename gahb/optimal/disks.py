"""The posterior mean for disks (Figure 5).

floor: 2
"""

from __future__ import annotations

import torch
from torch import Tensor

from gahb.images.disks import CENTRE, GREY_DEVIATION, GREYS, RADIUS, disk_masks
from gahb.optimal.manifolds import ManifoldDenoiser

__all__ = ["Disks"]

CHUNK = 128  # masks at a time: what a processor's cache holds is made twice as fast


class Disks(ManifoldDenoiser):
    """Exact posterior mean for disks, the optimum that a network trained on them can reach.

    Both grey levels are integrated in closed form, centre and radius by quadrature over the
    posterior's mass. At small noise it projects on the tangent space of the disks: its Jacobian
    has five eigenvalues near 1, and its squared error is 5 sigma^2 (Figure 5).

    At 32 x 32 pixels, more nodes move the estimate by less than a thousandth of its error for sigma
    up to 0.3. At sigma = 1, where the posterior is broad and has several peaks, they move it by up
    to 3%, which costs less than a thousandth in squared error; a larger ``order`` does better.

    Parameters
    ----------
    size : int
        Pixels a side of the images, from 8.
    sigma : float or Tensor, optional
        Standard deviation of the noise, one for all noisy images or one for each, (n,). Without
        it only :meth:`at` can be called.
    order : int, optional
        Nodes of the quadrature along each of three coordinates.

    Raises
    ------
    TypeError, ValueError
        If ``size`` or ``order`` is too small, or ``sigma`` not positive and finite.

    Examples
    --------
    >>> from gahb.images.disks import disk_images, disk_parameters
    >>> x = disk_images(disk_parameters([0]), size=16)
    >>> f = Disks(size=16, sigma=0.01)
    >>> bool((f(x) - x).norm() < 0.005)
    True
    """

    ORDER = 16

    def __init__(
        self, size: int, sigma: float | Tensor | None = None, order: int | None = None
    ) -> None:
        super().__init__(size, sigma, order)
        sides = torch.tensor([CENTRE, CENTRE, RADIUS], dtype=torch.float64)
        self.register_buffer("low", sides[:, 0])
        self.register_buffer("high", sides[:, 1])
        self.register_buffer("prior", torch.tensor(GREYS, dtype=torch.float64))
        self.prior_deviation = GREY_DEVIATION

    def designs(self, geometry: Tensor) -> Tensor:
        """Ground and disk, (m, 2, d), of centres and radii (m, 3)."""
        designs = geometry.new_empty(len(geometry), 2, self.size**2)
        for part, some in zip(designs.split(CHUNK), geometry.split(CHUNK), strict=True):
            part[:, 1] = disk_masks(some, self.size).flatten(1)
            part[:, 0] = 1 - part[:, 1]
        return designs
