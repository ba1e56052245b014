"""The posterior mean for sine waves of one frequency (Figure 20).

floor: 2
"""

from __future__ import annotations

import torch
from torch import Tensor

from gahb.images.sines import AMPLITUDE, AMPLITUDE_DEVIATION, sine_waves
from gahb.optimal.manifolds import ManifoldDenoiser

__all__ = ["Sines"]


class Sines(ManifoldDenoiser):
    """Exact posterior mean for sine waves, whose phase and amplitude are unknown.

    The amplitude is integrated in closed form, the phase by quadrature. At small noise it projects
    on the tangent plane of the cone, with a squared error of 2 sigma^2 (Figure 20).

    Parameters
    ----------
    size : int
        Pixels a side of the images, from 8.
    sigma : float or Tensor, optional
        Standard deviation of the noise, one for all noisy images or one for each, (n,). Without
        it only :meth:`at` can be called.
    order : int, optional
        Nodes of the quadrature over the phase.

    Raises
    ------
    TypeError, ValueError
        If ``size`` or ``order`` is too small, or ``sigma`` not positive and finite.

    Examples
    --------
    >>> from gahb.images.sines import sine_images, sine_parameters
    >>> x = sine_images(sine_parameters([0]), size=16)
    >>> f = Sines(size=16, sigma=0.01)
    >>> bool((f(x) - x).norm() < 0.005)
    True
    """

    ORDER = 32
    waves: Tensor

    def __init__(
        self, size: int, sigma: float | Tensor | None = None, order: int | None = None
    ) -> None:
        super().__init__(size, sigma, order)
        self.register_buffer("waves", sine_waves(size).flatten(1))
        self.register_buffer("prior", torch.tensor([AMPLITUDE], dtype=torch.float64))
        self.prior_deviation = AMPLITUDE_DEVIATION

    def designs(self, geometry: Tensor) -> Tensor:
        """Waves of amplitude 1, (m, 1, d), of phases (m, 1)."""
        shares = torch.cat([torch.ones_like(geometry), geometry.cos(), geometry.sin()], dim=1)
        return (shares @ self.waves)[:, None]

    def box(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """One period around the phase of the noisy image: its ends are where least mass is."""
        _, sine, cosine = self.waves @ y
        phase = torch.atan2(cosine, sine)[None]
        return phase - torch.pi, phase + torch.pi
