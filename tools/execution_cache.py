"""Fill the execution cache of the book, chapters side by side, each on one thread.

The cache knows a chapter by its cells alone. The package, what was trained, the installed versions
and the edition count as well: when one of them has changed, the executed pages are forgotten first.
A chapter that fails here is executed by the book once more, which shows where and why.
"""

import hashlib
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from chapters import ROOT, chapters, execution
from jupyter_cache import get_cache
from jupyter_cache.executors import load_executor

BUILD = ROOT / "_build"
FINGERPRINT = BUILD / "executed-with.txt"
# The pages themselves are forgotten too: they would not be read again for the cache alone.
FORGOTTEN = (BUILD / ".jupyter_cache", BUILD / ".doctrees", BUILD / "jupyter_execute")


def fingerprint() -> str:
    """Digest of all that a chapter's outputs depend on, its own text aside."""
    digest = hashlib.sha256()
    for name in ("GAHB_EDITION", "GAHB_ARTIFACTS"):
        digest.update(f"{name}={os.environ.get(name)} {sys.version}\n".encode())
    for path in _files():
        digest.update(f"{path.relative_to(ROOT)}\n".encode())
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def _files() -> Iterator[Path]:
    yield ROOT / "requirements.lock"
    yield ROOT / "_config.yml"
    for folder in ("gahb", "artifacts"):
        for path in sorted((ROOT / folder).rglob("*")):
            # A training under way changes its files every minute, and no page reads them.
            under_way = (path.parent / "checkpoint.pt").is_file()
            if path.is_file() and "__pycache__" not in path.parts and not under_way:
                yield path


def forget_what_changed() -> None:
    """Clear the cache unless it was filled with what is here now."""
    now = fingerprint()
    if FINGERPRINT.is_file() and FINGERPRINT.read_text(encoding="utf-8") == now:
        return
    for folder in FORGOTTEN:
        shutil.rmtree(folder, ignore_errors=True)
    BUILD.mkdir(exist_ok=True)
    FINGERPRINT.write_text(now, encoding="utf-8")


def execute() -> None:
    """Execute the chapters that the cache does not hold, as many at a time as there are CPUs."""
    settings = execution()
    cache = get_cache(ROOT / settings["cache"])
    for chapter in chapters():
        cache.add_nb_to_project(str(chapter), read_data={"name": "myst_nb_md", "type": "plugin"})
    os.environ["OMP_NUM_THREADS"] = "1"  # of each kernel: there is one for every CPU
    load_executor("local-parallel", cache).run_and_cache(timeout=settings["timeout"])


if __name__ == "__main__":
    forget_what_changed()
    execute()
