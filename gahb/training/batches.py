"""Which images, and which noise, each update of a training sees.

All is drawn from the seed and the number of the update alone, so that a training can stop after
any update and go on as if it had not, and so that several processes draw the same batch and take
a share each.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from gahb.training.recipe import Recipe

__all__ = ["Batches"]


class Batches:
    """The batches of one training, by the number of the update.

    Parameters
    ----------
    recipe : Recipe
        Gives the size of a batch, the noise law and the seed.
    images : Tensor
        All training images, (n, C, H, W) uint8, on the device of the training.
    rank, processes : int
        This process's number, and how many share each batch.
    """

    def __init__(self, recipe: Recipe, images: Tensor, rank: int = 0, processes: int = 1) -> None:
        if recipe.batch % processes:
            raise ValueError(
                f"batch: {recipe.batch} images cannot be shared by {processes} processes"
            )
        self.recipe, self.images = recipe, images
        self.share = slice(rank, None, processes)
        self.generator = torch.Generator(images.device)

    def __call__(self, update: int) -> tuple[Tensor, Tensor, Tensor]:
        """Clean images x, noise z and noise levels sigma of one update; y = x + z.

        Shapes (b, C, H, W), (b, C, H, W), (b, 1, 1, 1), for this process's share b of the batch.
        """
        recipe, device = self.recipe, self.images.device
        self.generator.manual_seed(stream(recipe.seed, update))
        sigma = self.noise_levels()[self.share].view(-1, 1, 1, 1)
        shape = (recipe.batch, *self.images.shape[1:])
        z = torch.randn(shape, generator=self.generator, device=device)[self.share] * sigma
        chosen = image_order(recipe.seed, len(self.images), update, recipe.batch)[self.share]
        # A copy to a GPU that nobody waits for: the numbers are few, and read only there.
        x = self.images[chosen.to(device, non_blocking=True)].float() / 255
        return x, z, sigma

    def noise_levels(self) -> Tensor:
        """Noise levels of a whole batch, (batch,): one in each of ``batch`` equal strata of u."""
        n, device = self.recipe.batch, self.images.device
        strata = torch.randperm(n, generator=self.generator, device=device)
        u = (strata + torch.rand(n, generator=self.generator, device=device)) / n
        return u**2 if self.recipe.noise == "u^2" else u


def image_order(seed: int, n: int, update: int, batch: int) -> Tensor:
    """Indices of the images of one update, (batch,): every image comes once in each epoch."""
    position = torch.arange(update * batch, (update + 1) * batch)
    epochs = range(int(position[0]) // n, int(position[-1]) // n + 1)
    order = torch.cat([epoch_order(seed, n, epoch) for epoch in epochs])
    return order[position - epochs[0] * n]


@lru_cache(maxsize=64)
def epoch_order(seed: int, n: int, epoch: int) -> Tensor:
    """Random order of the n images in one epoch."""
    # Negative numbers keep the epochs' streams apart from the updates'.
    generator = torch.Generator().manual_seed(stream(seed, -1 - epoch))
    return torch.randperm(n, generator=generator)


def stream(seed: int, number: int) -> int:
    """Seed of one of the many independent streams of a training: a mix of its two numbers."""
    mixed = (seed * 0x9E3779B97F4A7C15 + number * 0xBF58476D1CE4E5B9) % 2**64
    mixed = ((mixed ^ (mixed >> 31)) * 0x94D049BB133111EB) % 2**64
    return (mixed ^ (mixed >> 29)) % 2**63
