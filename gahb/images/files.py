"""Files of a folder or a .zip file, in the order of their names, and the pictures among them.

floor: 1
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from gahb.images.pictures import SUFFIXES

__all__ = ["File", "opened", "pictures", "state_of"]


class File(NamedTuple):
    """A file: its name, what tells that it has changed, and how to read it."""

    name: str
    stamp: str
    read: Callable[[], bytes]


@contextmanager
def opened(path: Path) -> Iterator[list[File]]:
    """All files at ``path`` in the order of their names, readable inside the block.

    Raises
    ------
    FileNotFoundError
        If there is nothing at ``path``.
    ValueError
        If it is neither a folder nor a .zip file.
    """
    if path.is_dir():
        yield _in_order(_files_of_folder(path))
    elif not path.exists():
        raise FileNotFoundError(f"path: there is nothing at {path}")
    elif not zipfile.is_zipfile(path):
        raise ValueError(f"path: {path} is neither a folder nor a .zip file")
    else:
        with zipfile.ZipFile(path) as archive:
            yield _in_order(_files_of_archive(archive))


def pictures(path: Path, files: Sequence[File]) -> list[File]:
    """The pictures among the files at ``path``.

    Raises
    ------
    ValueError
        If there are none.
    """
    found = [file for file in files if _is_picture(file.name)]
    if not found:
        raise ValueError(f"path: {path} has no images; accepted: {', '.join(SUFFIXES)}")
    return found


def state_of(path: Path, files: Sequence[File]) -> str:
    """Digest of a place and of its files' names and stamps: another one when a file changes."""
    stamps = "\n".join(f"{file.name}\t{file.stamp}" for file in files)
    return hashlib.sha256(f"{path.resolve()}\n{stamps}".encode()).hexdigest()[:24]


def _in_order(files: Iterator[File]) -> list[File]:
    return sorted(files, key=lambda file: file.name)


def _files_of_folder(path: Path) -> Iterator[File]:
    for file in path.rglob("*"):
        if file.is_file():
            status = file.stat()
            stamp = f"{status.st_size} {status.st_mtime_ns}"
            yield File(file.relative_to(path).as_posix(), stamp, file.read_bytes)


def _files_of_archive(archive: zipfile.ZipFile) -> Iterator[File]:
    for entry in archive.infolist():
        if not entry.is_dir():
            stamp = f"{entry.file_size} {entry.CRC}"
            yield File(entry.filename, stamp, partial(archive.read, entry))


def _is_picture(name: str) -> bool:
    """Whether a name is a picture's, and not one that a file manager hides (``._a.png``)."""
    parts = PurePosixPath(name)
    hidden = any(part.startswith((".", "__MACOSX")) for part in parts.parts)
    return parts.suffix.lower() in SUFFIXES and not hidden
