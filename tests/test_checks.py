"""Checks of arguments: what they accept, and the one line that they give otherwise."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import gahb
from gahb.book import recipes
from gahb.checks import check_choice, check_count, check_number

COUNTS = [4, np.int64(4), np.int32(4), np.uint8(4)]
NUMBERS = [0.5, 1, np.float32(0.5), np.float64(0.5), np.float16(0.5), np.int64(1)]


@pytest.mark.parametrize("value", COUNTS, ids=repr)
def test_whole_numbers_of_numpy_are_counts(value) -> None:
    check_count("n", value, 1, 4)
    with pytest.raises(ValueError, match=r"^n: 4 is not a whole number from 1 to 3$"):
        check_count("n", value, 1, 3)


@pytest.mark.parametrize("value", NUMBERS, ids=repr)
def test_numbers_of_numpy_are_numbers(value) -> None:
    check_number("sigma", value, low=0)
    with pytest.raises(ValueError, match=r"^sigma: \S+ is not a finite number in \[2, inf\]$"):
        check_number("sigma", value, low=2)


@pytest.mark.parametrize("value", [4.0, np.float64(4), True, np.True_, "4", None, torch.tensor(4)])
def test_other_things_are_no_counts(value) -> None:
    with pytest.raises(TypeError, match=r"^n: .* is not a whole number of at least 1$"):
        check_count("n", value)


@pytest.mark.parametrize("value", [True, np.True_, "1", None, 1j, np.complex128(1)])
def test_other_things_are_no_numbers(value) -> None:
    with pytest.raises(TypeError, match=r"^sigma: .* is not a finite number in \[0, inf\]$"):
        check_number("sigma", value, low=0)


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), np.float32("inf"), np.float32("nan")]
)
def test_numbers_are_finite(value) -> None:
    with pytest.raises(ValueError, match=r"^sigma: (nan|inf) is not a finite number"):
        check_number("sigma", value, low=0)


def test_names_are_chosen_among_those_that_there_are() -> None:
    check_choice("subset", "S1", ("S1", "S2"))
    with pytest.raises(ValueError, match=r"^subset: 'S3' is unknown; accepted: S1, S2$"):
        check_choice("subset", "S3", ("S1", "S2"))


def test_images_bases_and_recipes_take_numbers_of_numpy() -> None:
    four, sixteen = np.int64(4), np.int64(16)
    x = gahb.images.load("leaves", four, sixteen, seed=np.int64(1))
    assert torch.equal(x, gahb.images.load("leaves", 4, 16, seed=1))
    assert torch.equal(gahb.images.pick("leaves", np.arange(2), 16, seed=1), x[:2])

    def f(y):
        return 0.5 * y

    assert gahb.adaptive_basis(f, x[:1], four, seed=np.int64(0)).eigenvalues.shape == (4,)
    risk, same = gahb.sure(f, x, 0.25), gahb.sure(f, x, np.float32(0.25), seed=np.int64(0))
    assert risk.value == same.value
    recipe = recipes.get("faces-unet-n10000-s1", edition="laptop")
    same = recipe.but(n=np.int64(recipe.n), step=np.float64(recipe.step))
    assert same.hash == recipe.hash and type(same.n) is int and type(same.step) is float
