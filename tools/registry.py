"""Write gahb/book/registry.txt: the SHA-256 of every shipped file, by which it is checked.

A wheel fetches files by it. Of weights and logs it is that of the manifest beside them. Run it
whenever artifacts change.
"""

from itertools import chain

from chapters import ROOT

from gahb.book.artifacts import STORED
from gahb.settings import read_json
from gahb.training.record import MANIFEST, sha256

ARTIFACTS = ROOT / "artifacts"
REGISTRY = ROOT / "gahb" / "book" / "registry.txt"


def registry() -> str:
    """Return one line per file of the laptop edition: its path in artifacts/, and its SHA-256."""
    laptop = ARTIFACTS / "laptop"
    stored = chain(*map(laptop.glob, STORED))
    sums = {path: sha256(path) for path in stored}
    for path in laptop.glob(f"*/{MANIFEST}"):
        sums |= {path.parent / name: of for name, of in read_json(path)["sha256"].items()}
        sums[path] = sha256(path)
    lines = [f"{path.relative_to(ARTIFACTS).as_posix()} {of}" for path, of in sums.items()]
    return "".join(f"{line}\n" for line in sorted(lines))


if __name__ == "__main__":
    REGISTRY.write_text(registry(), encoding="utf-8")
