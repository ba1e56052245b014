"""Write requirements.lock from the environment that runs this: the exact set that is tested.

The hashes are those of all files of each version, for every Python and machine; uv collects them.
"""

import re
import subprocess
import sys
from importlib.metadata import Distribution, distributions
from pathlib import Path

from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

LOCK = Path(__file__).resolve().parents[1] / "requirements.lock"
PYTHONS = ("3.11.0", "3.12.0", "3.13.0")
HEADER = """\
# The exact set that the book was tested with, on Python 3.11 to 3.13. Written by `make lock`.
# torch comes first and alone, then the rest by their hashes (see the Makefile): its builds, for
# CPUs and for each CUDA, are different files of one version, and bring what they need themselves.
"""
HASHES = ["uv", "pip", "compile", "-", "--no-deps", "--universal", "--generate-hashes", "--quiet"]
PLAIN = ["--python-version", "3.11", "--no-header", "--no-annotate", "--no-emit-index-url"]
# Part of every environment, or of one build of torch only.
LEFT_OUT = re.compile(r"pip|setuptools|wheel|uv|gahb|triton|nvidia-.*|cuda-.*")


def pin(distribution: Distribution) -> str:
    """One line of the lock; the build's local label (``+cpu``) says nothing about the version."""
    return f"{distribution.name}=={distribution.version.partition('+')[0]}"


def fits_every_python(distribution: Distribution) -> bool:
    """Whether the version can be installed on every Python that the project supports."""
    accepted = SpecifierSet(distribution.metadata.get("Requires-Python", ""))
    return all(python in accepted for python in PYTHONS)


def main() -> None:
    """Write the lock, or say which package would not install everywhere."""
    found = {canonicalize_name(d.name): d for d in distributions()}
    kept = {name: d for name, d in found.items() if not LEFT_OUT.fullmatch(name)}
    if misfits := sorted(pin(d) for d in kept.values() if not fits_every_python(d)):
        sys.exit(f"lock: {', '.join(misfits)} would not install on all of {', '.join(PYTHONS)}")
    torch = pin(kept.pop("torch"))
    pins = "".join(f"{pin(kept[name])}\n" for name in sorted(kept))
    compiled = [sys.executable, "-m", *HASHES, *PLAIN]
    hashed = subprocess.run(compiled, input=pins, stdout=subprocess.PIPE, text=True, check=True)
    LOCK.write_text(f"{HEADER}{torch}\n{hashed.stdout}", encoding="utf-8")


if __name__ == "__main__":
    main()
