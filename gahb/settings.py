"""Where things live and at which scale the book runs: the environment variables."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import platformdirs

from gahb.checks import check_choice

__all__ = [
    "EDITIONS",
    "artifacts_folder",
    "atomic_write",
    "cache_folder",
    "checkout",
    "data_folder",
    "edition",
    "quiet",
    "read_json",
    "released_folder",
    "write_json",
]

EDITIONS = ("smoke", "laptop", "colab", "paper")


def edition() -> str:
    """Return the name of the present edition (``GAHB_EDITION``, default ``laptop``)."""
    name = os.environ.get("GAHB_EDITION", "laptop")
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


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside ``path`` that becomes ``path`` only if the block succeeds.

    A reader thus sees the old file or the new one, never half of one, whoever is killed when.

    Examples
    --------
    >>> import tempfile
    >>> target = Path(tempfile.mkdtemp()) / "a.txt"
    >>> with atomic_write(target) as temporary:
    ...     _ = temporary.write_text("whole")
    >>> target.read_text()
    'whole'
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # The suffix stays last: some writers choose the format, or append a suffix, by the name.
    temporary = path.with_name(f".{path.stem}.{uuid.uuid4().hex}{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, content: Any, indent: int | None = 2) -> None:
    """Write a file of JSON atomically.

    Examples
    --------
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "a.json"
    >>> write_json(file, {"a": [1, 2]})
    >>> read_json(file)
    {'a': [1, 2]}
    """
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(content, indent=indent) + "\n")


def read_json(path: Path) -> Any:
    """Return the content of a file of JSON, or None where there is no such file."""
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except json.JSONDecodeError as error:
        raise ValueError(f"{path.parent.name}: {path.name} is not JSON ({error})") from error
