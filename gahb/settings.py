"""Where things live and at which scale the book runs, and files written whole and checked."""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import platformdirs
from tqdm.auto import tqdm

from gahb.checks import check_choice

EDITIONS = ("smoke", "laptop", "colab", "paper")
LEFTOVER = re.compile(r"\..+\.gahb-[0-9a-f]{32}(\.\w+)?")
CHECKSUM = "checksum"
SECONDS = 2.0  # after which a measurement shows its progress


class DamagedError(ValueError):
    """A file of ours is not what was written."""


def damaged(file: Path, problem: str) -> DamagedError:
    """Return the error that names a damaged file."""
    return DamagedError(f"{file.parent.name}: {file.name} {problem}")


def edition() -> str:
    """Return the name of the present edition (``GAHB_EDITION``, default ``laptop``)."""
    name = os.environ.get("GAHB_EDITION") or "laptop"
    check_choice("GAHB_EDITION", name, EDITIONS)
    return name


def checkout() -> Path | None:
    """Return the checkout that the package is used from, or None where it was installed."""
    folder = Path(__file__).resolve().parents[1]
    return folder if (folder / "pyproject.toml").is_file() else None


def artifacts_folder() -> Path:
    """Return the folder of trained weights (``GAHB_ARTIFACTS``, default the checkout's own).

    An installed package has no checkout around it: its artifacts go beside its cache.
    """
    if chosen := os.environ.get("GAHB_ARTIFACTS"):
        return Path(chosen)
    return (checkout() or cache_folder()) / "artifacts"


def cache_folder() -> Path:
    """Return the folder of what is made or fetched once (``GAHB_CACHE``, default the user's)."""
    return Path(os.environ.get("GAHB_CACHE") or platformdirs.user_cache_dir("gahb"))


def data_folder() -> Path:
    """Return the folder of downloaded data sets (``GAHB_DATA``, default ``data`` in the cache)."""
    return Path(os.environ.get("GAHB_DATA") or cache_folder() / "data")


def released_folder() -> Path | None:
    """Return the folder of the authors' released checkpoints (``GAHB_RELEASED``), if any."""
    chosen = os.environ.get("GAHB_RELEASED")
    return Path(chosen) if chosen else None


def quiet() -> bool:
    """Return whether progress bars stay hidden: in CI, or where ``TQDM_DISABLE`` asks for it."""
    return bool(os.environ.get("CI") or os.environ.get("TQDM_DISABLE"))


def progress(total: int, what: str, unit: str = "it") -> tqdm[Any]:
    """Return a progress bar of a measurement, which only shows itself where that takes seconds."""
    return tqdm(total=total, desc=what, unit=unit, delay=SECONDS, leave=False, disable=quiet())


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside ``path`` that becomes ``path`` only if the block succeeds.

    A reader thus sees the old file or the new one, never half of one, whoever is killed when, and
    also where the power fails.
    """
    # The suffix stays last: some writers choose the format, or append a suffix, by the name.
    temporary = path.with_name(f".{path.stem}.gahb-{uuid.uuid4().hex}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(path.parent, age=3600)  # in which any file is written
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:  # such as a full disk, which names no file
        reason = f"cannot be written: {error.strerror or error}"
        if path.is_relative_to(cache_folder()):
            reason += "; GAHB_CACHE chooses another folder"
        raise OSError(error.errno, reason, str(path)) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def remove_leftovers(folder: Path, age: float) -> None:
    """Remove the temporary files of writers that were killed, if they are that old in seconds."""
    for path in filter(lambda path: LEFTOVER.fullmatch(path.name), folder.glob(".*")):
        with suppress(OSError):  # its writer has just finished, or it is another user's
            if time.time() - path.stat().st_mtime >= age:
                path.unlink()


def write_json(path: Path, content: Any, indent: int | None = None) -> None:
    """Write a file of JSON atomically, an object with its checksum."""
    if isinstance(content, dict):
        content = json.loads(json.dumps(content))  # as it is read: keys are text, sorted as such
        content[CHECKSUM] = _checksum(content)
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(content, indent=indent) + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Return the content of a file of JSON, or None where there is no such file."""
    try:
        if (content := json.loads(path.read_bytes())) is None:
            raise ValueError("null")
    except FileNotFoundError:
        return None
    except (ValueError, RecursionError, IsADirectoryError) as error:
        reason = str(error) or type(error).__name__
        raise damaged(path, f"is not JSON ({reason})") from error
    # Those that a user of the first edition has written have none.
    kept = content.pop(CHECKSUM, None) if isinstance(content, dict) else None
    if kept is not None and kept != _checksum(content):
        raise damaged(path, "does not have its own checksum")
    return content


def _checksum(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
