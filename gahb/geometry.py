r"""Harmonics of an image's own geometry: the smoothest vectors of graph Laplacians made from it.

On a graph whose vertices are pixels and whose edges (i, j) have weights :math:`w_{ij}`, large where
the image is alike at both ends, the vectors of smallest

.. math:: v^T L v = \tfrac12 \sum_{ij} w_{ij} (v_i - v_j)^2

oscillate slowly within regions and along contours, and jump across them. They are what a
*geometry-adaptive harmonic basis* could mean, and can be compared with that of a denoiser.
"""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from scipy.fft import dct
from scipy.linalg import eigh
from scipy.ndimage import gaussian_filter
from scipy.sparse import coo_array, csgraph, csr_array, diags_array
from scipy.sparse.linalg import eigsh
from torch import Tensor

from gahb.basis import adaptive_basis
from gahb.checks import check_choice, check_count, check_images
from gahb.denoiser import BaseDenoiser, Sigma, noise_levels
from gahb.devices import in_double
from gahb.images.shuffled import shuffle
from gahb.settings import progress
from gahb.vectors import check_batch, check_orthonormal

__all__ = [
    "GraphHarmonics",
    "basis_overlap",
    "contour_frequencies",
    "cosines",
    "harmonic_overlaps",
    "laplacian",
    "on_one_pixel",
    "smoothest",
    "spread",
]

WHOLE = 1024  # pixels up to which all of a matrix is decomposed, whatever its spectrum
NEIGHBORHOOD = 3  # pixels: the largest distance of neighbors whose patches are compared
PATCH = 3  # pixels: the side of the patches
CONTRAST = 0.1  # difference of gray levels from which an edge counts as a contour
CONSTANT = 3.0  # the threshold for coefficients, in units of sigma
TIE = 1e-6  # the potential that breaks ties, where weights are at most 1: below, all are alike
REACH = range(-NEIGHBORHOOD, NEIGHBORHOOD + 1)
NEAR = [(i, j) for i in REACH for j in REACH if (i, j) > (0, 0) and i**2 + j**2 <= NEIGHBORHOOD**2]
GRAPHS = {"grid": ([(0, 1), (1, 0)], 1), "patches": (NEAR, PATCH)}
"""Half of the edges of a pixel, as offsets (down, right), and the side of the patches compared."""


def laplacian(image: Tensor, graph: str = "patches") -> csr_array:
    r"""Return the Laplacian of a graph of pixels, whose edges are weak across contours.

    An edge counts by how alike the patches around its pixels i, j are: it has the weight
    :math:`w_{ij} = \exp(-\|p_i - p_j\|^2 / 2 h^2)`, the norm being the root mean square over a
    patch. A difference of gray levels from h = 0.1 on counts as a contour.

    Parameters
    ----------
    image : Tensor
        One image, (1, C, H, W). The matrix is (H W, H W), symmetric and positive semidefinite.
    graph : str
        ``patches``: all pixels within 3 pixels of one another have an edge, and a patch is 3 x 3
        pixels. Beyond the border the image is mirrored. Or ``grid``: horizontal and vertical
        neighbors have one, and a patch is the pixel alone; without any contour all weights are 1,
        and the smoothest vectors are cosines (those of the DCT).

    Examples
    --------
    >>> laplacian(torch.zeros(1, 1, 2, 2), "grid").toarray()[0]
    array([ 2., -1., -1.,  0.])
    >>> laplacian(torch.zeros(1, 1, 8, 8)).diagonal().max()  # of neighbors, in the middle
    np.float64(28.0)
    """
    check_images("image", image)
    if len(image) != 1:
        raise ValueError(f"image: {len(image)} images; accepted: one, (1, C, H, W)")
    check_choice("graph", graph, GRAPHS)
    offsets, patch = GRAPHS[graph]
    x, margin = in_double(image.detach()).cpu(), patch // 2
    height, width = x.shape[-2:]
    if min(height, width) <= margin:
        raise ValueError(f"image: {height} x {width} pixels; accepted: sides of at least 2")
    patches = F.unfold(F.pad(x, [margin] * 4, mode="reflect"), patch) if margin else x.flatten(2)
    features = patches[0].reshape(-1, height, width)
    number = torch.arange(height * width).view(height, width)
    edges = []
    for down, right in offsets:
        if down >= height or abs(right) >= width:
            continue
        here = (slice(None, height - down), slice(max(0, -right), width - max(0, right)))
        there = (slice(down, None), slice(max(0, right), width - max(0, -right)))
        difference = (features[:, *here] - features[:, *there]).square().mean(0)
        parts = ((-difference / (2 * CONTRAST**2)).exp(), number[here], number[there])
        edges.append([part.flatten() for part in parts])
    weights, starts, ends = (torch.cat(parts).numpy() for parts in zip(*edges, strict=True))
    half = coo_array((weights, (starts, ends)), shape=(number.numel(),) * 2)
    return csr_array(csgraph.laplacian(half + half.T))


def smoothest(laplacian: csr_array, k: int, size: tuple[int, int]) -> Tensor:
    """Return the k orthonormal vectors, (k, 1, H, W), on which a Laplacian is smallest, in order.

    It is that of an image of this ``size``, (H, W), and k is below H W.

    Examples
    --------
    >>> first = smoothest(laplacian(torch.rand(1, 1, 4, 4)), 1, (4, 4))
    >>> torch.allclose(first.abs(), torch.tensor(0.25, dtype=torch.float64))  # a constant
    True
    """
    pixels = laplacian.shape[0]
    check_count("k", k, maximum=pixels - 1)
    if size[0] * size[1] != pixels:
        raise ValueError(f"size: {size} has not the {pixels} pixels of the Laplacian")
    if pixels <= WHOLE:
        return _harmonics(laplacian, k).view(k, 1, *size)
    # A fixed start: the search draws one of its own otherwise.
    start = np.random.default_rng(0).standard_normal(pixels)
    regular = (laplacian + _tie_break(pixels)).tocsc()  # constants are in the kernel otherwise
    _, vectors = eigsh(regular, k, sigma=0, which="LM", v0=start)
    return torch.from_numpy(vectors.T.copy()).view(k, 1, *size)


def basis_overlap(vectors: Tensor, reference: Tensor) -> Tensor:
    r"""Return the mean squared cosine of the principal angles between two spaces.

    .. math:: \frac1k \|V R^T\|_F^2

    for orthonormal vectors V, (k, C, H, W), such as ``basis.eigenvectors[:k]``, and R of the same
    size, (l, C, H, W). It is 1 where the first space lies in the second, and on average l / d for a
    random second space of l among d dimensions.

    Examples
    --------
    >>> pixels = torch.eye(16).view(16, 1, 4, 4)
    >>> basis_overlap(pixels[:4], pixels[2:8])
    tensor(0.5000, dtype=torch.float64)
    """
    for name, given in (("vectors", vectors), ("reference", reference)):
        check_orthonormal(name, given, "orthonormal vectors, (k, C, H, W)")
    check_batch("reference", reference[:1], like=vectors[:1])
    cosines = in_double(vectors.flatten(1)) @ in_double(reference.flatten(1)).T
    return cosines.square().sum() / len(vectors)


def spread(vectors: Tensor) -> Tensor:
    r"""Return on how many pixels each vector lives, :math:`1 / \sum_i \|v_i\|^4`, (k,).

    That is 1 for a single pixel, and the number of all for a constant. The vectors, (k, C, H, W),
    have unit length.

    Examples
    --------
    >>> spread(torch.eye(16).view(16, 1, 4, 4))[0]
    tensor(1., dtype=torch.float64)
    """
    return 1 / _energy(vectors).square().sum(1)


def on_one_pixel(vectors: Tensor) -> int:
    """Return how many vectors, (k, C, H, W) of unit length, have over half their energy in a pixel.

    Examples
    --------
    >>> on_one_pixel(torch.eye(16).view(16, 1, 4, 4)[:3])
    3
    """
    return int((_energy(vectors).amax(1) > 0.5).sum())


def _energy(vectors: Tensor) -> Tensor:
    """Return what each pixel has of the squared length of vectors, (k, H W) in float64."""
    check_images("vectors", vectors)
    return in_double(vectors).square().sum(1).flatten(1)


def contour_frequencies(vectors: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
    r"""Return how fast vectors oscillate along and across the contours of an image, (k,) each.

    The direction of the contour at a place is that in which the image changes least, by its
    structure tensor :math:`T = G * (\nabla x \nabla x^T)`, with a Gaussian G of one pixel. For the
    unit vector t along it, and the weight w, the difference of the eigenvalues of T,

    .. math:: \omega^2 = \frac{\sum w \, (t \cdot \nabla v)^2}{\sum w \, v^2}

    is the squared frequency of v along the contour, and the same for the normal that across it.
    Where v has its steepest places on the contours, as the image itself has, both are too high;
    their ratio is not. Frequencies are in radians a pixel where they are low, and 2 at most along
    each side. Vectors are (k, C, H, W), as of a basis; the image, clean or denoised, (1, C, H, W).

    Examples
    --------
    >>> x = torch.arange(64)
    >>> stripes, wave = ((omega * x).cos().expand(1, 1, 64, 64) for omega in (0.7, 0.4))
    >>> along, across = contour_frequencies(wave, stripes)
    >>> print(f"{float(along):.1f} {float(across):.1f}")
    0.0 0.4
    """
    check_images("image", image)
    check_batch("vectors", vectors, like=image)
    (down, right), _ = _gradients(image)
    products = torch.stack([down * down, right * right, down * right]).sum((1, 2)).numpy()
    smooth = [torch.from_numpy(gaussian_filter(part, 1.0)) for part in products]
    difference, mixed = smooth[0] - smooth[1], 2 * smooth[2]
    weight = torch.hypot(difference, mixed)
    if not weight.any():
        raise ValueError("image: has no contour; accepted: an image that changes more in one way")
    angle = torch.atan2(mixed, difference) / 2  # of the normal, from straight down
    (down, right), energy = _gradients(vectors)
    total = (weight * energy).sum((1, 2, 3))
    along = (weight * (right * angle.cos() - down * angle.sin()).square()).sum((1, 2, 3))
    across = (weight * (down * angle.cos() + right * angle.sin()).square()).sum((1, 2, 3))
    return (along / total).sqrt(), (across / total).sqrt()


def _gradients(images: Tensor) -> tuple[tuple[Tensor, Tensor], Tensor]:
    """Return slopes (down, right) between pixels, (n, C, H - 1, W - 1), and mean squares there."""
    x = in_double(images.detach()).cpu()
    down = F.avg_pool2d(x.diff(dim=-2), (1, 2), stride=1)
    right = F.avg_pool2d(x.diff(dim=-1), (2, 1), stride=1)
    return (down, right), F.avg_pool2d(x.square(), 2, stride=1)


def harmonic_overlaps(
    f: Callable[..., Tensor],
    y: Tensor,
    images: Tensor,
    k: int,
    *,
    sigma: float | None = None,
    components: Tensor | None = None,
) -> dict[str, Tensor]:
    """Return how much of a denoiser's leading k-space lies in harmonics, own ones and others.

    A basis is *harmonic* as far as it overlaps with the smoothest vectors of some Laplacian, and
    *adaptive* as far as it does so more with that of its own image than with that of another one.

    Parameters
    ----------
    f, y, sigma
        As for :func:`gahb.adaptive_basis`, but at least two noisy images, gray and square,
        (n, 1, H, H).
    images : Tensor
        What their graphs are made from, such as f(y), (n, 1, H, H).
    k : int
        Number of leading vectors, of the denoiser and of each reference.
    components : Tensor, optional
        Orthonormal vectors that are the same for all images, such as the principal components of
        the training images, (l, C, H, W).

    Returns
    -------
    dict of str to Tensor
        :func:`basis_overlap` for each image, (n,): with the k smoothest vectors of the image's own
        Laplacian (``own grid``, ``own patches``), of that of the image that comes next (``other
        grid``), of that of the image with its pixels shuffled (``shuffled grid``), and of the plain
        grid (``cosines``), with the ``components``, and with random vectors on average
        (``chance``).

    Examples
    --------
    >>> y = torch.rand(2, 1, 4, 4)
    >>> found = harmonic_overlaps(lambda y: y.mean((2, 3), keepdim=True) + 0 * y, y, y, k=1)
    >>> found["own grid"].round(), found["chance"]
    (tensor([1., 1.], dtype=torch.float64), tensor([0.0625, 0.0625], dtype=torch.float64))
    """
    check_images("y", y, channels=1)
    if y.shape[2] != y.shape[3]:
        raise ValueError(f"y: {y.shape[2]} x {y.shape[3]} pixels; accepted: square images")
    check_batch("images", images, like=y)
    if len(y) < 2 or len(images) != len(y):
        raise ValueError(
            f"images: {len(images)} for {len(y)} noisy ones; accepted: as many, two up"
        )
    references = _harmonics_of(images, k)
    references["cosines"] = [cosines(y.shape[-2], y.shape[-1], k)] * len(y)
    if components is not None:
        references["components"] = [components] * len(y)
    found: dict[str, list[Tensor]] = {name: [] for name in references}
    with progress(len(y), "overlaps", "image") as bar:
        for i, noisy in enumerate(y.split(1)):
            # All of them if that takes seconds: where factors hardly fall after the k-th, the
            # space that a search finds is not sharp.
            searched = k if noisy.numel() > WHOLE else None
            vectors = adaptive_basis(f, noisy, searched, sigma=sigma).eigenvectors[:k].cpu()
            for name, each in references.items():
                found[name].append(basis_overlap(vectors, each[i]))
            bar.update()
    chance = torch.full((len(y),), k / y[0].numel(), dtype=torch.float64)
    return {name: torch.stack(values) for name, values in found.items()} | {"chance": chance}


def _harmonics_of(images: Tensor, k: int) -> dict[str, list[Tensor]]:
    """Return the k smoothest vectors for each image: of its own graphs, and of others."""
    size = (int(images.shape[-2]), int(images.shape[-1]))
    found = {
        f"{whose} {name}": [smoothest(laplacian(one, name), k, size) for one in made_from.split(1)]
        for whose, made_from in {"own": images, "shuffled": shuffle(images)}.items()
        for name in GRAPHS
    }
    for name in GRAPHS:
        own = found[f"own {name}"]
        found[f"other {name}"] = own[1:] + own[:1]
    return found


class GraphHarmonics(BaseDenoiser):
    r"""Hard thresholding in the harmonics of a graph that is made from the noisy image itself.

    In the orthonormal basis of all eigenvectors of a Laplacian, coefficients below 3 sigma are set
    to zero. The first Laplacian is that of the plain grid, whose harmonics are
    cosines; each next one is made from the estimate that the one before has given. Nothing is
    learned: it shows what an adaptive basis is worth on its own. ``rounds`` is how often the
    :func:`laplacian` is made from an estimate; 0 for thresholding in cosines.

    Examples
    --------
    >>> y = torch.rand(2, 1, 8, 8)
    >>> GraphHarmonics()(y, sigma=0.1).shape
    torch.Size([2, 1, 8, 8])
    """

    def __init__(self, rounds: int = 1) -> None:
        super().__init__()
        check_count("rounds", rounds, minimum=0)
        self.rounds = rounds

    def forward(self, y: Tensor, sigma: Sigma | None = None) -> Tensor:
        """Return the estimate of the clean images, (n, 1, H, W), of the dtype of ``y``."""
        check_images("y", y, channels=1, finite=False)
        levels = noise_levels(sigma, len(y)).tolist()
        pairs = zip(in_double(y).split(1), levels, strict=True)
        estimates = [
            self._thresholded(noisy, self.basis(noisy, level), level) for noisy, level in pairs
        ]
        return torch.cat(estimates).to(y)

    def basis(self, y: Tensor, sigma: float) -> Tensor:
        """Return all harmonics of the graph of one noisy image, smoothest first, (d, 1, H, W)."""
        noisy, d = in_double(y), y[0].numel()
        vectors = cosines(*y.shape[2:]).to(noisy.device)
        for _ in range(self.rounds):
            estimate = self._thresholded(noisy, vectors, sigma)
            regular = laplacian(estimate) + _tie_break(d)
            vectors = _harmonics(regular, d).to(noisy.device)
        return vectors.view(d, *y.shape[1:])

    def _thresholded(self, y: Tensor, vectors: Tensor, sigma: float) -> Tensor:
        coefficients = vectors.flatten(1) @ y.flatten()
        kept = coefficients * (coefficients.abs() > CONSTANT * sigma)
        estimate: Tensor = (kept @ vectors.flatten(1)).view(y.shape)
        return estimate


def cosines(height: int, width: int, k: int | None = None) -> Tensor:
    """Return the k smoothest harmonics of the plain grid, by default all, (k, 1, H, W).

    Many have the same eigenvalue: a solver would mix them as its rounding wants.

    Examples
    --------
    >>> cosines(4, 4)[0].unique()
    tensor([0.2500], dtype=torch.float64)
    """
    down, right = (torch.from_numpy(dct(np.eye(n), norm="ortho", axis=0)) for n in (height, width))
    squares = [2 - 2 * (torch.pi * torch.arange(n) / n).cos() for n in (height, width)]
    order = (squares[0][:, None] + squares[1]).flatten().argsort(stable=True)[:k]
    return torch.einsum("kh,kw->khw", down[order // width], right[order % width])[:, None]


def _tie_break(pixels: int) -> csr_array:
    """Return a small fixed potential, which decides between harmonics of one eigenvalue.

    Graphs of flat or symmetric images have many, and those with more lone pixels than vectors are
    asked for: a solver would mix them by its rounding, or not end.
    """
    return diags_array(TIE * np.random.default_rng(0).random(pixels), format="csr")


def _harmonics(laplacian: csr_array, k: int) -> Tensor:
    """Return the k smoothest eigenvectors of a whole Laplacian, (k, d)."""
    vectors = eigh(laplacian.toarray(), subset_by_index=[0, k - 1])[1]
    return torch.from_numpy(vectors.T.copy())
