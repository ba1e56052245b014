"""The chapters: notebooks that _toc.yml names, each one MyST source with an .ipynb beside it."""

import hashlib
from collections import Counter
from pathlib import Path
from typing import Any

import jupytext
import yaml
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parents[1]


def execution() -> dict[str, Any]:
    """Return how _config.yml says that chapters are executed."""
    settings: dict[str, Any] = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    return settings["execute"]


def listed_pages() -> list[Path]:
    """Every page of _toc.yml, in reading order."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    return [ROOT / name for name in _files(toc)]


def chapters() -> list[Path]:
    """Sources of the pages that hold code; the other pages are plain text."""
    return [page for page in listed_pages() if "{code-cell}" in page.read_text(encoding="utf-8")]


def read_source(source: Path) -> NotebookNode:
    """Notebook without outputs that a MyST source describes, the same each time it is read.

    MyST knows no cell ids: each id is drawn from its cell's text, so that it changes only with it.
    """
    notebook = jupytext.read(source)
    seen: Counter[str] = Counter()
    for cell in notebook.cells:
        text = f"{cell.cell_type}\n{cell.source}"
        cell.id = hashlib.sha256(f"{seen[text]}\n{text}".encode()).hexdigest()[:8]
        seen[text] += 1
    # What is left of the header once read is what `jupytext --to ipynb` keeps of it.
    notebook.metadata.get("jupytext", {}).pop("text_representation", None)
    notebook.metadata["accelerator"] = "GPU"  # Colab's button then starts a runtime that has one
    return notebook


def _files(node: object) -> list[str]:
    if isinstance(node, list):
        return [name for item in node for name in _files(item)]
    if isinstance(node, dict):
        own = [node[key] for key in ("root", "file") if key in node]
        return own + [name for value in node.values() for name in _files(value)]
    return []
