"""The training loop: batches, optimizers, updates, what is measured on the way.

All is drawn from the seed and the number of the update alone, so that a training can stop after
any update and go on as if it had not, and so that several processes draw the same batch and take
a share each.
"""

import io
import math
import time
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import GradientAccumulationPlugin
from torch import Tensor, nn
from tqdm.auto import tqdm

from gahb.checks import check_type
from gahb.denoiser import Denoiser
from gahb.devices import best_device, compiled, mixed_precision, without_denormals
from gahb.metrics.curves import INPUT_PSNR, psnr_curve
from gahb.settings import atomic_write, damaged, quiet
from gahb.training import record
from gahb.training.recipe import Recipe


class Batches:
    """The batches of one training, by the number of the update; ``processes`` share each.

    ``images`` are all training images, (n, C, H, W) uint8, on the device of the training.
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
        recipe, device, n = self.recipe, self.images.device, self.recipe.batch
        self.generator.manual_seed(stream(recipe.seed, update))
        # One noise level in each of n equal strata of u.
        strata = torch.randperm(n, generator=self.generator, device=device)
        within = torch.rand(n, generator=self.generator, device=device, dtype=torch.float32)
        u = ((strata + within) / n)[self.share].view(-1, 1, 1, 1)
        sigma = u**2 if recipe.noise == "u^2" else u
        shape = (n, *self.images.shape[1:])
        z = torch.randn(shape, generator=self.generator, device=device, dtype=torch.float32)
        z = z[self.share] * sigma
        chosen = image_order(recipe.seed, len(self.images), update, n)[self.share]
        # A copy to a GPU that nobody waits for: the numbers are few, and read only there.
        x = self.images[chosen.to(device, non_blocking=True)].float() / 255
        return x, z, sigma


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
    """Seed of one of the many streams of a training: a mix of its two numbers.

    On a CPU, torch takes 32 of its bits: of 200,000 updates, seven share their noise with another.
    """
    mixed = (seed * 0x9E3779B97F4A7C15 + number * 0xBF58476D1CE4E5B9) % 2**64
    mixed = ((mixed ^ (mixed >> 31)) * 0x94D049BB133111EB) % 2**64
    return (mixed ^ (mixed >> 29)) % 2**63


# --- The optimizers: Adam, or Muon on the convolutions and Adam on the rest ---


NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # coefficients of Muon's odd polynomial of degree 5
WARM_UP = 100  # updates, for a learning rate that is constant afterwards


class Muon(torch.optim.Optimizer):
    r"""Orthogonalized momentum whose step is a fraction of a weight's norm, which stays constant.

    A weight (out, in, k, k) is seen as a matrix :math:`W` of (out, in k k). With the momentum
    :math:`M` of its gradients, and its nearest (semi-)orthogonal matrix :math:`O`,

    .. math:: W \leftarrow \|W_0\| \frac{W'}{\|W'\|}, \quad
              W' = W - \eta \|W_0\| \frac{O}{\|O\|}.

    What a normalization follows does not depend on the norm of W, and elsewhere the factors of
    the normalization before it, which Adam trains, can take its place. Without the rescaling,
    steps that momentum correlates make norms grow exponentially.

    A weight (out, in) is that of a transformer, where nothing makes up for its norm, as in the
    products of attention. It takes steps of the length :math:`\eta \|W_0\|` and keeps its own norm.

    ``lr`` is :math:`\eta`, and ``momentum`` the decay of the (Nesterov) momentum.
    """

    def __init__(self, weights: Iterable[nn.Parameter], lr: float, momentum: float = 0.95) -> None:
        super().__init__(weights, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Apply the gradients of one update."""
        for group in self.param_groups:
            for weight in group["params"]:
                state = self.state[weight]
                if not state:
                    state["momentum"] = torch.zeros_like(weight)
                    state["norm"] = weight.norm()
                state["momentum"].lerp_(weight.grad, 1 - group["momentum"])
                ahead = weight.grad.lerp(state["momentum"], group["momentum"])
                direction = orthogonalized(ahead.flatten(1)).view_as(weight)
                length = direction.norm().clamp(min=1e-7)  # 0 where all gradients are
                weight.sub_(direction * (group["lr"] * state["norm"] / length))
                if weight.ndim == 4:
                    weight.mul_(state["norm"] / weight.norm())


def orthogonalized(matrix: Tensor, steps: int = 5) -> Tensor:
    """The matrix with all its singular values brought near 1, by Newton-Schulz iterations.

    In bfloat16 on a GPU, which multiplies it fastest; a CPU may have to emulate it.
    """
    a, b, c = NEWTON_SCHULZ
    wide = matrix if len(matrix) <= matrix.shape[1] else matrix.T
    x = wide.bfloat16() if wide.is_cuda else wide
    x = x / x.norm().clamp(min=1e-7)
    for _ in range(steps):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x if wide is matrix else x.T).to(matrix.dtype)


class Optimizer:
    """The optimizer of a recipe for a network on its device, in one or two parts, with schedule."""

    def __init__(self, recipe: Recipe, network: nn.Module) -> None:
        if recipe.optimizer == "muon-1":
            raise ValueError(
                "optimizer: 'muon-1' is that of the first edition, whose trainings can be loaded "
                "but not made again; accepted: 'muon' or 'adam'"
            )
        self.recipe = recipe
        weights = list(network.parameters())
        matrices = [p for p in weights if p.ndim in (2, 4) and recipe.optimizer == "muon"]
        chosen = {id(p) for p in matrices}
        others = [p for p in weights if id(p) not in chosen]
        fused = others[0].device.type == "cuda"
        adam = torch.optim.Adam(others, lr=recipe.learning_rate, fused=fused)
        self.parts: list[tuple[torch.optim.Optimizer, float]] = [(adam, recipe.learning_rate)]
        if matrices:
            self.parts.append((Muon(matrices, lr=recipe.step), recipe.step))

    def step(self, update: int) -> None:
        """Apply the gradients of one update, and clear them."""
        factor = annealing(self.recipe.schedule, update, self.recipe.updates)
        for optimizer, rate in self.parts:
            for group in optimizer.param_groups:
                group["lr"] = rate * factor
            optimizer.step()
            optimizer.zero_grad()

    def state_dict(self) -> list[dict[str, Any]]:
        """State of each part: plain containers of tensors and numbers."""
        return [optimizer.state_dict() for optimizer, _ in self.parts]

    def load_state_dict(self, states: list[dict[str, Any]]) -> None:
        """Go on from what ``state_dict`` gave."""
        for (optimizer, _), state in zip(self.parts, states, strict=True):
            optimizer.load_state_dict(state)


def annealing(schedule: str, update: int, updates: int) -> float:
    """Factor of the learning rate at one of ``updates`` updates."""
    if schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * update / updates))
    if schedule == "halving":
        return 0.5 ** (update * 10 // updates)
    return min(1.0, (update + 1) / WARM_UP)


# --- What is measured while a training runs, and at its end ---


SNAPSHOT_IMAGES, FINAL_IMAGES = 64, 256
UNSEEN = 0.01  # dB that weights may change the PSNR by when they are rounded to half precision
ROUNDED_FROM = 1_000  # numbers of a tensor from which on it is rounded: smaller ones save no room


def measured(network: nn.Module, train: Tensor, test: Tensor, n: int) -> dict[str, list[float]]:
    """Output PSNR in dB on up to ``n`` uint8 training and test images each, at all noise levels."""
    f = Denoiser(network)
    curves = {
        name: psnr_curve(f, among[:n].float() / 255, INPUT_PSNR).value.tolist()
        for name, among in (("train", train), ("test", test))
    }
    rounded = {name: [round(value, 4) for value in curve] for name, curve in curves.items()}
    return {"input_psnr": [float(p) for p in INPUT_PSNR], **rounded}


def snapshot_updates(updates: int) -> set[int]:
    """Updates after which the PSNR is logged: half-octaves from 16, and the last."""
    octaves = (round(16 * 2 ** (k / 2)) for k in range(60))
    return {u for u in octaves if u < updates} | {updates}


# --- The one training loop, for a CPU, a GPU, or several processes ---


LOG_EVERY = 10  # updates
CHECKPOINT_EVERY = 50  # updates
CHECKPOINT_SECONDS = 10  # at least, between two: a GPU makes many updates in that time
COMPILED_FROM = 1_000  # updates: for fewer, compiling takes longer than it saves


@torch.inference_mode(False)  # its caller's
def train(
    recipe: Recipe,
    folder: Path | str | None = None,
    *,
    again: bool = False,
    keep_snapshots: bool = False,
) -> Denoiser:
    """Train the denoiser of a recipe, or go on with its training, or load it if it is finished.

    It minimizes the mean squared error of equation 4, written on the residual: the network is to
    give the noise z that was added. A checkpoint every 50 updates, or 10 seconds, lets an
    interrupted training go on to weights that are, on the same kind of CPU and number of threads,
    the same bit for bit. The denoiser is on the device of the training.

    Weights, log and manifest go into ``folder``, by default ``<artifacts>/<edition>/<name>``. With
    ``again`` it trains from the start although that holds a training of this recipe, which stays
    until the new one is finished; with ``keep_snapshots`` it keeps the weights along the way as
    well, for :func:`gahb.training.snapshots`. A recipe with a ``start`` goes on from the weights of
    that one, in a folder beside its own, where it is trained first if need be.

    Examples
    --------
    >>> import tempfile
    >>> from gahb.book import recipes
    >>> recipe = recipes.get("faces-unet-n10-s1", edition="smoke").but(images="leaves", updates=3)
    >>> f = train(recipe, tempfile.mkdtemp())
    >>> f(torch.rand(1, 1, 16, 16)).shape
    torch.Size([1, 1, 16, 16])
    """
    check_type("recipe", recipe, Recipe, "a gahb.Recipe; the book's: gahb.book.recipes.get(name)")
    folder = Path(folder) if folder is not None else record.folder_of(recipe)
    if not again and (found := finished(recipe, folder)):
        return found
    accelerator = Accelerator(
        mixed_precision=mixed_precision(),
        # Said, since a variable of the environment would change the weights otherwise.
        gradient_accumulation_plugin=GradientAccumulationPlugin(num_steps=1),
    )
    with record.locked(folder) if accelerator.is_main_process else nullcontext():  # one for all
        accelerator.wait_for_everyone()
        if again:
            record.forget(folder)
        elif found := finished(recipe, folder):  # by another process, while this one waited
            return found
        training = Training(recipe, folder, accelerator, keep_snapshots)
        with without_denormals():  # which the momentum of a channel that has died decays to
            training.run()
    return Denoiser(training.network)


def finished(recipe: Recipe, folder: Path) -> Denoiser | None:
    """The denoiser of a finished training of this recipe on these images, or None if it is not."""
    manifest = record.read_manifest(folder)
    if manifest is None:
        return None
    if manifest["hash"] != recipe.hash:
        raise ValueError(
            f"{recipe.name}: the folder holds another recipe (hash {manifest['hash']}, not "
            f"{recipe.hash}); train again, or elsewhere"
        )
    if (folder / record.CHECKPOINT).exists() or not (folder / record.WEIGHTS).exists():
        return None
    if "images" in manifest:  # not in those of the first edition
        digest = record.digest(recipe.train_images())
        record.require_same_images(recipe.name, manifest, digest, record.MANIFEST)
    return Denoiser(record.load_network(folder, recipe)).to(best_device())


class Training:
    """The state of one training: network, optimizer, number of the next update, and log."""

    def __init__(
        self, recipe: Recipe, folder: Path, accelerator: Accelerator, keep_snapshots: bool = False
    ) -> None:
        self.recipe, self.folder, self.keep_snapshots = recipe, folder, keep_snapshots
        self.accelerator, self.device = accelerator, accelerator.device
        with accelerator.main_process_first():
            self.train_images = recipe.train_images().to(self.device)
            self.test_images = recipe.test_images(FINAL_IMAGES).to(self.device)
        self.digest = record.digest(self.train_images)
        network = self.initial().to(self.device)
        # The annotations of Module.to forget that it takes a memory format alone.
        self.network: nn.Module = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimizer = Optimizer(recipe, self.network)
        self.update, self.seconds, self.saved = 0, 0.0, -math.inf
        self.log: list[dict[str, Any]] = []
        if checkpoint := record.read_checkpoint(folder, recipe):
            self.restore(checkpoint)

    def initial(self) -> nn.Module:
        """The network that the training starts from, of the recipe or of another training."""
        if (start := self.recipe.start) is None:
            return self.recipe.build()
        return train(start, self.folder.absolute().parent / start.name).network

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
        snapshots = snapshot_updates(recipe.updates)
        window: list[Tensor] = []  # loss and PSNR of each update, on the device: no wait
        hidden = quiet() or not accelerator.is_main_process
        bar = tqdm(total=recipe.updates, initial=self.update, desc=recipe.name, disable=hidden)
        started = time.monotonic() - self.seconds
        while self.update < recipe.updates:
            window.append(self.one_update(forward, batches(self.update)))
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
    ) -> Tensor:
        """Loss and training PSNR of one batch, (2,), and the step that they give."""
        x, z, sigma = batch
        with torch.enable_grad():  # also for a caller who has switched gradients off
            residual = forward(noisy(x, z)).float()
            # y - residual - x = z - residual: the error of the residual is that of the estimate.
            error = (residual - z).square().mean(dim=(1, 2, 3))
            loss = self.recipe.loss(error, sigma.flatten())
            self.accelerator.backward(loss)
        self.optimizer.step(self.update)
        return torch.stack([loss.detach(), -10 * error.detach().log10().mean()])

    def record_window(self, window: list[Tensor]) -> dict[str, float]:
        """Log the mean loss and PSNR since the last line of the log."""
        means = self.accelerator.reduce(sum(window) / len(window), reduction="mean")
        window.clear()
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
        curves = self.measured(SNAPSHOT_IMAGES)
        self.network.train()
        if self.keep_snapshots and self.accelerator.is_main_process:
            file = f"{self.update:06}.safetensors"
            record.write_weights(self.folder / record.SNAPSHOTS / file, self.network)
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
            "optimizer": self.optimizer.state_dict(),
            "log": self.log,
        }
        content = io.BytesIO()  # torch.save itself does not tell a full disk from other faults
        torch.save(state, content)
        with atomic_write(self.folder / record.CHECKPOINT) as temporary:
            temporary.write_bytes(content.getbuffer())

    def restore(self, checkpoint: dict[str, Any]) -> None:
        """Take up the state that ``save`` wrote. Batches depend on the update's number alone."""
        record.require_same_images(self.recipe.name, checkpoint, self.digest, record.CHECKPOINT)
        try:
            self.network.load_state_dict(checkpoint["network"])
            self.optimizer.load_state_dict(checkpoint["optimizer"])
            self.update, self.seconds = checkpoint["update"], checkpoint["seconds"]
            self.log = list(checkpoint["log"])
        except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            raise damaged(self.folder / record.CHECKPOINT, "is not whole") from error

    def finish(self) -> None:
        """Measure the trained network and write its record."""
        curves = self.rounded()
        if self.accelerator.is_main_process:
            losses = [line for line in self.log if "loss" in line]
            record.write_record(
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

    def rounded(self) -> dict[str, list[float]]:
        """Round large tensors to half precision if that moves no PSNR, and return all PSNR."""
        before = self.measured(FINAL_IMAGES)
        exact = {name: value.clone() for name, value in self.network.state_dict().items()}
        self.network.load_state_dict(
            {k: v.half() if v.numel() >= ROUNDED_FROM else v for k, v in exact.items()}
        )
        try:
            after = self.measured(FINAL_IMAGES)
        except FloatingPointError:  # beyond the range of half precision
            after = {}
        if after and all(
            abs(a - b) <= UNSEEN for k in after for a, b in zip(after[k], before[k], strict=True)
        ):
            return after
        self.network.load_state_dict(exact)
        return before

    def measured(self, n: int) -> dict[str, list[float]]:
        """What :func:`measured` gives, or FloatingPointError if the network diverges."""
        self.require_finite_weights()
        try:
            return measured(self.network, self.train_images, self.test_images, n)
        except ValueError as error:  # finite weights may give infinite images
            raise self.not_finite("f(y)") from error

    def require_finite_weights(self) -> None:
        """Raise FloatingPointError if a weight is not finite."""
        if not record.is_finite(self.network):
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
