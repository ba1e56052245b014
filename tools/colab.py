"""Set a fresh Colab runtime up for the book; the first cell of every chapter calls it.

Nothing of the book is installed when this is read, so it needs the standard library alone.
"""

import importlib
import math
import os
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DRIVE = Path("/content/drive")
UNTOUCHED = ("torch", "numpy", "ipywidgets")  # as Colab has them: the kernel is running with them


def set_up(keep_on_drive: bool = False) -> None:
    """Install the book, choose its edition, and say which GPU was found.

    ``GAHB_EDITION``, where it is set beforehand, is left as it is. Without a GPU the trainings of
    the colab edition would take days: there the laptop edition shows what was shipped with it.
    """
    install()
    device = gpu()
    edition = os.environ.setdefault("GAHB_EDITION", "colab" if device else "laptop")
    print(f"gahb {version('gahb')}, edition {edition}, {device or 'no GPU'}")
    if not device and edition == "laptop":
        print("For the colab edition: Runtime > Change runtime type > GPU, then run all again.")
    if edition == "laptop":
        return  # its trainings are shipped
    print(f"Trainings are kept in {keep(edition) if keep_on_drive else 'this runtime only'}.")
    if not keep_on_drive:
        print("To keep them on your Drive, tick keep_on_drive above and run this cell again.")


def install() -> None:
    """Install the book and what it lacks; an error rather than another torch, numpy, ipywidgets."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as constraints:
        constraints.writelines(f"{name}=={version(name)}\n" for name in UNTOUCHED)
        constraints.flush()
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--editable", str(ROOT)]
        options = ["--disable-pip-version-check", "--constraint", constraints.name]
        subprocess.run([*command, *options], check=True)
    # A running Python does not look again for what has been installed beside it.
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))
    importlib.invalidate_caches()


def gpu() -> str | None:
    """Name and memory of the GPU, or None."""
    import torch

    if not torch.cuda.is_available():
        return None
    properties = torch.cuda.get_device_properties(0)
    return f"{properties.name} with {properties.total_memory / 2**30:.0f} GB"


def copy_newer(made: Path, kept: Path) -> None:
    """Copy what this runtime made to the Drive, unless what is there has come as far."""
    if not kept.exists():
        (shutil.copytree if made.is_dir() else shutil.copy2)(made, kept)
    elif not made.is_dir():
        if made.stat().st_mtime > kept.stat().st_mtime:
            shutil.copy2(made, kept)
    elif (made / "log.jsonl").exists() or (made / "checkpoint.pt").exists():  # a training
        if updates(made) > updates(kept):
            aside = kept.with_name(f".{kept.name}")  # whole on the Drive before it takes its place
            shutil.rmtree(aside, ignore_errors=True)
            shutil.copytree(made, aside)
            shutil.rmtree(kept)
            aside.rename(kept)
    else:
        for file in made.iterdir():
            copy_newer(file, kept / file.name)


def updates(training: Path) -> float:
    """Updates after which a training has its checkpoint; infinite if it is finished, -1 if none."""
    import torch

    if (training / "manifest.json").is_file():
        return math.inf
    try:
        state = torch.load(training / "checkpoint.pt", map_location="cpu", weights_only=True)
        return float(state["update"])
    except Exception:  # there is none, or it is damaged in one of many ways
        return -1.0


def keep(edition: str) -> Path:
    """Mount the user's Drive and let the trainings of an edition lie there; give their folder."""
    from google.colab import drive

    drive.mount(str(DRIVE))
    kept, here = DRIVE / "MyDrive" / "gahb" / edition, ROOT / "artifacts" / edition
    kept.mkdir(parents=True, exist_ok=True)
    if here.is_symlink():
        here.unlink()
    elif here.is_dir():  # made before the Drive was asked for
        for made in here.iterdir():
            copy_newer(made, kept / made.name)
        here.rename(here.with_name(f"{edition}-before-drive"))
    here.parent.mkdir(exist_ok=True)
    here.symlink_to(kept, target_is_directory=True)
    return kept
