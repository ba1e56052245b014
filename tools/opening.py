"""Give every chapter its first code cell, which sets a Colab runtime up.

The cell is the same in all chapters, and names the repository that ``_config.yml`` names, and the
tag of the version that ``pyproject.toml`` names, so that chapters run the code that they were
written for; before the version is released, what is newest. With
``--url`` that address is changed, in ``_config.yml``, ``pyproject.toml`` and all cells.
"""

import argparse
import os
import re
import tomllib
from pathlib import Path

import jupytext
import nbformat
import yaml
from chapters import ROOT, chapters, read_source
from nbformat import NotebookNode

CONFIG, PROJECT = ROOT / "_config.yml", ROOT / "pyproject.toml"
ADDRESS = re.compile(r"https://[\w.-]+/[\w.-]+/[\w.-]+")
TITLE = "# On Colab, fetch this book and install it; elsewhere, do nothing."
CODE = """\
import os, runpy, subprocess, sys

keep_on_drive = False  # @param {type:"boolean"}
if "google.colab" in sys.modules:
    clone = "git clone --depth=1 %s gahb-book"
    if not os.path.isdir("gahb-book"):
        tagged = f"{clone} --branch=v%s"  # which it has once released
        subprocess.call(tagged.split()) and subprocess.check_call(clone.split())
    runpy.run_path("gahb-book/tools/colab.py")["set_up"](keep_on_drive)"""
FENCE = "```{code-cell} ipython3\n"
TAGGED = f"{FENCE}:tags: [remove-cell]\n\n"  # readers of the page need not see it
BLOCK = re.compile(re.escape(TAGGED + TITLE) + r"\n.*?\n```\n+", re.DOTALL)  # up to its own fence


def repository() -> str:
    """Address of the repository, from the one place where it stands."""
    url: str = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))["repository"]["url"]
    return url


def set_repository(url: str) -> None:
    """Change the address in ``_config.yml`` and in the package's metadata, and nothing else."""
    old = repository()
    for path, line in ((CONFIG, "url: {}\n"), (PROJECT, 'Repository = "{}"\n')):
        text = path.read_text(encoding="utf-8").replace(line.format(old), line.format(url))
        path.write_text(text, encoding="utf-8")


def opening(url: str) -> str:
    """Source of the first code cell."""
    version = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]["version"]
    return f"{TITLE}\n{CODE % (url, version)}"


def is_opening(cell: NotebookNode) -> bool:
    """Whether a cell is the first code cell, of this address or of another."""
    return cell.cell_type == "code" and cell.source.startswith(TITLE)


def opened(text: str, url: str) -> str:
    """A chapter's MyST text with the opening before all other code, and nowhere else."""
    block = f"{TAGGED}{opening(url)}\n```\n\n"
    before, fence, after = BLOCK.sub("", text).partition(FENCE)
    return before + block + fence + after


def put_first(source: Path, url: str) -> bool:
    """Put the opening into a chapter and the notebook beside it; whether anything changed."""
    text = source.read_text(encoding="utf-8")
    changed = opened(text, url) != text
    if changed:
        source.write_text(opened(text, url), encoding="utf-8")
    return _copied_to_notebook(source) or changed


def _copied_to_notebook(source: Path) -> bool:
    """Put the source's opening and metadata into its notebook, whose outputs stay as they are."""
    path = source.with_suffix(".ipynb")
    if not path.is_file():
        return False
    told, stored = read_source(source), nbformat.read(path, as_version=4)
    cells = [cell for cell in stored.cells if not is_opening(cell)]
    if len(cells) == len(stored.cells):
        _count_one_cell_more(cells)
    at = next((i for i, cell in enumerate(cells) if cell.cell_type == "code"), len(cells))
    cells.insert(at, next(filter(is_opening, told.cells)))
    if (cells, told.metadata) == (stored.cells, stored.metadata):
        return False
    stored.cells, stored.metadata = cells, told.metadata
    temporary = path.with_name(f".{path.name}")
    jupytext.write(stored, temporary)
    os.replace(temporary, path)
    return True


def _count_one_cell_more(cells: list[NotebookNode]) -> None:
    """Let stored outputs say what they will say with another cell before them."""
    for cell in cells:
        if cell.get("execution_count"):
            cell.execution_count += 1


def main() -> None:
    """Put the opening into the chapters, those of ``_toc.yml`` unless some are named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", help="new address, such as https://github.com/owner/name")
    parser.add_argument("chapters", nargs="*", type=Path, help="sources; default: all of _toc.yml")
    arguments = parser.parse_args()
    if arguments.url is not None:
        if not ADDRESS.fullmatch(arguments.url):
            parser.error(f"--url: {arguments.url!r} is not like https://github.com/owner/name")
        set_repository(arguments.url)
    for source in arguments.chapters or chapters():
        if put_first(source, repository()):
            print(f"opened {source.name}")


if __name__ == "__main__":
    main()
