"""What a training leaves in its folder: weights, log and manifest, or a checkpoint until then."""

import hashlib
import json
import platform
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from gahb import settings
from gahb.denoiser import Denoiser
from gahb.devices import best_device
from gahb.settings import atomic_write, damaged
from gahb.training.recipe import Recipe

WEIGHTS, LOG, MANIFEST = "weights.safetensors", "log.jsonl", "manifest.json"
CHECKPOINT, SNAPSHOTS, LOCK = "checkpoint.pt", "snapshots", ".lock"


def write_record(
    folder: Path, network: nn.Module, recipe: Recipe, log: list[dict[str, Any]], **facts: Any
) -> None:
    """Write weights, log and, last of all, the manifest, which marks the training as finished."""
    write_weights(folder / WEIGHTS, network)
    with atomic_write(folder / LOG) as temporary:
        temporary.write_text("".join(json.dumps(line) + "\n" for line in log), encoding="utf-8")
    manifest = {
        "recipe": recipe.as_dict(),
        "hash": recipe.hash,
        "sha256": {name: sha256(folder / name) for name in (WEIGHTS, LOG)},
        **facts,
        "versions": {"python": platform.python_version()}
        | {package: version(package) for package in ("torch", "numpy", "accelerate")},
    }
    settings.write_json(folder / MANIFEST, manifest, indent=2)
    (folder / CHECKPOINT).unlink(missing_ok=True)


def folder_of(recipe: Recipe) -> Path:
    """Folder of the weights and the log that a recipe gives."""
    return settings.artifacts_folder() / recipe.edition / recipe.name


def write_weights(path: Path, network: nn.Module) -> None:
    """Write the weights of a network, on whatever device; in half precision where that is exact."""
    weights = {k: v.cpu().contiguous() for k, v in network.state_dict().items()}
    half = {k: v.half() for k, v in weights.items()}
    weights = {k: half[k] if torch.equal(half[k].to(v), v) else v for k, v in weights.items()}
    with atomic_write(path) as temporary:
        temporary.write_bytes(save(weights))  # save_file would make it readable by its owner alone


def snapshots(recipe: Recipe, folder: Path | str | None = None) -> Iterator[tuple[int, Denoiser]]:
    """Number of the update and denoiser of each snapshot that a training has kept, in order."""
    folder = Path(folder) if folder is not None else folder_of(recipe)
    for path in sorted((folder / SNAPSHOTS).glob("*.safetensors")):
        yield int(path.stem), Denoiser(network_of(path, recipe)).to(best_device())


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Let one training at a time write into a folder; another waits, and says so."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        print(f"gahb: {folder.name} is in training elsewhere: waiting", file=sys.stderr)
        lock.acquire()
    try:
        settings.remove_leftovers(folder, age=0)  # of those that held the lock before
        yield
    finally:
        (folder / LOCK).unlink(missing_ok=True)  # who waits for it sees that, and locks the next
        lock.release()


def forget(folder: Path) -> None:
    """Remove the checkpoint and the snapshots of a training, so that it starts anew."""
    if not folder.is_dir():
        return
    is_folder = dict.fromkeys((WEIGHTS, LOG, MANIFEST, CHECKPOINT, LOCK), False) | {SNAPSHOTS: True}
    if others := sorted(p.name for p in folder.iterdir() if is_folder.get(p.name) != p.is_dir()):
        raise ValueError(
            f"folder: {folder} holds {others[0]}; to train again, accepted: a folder that holds "
            "nothing but a training"
        )
    (folder / CHECKPOINT).unlink(missing_ok=True)
    for path in (folder / SNAPSHOTS).glob(f"{'[0-9]' * 6}*.safetensors"):
        path.unlink(missing_ok=True)  # by another process of the training


def digest(images: Tensor) -> str:
    """Hexadecimal SHA-256 of uint8 images, their shape included."""
    shape = json.dumps(list(images.shape)).encode()
    return hashlib.sha256(shape + images.cpu().contiguous().numpy().tobytes()).hexdigest()


def require_same_images(name: str, record: dict[str, Any], images: str, file: str) -> None:
    """Raise ValueError if a manifest or checkpoint tells of images of another digest."""
    if record.get("images", images) != images:
        raise ValueError(
            f"{name}: {file} is of a training on other images; train again, or elsewhere"
        )


def read_log(folder: Path, expected: str | None = None) -> list[dict[str, Any]]:
    """The log of a training, line by line; of the ``expected`` SHA-256, if that is given."""
    if expected not in (None, sha256(folder / LOG)):
        raise damaged(folder / LOG, f"does not have the checksum of {MANIFEST}")
    try:
        return [json.loads(line) for line in (folder / LOG).read_bytes().splitlines()]
    except ValueError as error:
        raise damaged(folder / LOG, f"is not JSON ({error})") from error


@dataclass(frozen=True)
class History:
    """PSNR in dB by number of updates, on training and on test images, at one noise level."""

    train: dict[int, float]
    test: dict[int, float]

    def parted(self, gap: float) -> int | None:
        """First logged update from which on train is above test by ``gap`` dB, if any."""
        apart = [u for u in self.train if self.train[u] - self.test[u] >= gap]
        together = [u for u in self.train if u not in apart]
        late = [u for u in apart if u > max(together, default=0)]
        return min(late, default=None)


def history(folder: Path | str, input_psnr: float = 20.0) -> History:
    """What the snapshots of a training tell about one noise level, given as input PSNR in dB."""
    lines = {
        line["update"]: line["snapshot"] for line in read_log(Path(folder)) if "snapshot" in line
    }
    levels = next(iter(lines.values()))["input_psnr"] if lines else []
    if input_psnr not in levels:
        raise ValueError(f"input_psnr: {input_psnr} has not been logged; accepted: {levels}")
    at = levels.index(input_psnr)
    return History(
        train={update: curves["train"][at] for update, curves in lines.items()},
        test={update: curves["test"][at] for update, curves in lines.items()},
    )


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """Manifest of a finished training, or None where there is none."""
    content: dict[str, Any] | None = settings.read_json(folder / MANIFEST)
    parts = {"recipe": dict, "hash": str, "sha256": dict, "measured": dict, "wall_seconds": float}
    for part, kind in parts.items() if content is not None else ():
        if not isinstance(content, dict) or not isinstance(content.get(part), kind):
            raise damaged(folder / MANIFEST, f"has no {part}")
    return content


def load_network(folder: Path, recipe: Recipe) -> nn.Module:
    """The trained network of a folder, in evaluation mode on the CPU."""
    manifest = read_manifest(folder)
    if manifest is None:
        raise FileNotFoundError(f"{recipe.name}: no finished training in its folder")
    if sha256(folder / WEIGHTS) != manifest["sha256"].get(WEIGHTS):
        raise damaged(folder / WEIGHTS, f"does not have the checksum of {MANIFEST}")
    return network_of(folder / WEIGHTS, recipe)


@torch.inference_mode(False)  # its caller's: the weights are to be differentiated elsewhere
def network_of(path: Path, recipe: Recipe) -> nn.Module:
    """The network of a file of weights, in evaluation mode on the CPU."""
    network = recipe.build()
    try:
        network.load_state_dict(load_file(path))
    except (SafetensorError, RuntimeError) as error:
        raise damaged(path, f"holds no {recipe.network} of this recipe") from error
    if not is_finite(network):
        raise damaged(path, "holds NaN or infinity")
    # The annotations of Module.to forget that it takes a memory format alone.
    return network.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def is_finite(network: nn.Module) -> bool:
    """Whether all weights and running deviations of a network are finite."""
    return all(bool(torch.isfinite(value).all()) for value in network.state_dict().values())


def read_checkpoint(folder: Path, recipe: Recipe) -> dict[str, Any] | None:
    """Checkpoint of an interrupted training of this very recipe, or None where there is none."""
    path = folder / CHECKPOINT
    if not path.exists():
        return None
    try:
        with zipfile.ZipFile(path) as parts:  # torch itself does not look at their checksums
            if broken := parts.testzip():
                raise ValueError(broken)
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        known = content["hash"], int(content.get("update", 0))
    except Exception as error:  # zip, pickle and torch each have their own kinds
        raise damaged(path, "cannot be read") from error
    if known[0] != recipe.hash:
        raise ValueError(
            f"{recipe.name}: {CHECKPOINT} is of another recipe (hash {known[0]}, "
            f"not {recipe.hash}); give again=True, or --again, to forget it"
        )
    return content


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    if not path.is_file():
        raise damaged(path, "is missing")
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
