"""What a training leaves in its folder: weights, log and manifest, or a checkpoint until then."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from gahb.denoiser import Denoiser
from gahb.settings import artifacts_folder, atomic_write, read_json, write_json
from gahb.training.recipe import Recipe

__all__ = [
    "CHECKPOINT",
    "LOG",
    "MANIFEST",
    "WEIGHTS",
    "History",
    "digest",
    "folder_of",
    "forget",
    "history",
    "load_network",
    "read_checkpoint",
    "read_log",
    "read_manifest",
    "require_same_images",
    "snapshots",
    "write_record",
    "write_snapshot",
]

WEIGHTS, LOG, MANIFEST = "weights.safetensors", "log.jsonl", "manifest.json"
CHECKPOINT, SNAPSHOTS = "checkpoint.pt", "snapshots"


def write_record(
    folder: Path, network: nn.Module, recipe: Recipe, log: list[dict[str, Any]], **facts: Any
) -> None:
    """Write weights, log and, last of all, the manifest, which marks the training as finished.

    The manifest holds the recipe and its hash, the checksums of the two other files, the versions
    of what computed them, and the ``facts`` given.
    """
    write_weights(folder / WEIGHTS, network)
    with atomic_write(folder / LOG) as temporary:
        temporary.write_text("".join(json.dumps(line) + "\n" for line in log))
    manifest = {
        "recipe": recipe.as_dict(),
        "hash": recipe.hash,
        "sha256": {name: sha256(folder / name) for name in (WEIGHTS, LOG)},
        **facts,
        "versions": {"python": platform.python_version()}
        | {package: version(package) for package in ("torch", "numpy", "accelerate")},
    }
    write_json(folder / MANIFEST, manifest)
    (folder / CHECKPOINT).unlink(missing_ok=True)


def folder_of(recipe: Recipe) -> Path:
    """Folder of the weights and the log that a recipe gives."""
    return artifacts_folder() / recipe.edition / recipe.name


def write_weights(path: Path, network: nn.Module) -> None:
    """Write the weights of a network, on whatever device."""
    with atomic_write(path) as temporary:
        save_file({k: v.cpu().contiguous() for k, v in network.state_dict().items()}, temporary)


def write_snapshot(folder: Path, update: int, network: nn.Module) -> None:
    """Keep the weights after an update."""
    write_weights(folder / SNAPSHOTS / f"{update:06}.safetensors", network)


def snapshots(recipe: Recipe, folder: Path | str | None = None) -> Iterator[tuple[int, Denoiser]]:
    """Number of the update and denoiser of each snapshot that a training has kept, in order.

    Examples
    --------
    >>> from gahb.book import recipes
    >>> list(snapshots(recipes.get("faces-unet-n10-s1", edition="laptop")))  # none were kept
    []
    """
    folder = Path(folder) if folder is not None else folder_of(recipe)
    for path in sorted((folder / SNAPSHOTS).glob("*.safetensors")):
        yield int(path.stem), Denoiser(network_of(path, recipe))


def forget(folder: Path) -> None:
    """Remove the checkpoint and the snapshots of a training, so that it starts anew."""
    if not folder.is_dir():
        return
    written = {WEIGHTS, LOG, MANIFEST, CHECKPOINT, SNAPSHOTS}
    if others := sorted(p.name for p in folder.iterdir() if p.name not in written):
        raise ValueError(
            f"folder: {folder} holds {others[0]}; to train again, accepted: a folder that holds "
            "nothing but a training"
        )
    (folder / CHECKPOINT).unlink(missing_ok=True)
    for path in (folder / SNAPSHOTS).glob("*.safetensors"):
        path.unlink()


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


def read_log(folder: Path) -> list[dict[str, Any]]:
    """The log of a training, line by line."""
    return [json.loads(line) for line in (folder / LOG).read_text().splitlines()]


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
    content = read_json(folder / MANIFEST)
    if content is None:
        return None
    if not isinstance(content, dict) or not {"recipe", "hash", "sha256"} <= content.keys():
        raise ValueError(f"{folder.name}: {MANIFEST} lacks recipe, hash or sha256")
    return content


def load_network(folder: Path, recipe: Recipe) -> nn.Module:
    """The trained network of a folder, in evaluation mode on the CPU.

    Raises
    ------
    ValueError
        If the weights' checksum is not the manifest's.
    FileNotFoundError
        If the folder holds no finished training.
    """
    manifest = read_manifest(folder)
    if manifest is None or not (folder / WEIGHTS).is_file():
        raise FileNotFoundError(f"{recipe.name}: no finished training in its folder")
    if sha256(folder / WEIGHTS) != manifest["sha256"][WEIGHTS]:
        raise ValueError(f"{recipe.name}: {WEIGHTS} does not have the checksum of {MANIFEST}")
    return network_of(folder / WEIGHTS, recipe)


def network_of(path: Path, recipe: Recipe) -> nn.Module:
    """The network of a file of weights, in evaluation mode on the CPU."""
    network = recipe.build()
    network.load_state_dict(load_file(path))
    # The annotations of Module.to forget that it takes a memory format alone.
    return network.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def read_checkpoint(folder: Path, recipe: Recipe) -> dict[str, Any] | None:
    """Checkpoint of an interrupted training of this very recipe, or None where there is none."""
    path = folder / CHECKPOINT
    if not path.is_file():
        return None
    content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    if content["hash"] != recipe.hash:
        raise ValueError(
            f"{recipe.name}: {CHECKPOINT} is of another recipe (hash {content['hash']}, "
            f"not {recipe.hash}); give again=True, or --again, to forget it"
        )
    return content


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
