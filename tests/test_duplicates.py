"""Near-duplicates: the blocks give what the whole matrix of cosines gives, in little memory."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import Tensor

from gahb.images import duplicates, remove_duplicates
from gahb.images.duplicates import TIE, distinct_images

MEMORY = """
import resource
import sys

import torch
from gahb.images import duplicates, remove_duplicates

def peak():
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit // 2**20

for dtype in (torch.uint8, torch.float32):
    x = torch.empty(4096, 1, 80, 80, dtype=dtype)
    for i in range(1024):
        x[i::1024] = torch.randint(0, 256, (1, 80, 80), dtype=torch.uint8)
    duplicates.BLOCK = 2
    remove_duplicates(x[:4])  # starts what torch starts once
    before = peak()
    duplicates.BLOCK = 256
    kept = remove_duplicates(x)
    assert len(kept) == 1024
    print(peak() - before - kept.nbytes // 2**20)
"""


def dense(x: Tensor, threshold: float, centered: bool = True) -> list[int]:
    """Indices that stay, from the definition and the whole matrix."""
    rows = x.flatten(1).double()
    if centered:
        rows = rows - rows.mean(dim=1, keepdim=True)
    rows = rows / rows.norm(dim=1, keepdim=True)
    similar = (rows @ rows.T > threshold + TIE).tolist()
    kept: list[int] = []
    for j in range(len(x)):
        if not any(similar[i][j] for i in kept):
            kept.append(j)
    return kept


def clusters(n: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Images near and far around a few centers, so that many cosines lie about the threshold."""
    generator = torch.Generator().manual_seed(0)
    centers = torch.rand(n // 8, 1, 8, 8, generator=generator)
    chosen = centers[torch.randint(len(centers), (n,), generator=generator)]
    spread = 0.5 * torch.rand(n, 1, 1, 1, generator=generator)
    x = (chosen + spread * torch.rand(chosen.shape, generator=generator)) / (1 + spread)
    return (x * 255).to(dtype) if dtype == torch.uint8 else x.to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.uint8])
@pytest.mark.parametrize("centered", [True, False])
def test_blocks_give_the_dense_answer(dtype, centered, monkeypatch):
    x = clusters(200, dtype=dtype)
    threshold = 0.95 if centered else 0.985
    expected = dense(x, threshold, centered)
    assert 40 < len(expected) < 160
    for block in (5, 64, 199, 1024):
        monkeypatch.setattr(duplicates, "BLOCK", block)
        kept = distinct_images(x, threshold, centered=centered)
        assert kept.tolist() == expected
    assert torch.equal(remove_duplicates(x, threshold, centered=centered), x[expected])


def test_pairs_within_rounding_of_the_threshold_do_not_depend_on_blocks(monkeypatch):
    """A threshold that is a cosine of the set, or next to it: single precision cannot decide."""
    x = clusters(60)
    rows = x.flatten(1).double()
    rows = rows - rows.mean(dim=1, keepdim=True)
    rows = rows / rows.norm(dim=1, keepdim=True)
    cosines = (rows @ rows.T).fill_diagonal_(0).flatten()
    for cosine in cosines[(cosines - 0.95).abs() < 0.005][:3].tolist():
        for threshold in (cosine, cosine - 1e-7, cosine + 1e-7):
            for block in (1, 7, 60):
                monkeypatch.setattr(duplicates, "BLOCK", block)
                assert distinct_images(x, threshold).tolist() == dense(x, threshold)


def test_an_exact_tie_is_no_duplicate():
    a, b = torch.zeros(2, 1, 4, 4)
    a[0, :2], b[0, 1:3] = 1, 1
    x = torch.stack([a, b])
    assert len(remove_duplicates(x, 0.5, centered=False)) == 2
    assert len(remove_duplicates(x, 0.5 - 1e-6, centered=False)) == 1


def test_an_image_is_compared_with_kept_ones_only(monkeypatch):
    """b is near a, c is near b but not a: b goes, so c stays."""
    angles = torch.tensor([0.0, 0.3, 0.6])
    wave = torch.arange(16) * 2 * torch.pi / 16
    x = torch.cos(wave - angles[:, None]).reshape(3, 1, 4, 4)
    for block in (1, 2, 3):
        monkeypatch.setattr(duplicates, "BLOCK", block)
        assert distinct_images(x).tolist() == [0, 2]
    assert distinct_images(x[[1, 0, 2]]).tolist() == [0]


def test_brightness_and_contrast_count_only_if_not_centered():
    x = torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    both = torch.cat([x, 0.2 * x + 0.7])
    assert len(remove_duplicates(both)) == 1
    both = torch.cat([x, 1 - x])
    assert len(remove_duplicates(both)) == 2


def test_constant_images_are_like_one_another_alone():
    x = torch.rand(2, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    flat = torch.tensor([0.1, 0.5, 0.0]).reshape(3, 1, 1, 1).expand(3, 1, 4, 4)
    assert distinct_images(torch.cat([x, flat])).tolist() == [0, 1, 2]
    assert distinct_images(torch.cat([flat, x, flat]), centered=False).tolist() == [0, 2, 3, 4]


def test_without_duplicates_the_images_are_returned_as_they_are():
    x = clusters(8)
    assert remove_duplicates(x, threshold=1.0) is x


def test_color_images_are_accepted():
    x = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    assert torch.equal(remove_duplicates(torch.cat([x, x])), x)


def test_memory_beyond_the_result_is_some_blocks_however_many_images():
    """100 MB here and 400 MB with usual blocks; the whole set in single precision has 105 MB."""
    output = subprocess.check_output([sys.executable, "-c", MEMORY])
    of_bytes, of_floats = map(int, output.split())
    assert of_bytes < 100 and of_floats < 100
    assert duplicates.BLOCK <= 4 * 256


@pytest.mark.parametrize(
    ("x", "options", "error", "words"),
    [
        ("images", {}, TypeError, "x: str is not"),
        (torch.rand(4, 8, 8), {}, ValueError, r"x: shape \(4, 8, 8\) is not"),
        (torch.zeros(0, 1, 8, 8), {}, ValueError, "x: shape"),
        (torch.zeros(2, 1, 8, 8, dtype=torch.int64), {}, TypeError, "x: dtype torch.int64"),
        (torch.full((2, 1, 8, 8), torch.nan), {}, ValueError, "x: holds NaN or infinity"),
        (torch.rand(2, 1, 8, 8), {"threshold": 1.5}, ValueError, "threshold: 1.5 is not"),
    ],
)
def test_bad_arguments_are_named_in_one_line(x, options, error, words):
    with pytest.raises(error, match=words) as caught:
        remove_duplicates(x, **options)
    assert "\n" not in str(caught.value)
