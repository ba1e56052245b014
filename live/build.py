"""Compile net.c to WebAssembly, and keep it as text: python live/build.py (or `make kernel`)."""

import hashlib
import subprocess
import sys
import textwrap
from base64 import b64decode, b64encode
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryDirectory

HERE = Path(__file__).parent
SOURCE, COMPILED = HERE / "net.c", HERE / "net.wasm.txt"
COMPILER = "ziglang==0.15.2"  # clang 20.1.2 and its linker, a package of Python
COMMAND = (
    "python -m ziglang cc -target wasm32-freestanding -msimd128 -O2 -nostdlib -Wl,--no-entry"
    " -Wl,--import-memory -Wl,--strip-all -Wl,-z,stack-size=4096 -Wl,--global-base=8192"
    " -o net.wasm net.c"
)


def installed() -> bool:
    """Whether the compiler is there, in the version that compiled what is committed."""
    try:
        return version("ziglang") == COMPILER.split("==")[1]
    except PackageNotFoundError:
        return False


def compiled() -> bytes:
    """What the compiler makes of the source."""
    with TemporaryDirectory() as folder:
        output = Path(folder) / "net.wasm"
        arguments = COMMAND.replace("net.wasm", str(output)).replace("net.c", str(SOURCE)).split()
        subprocess.run([sys.executable, *arguments[1:]], check=True)
        return output.read_bytes()


def source_sum() -> str:
    """SHA-256 of the source and of the command that compiles it."""
    return hashlib.sha256(SOURCE.read_bytes() + f"{COMPILER} {COMMAND}".encode()).hexdigest()


def read() -> tuple[str, bytes]:
    """The sum that was noted when the kernel was compiled, and the kernel."""
    first, *lines = COMPILED.read_text(encoding="utf-8").splitlines()
    return first.split()[-1], b64decode("".join(lines))


def main() -> None:
    if not installed():
        sys.exit(f"build: the compiler is not installed; run: pip install {COMPILER}")
    lines = textwrap.wrap(b64encode(compiled()).decode(), 100)
    COMPILED.write_text("\n".join([f"of {source_sum()}", *lines, ""]), encoding="utf-8")


if __name__ == "__main__":
    main()
