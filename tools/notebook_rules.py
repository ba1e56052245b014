"""What a chapter must hold to, because the tools that run it would let it pass in silence."""

import ast
import re
from collections.abc import Iterator

from IPython.core.inputtransformer2 import TransformerManager
from nbformat import NotebookNode
from nbval.plugin import comment_markers, find_comment_markers, find_metadata_tags

ALLOWED_MAGICS = frozenset({"config", "matplotlib", "pip"})
MAGIC_CALLS = frozenset({"run_line_magic", "run_cell_magic", "magic"})
SHELL_CALLS = frozenset({"system", "getoutput"})
PICTURES = frozenset({"image/png", "image/jpeg", "image/svg+xml"})
WIDGET = "application/vnd.jupyter.widget-view+json"
# Of gahb.book.figures, whose other functions draw; a stepper draws one picture for each label.
NOT_DRAWN = frozenset({"as_gray", "colors", "count_label", "report_page", "style"})
STEPPER = "widgets.stepper"
FIGURE_NAME = re.compile(r"fig-[a-z0-9]+(-[a-z0-9]+)*")
FILE_NAME = re.compile(r"\S+\.\w+|[0-9a-f]{16,}")
LONGEST_CELL = 12  # lines of code, empty ones aside: what a reader takes in at a glance
HIDDEN = frozenset({"hide-cell", "hide-input", "remove-cell", "remove-input"})
LONGEST_ALT = 150  # letters: a screen reader reads them in one go


def problems(notebook: NotebookNode) -> list[str]:
    """Everything in a stored notebook that breaks a rule, one line each, in reading order."""
    found = list(_kernel_problems(notebook))
    code_cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for number, cell in enumerate(code_cells):
        for rule in (
            _magic_problems,
            _marker_problems,
            _output_problems,
            _exception_problems,
            _length_problems,
        ):
            found += [f"Cell {number}: {problem}" for problem in rule(cell)]
    return found + list(_figure_problems(code_cells))


def figure_names(notebook: NotebookNode) -> list[str]:
    """Return the names by which pages refer to the figures of a notebook."""
    figures = (cell.metadata.get("mystnb", {}).get("figure", {}) for cell in notebook.cells)
    return [figure["name"] for figure in figures if "name" in figure]


def is_checked(cell: NotebookNode) -> bool:
    """Whether a cell's outputs are compared with the stored ones when the chapter is tested."""
    return bool(_options(cell).get("check"))


def _options(cell: NotebookNode) -> dict[str, bool]:
    return {
        **dict(find_metadata_tags(cell.metadata)),
        **dict(find_comment_markers(cell.source)),
    }


def _kernel_problems(notebook: NotebookNode) -> Iterator[str]:
    kernel = notebook.metadata.get("kernelspec", {})
    if kernel.get("name") != "python3" or not kernel.get("display_name"):
        yield "kernelspec must name python3 and how it is displayed: the Colab button needs it"


def _magic_problems(cell: NotebookNode) -> Iterator[str]:
    """An unknown magic and a failed shell command end no cell with an error."""
    python = TransformerManager().transform_cell(cell.source)
    try:
        flags = ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        tree = compile(python, "<cell>", "exec", flags=flags)
    except SyntaxError as error:
        yield f"is not Python: {error.msg}"
        return
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        if not _is_ipython(node.func.value):
            continue
        if node.func.attr in SHELL_CALLS:
            yield "runs a shell command, whose failure would pass"
        elif node.func.attr in MAGIC_CALLS:
            name = _first_word(node)
            if node.func.attr == "run_cell_magic" or name not in ALLOWED_MAGICS:
                accepted = ", ".join(f"%{magic}" for magic in sorted(ALLOWED_MAGICS))
                yield f"magic {name!r} is not accepted; accepted: {accepted}"


def _is_ipython(node: ast.expr) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "get_ipython"
    )


def _first_word(call: ast.Call) -> str:
    if call.args and isinstance(call.args[0], ast.Constant):
        return str(call.args[0].value).split(" ")[0]
    return ast.unparse(call)


def _marker_problems(cell: NotebookNode) -> Iterator[str]:
    """A marker that is not spelled exactly is a comment, and a page's tags are not nbval's."""
    for line in cell.source.splitlines():
        comment = line.strip()
        meant = re.match(r"#.*nbval", comment, re.IGNORECASE)
        if meant and comment.lstrip("#").strip() not in comment_markers:
            yield f"marker {comment!r} is not one of {', '.join(comment_markers)}"
    if "skip-execution" in cell.metadata.get("tags", []) and not _options(cell).get("skip"):
        yield "skip-execution alone does not skip the test: add nbval-skip"


def _output_problems(cell: NotebookNode) -> Iterator[str]:
    """Without an execution count, nbval compares nothing."""
    if not is_checked(cell):
        if cell.outputs or cell.execution_count is not None:
            yield "stores outputs that nothing checks"
    elif cell.execution_count is None or not cell.outputs:
        yield "is checked but stores no output with an execution count"
    elif any(PICTURES & set(output.get("data", {})) for output in cell.outputs):
        yield "is checked but shows a picture: print its numbers in a cell of their own"
    elif any(WIDGET in output.get("data", {}) for output in cell.outputs):
        yield "is checked but shows a widget: of a progress bar, unless TQDM_DISABLE is set"


def _exception_problems(cell: NotebookNode) -> Iterator[str]:
    """A cell that may raise passes when nothing raises, unless the error itself is checked."""
    if not _options(cell).get("check_exception"):
        return
    if not is_checked(cell):
        yield "raises-exception must be checked: add # NBVAL_CHECK_OUTPUT"
    elif not any(output.output_type == "error" for output in cell.outputs):
        yield "raises-exception, but nothing was raised"


def _length_problems(cell: NotebookNode) -> Iterator[str]:
    lines = sum(bool(line.strip()) for line in cell.source.splitlines())
    if lines > LONGEST_CELL and not HIDDEN & set(cell.metadata.get("tags", ())):
        yield f"shows {lines} lines; accepted: at most {LONGEST_CELL}, or the tag hide-input"


def _figure_problems(code_cells: list[NotebookNode]) -> Iterator[str]:
    """A picture without a caption has no number; without a text, its file's name is read aloud."""
    drawing: set[str] = set()  # functions of the chapter that draw
    for number, cell in enumerate(code_cells):
        try:
            tree = ast.parse(TransformerManager().transform_cell(cell.source))
        except SyntaxError:
            continue  # told by another rule
        defined = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
        for each in defined:
            if _drawn(each, drawing):
                drawing.add(each.name)
        drawn = set().union(*(_drawn(node, drawing) for node in tree.body if node not in defined))
        for problem in _caption_problems(cell, drawn):
            yield f"Cell {number}: {problem}"


def _drawn(node: ast.AST, drawing: set[str]) -> set[str]:
    """Return what draws of all that is called in a piece of code."""
    called = {ast.unparse(each.func) for each in ast.walk(node) if isinstance(each, ast.Call)}
    figures = {f"figures.{name}" for name in NOT_DRAWN}
    return {
        name
        for name in called
        if name in drawing
        or name == STEPPER
        or (name.startswith("figures.") and name not in figures)
    }


def _caption_problems(cell: NotebookNode, drawn: set[str]) -> Iterator[str]:
    shown = cell.metadata.get("mystnb", {})
    figure, alt = shown.get("figure", {}), shown.get("image", {}).get("alt", "")
    if not drawn:
        if shown:
            yield "has a caption or a text for a picture, but draws none"
        return
    if not figure.get("caption", "").strip():
        yield "draws a figure without a caption: mystnb: figure: caption"
    if not FIGURE_NAME.fullmatch(figure.get("name", "")):
        yield "draws a figure without a name: mystnb: figure: name: fig-..."
    if STEPPER in drawn:
        return  # whose labels are the texts of its pictures
    if not alt.strip() or FILE_NAME.fullmatch(alt.strip()) or alt == figure.get("caption"):
        yield "draws a figure that no words describe: mystnb: image: alt, other than the caption"
    elif len(alt) > LONGEST_ALT:
        yield f"describes a figure in {len(alt)} letters; accepted: at most {LONGEST_ALT}"
