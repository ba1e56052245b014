"""Chapters: each notebook is what its source says, is collected, and cannot pass in silence."""

import copy
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import jupytext
import nbformat
import notebooks
import pytest
from chapters import ROOT, chapters, listed_pages, read_source
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook, new_output
from notebook_rules import WIDGET, figure_names, problems
from opening import opening, repository

from gahb.book import recipes

PYTHON_KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}
CHECKED = "# NBVAL_CHECK_OUTPUT\n"
DRAW_FACES_IN_EVERY_EDITION = {"notation", "your_own"}
SOURCE = """\
---
kernelspec:
  display_name: Python 3
  language: python
  name: python3
---

# A chapter

```{code-cell} ipython3
x = 1
```

```{code-cell} ipython3
# NBVAL_CHECK_OUTPUT
print(x)
```
"""


def named(source: Path) -> str:
    return source.stem


def notebook_with(
    source: str, *outputs: NotebookNode, tags: tuple[str, ...] = (), **metadata: object
) -> NotebookNode:
    cell = new_code_cell(source, outputs=list(outputs), metadata={"tags": list(tags), **metadata})
    cell.execution_count = 1 if outputs else None
    return new_notebook(cells=[cell], metadata={"kernelspec": PYTHON_KERNEL})


def printed(text: str) -> NotebookNode:
    return new_output("stream", name="stdout", text=text)


def raised() -> NotebookNode:
    return new_output("error", ename="ValueError", evalue="n: 0 is too few", traceback=[])


@pytest.fixture
def chapter(tmp_path: Path) -> Path:
    """A chapter that is in order, executed and stored in a folder of its own."""
    source = tmp_path / "chapter.md"
    source.write_text(SOURCE, encoding="utf-8")
    notebooks.write(source)
    return source


# The chapters of the book


def test_every_page_of_the_contents_exists() -> None:
    assert [str(page) for page in listed_pages() if not page.is_file()] == []
    assert chapters(), "the book has no chapter that holds code"


def test_every_source_is_in_the_contents() -> None:
    assert sorted((ROOT / "book").rglob("*.md")) == sorted(listed_pages())


def test_every_notebook_has_a_source() -> None:
    sources = sorted(path.with_suffix(".ipynb") for path in chapters())
    assert sorted((ROOT / "book").rglob("*.ipynb")) == sources


@pytest.mark.parametrize("source", chapters(), ids=named)
def test_notebook_matches_its_source_and_holds_to_the_rules(source: Path) -> None:
    assert notebooks.amiss(source) == []


@pytest.mark.parametrize("source", chapters(), ids=named)
def test_jupytext_itself_changes_nothing(source: Path) -> None:
    stored = nbformat.read(source.with_suffix(".ipynb"), as_version=4)
    updated = jupytext.combine.combine_inputs_with_outputs(
        jupytext.read(source), copy.deepcopy(stored), fmt={"extension": ".md"}
    )
    assert [cell.id for cell in updated.cells] == [cell.id for cell in stored.cells]
    assert [cell.get("outputs") for cell in updated.cells] == [
        cell.get("outputs") for cell in stored.cells
    ]


@pytest.mark.parametrize("source", chapters(), ids=named)
def test_chapter_checks_at_least_one_number(source: Path) -> None:
    assert any(map(notebooks.is_checked, _code_cells(read_source(source))))


@pytest.mark.parametrize("source", chapters(), ids=named)
def test_chapter_begins_with_the_set_up_for_colab(source: Path) -> None:
    first, *others = _code_cells(read_source(source))
    assert first.source == opening(repository()), "run: make opening"
    assert first.metadata["tags"] == ["remove-cell"]
    assert [cell.source for cell in others if "google.colab" in cell.source] == []


@pytest.mark.parametrize("source", chapters(), ids=named)
def test_faces_are_those_of_the_edition(source: Path) -> None:
    """In the paper edition they are photographs: a recipe knows the class, a page must not."""
    code = "\n".join(cell.source for cell in _code_cells(read_source(source)))
    if source.stem not in DRAW_FACES_IN_EVERY_EDITION:
        assert re.findall(r"""images\.load\(\s*["']faces["'].*""", code) == []


@pytest.mark.parametrize("source", chapters(), ids=named)
def test_recipes_that_a_chapter_spells_out_are_in_the_paper_edition(source: Path) -> None:
    code = "\n".join(cell.source for cell in _code_cells(read_source(source)))
    for function, name in re.findall(r'recipes\.(find|get)\("([^"]+)"\)', code):
        assert getattr(recipes, function)(name, "paper")


def test_every_cell_is_collected() -> None:
    listing = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", "book"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    for source in chapters():
        name = source.with_suffix(".ipynb").relative_to(ROOT).as_posix()
        collected = [line for line in listing if line.startswith(f"{name}::")]
        assert len(collected) == len(_code_cells(read_source(source)))


def test_no_two_figures_have_one_name() -> None:
    names = Counter(name for source in chapters() for name in figure_names(read_source(source)))
    assert len(names) > 50
    assert [name for name, count in names.items() if count > 1] == []


# What the rules refuse


def captioned(source: str, alt: str | None = "A wavy line.", **figure: str) -> NotebookNode:
    told: dict[str, object] = {"figure": {"name": "fig-a", "caption": "Waves.", **figure}}
    if alt is not None:
        told["image"] = {"alt": alt}
    return notebook_with(source, mystnb=told)


DRAWING = "figures.image_grid({'a': x});"
STEPPING = "widgets.stepper(frame, ['a', 'b'])"
BY_FUNCTION = "def draw():\n    figures.gaps(x)\n\n\ndef again():\n    draw()\n\n\nagain()"

BAD_CELLS = {
    "unknown line magic": (notebook_with("%nonsense 1\n1 / 0"), "magic 'nonsense'"),
    "unknown magic assigned": (notebook_with("x = %nonsense"), "magic 'nonsense'"),
    "cell magic": (notebook_with("%%capture\n1 / 0"), "magic 'capture'"),
    "indented magic": (notebook_with("if True:\n    %run other.py"), "magic 'run'"),
    "magic by its function": (
        notebook_with("get_ipython().run_line_magic('nonsense', '')"),
        "magic 'nonsense'",
    ),
    "help": (notebook_with("print?"), "magic 'pinfo'"),
    "shell": (notebook_with("!false"), "shell command"),
    "shell assigned": (notebook_with("files = !ls"), "shell command"),
    "not Python": (notebook_with("let x be 1"), "is not Python"),
    "lone skip-execution": (notebook_with("1 / 0", tags=("skip-execution",)), "nbval-skip"),
    "misspelled marker": (notebook_with("# NBVAL_CHECK_OUTPUTS\n1"), "marker"),
    "marker in lower case": (notebook_with("# nbval_check_output\n1"), "marker"),
    "marker with a remark": (notebook_with("# NBVAL_CHECK_OUTPUT: in dB\n1"), "marker"),
    "checked without outputs": (notebook_with(CHECKED + "print(1)"), "stores no output"),
    "checked by a tag, without outputs": (
        notebook_with("print(1)", tags=("nbval-check-output",)),
        "stores no output",
    ),
    "checked progress bar": (
        notebook_with(CHECKED, new_output("display_data", {WIDGET: {}, "text/plain": ""})),
        "widget",
    ),
    "checked picture": (
        notebook_with(CHECKED, new_output("display_data", {"image/png": "", "text/plain": ""})),
        "picture",
    ),
    "unchecked outputs": (notebook_with("print(1)", printed("1\n")), "nothing checks"),
    "unchecked exception": (
        notebook_with("f(0)", tags=("raises-exception",)),
        "must be checked",
    ),
    "exception that did not come": (
        notebook_with(CHECKED + "print(1)", printed("1\n"), tags=("raises-exception",)),
        "nothing was raised",
    ),
    "figure without a caption": (captioned(DRAWING, caption=" "), "without a caption"),
    "figure without a name": (captioned(DRAWING, name=""), "without a name"),
    "figure of another name": (captioned(DRAWING, name="waves"), "without a name"),
    "stepper without a name": (captioned(STEPPING, alt=None, name=""), "without a name"),
    "figure without words": (captioned(DRAWING, alt=None), "no words describe"),
    "figure whose words are none": (captioned(DRAWING, alt=" "), "no words describe"),
    "figure with a file's name": (captioned(DRAWING, alt="waves.png"), "no words describe"),
    "figure with a digest": (captioned(DRAWING, alt="7ad0d39e41908c36a7"), "no words describe"),
    "figure with its caption": (captioned(DRAWING, alt="Waves."), "no words describe"),
    "figure of many words": (captioned(DRAWING, alt="wave " * 31), "155 letters"),
    "figure by a function": (captioned(BY_FUNCTION, alt=None), "no words describe"),
    "long cell": (notebook_with("x = 7\n\n" * 13), "shows 13 lines"),
    "caption without a figure": (captioned("figures.count_label(9)"), "draws none"),
}

GOOD_CELLS = {
    "plain": notebook_with("x = 7\ny = 'a % b'\nz = (x\n % 2)"),
    "twelve lines": notebook_with("x = 7\n\n" * 12),
    "long and hidden": notebook_with("x = 7\n" * 30, tags=("hide-input",)),
    "known magic": notebook_with("%matplotlib inline\n%config InlineBackend.figure_format = 'png'"),
    "checked": notebook_with(CHECKED + "print(1)", printed("1\n")),
    "skipped twice": notebook_with("train()", tags=("skip-execution", "nbval-skip")),
    "checked exception": notebook_with(CHECKED + "f(0)", raised(), tags=("raises-exception",)),
    "figure": captioned(DRAWING),
    "stepper": captioned(STEPPING, alt=None),
    "function that draws, not called": notebook_with("def draw():\n    figures.gaps(x)"),
}


@pytest.mark.parametrize(("notebook", "expected"), BAD_CELLS.values(), ids=BAD_CELLS)
def test_rules_refuse(notebook: NotebookNode, expected: str) -> None:
    found = problems(notebook)
    assert len(found) == 1
    assert expected in found[0]


@pytest.mark.parametrize("notebook", GOOD_CELLS.values(), ids=GOOD_CELLS)
def test_rules_accept(notebook: NotebookNode) -> None:
    assert problems(notebook) == []


@pytest.mark.parametrize("kernel", [{}, {"name": "python3"}, {**PYTHON_KERNEL, "name": "julia"}])
def test_rules_refuse_another_kernel(kernel: dict[str, str]) -> None:
    notebook = notebook_with("x = 1")
    notebook.metadata["kernelspec"] = kernel
    assert "kernelspec" in problems(notebook)[0]


def test_execution_count_is_needed_beside_outputs() -> None:
    notebook = notebook_with(CHECKED + "print(1)", printed("1\n"))
    notebook.cells[0].execution_count = None
    assert "execution count" in problems(notebook)[0]


# How a chapter is stored


def test_only_checked_outputs_are_stored(chapter: Path) -> None:
    stored = nbformat.read(chapter.with_suffix(".ipynb"), as_version=4)
    plain, checked = _code_cells(stored)
    assert (plain.execution_count, plain.outputs) == (None, [])
    assert (checked.execution_count, checked.outputs) == (2, [printed("1\n")])
    assert notebooks.differences(chapter) == []
    assert problems(stored) == []


def test_storing_again_changes_nothing(chapter: Path) -> None:
    path = chapter.with_suffix(".ipynb")
    before = path.read_bytes()
    notebooks.write(chapter)
    assert path.read_bytes() == before
    assert sorted(file.name for file in chapter.parent.iterdir()) == [path.name, chapter.name]


def test_ids_stay_with_the_cells_that_stay(chapter: Path) -> None:
    before = [cell.id for cell in read_source(chapter).cells]
    chapter.write_text(SOURCE.replace("x = 1", "x = 2"), encoding="utf-8")
    after = [cell.id for cell in read_source(chapter).cells]
    assert [a == b for a, b in zip(before, after, strict=True)] == [True, False, True]


def test_equal_cells_have_different_ids(tmp_path: Path) -> None:
    source = tmp_path / "twins.md"
    source.write_text(SOURCE + SOURCE.split("# A chapter\n")[1], encoding="utf-8")
    ids = [cell.id for cell in read_source(source).cells]
    assert len(set(ids)) == len(ids) == 5


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("x = 1", "x = 2", "cells differ"),
        ("# A chapter", "# Another", "cells differ"),
        ("ipython3\n# NBVAL", "ipython3\n:tags: [hide-input]\n\n# NBVAL", "cells differ"),
        ("display_name: Python 3", "display_name: Python", "metadata differ"),
    ],
)
def test_changed_source_is_seen(chapter: Path, old: str, new: str, expected: str) -> None:
    chapter.write_text(SOURCE.replace(old, new), encoding="utf-8")
    assert any(expected in line for line in notebooks.differences(chapter))


def test_missing_notebook_is_seen(chapter: Path) -> None:
    chapter.with_suffix(".ipynb").unlink()
    assert notebooks.differences(chapter) == ["chapter.ipynb is missing"]


def test_failing_chapter_leaves_the_stored_one(chapter: Path) -> None:
    path = chapter.with_suffix(".ipynb")
    before = path.read_bytes()
    chapter.write_text(SOURCE.replace("x = 1", "x = 1 / 0"), encoding="utf-8")
    with pytest.raises(Exception, match="ZeroDivisionError"):
        notebooks.write(chapter)
    assert path.read_bytes() == before


def _code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_every_figure_of_a_chapter_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The style is left after each figure; what it restores must not switch the display off."""
    monkeypatch.delenv("MPLBACKEND", raising=False)  # as make does: servers set it
    drawing = "figures.image_grid({'a': torch.rand(1, 1, 8, 8)});"
    cells = ["import torch\nfrom gahb.book import figures", drawing, drawing]
    notebook = new_notebook(cells=[new_code_cell(cell) for cell in cells])
    notebook.metadata["kernelspec"] = PYTHON_KERNEL
    notebooks.execute(notebook, ROOT)
    for cell in notebook.cells[1:]:
        assert any("image/png" in output.get("data", {}) for output in cell.outputs)
