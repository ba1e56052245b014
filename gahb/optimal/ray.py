"""The posterior mean for the multiples of one face (Figure 19).

floor: 2
"""

from __future__ import annotations

import torch
from torch import Tensor

from gahb.images.ray import BRIGHTNESS, BRIGHTNESS_DEVIATION, ray_face
from gahb.optimal.manifolds import ManifoldDenoiser

__all__ = ["Ray"]


class Ray(ManifoldDenoiser):
    """Exact posterior mean for the multiples s x of one face, whose factor s is Gaussian.

    It is affine, in closed form: with v the variance of s,

        f*(y) = (m + v <y - m x, x> / (v ||x||^2 + sigma^2)) x

    for the mean m of s. At small noise it projects on the ray, with a squared error of sigma^2, so
    that the PSNR curve is a line of slope 1 with intercept 10 log10(d) (Figure 19).

    Parameters
    ----------
    size : int
        Pixels a side of the images, from 8; beyond 64 the face is magnified.
    sigma : float or Tensor, optional
        Standard deviation of the noise, one for all noisy images or one for each, (n,). Without
        it only :meth:`at` can be called.

    Raises
    ------
    TypeError, ValueError
        If ``size`` is too small, or ``sigma`` not positive and finite.

    Examples
    --------
    >>> from gahb.images.ray import ray_images, ray_parameters
    >>> x = ray_images(ray_parameters([0]), size=16)
    >>> bool((Ray(size=16, sigma=0.01)(x) - x).norm() < 0.001)
    True
    """

    face: Tensor

    def __init__(self, size: int, sigma: float | Tensor | None = None) -> None:
        super().__init__(size, sigma, order=1)
        self.register_buffer("face", ray_face(size).flatten()[None, None])
        self.register_buffer("prior", torch.tensor([BRIGHTNESS], dtype=torch.float64))
        self.prior_deviation = BRIGHTNESS_DEVIATION

    def designs(self, geometry: Tensor) -> Tensor:
        """The face, (1, 1, d): there is one geometry, without coordinates (1, 0)."""
        return self.face

    def box(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """The corners of a space without dimensions."""
        return y.new_zeros(0), y.new_zeros(0)
