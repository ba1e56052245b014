"""The one training loop, for a CPU, a GPU, or several processes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import GradientAccumulationPlugin
from torch import Tensor, nn
from tqdm.auto import tqdm

from gahb.denoiser import Denoiser
from gahb.devices import best_device, compiled, mixed_precision
from gahb.settings import quiet, written_whole
from gahb.training.batches import Batches
from gahb.training.monitor import (
    FINAL_IMAGES,
    SNAPSHOT_IMAGES,
    Window,
    measured,
    snapshot_updates,
)
from gahb.training.optimisers import Optimiser
from gahb.training.recipe import Recipe
from gahb.training.record import (
    CHECKPOINT,
    MANIFEST,
    digest,
    folder_of,
    forget,
    load_network,
    read_checkpoint,
    read_manifest,
    require_same_images,
    write_record,
    write_snapshot,
)

__all__ = ["train"]

LOG_EVERY = 10  # updates
CHECKPOINT_EVERY = 50  # updates
CHECKPOINT_SECONDS = 10  # at least, between two: a GPU makes many updates in that time
COMPILED_FROM = 1_000  # updates: for fewer, compiling takes longer than it saves


def train(
    recipe: Recipe,
    folder: Path | str | None = None,
    *,
    again: bool = False,
    keep_snapshots: bool = False,
) -> Denoiser:
    """Train the denoiser of a recipe, or go on with its training, or load it if it is finished.

    Minimises the mean squared error of equation 4, written on the residual: the network is to
    give the noise z that was added. A checkpoint every 50 updates lets an interrupted training
    go on to weights that are, on the same kind of CPU and number of threads, the same bit for bit.

    Parameters
    ----------
    recipe : Recipe
        What to train.
    folder : path, optional
        Where weights, log and manifest go; by default ``<artifacts>/<edition>/<name>``.
    again : bool
        Whether to train from the start although the folder holds a training of this recipe. That
        stays until the new one is finished.
    keep_snapshots : bool
        Whether to keep the weights along the way as well, for :func:`gahb.training.snapshots`.

    Returns
    -------
    Denoiser
        The trained denoiser, on the device of the training.

    Raises
    ------
    ValueError
        If the folder holds a training of another recipe or on other images, or with ``again``
        anything that is not of a training.
    FloatingPointError
        If the loss or a weight is not finite: the last good checkpoint is kept.

    Examples
    --------
    >>> import tempfile
    >>> from gahb import recipes
    >>> recipe = recipes.get("faces-unet-n10-s1", edition="smoke").but(images="leaves", updates=3)
    >>> f = train(recipe, tempfile.mkdtemp())
    >>> f(torch.rand(1, 1, 16, 16)).shape
    torch.Size([1, 1, 16, 16])
    """
    folder = Path(folder) if folder is not None else folder_of(recipe)
    manifest = read_manifest(folder)
    if again:
        forget(folder)
    elif manifest and manifest["hash"] != recipe.hash:
        raise ValueError(
            f"{recipe.name}: the folder holds another recipe (hash {manifest['hash']}, not "
            f"{recipe.hash}); train again, or elsewhere"
        )
    elif manifest and not (folder / CHECKPOINT).is_file():
        require_same_images(recipe, manifest, folder / MANIFEST)
        return Denoiser(load_network(folder, recipe)).to(best_device())
    training = Training(recipe, folder, keep_snapshots)
    training.run()
    return Denoiser(training.network)


class Training:
    """The state of one training: network, optimiser, number of the next update, and log."""

    def __init__(self, recipe: Recipe, folder: Path, keep_snapshots: bool = False) -> None:
        self.recipe, self.folder, self.keep_snapshots = recipe, folder, keep_snapshots
        self.accelerator = Accelerator(
            mixed_precision=mixed_precision(),
            # Said, since a variable of the environment would change the weights otherwise.
            gradient_accumulation_plugin=GradientAccumulationPlugin(num_steps=1),
        )
        self.device = self.accelerator.device
        with self.accelerator.main_process_first():
            self.train_images = recipe.train_images().to(self.device)
            self.test_images = recipe.test_images(FINAL_IMAGES).to(self.device)
        self.digest = digest(self.train_images)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(recipe.seed)
            network = recipe.build().to(self.device)
        # The annotations of Module.to forget that it takes a memory format alone.
        self.network: nn.Module = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimiser = Optimiser(recipe, self.network)
        self.update, self.seconds, self.saved = 0, 0.0, -math.inf
        self.log: list[dict[str, Any]] = []
        if checkpoint := read_checkpoint(folder, recipe):
            self.restore(checkpoint)

    def run(self) -> None:
        """Go on from the present update to the last, then measure and write the record."""
        accelerator, recipe = self.accelerator, self.recipe
        self.network.train()
        batches = Batches(
            recipe, self.train_images, accelerator.process_index, accelerator.num_processes
        )
        forward = accelerator.prepare(self.network, device_placement=[False])  # it is there
        if self.device.type == "cuda" and recipe.updates >= COMPILED_FROM:
            forward = compiled(forward, noisy(*batches(0)[:2]))
        window, snapshots = Window(self.device), snapshot_updates(recipe.updates)
        hidden = quiet() or not accelerator.is_main_process
        bar = tqdm(total=recipe.updates, initial=self.update, desc=recipe.name, disable=hidden)
        started = time.monotonic() - self.seconds
        while self.update < recipe.updates:
            window.add(*self.one_update(forward, batches(self.update)))
            self.update += 1
            self.seconds = time.monotonic() - started
            bar.update()
            if self.update % LOG_EVERY == 0 or self.update == recipe.updates:
                bar.set_postfix(self.record_window(window), refresh=False)
            if self.update in snapshots:
                self.record_snapshot()
            if self.update % CHECKPOINT_EVERY == 0:
                self.save()
        bar.close()
        self.finish()

    def one_update(
        self, forward: Callable[[Tensor], Tensor], batch: tuple[Tensor, Tensor, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Loss and training PSNR of one batch, and the step that they give."""
        x, z, sigma = batch
        with torch.enable_grad():  # also for a caller who has switched gradients off
            residual = forward(noisy(x, z)).float()
            # y - residual - x = z - residual: the error of the residual is that of the estimate.
            error = (residual - z).square().mean(dim=(1, 2, 3))
            loss = self.recipe.loss(error, sigma.flatten())
            self.accelerator.backward(loss)
        self.optimiser.step(self.update)
        return loss.detach(), -10 * error.detach().log10().mean()

    def record_window(self, window: Window) -> dict[str, float]:
        """Log the mean loss and PSNR since the last line of the log."""
        means = self.accelerator.reduce(window.take(), reduction="mean")
        loss, output_psnr = means.cpu().tolist()
        if not math.isfinite(loss):
            raise self.not_finite("loss")
        self.log.append(
            {
                "update": self.update,
                "loss": float(f"{loss:.6g}"),
                "psnr": round(output_psnr, 3),
                "seconds": round(self.seconds, 1),
            }
        )
        return {"loss": loss, "PSNR": output_psnr}

    def record_snapshot(self) -> None:
        """Log the PSNR on training and on test images, dB, at every noise level."""
        self.require_finite_weights()
        curves = measured(self.network, self.train_images, self.test_images, SNAPSHOT_IMAGES)
        self.network.train()
        if self.keep_snapshots and self.accelerator.is_main_process:
            write_snapshot(self.folder, self.update, self.network)
        self.log.append({"update": self.update, "snapshot": curves})

    def save(self) -> None:
        """Write a checkpoint, whole or not at all, and only of finite weights."""
        self.require_finite_weights()
        recently = self.seconds - self.saved < CHECKPOINT_SECONDS
        if recently or not self.accelerator.is_main_process:
            return
        self.saved = self.seconds
        state = {
            "hash": self.recipe.hash,
            "images": self.digest,
            "update": self.update,
            "seconds": self.seconds,
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "log": self.log,
        }
        with written_whole(self.folder / CHECKPOINT) as temporary:
            torch.save(state, temporary)

    def restore(self, checkpoint: dict[str, Any]) -> None:
        """Take up the state that ``save`` wrote. Batches depend on the update's number alone."""
        require_same_images(self.recipe, checkpoint, self.folder / CHECKPOINT)
        self.network.load_state_dict(checkpoint["network"])
        self.optimiser.load_state_dict(checkpoint["optimiser"])
        self.update, self.seconds = checkpoint["update"], checkpoint["seconds"]
        self.log = checkpoint["log"]

    def finish(self) -> None:
        """Measure the trained network and write its record."""
        self.require_finite_weights()
        curves = measured(self.network, self.train_images, self.test_images, FINAL_IMAGES)
        if self.accelerator.is_main_process:
            losses = [line for line in self.log if "loss" in line]
            write_record(
                self.folder,
                self.network,
                self.recipe,
                self.log,
                images=self.digest,
                measured=curves,
                final=losses[-1],
                wall_seconds=round(self.seconds, 1),
                device=str(self.device.type),
                threads=torch.get_num_threads(),
                processes=self.accelerator.num_processes,
            )
        self.accelerator.wait_for_everyone()

    def require_finite_weights(self) -> None:
        """Raise FloatingPointError if a weight is not finite."""
        if not all(torch.isfinite(p).all() for p in self.network.parameters()):
            raise self.not_finite("a weight")

    def not_finite(self, what: str) -> FloatingPointError:
        """The error of a training that has diverged."""
        return FloatingPointError(
            f"{self.recipe.name}: {what} is not finite at update {self.update}; the last good "
            "checkpoint is kept; lower learning_rate or step, or change the seed"
        )


def noisy(x: Tensor, z: Tensor) -> Tensor:
    """Noisy images y = x + z, in the memory format that convolutions are fastest with."""
    return (x + z).contiguous(memory_format=torch.channels_last)
