"""The Jacobian of a denoiser, by its products with vectors; its trace, and the error from it."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functionalize, linearize, vjp, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from gahb.checks import check_count, check_images, check_number, check_seed
from gahb.denoiser import SMALLEST, at, evaluation
from gahb.devices import held, images_at_a_time, in_batches, in_double
from gahb.intervals import Estimate, mean, of_means
from gahb.settings import progress

CHUNK = 64  # products at a time: faster than fewer, and no slower than more, on a CPU
HALF = (torch.float16, torch.bfloat16)
Function = Callable[..., Tensor]


class Jacobian:
    """Jacobian J of a denoiser at one image y of d values, (d, d), made by :func:`jacobian_at`.

    It is never formed unless asked for by :meth:`rows`. Vectors are rows of a matrix, (n, d).
    ``value`` is the estimate f(y). Of a batch of images, J has one diagonal block for each.
    """

    def __init__(self, f: Function, y: Tensor) -> None:
        self.f, self.y = f, y
        with torch.no_grad():  # what follows needs no derivative by the weights
            self.value, self._pull = vjp(f, y)[:2]

    @cached_property
    def _push(self) -> Function:
        """Return the map v to J v, in which all that depends on y alone is computed once."""
        forwards = self._forwards
        for derive in (forwards, lambda f: forwards(functionalize(f)), self._backwards):
            try:
                push = derive(self.f)
            except torch.OutOfMemoryError:
                raise
            except (NotImplementedError, RuntimeError):
                continue
            # Again, since what f changes in place may be among what is computed once.
            if self._is_adjoint(push) and self._is_adjoint(push):
                return push
        accepted = "a function that torch derives in forward mode or twice, or k=None"
        raise ValueError(f"f: torch cannot derive it in forward mode; accepted: {accepted}")

    def _forwards(self, f: Function) -> Function:
        """Return the map by forward mode."""
        with warnings.catch_warnings():
            # Torch warns of its own forward mode: of what it deprecates, and of constants.
            warnings.filterwarnings("ignore", ".*torch.jit", DeprecationWarning)
            warnings.filterwarnings("ignore", "Attempted to insert a get_attr", UserWarning)
            push: Function = linearize(f, self.y)[1]
        return push

    def _backwards(self, f: Function) -> Function:
        """Return the map as the transpose of J^T, which takes more time per product."""
        pull = vjp(lambda u: vjp(f, self.y)[1](u)[0], torch.zeros_like(self.y))[1]
        return lambda v: pull(v)[0]

    def _is_adjoint(self, push: Function) -> bool:
        """Whether <v, J v> = <v, J^T v>: what torch lacks it takes for constant without a word."""
        v = torch.randn(self.y.shape, generator=torch.Generator().manual_seed(0)).to(self.y)
        forward, backward = push(v), self._pull(v)[0]
        difference = (v * (forward - backward)).sum().abs()
        rounding = 100 * torch.finfo(v.dtype).eps * v.norm() ** 2  # where J is nothing else
        return bool(difference <= 1e-3 * v.norm() * backward.norm() + rounding)

    @property
    def size(self) -> int:
        """Number d of values of the image."""
        return self.y.numel()

    def times(self, vectors: Tensor) -> Tensor:
        """Return the product J v for each v of ``vectors``, both (n, d)."""
        return self._mapped(self._push, vectors)

    def transposed_times(self, vectors: Tensor) -> Tensor:
        """Return the product J^T v for each v of ``vectors``, both (n, d)."""
        return self._mapped(lambda v: self._pull(v)[0], vectors)

    def symmetric_times(self, vectors: Tensor) -> Tensor:
        """Return (J v + J^T v) / 2 for each v of ``vectors``, both (n, d)."""
        return (self.times(vectors) + self.transposed_times(vectors)) / 2

    def rows(self, which: Tensor) -> Tensor:
        """Return the rows of J of the given numbers (n,), (n, d)."""
        rows = self.y.new_empty(len(which), self.size)

        def fill(items: slice) -> None:
            numbers = which[items].to(self.y.device)[:, None]
            one_hot = torch.zeros_like(rows[items]).scatter_(1, numbers, 1)
            rows[items] = self.transposed_times(one_hot)
            bar.update(len(one_hot))

        with progress(len(which), "Jacobian", "row") as bar:
            in_batches(fill, len(which), images_at_a_time(self.f, self.y))
        return rows

    def _mapped(self, product: Function, vectors: Tensor) -> Tensor:
        images = vectors.reshape(-1, *self.y.shape)
        # Without gradients torch would choose kernels that it cannot derive for many vectors.
        with torch.enable_grad():
            products: Tensor = vmap(product)(images)
        return products.detach().flatten(1)


@contextmanager
def jacobian_at(f: Function, y: Tensor, *, several: bool = False) -> Iterator[Jacobian]:
    """Yield the Jacobian of ``f`` at one image, or ``several``, with ``f`` in evaluation mode."""
    check_images("y", y)
    if len(y) != 1 and not several:
        raise ValueError(f"y: {len(y)} images; accepted: one, of shape (1, C, H, W)")
    _check_precision(f, y)
    # Attention in one kernel can be derived neither forwards nor for many vectors.
    attention = sdpa_kernel(SDPBackend.MATH)
    mode, weights = evaluation(f, autocast=False), _constant_weights(f, y.dtype)
    with mode, weights, attention, torch.inference_mode(False):
        y = y.detach().clone()
        _check_differentiable(f, y)
        yield Jacobian(f, y)


@contextmanager
def _constant_weights(f: Function, dtype: torch.dtype) -> Iterator[None]:
    """Keep the weights out of what is differentiated; those of half precision are of ``dtype``."""
    tensors = list(held(f))
    learned = [tensor for tensor in tensors if tensor.requires_grad]
    halves = {tensor: tensor.data for tensor in tensors if tensor.dtype in HALF}
    try:
        for weight in learned:
            weight.requires_grad_(False)
        for tensor in halves:
            tensor.data = tensor.data.to(dtype)
        yield
    finally:
        for tensor, data in halves.items():
            tensor.data = data
        for weight in learned:
            weight.requires_grad_(True)


def _check_precision(f: Function, y: Tensor) -> None:
    """Raise unless ``y`` is in single or double precision, as the weights of ``f`` if they are."""
    if y.dtype not in (torch.float32, torch.float64):
        raise TypeError(f"y: dtype {y.dtype} is not float32 or float64")
    weights = {p.dtype for p in f.parameters()} if isinstance(f, nn.Module) else set()
    weights -= set(HALF)
    if weights and y.dtype not in weights:
        accepted = " or ".join(str(dtype) for dtype in weights)
        raise TypeError(f"y: dtype {y.dtype}; accepted: {accepted}, as the weights of f")


def _check_differentiable(f: Function, y: Tensor) -> None:
    """Raise unless f(y) is an image like y that depends on it differentiably."""
    with torch.enable_grad():
        y = y.detach().requires_grad_()
        value = f(y)
        check_images("f(y)", value)
        if value.shape != y.shape or value.dtype != y.dtype:
            given, accepted = (f"{tuple(x.shape)} {x.dtype}" for x in (value, y))
            raise ValueError(f"f(y): {given}; accepted: that of y, {accepted}")
        derived = value.requires_grad and torch.autograd.grad(value.sum(), y, allow_unused=True)[0]
    if not isinstance(derived, Tensor):
        raise ValueError(
            "f: f(y) does not depend on y, or torch cannot derive it; accepted: it can"
        )
    if not derived.isfinite().all():
        raise ValueError("f: its derivative at y holds NaN or infinity; accepted: finite values")


def equivalent_filters(
    f: Function,
    y: Tensor,
    pixels: Sequence[tuple[int, int]],
    *,
    sigma: float | Tensor | None = None,
) -> Tensor:
    r"""Return the filters by which a denoiser computes pixels, (n, C, H, W): rows of J.

    The estimate of pixel (i, j) of a bias-free network is the inner product of its filter and y,
    :math:`f(y)_{ij} = \langle \nabla_y f(y)_{ij}, y \rangle` (equation 6;
    Mohan et al., 2020). There are n ``pixels``, (row, column), of the first channel where there are
    several. The denoiser, one noisy image (1, C, H, W), and sigma are as for
    :func:`gahb.adaptive_basis`.

    Examples
    --------
    >>> equivalent_filters(lambda y: y.flip(3), torch.rand(1, 1, 1, 3), [(0, 2)]).flatten()
    tensor([1., 0., 0.])
    """
    with jacobian_at(at(f, sigma), y) as jacobian:
        if not len(pixels):
            raise ValueError("pixels: there are none; accepted: at least one (row, column)")
        for pixel in pixels:
            if not isinstance(pixel, tuple) or len(pixel) != 2:
                raise TypeError(f"pixels: {pixel!r} is not a pair (row, column)")
            for place, size in zip(pixel, y.shape[2:], strict=True):
                check_count("pixels", place, 0, size - 1)
        rows = jacobian.rows(torch.tensor([i * y.shape[3] + j for i, j in pixels]))
    return rows.reshape(-1, *y.shape[1:])


# --- The trace, and the error without clean images ---


@dataclass(frozen=True, eq=False)
class Trace:
    """Trace of the Jacobian at each of n images, and its 95% interval, all (n,) in float64.

    The interval is that of the chance of the probes: NaN for one, of no width for an exact trace.
    """

    value: Tensor
    low: Tensor
    high: Tensor


@dataclass(frozen=True, eq=False)
class Risk(Estimate):
    """Estimated squared error of a denoiser: mean over images, its 95% interval, and each, (n,)."""

    per_image: Tensor


def trace_jacobian(
    f: Function,
    y: Tensor,
    probes: int | None = 16,
    seed: int = 0,
    *,
    sigma: float | None = None,
) -> Trace:
    r"""Return the trace of a denoiser's Jacobian at noisy images, the sum of its factors.

    Hutchinson's estimate (1989) is the mean of :math:`\langle v, J v \rangle` over random signs v.

    Parameters
    ----------
    f, y, sigma
        As for :func:`gahb.adaptive_basis`, but noisy images of one level, (n, C, H, W), each of
        which ``f`` denoises independently of the others.
    probes, seed : int
        Number of random vectors per image, or None for the exact trace, from d products; those of
        image i depend on ``seed`` and i alone.

    Examples
    --------
    >>> trace_jacobian(lambda y: 0.5 * y, torch.rand(1, 1, 4, 4)).value
    tensor([8.], dtype=torch.float64)
    """
    if sigma is not None:
        check_number("sigma", sigma, low=SMALLEST)
    products = _estimates_and_products(at(f, sigma), y, probes, seed)[1]
    if probes is None:
        return Trace(*[products[:, 0]] * 3)
    return Trace(products.mean(1), *of_means([products]))


def sure(f: Function, y: Tensor, sigma: float, probes: int | None = 1, seed: int = 0) -> Risk:
    r"""Return the unbiased estimate of Stein (1981) of the squared error, without clean images.

    .. math:: \|x - f(y)\|^2 \approx 2 \sigma^2 \, \mathrm{tr} J + \|y - f(y)\|^2 - \sigma^2 d

    is a sum over the d values of an image (equation 7): divided by d it is a mean squared error.
    Single images are estimated poorly, perhaps below 0; the mean over images is unbiased.

    Parameters
    ----------
    f, y, probes, seed
        As for :func:`trace_jacobian`. One probe is enough for the mean over many images, whose
        interval contains the chance of the probes.
    sigma : float
        Standard deviation of the noise in ``y``, on the scale where images lie in [0, 1].

    Examples
    --------
    The identity leaves all the noise, sigma^2 in each of 64 values:

    >>> float(sure(lambda y: 1 * y, torch.rand(5, 1, 8, 8), sigma=0.5).per_image.mean())
    16.0
    """
    check_number("sigma", sigma, low=SMALLEST)
    estimates, products = _estimates_and_products(at(f, sigma), y, probes, seed)
    residuals = (in_double(y.detach()).cpu() - estimates).flatten(1)
    d = residuals.shape[1]
    per_image = 2 * sigma**2 * products.mean(1) + residuals.square().sum(1) - sigma**2 * d
    found = mean(per_image)
    return Risk(found.value, *found.interval, per_image)


def _estimates_and_products(
    f: Function, y: Tensor, probes: int | None, seed: int
) -> tuple[Tensor, Tensor]:
    """Return f(y), (n, C, H, W), and each <v, J v>, (n, probes), or the exact traces, (n, 1).

    Both in float64 on the CPU.
    """
    check_images("y", y)
    check_seed(seed)
    if probes is None:
        parts = [_exact(f, image) for image in y.split(1)]
    else:
        check_count("probes", probes)
        signs = torch.stack([random_signs(seed, i, probes, y.shape[1:]) for i in range(len(y))])
        batches = zip(y.split(CHUNK), signs.split(CHUNK), strict=True)
        parts = [_hutchinson(f, *batch) for batch in batches]
    estimates, products = zip(*parts, strict=True)
    return in_double(torch.cat(estimates)).cpu(), in_double(torch.cat(products)).cpu()


def _exact(f: Function, y: Tensor) -> tuple[Tensor, Tensor]:
    """Return estimate and trace for one image, from every row of its Jacobian, some at a time."""
    with jacobian_at(f, y) as jacobian:
        parts = torch.arange(jacobian.size).split(CHUNK)
        diagonal = torch.cat([jacobian.rows(part)[:, part].diagonal() for part in parts])
        return jacobian.value, in_double(diagonal).sum().reshape(1, 1)


def _hutchinson(f: Function, y: Tensor, signs: Tensor) -> tuple[Tensor, Tensor]:
    """Return f(y) of a batch (n, C, H, W), and <v, J v> for its ``signs`` v, (n, probes, d)."""
    probes = signs.to(y).transpose(0, 1).flatten(1)
    with jacobian_at(f, y, several=True) as jacobian:
        at_a_time = max(1, CHUNK // len(y))
        images = [jacobian.transposed_times(some) for some in probes.split(at_a_time)]
        terms = in_double(torch.cat(images) * probes)
        return jacobian.value, terms.unflatten(1, (len(y), -1)).sum(2).T


def random_signs(seed: int, image: int, probes: int, shape: torch.Size) -> Tensor:
    """Return random vectors of 1 and -1 for an image of that number, (probes, d) in int8."""
    # A key of its own: noise that was drawn from the same seed must tell nothing of the signs.
    key = np.random.SeedSequence([seed, image], spawn_key=(1,))
    count = probes * shape.numel()
    words = np.random.Philox(key).random_raw(-(-count // 64))
    bits = np.unpackbits(words.view(np.uint8))[:count].astype(np.int8)
    return torch.from_numpy(2 * bits - 1).reshape(probes, -1)
