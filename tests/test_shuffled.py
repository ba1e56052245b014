"""Shuffled images: one permutation for all, and the way back."""

from __future__ import annotations

import pytest
import torch

from gahb.images import load
from gahb.images.shuffled import shuffle, unshuffle


def test_shuffling_permutes_the_pixels_of_all_images_and_channels_alike() -> None:
    numbered = torch.arange(16.0 * 16).view(1, 1, 16, 16)
    order = shuffle(numbered).flatten().long()
    assert torch.equal(order.sort().values, torch.arange(16 * 16))
    x = torch.rand(3, 2, 16, 16)
    assert torch.equal(shuffle(x).flatten(2), x.flatten(2)[..., order])


def test_unshuffling_is_the_way_back() -> None:
    for x in (torch.rand(3, 2, 8, 8), torch.randint(256, (3, 1, 20, 20), dtype=torch.uint8)):
        assert torch.equal(unshuffle(shuffle(x)), x)
        assert torch.equal(shuffle(unshuffle(x)), x)


def test_the_order_never_changes() -> None:
    """Shuffled networks are worth nothing once it does."""
    first = shuffle(torch.arange(64.0).view(1, 1, 8, 8)).flatten()[:8]
    assert first.tolist() == [30, 42, 44, 52, 7, 22, 58, 60]


def test_neighbors_are_parted() -> None:
    numbered = shuffle(torch.arange(32.0 * 32).view(1, 1, 32, 32)).long()
    row, column = numbered // 32, numbered % 32
    distance = (row.diff() ** 2 + column.diff() ** 2).double().sqrt()
    assert 0.45 < distance.mean() / 32 < 0.6  # of two points anywhere in a square: 0.52 of the side


@pytest.mark.parametrize("subset", ["S1", "S2", "test"])
def test_a_shuffled_class_holds_the_images_of_the_class(subset: str) -> None:
    shuffled = load("shuffled-leaves", 3, 16, subset)
    assert torch.equal(unshuffle(shuffled), load("leaves", 3, 16, subset))


@pytest.mark.parametrize("reorder", [shuffle, unshuffle])
def test_images_that_are_not_square_are_refused(reorder) -> None:
    with pytest.raises(ValueError, match=r"^x: shape \(1, 1, 8, 16\); accepted: square images$"):
        reorder(torch.rand(1, 1, 8, 16))
    with pytest.raises(ValueError, match=r"^x: shape \(8, 8\) is not a float tensor"):
        reorder(torch.rand(8, 8))
