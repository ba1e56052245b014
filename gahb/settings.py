"""Where things live and at which scale the book runs: the environment variables."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import platformdirs

from gahb.checks import check_choice

__all__ = [
    "EDITIONS",
    "artifacts_folder",
    "cache_folder",
    "data_folder",
    "edition",
    "quiet",
    "released_folder",
    "written_whole",
]

EDITIONS = ("smoke", "laptop", "colab", "paper")


def edition() -> str:
    """Name of the edition at which the book runs (``GAHB_EDITION``, default ``laptop``)."""
    name = os.environ.get("GAHB_EDITION", "laptop")
    check_choice("GAHB_EDITION", name, EDITIONS)
    return name


def artifacts_folder() -> Path:
    """Folder of trained weights (``GAHB_ARTIFACTS``, default the checkout's ``artifacts/``).

    An installed package has no checkout around it: its artifacts go beside its cache.
    """
    if chosen := os.environ.get("GAHB_ARTIFACTS"):
        return Path(chosen)
    checkout = Path(__file__).resolve().parents[1]
    if (checkout / "pyproject.toml").is_file():
        return checkout / "artifacts"
    return cache_folder() / "artifacts"


def cache_folder() -> Path:
    """Folder of images made or fetched once (``GAHB_CACHE``, default the user's cache folder)."""
    return Path(os.environ.get("GAHB_CACHE") or platformdirs.user_cache_dir("gahb"))


def data_folder() -> Path:
    """Folder of data sets that were downloaded (``GAHB_DATA``, default ``data`` in the cache)."""
    return Path(os.environ.get("GAHB_DATA") or cache_folder() / "data")


def released_folder() -> Path | None:
    """Folder of the checkpoints that the paper's authors released (``GAHB_RELEASED``), if any."""
    chosen = os.environ.get("GAHB_RELEASED")
    return Path(chosen) if chosen else None


def quiet() -> bool:
    """Whether progress bars stay hidden: in CI, or where ``TQDM_DISABLE`` asks for it."""
    return bool(os.environ.get("CI") or os.environ.get("TQDM_DISABLE"))


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Give a temporary name beside ``path``; rename it to ``path`` only if the block succeeds.

    A reader thus sees the old file or the new one, never half of one, whoever is killed when.

    Examples
    --------
    >>> import tempfile
    >>> target = Path(tempfile.mkdtemp()) / "a.txt"
    >>> with written_whole(target) as temporary:
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
