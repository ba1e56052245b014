"""Open every chapter as Colab does: its notebook alone in an empty folder, in Colab's packages.

    .venv/bin/python tests/colab/emulate.py [CHAPTER ...]

The kernel runs in ``.venv-colab``, which ``make colab`` makes. There ``google.colab`` is a
stand-in, the repository's address leads to this checkout, and each chapter starts without the book
and what the chapter before installed for it. What is tested is the last commit. Chapters run in the
smoke edition.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellControlSignal

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT / "tools"))

from chapters import chapters  # noqa: E402
from opening import repository  # noqa: E402

PYTHON = ROOT / ".venv-colab" / "bin" / "python"
SECONDS_PER_CELL = 900
COLOR = re.compile(r"\x1b\[[\d;]*m")
STARTUP = "import google.colab"  # Colab's kernel has it imported before the first cell
NOT_OF_COLAB = ("GAHB_", "JUPYTER", "PYTHON", "VIRTUAL_ENV", "MPLBACKEND")


def environment(home: Path) -> dict[str, str]:
    """Environment of the kernel, its settings in ``home``."""
    startup = home / "ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True)
    (startup / "00-colab.py").write_text(STARTUP, encoding="utf-8")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(NOT_OF_COLAB)}
    return {
        **kept,
        "GAHB_CACHE": os.environ.get("GAHB_CACHE", ""),  # images are drawn once for all chapters
        "GAHB_EDITION": "smoke",
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{ROOT.as_uri()}.insteadOf",
        "GIT_CONFIG_VALUE_0": repository(),
        "IPYTHONDIR": str(home / "ipython"),
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "PATH": f"{PYTHON.parent}{os.pathsep}{kept['PATH']}",
        "PYTHONPATH": str(HERE / "runtime"),
    }


def write_kernelspec(home: Path) -> None:
    """Let nbclient know the kernel of ``.venv-colab``, by the name ``colab``."""
    folder = home / "jupyter" / "kernels" / "colab"
    folder.mkdir(parents=True)
    argv = [str(PYTHON), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec = {"argv": argv, "display_name": "Colab", "language": "python"}
    (folder / "kernel.json").write_text(json.dumps(spec), encoding="utf-8")
    os.environ["JUPYTER_PATH"] = str(home / "jupyter")


def pip(*arguments: str) -> str:
    """What pip says in ``.venv-colab``."""
    command = [str(PYTHON), "-m", "pip", "--disable-pip-version-check", *arguments]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    if said.returncode != 0:
        raise RuntimeError(f"pip {arguments[0]}: {said.stdout}{said.stderr}")
    return said.stdout


def installed() -> dict[str, str]:
    """Versions by name of what is in ``.venv-colab``."""
    return {found["name"]: found["version"] for found in json.loads(pip("list", "--format=json"))}


def run(chapter: Path, home: Path) -> str:
    """Run one chapter; give what its first cell printed."""
    committed = f"HEAD:{chapter.with_suffix('.ipynb').relative_to(ROOT).as_posix()}"
    text = subprocess.run(
        ["git", "show", committed], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    notebook = nbformat.reads(text, as_version=4)
    with tempfile.TemporaryDirectory(dir=home) as folder:
        (Path(folder) / "content").mkdir()
        client = NotebookClient(
            notebook,
            kernel_name="colab",
            timeout=SECONDS_PER_CELL,
            resources={"metadata": {"path": f"{folder}/content"}},
        )
        client.execute(env=environment(Path(folder)))
    first = next(cell for cell in notebook.cells if cell.cell_type == "code")
    return "".join(o.text for o in first.outputs if o.get("name") == "stdout")


def outcome(chapter: Path, home: Path, colab: dict[str, str]) -> str | None:
    """What is wrong with a chapter on Colab, or None."""
    try:
        printed = run(chapter, home)
        pip("check")
    # A cell that fails or takes too long; a kernel that dies; a notebook that is not committed.
    except (CellControlSignal, RuntimeError, subprocess.CalledProcessError) as error:
        return COLOR.sub("", str(error))
    after = installed()
    if replaced := {name: after.get(name) for name in colab if after.get(name) != colab[name]}:
        return f"replaced what Colab has: {replaced}"
    if "edition smoke" not in printed:
        return f"the first cell did not set the runtime up: it printed {printed!r}"
    return None


def main() -> None:
    """Run the chapters, all unless some are named; exit with 1 if any fails."""
    chosen = [path.resolve() for path in map(Path, sys.argv[1:])] or chapters()
    pip("check")
    colab, failed = installed(), 0
    with tempfile.TemporaryDirectory() as home:
        write_kernelspec(Path(home))
        for chapter in chosen:
            started = time.monotonic()
            wrong = outcome(chapter, Path(home), colab)
            failed += wrong is not None
            seconds = time.monotonic() - started
            print(f"{chapter.stem}: {wrong or 'runs on Colab'} ({seconds:.0f} s)", flush=True)
            if added := installed().keys() - colab.keys():
                pip("uninstall", "--yes", *added)
    print(f"{len(chosen) - failed} passed, {failed} failed")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
