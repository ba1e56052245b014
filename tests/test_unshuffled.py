"""A denoiser of shuffled images does in their own order what it does in the shuffled one."""

import pytest
import torch
from torch import Tensor

import gahb
from gahb.denoiser import Unshuffled
from gahb.images.shuffled import shuffle
from gahb.optimal import EmpiricalBayes, Gaussian


def images(n: int, side: int = 8) -> Tensor:
    return torch.rand(n, 1, side, side, generator=torch.Generator().manual_seed(n)).double()


@pytest.mark.parametrize("kind", [EmpiricalBayes, Gaussian.of])
def test_what_is_optimal_for_shuffled_images_is_optimal_unshuffled(kind) -> None:
    x, sigma = images(200), 0.3
    y = x[:5] + sigma * torch.randn(x[:5].shape, generator=torch.Generator().manual_seed(0))
    f, g = kind(x), Unshuffled(kind(shuffle(x)))
    torch.testing.assert_close(g(y, sigma), f(y, sigma))
    own, other = (gahb.adaptive_basis(h, y[:1], sigma=sigma) for h in (f, g))
    torch.testing.assert_close(other.eigenvalues, own.eigenvalues)
    assert gahb.principal_angles(other.eigenvectors[:5], own.eigenvectors[:5]).max() < 1e-6


def test_a_network_is_not_at_home_with_shuffled_images() -> None:
    f = gahb.Denoiser(gahb.UNet(blocks=1, width=4)).double()
    y = images(3)
    assert not torch.allclose(Unshuffled(f)(y), f(y))
    torch.testing.assert_close(shuffle(Unshuffled(f)(y)), f(shuffle(y)))
    assert not Unshuffled(f).training
