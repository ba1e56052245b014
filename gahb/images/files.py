"""Files of a folder, a .zip, an array or a database, whichever it is, and the pictures in them."""

import hashlib
import os
import re
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm.auto import tqdm

from gahb.settings import quiet

# Formats of Pillow's that hold no picture of fixed pixels, or only with another program's help.
OTHER_FORMATS = {"BUFR", "EPS", "GRIB", "HDF5", "IPTC", "MPEG", "PDF", "WMF"}
# What file managers leave behind, and databases beside them.
HIDDEN = (".", "__MACOSX", "@eaDir", "Thumbs.db", "desktop.ini", "lock.mdb")
ARRAYS = (".npy", ".npz")
DATABASES = (".mdb", ".lmdb")  # of lmdb, in a folder with a data.mdb or in one file
SMALLEST_SIDE = 8  # pixels of an array that is a picture, and no label or feature
MANY = 1000  # files from which reading them shows its progress
LARGEST_FILE = 2**28  # bytes of a picture: what a small .zip file can blow up to has no end

# Files that many have, and the line of Python that makes an array or pictures of one.
TORCH = "np.save('a.npy', torch.load('a.pt', weights_only=True))"
HDF5 = "np.save('a.npy', h5py.File('a.h5')[key][:])"
PARQUET = "for i, row in enumerate(datasets.Dataset.from_parquet(a)): row['image'].save(f'{i}.png')"
ZIP = "zipfile.ZipFile('a.zip').extractall('a')"  # a database is read, but not within a .zip
TAR = "tarfile.open('a.tar').extractall('a', filter='data')"
CONVERTED = {
    **dict.fromkeys((".pt", ".pth"), TORCH),
    **dict.fromkeys((".h5", ".hdf5"), HDF5),
    **dict.fromkeys((".tar", ".tgz", ".gz"), TAR),
    ".parquet": PARQUET,
    **dict.fromkeys(DATABASES, ZIP),
}


class File(NamedTuple):
    """A file: its name, what tells that it has changed, and how to read it."""

    name: str
    stamp: str
    read: Callable[[], bytes]


class UnreadableError(ValueError):
    """A picture file cannot be read."""


@contextmanager
def opened(path: Path) -> Iterator[list[File]]:
    """Yield all files of a folder, .zip, array or database, by name, readable inside the block."""
    if path.is_dir():
        yield sorted(_files_of_folder(path), key=lambda file: file.name)
    elif not path.exists():
        raise FileNotFoundError(f"path: there is nothing at {path}")
    elif path.suffix.lower() in (*ARRAYS, *CONVERTED):
        yield list(_files_of_file(path, "" if path.suffix.lower() == ".npz" else path.name))
    elif not zipfile.is_zipfile(path):
        accepted = "neither a folder nor a .zip file, nor .npy or .npz"
        raise ValueError(f"path: {path} is {accepted}")
    else:
        with zipfile.ZipFile(path) as archive:
            found = []
            for entry in archive.infolist():
                if not entry.is_dir():
                    stamp = f"{entry.file_size} {entry.CRC}"
                    found.append(File(entry.filename, stamp, partial(_member, archive, entry)))
            yield sorted(found, key=lambda file: file.name)


def _files_of_folder(
    folder: Path, name: str = "", above: frozenset[Path] = frozenset()
) -> Iterator[File]:
    """Yield the files below a folder, through symbolic links, unless those lead back up."""
    place = folder.resolve()
    if place in above:
        return
    with suppress(PermissionError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                below = (Path(entry), f"{name}{entry.name}/", above | {place})
                yield from _files_of_folder(*below)
            elif entry.is_file():
                yield from _files_of_file(Path(entry), f"{name}{entry.name}")


def _files_of_file(path: Path, name: str) -> Iterator[File]:
    """Yield a file, or the pictures that it holds, each as a file of its own."""
    status = path.stat()
    stamp = f"{status.st_size} {status.st_mtime_ns}"
    held: list[File] = []
    if path.suffix.lower() in ARRAYS:
        held = list(_pictures_of_array(path, name, stamp))
    elif path.suffix.lower() in DATABASES and not path.name.startswith(HIDDEN):
        held = list(_values_of_database(path, name, stamp))
    yield from held or [File(name, stamp, path.read_bytes)]


def _member(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    """Return the content of a file in an archive, or raise UnreadableError."""
    if entry.file_size > LARGEST_FILE:
        given = f"{entry.file_size:,} bytes; accepted: at most {LARGEST_FILE:,}"
        raise UnreadableError(f"path: the image {entry.filename} has {given}")
    try:
        return archive.read(entry)
    except Exception as error:  # of zipfile, of what unpacks, of a file that is encrypted
        raise UnreadableError(
            f"path: the image {entry.filename} cannot be read: {error}"
        ) from error


def pictures(path: Path, files: Sequence[File]) -> list[File]:
    """Return the pictures among the files at ``path``."""
    suffixes = _suffixes()
    found = [file for file in files if _suffix(file) in suffixes]
    if not found:
        there = Counter(suffix for file in files if (suffix := _suffix(file)))
        first = next((CONVERTED[suffix] for suffix in there if suffix in CONVERTED), None)
        hint = f"; make some by {first}" if first else ""
        accepted = "files that Pillow reads, such as .png and .jpg, and arrays, .npy and .npz"
        raise ValueError(f"path: {path} has no images; accepted: {accepted}{hint}")
    return found


def others(files: Sequence[File]) -> list[str]:
    """Return of which kinds files are that are no pictures, and how many: ``.txt (3)``."""
    suffixes = _suffixes()
    kinds = Counter(s for file in files if (s := _suffix(file)) is not None and s not in suffixes)
    return [f"{kind or 'without suffix'} ({count})" for kind, count in sorted(kinds.items())]


def _suffixes() -> set[str]:
    """Return the suffixes of pictures, those of plug-ins of Pillow included."""
    known = Image.registered_extensions()
    return {s for s, kind in known.items() if kind in Image.OPEN and kind not in OTHER_FORMATS}


def _suffix(file: File) -> str | None:
    """Return a file's suffix, or None of one that a file manager hides (``._a.png``)."""
    name = PurePosixPath(file.name)
    hidden = any(part.startswith(HIDDEN) for part in name.parts if part not in (".", ".."))
    return None if hidden else name.suffix.lower()


def state_of(path: Path, files: Sequence[File]) -> str:
    """Return a digest of a place and of its files' names and stamps, which a change changes."""
    stamps = "\n".join(f"{file.name}\t{file.stamp}" for file in files)
    state = f"{path.resolve()}\n{stamps}".encode(errors="surrogateescape")  # any bytes are names
    return hashlib.sha256(state).hexdigest()[:24]


def counted(path: Path, files: list[File]) -> Iterable[File]:
    """Yield the files one by one, with a bar that shows the progress if they are many."""
    return tqdm(files, desc=path.name, unit="image", disable=quiet() or len(files) < MANY)


# --- Pictures in a database ---


def _values_of_database(path: Path, name: str, stamp: str) -> Iterator[File]:
    """Yield each value of an lmdb database as a picture file that is called by its key."""
    place = name.removesuffix("data.mdb")
    if place == name:
        place = f"{name.removesuffix(path.suffix)}/"
    suffixes = _suffixes()
    with _database(path) as (environment, values):
        # Reading beyond the end of a file that is cut off would end the process.
        expected = (environment.info()["last_pgno"] + 1) * environment.stat()["psize"]
        if (size := path.stat().st_size) < expected:
            given = f"{path} is cut off at {size:,} bytes; accepted: all {expected:,} of them"
            raise ValueError(f"path: {given}")
        for key in values.cursor().iternext(values=False):
            readable = key.isascii() and key.decode().isprintable()
            text = key.decode() if readable else key.hex()
            suffix = "" if PurePosixPath(text).suffix.lower() in suffixes else ".webp"
            yield File(f"{place}{text}{suffix}", stamp, partial(_value, path, key))


def _value(path: Path, key: bytes) -> bytes:
    """Return a value; opened for each, since a process may open a database only once at a time."""
    with _database(path) as (_, values):
        value: bytes = values.get(key)
    return value


@contextmanager
def _database(path: Path) -> Iterator[tuple[Any, Any]]:
    """Yield the lmdb database in a file, and a transaction that reads it, and changes nothing."""
    try:
        import lmdb
    except ModuleNotFoundError as error:
        missing = f"path: to read {path.name}, lmdb is missing; run: pip install 'gahb[lmdb]'"
        raise ValueError(missing) from error
    options = {"subdir": False, "readonly": True, "lock": False, "readahead": False}
    try:
        with lmdb.open(str(path), **options) as environment, environment.begin() as values:
            yield environment, values
    except lmdb.Error as error:
        raise ValueError(f"path: lmdb cannot read {path}: {error}") from error


# --- Pictures in an array ---


def _pictures_of_array(path: Path, name: str, stamp: str) -> Iterator[File]:
    """Yield each picture of the arrays in a .npy or .npz file; none if it holds no pictures."""
    with suppress(ValueError, OSError, EOFError, zipfile.BadZipFile):
        loaded = np.load(path, mmap_mode="r")
        name = name.removesuffix(path.suffix)
        single = isinstance(loaded, np.ndarray)
        for key, array in [("", loaded)] if single else loaded.items():
            # Names by which data sets tell their parts: x_train, train_images.
            part = re.sub(r"^x_|_images$", "", key)
            stem = "/".join(filter(None, (name, part)))
            batch = _batch(array, single)
            for i, levels in enumerate(batch):
                # Of many files with one picture each, not all can stay open.
                alone = single and len(batch) == 1
                read = partial(_only_picture, path) if alone else partial(_netpbm, levels)
                yield File(f"{stem}/{i:06}.pnm", stamp, read)


def _only_picture(path: Path) -> bytes:
    return _netpbm(_batch(np.load(path, mmap_mode="r"), single=True)[0])


def _batch(array: NDArray[Any], single: bool) -> NDArray[Any]:
    """Return gray (N, H, W) or color pictures (N, H, W, 3) of an array; none if it has none.

    It may also be a ``single`` picture: (H, W), or with three channels first or last.
    """
    if single and (array.ndim == 2 or (array.ndim == 3 and 3 in array.shape[::2])):
        array = array[None]
    if array.ndim == 4 and array.shape[3] not in (1, 3) and array.shape[1] in (1, 3):
        array = np.moveaxis(array, 1, 3)
    if array.ndim == 4 and array.shape[3] == 1:
        array = array[..., 0]
    colored = array.ndim == 4 and array.shape[3] == 3
    fits = (array.ndim == 3 or colored) and min(array.shape[1:3]) >= SMALLEST_SIDE
    return array if fits else array[:0]


def _netpbm(levels: NDArray[Any]) -> bytes:
    """Return a picture as a file, the same bytes for the same numbers."""
    if levels.dtype == bool:
        levels = levels.astype(np.float32)
    deep, fraction = levels.dtype in (np.uint16, np.int16), levels.dtype.kind == "f"
    most = 65535 if deep else 1 if fraction else 255
    low, high = levels.min(), levels.max()
    if not (low >= 0 and high <= most):
        given = f"{levels.dtype} from {low:g} to {high:g}; accepted: 0 to {most}"
        raise UnreadableError(f"path: a picture of an array has levels {given}")
    content = np.rint(levels * 255) if fraction else levels
    magic = "P6" if levels.ndim == 3 else "P5"
    head = f"{magic} {levels.shape[1]} {levels.shape[0]} {65535 if deep else 255}\n"
    return head.encode() + content.astype(">u2" if deep else np.uint8).tobytes()
