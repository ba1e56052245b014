"""Regenerate each chapter's .ipynb from its .md and store the outputs that are checked.

Only cells marked ``# NBVAL_CHECK_OUTPUT`` keep their outputs: the files stay small, and a
difference between two versions is a change of text or of a checked number.
"""

import argparse
import os
import sys
from pathlib import Path

import jupytext
import nbformat
from chapters import ROOT, chapters, execution, read_source
from nbclient import NotebookClient
from nbformat import NotebookNode
from notebook_rules import is_checked, problems
from opening import put_first, repository


def execute(notebook: NotebookNode, folder: Path) -> None:
    """Run all cells in place, in ``folder``, with the Python that runs this."""
    NotebookClient(
        notebook,
        timeout=execution()["timeout"],
        resources={"metadata": {"path": str(folder)}},
        record_timing=False,
        coalesce_streams=True,
        store_widget_state=False,
    ).execute()


def keep_checked_outputs(notebook: NotebookNode) -> None:
    """Remove what executing left behind, except what is compared when the chapter is tested."""
    notebook.metadata.pop("language_info", None)
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        if not is_checked(cell):
            cell.outputs, cell.execution_count = [], None
        for output in cell.outputs:
            if output.output_type == "error":
                output.traceback = []  # holds paths of this machine; never compared


def write(source: Path) -> None:
    """Execute a chapter and put the notebook beside its source, whole or not at all."""
    notebook = read_source(source)
    execute(notebook, source.parent)
    keep_checked_outputs(notebook)
    temporary = source.with_name(f".{source.stem}.ipynb")
    jupytext.write(notebook, temporary)
    os.replace(temporary, source.with_suffix(".ipynb"))


def differences(source: Path) -> list[str]:
    """What a chapter's .ipynb says otherwise than its .md, one line each."""
    path = source.with_suffix(".ipynb")
    if not path.is_file():
        return [f"{path.name} is missing"]
    told, stored = read_source(source), nbformat.read(path, as_version=4)
    if [_identity(cell) for cell in told.cells] != [_identity(cell) for cell in stored.cells]:
        return [f"{path.name}: cells differ from {source.name}"]
    if told.metadata != stored.metadata:
        return [f"{path.name}: metadata differ from {source.name}"]
    return []


def amiss(source: Path) -> list[str]:
    """All that is wrong with a stored chapter, one line each."""
    path = source.with_suffix(".ipynb")
    return differences(source) or [
        f"{path.name}: {problem}" for problem in problems(nbformat.read(path, as_version=4))
    ]


def _identity(cell: NotebookNode) -> tuple[object, ...]:
    return cell.id, cell.cell_type, cell.source, cell.metadata


def main() -> None:
    """Write the chapters, or with ``--check`` say what is amiss in them and fail."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare only, and change nothing")
    parser.add_argument("chapters", nargs="*", type=Path, help="sources; default: all of _toc.yml")
    arguments = parser.parse_args()
    sources = [path.resolve() for path in arguments.chapters] or chapters()
    if unknown := [str(source) for source in sources if source not in chapters()]:
        parser.error(f"chapters: {', '.join(unknown)}: not a chapter of _toc.yml that holds code")
    if not arguments.check:
        for source in sources:
            put_first(source, repository())
            print(f"executing {source.relative_to(ROOT)}", flush=True)
            write(source)
    if wrong := [line for source in sources for line in amiss(source)]:
        sys.exit("\n".join([*wrong, "edit the .md, then: make notebooks"]))


if __name__ == "__main__":
    main()
