"""The first cell of the chapters, and what it sets up on Colab."""

import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import colab
import nbformat
import opening as openings
import pytest
import torch
from chapters import read_source
from jupytext import write

CHAPTER = """\
---
kernelspec:
  display_name: Python 3
  language: python
  name: python3
---

# A chapter

```
not code of the chapter
```

```{code-cell} ipython3
:tags: [nbval-check-output]

print(1)
```

Text between.

```{code-cell} ipython3
x = 2
```
"""
URL = "https://github.com/someone/book"


# The first cell of a chapter


@pytest.fixture
def chapter(tmp_path: Path) -> Path:
    """A chapter without the opening, and its notebook with a stored output."""
    source = tmp_path / "chapter.md"
    source.write_text(CHAPTER, encoding="utf-8")
    notebook = read_source(source)
    printing = notebook.cells[1]
    printing.execution_count = 1
    printing.outputs = [nbformat.v4.new_output("stream", name="stdout", text="1\n")]
    write(notebook, source.with_suffix(".ipynb"))
    return source


def code_cells(path: Path) -> list[nbformat.NotebookNode]:
    notebook = nbformat.read(path, as_version=4)
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_the_opening_is_put_before_all_other_code(chapter: Path) -> None:
    assert openings.put_first(chapter, URL)
    first, printing, last = code_cells(chapter.with_suffix(".ipynb"))
    assert first.source == openings.opening(URL)
    assert f" {URL} " in first.source
    assert (printing.source, printing.execution_count) == ("print(1)", 2)
    assert printing.outputs[0].text == "1\n"
    assert last.source == "x = 2"
    assert [c.source for c in read_source(chapter).cells if c.cell_type == "code"] == [
        cell.source for cell in (first, printing, last)
    ]


def test_the_opening_comes_once_and_takes_a_new_address(chapter: Path) -> None:
    openings.put_first(chapter, URL)
    before = [path.read_bytes() for path in sorted(chapter.parent.iterdir())]
    assert not openings.put_first(chapter, URL)
    assert [path.read_bytes() for path in sorted(chapter.parent.iterdir())] == before
    assert openings.put_first(chapter, URL + "2")
    for text in (chapter.read_text(), chapter.with_suffix(".ipynb").read_text()):
        assert text.count(openings.TITLE) == 1
        assert text.count(f"{URL}2 ") == 1
    assert openings.opened(openings.opened(CHAPTER, URL), URL + "2") == chapter.read_text()


def test_the_opening_takes_no_cell_along_that_follows_at_once() -> None:
    close = openings.opened(CHAPTER, URL).replace(
        "(keep_on_drive)\n```\n\n", "(keep_on_drive)\n```\n"
    )
    assert openings.opened(close, URL + "2") == openings.opened(CHAPTER, URL + "2")


def test_a_chapter_without_notebook_is_opened(chapter: Path) -> None:
    chapter.with_suffix(".ipynb").unlink()
    assert openings.put_first(chapter, URL)
    assert not chapter.with_suffix(".ipynb").exists()


def test_the_address_is_changed_in_both_places(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = openings.repository()
    texts = {}
    for name, path in (("CONFIG", openings.CONFIG), ("PROJECT", openings.PROJECT)):
        monkeypatch.setattr(openings, name, tmp_path / path.name)
        texts[tmp_path / path.name] = path.read_text(encoding="utf-8")
        (tmp_path / path.name).write_text(texts[tmp_path / path.name], encoding="utf-8")
    openings.set_repository(URL)
    assert openings.repository() == URL
    for path, text in texts.items():
        assert text.count(old) == 1
        assert path.read_text(encoding="utf-8") == text.replace(old, URL)


@pytest.mark.parametrize("url", ["", "gahb", "https://github.com/a b/c", "git@github.com:a/b.git"])
def test_an_address_that_nobody_can_clone_is_refused(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["opening.py", "--url", url])
    monkeypatch.setattr(openings, "set_repository", lambda url: pytest.fail("was set"))
    with pytest.raises(SystemExit):
        openings.main()
    assert "is not like https://github.com/owner/name" in capsys.readouterr().err


@pytest.mark.parametrize(("tags", "cloned"), [(["v1.2"], "tagged"), ([], "newest")])
def test_the_opening_clones_the_version_or_before_its_release_the_newest(
    tags: list[str], cloned: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two commits, the first of which may have the tag; the package installs nothing here."""
    there, project = tmp_path / "there", tmp_path / "pyproject.toml"
    (there / "tools").mkdir(parents=True)
    git = ["git", "-C", str(there), "-c", "user.name=a", "-c", "user.email=a@b.c"]
    subprocess.run([*git, "init", "-q"], check=True)
    for which in ("tagged", "newest"):
        (there / "tools" / "colab.py").write_text(f"set_up = lambda keep: print('{which}')")
        subprocess.run([*git, "add", "."], check=True)
        subprocess.run([*git, "commit", "-q", "-m", which], check=True)
        if which == "tagged":
            [subprocess.run([*git, "tag", tag], check=True) for tag in tags]
    project.write_text('[project]\nversion = "1.2"\n')
    monkeypatch.setattr(openings, "PROJECT", project)
    (tmp_path / "google").mkdir()
    (tmp_path / "google" / "colab.py").touch()
    code = "import google.colab\n" + openings.opening(there.as_uri())
    command = [sys.executable, "-c", code]
    told = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert told.stdout == f"{cloned}\n"


def test_elsewhere_the_opening_does_nothing(tmp_path: Path) -> None:
    code = openings.opening(URL)
    environment = {**os.environ, "PATH": ""}  # so that nothing could be cloned
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, check=True
    )
    assert (run.stdout, run.stderr, list(tmp_path.iterdir())) == (b"", b"", [])


# What it sets up


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clone on a runtime that has a Drive to mount and a GPU, and installs nothing."""
    drive = ModuleType("google.colab.drive")
    drive.mount = lambda folder: (Path(folder) / "MyDrive").mkdir(parents=True, exist_ok=True)
    package = ModuleType("google.colab")
    package.drive = drive
    monkeypatch.setitem(sys.modules, "google.colab", package)
    monkeypatch.setattr(colab, "ROOT", tmp_path / "gahb-book")
    monkeypatch.setattr(colab, "DRIVE", tmp_path / "drive")
    monkeypatch.setattr(colab, "install", lambda: None)
    monkeypatch.setattr(colab, "gpu", lambda: "Tesla T4 with 15 GB")
    monkeypatch.setenv("GAHB_EDITION", "")
    monkeypatch.delenv("GAHB_EDITION")
    return tmp_path


def test_a_gpu_gives_the_colab_edition(runtime: Path, capsys: pytest.CaptureFixture[str]) -> None:
    colab.set_up()
    assert os.environ["GAHB_EDITION"] == "colab"
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith(", edition colab, Tesla T4 with 15 GB")
    assert "tick keep_on_drive" in lines[-1]


def test_no_gpu_gives_what_was_shipped(
    runtime: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(colab, "gpu", lambda: None)
    colab.set_up(keep_on_drive=True)
    assert os.environ["GAHB_EDITION"] == "laptop"
    assert "edition laptop, no GPU" in capsys.readouterr().out
    assert not (runtime / "drive").exists()


def test_an_edition_that_is_set_stays(runtime: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAHB_EDITION", "smoke")
    colab.set_up()
    assert os.environ["GAHB_EDITION"] == "smoke"


def test_trainings_lie_on_the_drive(runtime: Path) -> None:
    here = runtime / "gahb-book" / "artifacts" / "colab"
    (here / "faces").mkdir(parents=True)
    (here / "faces" / "log.jsonl").write_text("made before the Drive was mounted")
    kept = runtime / "drive" / "MyDrive" / "gahb" / "colab"
    for _ in range(2):  # the cell may be run again
        colab.set_up(keep_on_drive=True)
        assert (kept / "faces" / "log.jsonl").is_file()
        assert here.resolve() == kept.resolve()
    (here / "later").mkdir()
    assert (kept / "later").is_dir()


def training(folder: Path, update: int | None) -> Path:
    """A training as far as its checkpoint says, or finished for None, that says where it was."""
    folder.mkdir(parents=True)
    (folder / "log.jsonl").write_text(str(folder))
    if update is None:
        (folder / "manifest.json").write_text("{}")
    else:
        torch.save({"update": update}, folder / "checkpoint.pt")
    return folder


@pytest.mark.parametrize(
    ("there", "made", "stays"),
    [(7900, 50, True), (50, 7900, False), (None, 7900, True), (50, None, False), (9, 9, True)],
)
def test_what_is_further_on_the_drive_stays(
    runtime: Path, there: int | None, made: int | None, stays: bool
) -> None:
    here = runtime / "gahb-book" / "artifacts" / "colab"
    kept = runtime / "drive" / "MyDrive" / "gahb" / "colab"
    on_drive, on_runtime = training(kept / "faces", there), training(here / "faces", made)
    names = sorted(p.name for p in (on_drive if stays else on_runtime).iterdir())
    colab.set_up(keep_on_drive=True)
    assert (kept / "faces" / "log.jsonl").read_text() == str(on_drive if stays else on_runtime)
    assert sorted(path.name for path in (kept / "faces").iterdir()) == names
    assert sorted(path.name for path in kept.iterdir()) == ["faces"]
    assert (here.with_name("colab-before-drive") / "faces" / "log.jsonl").is_file()


def test_numbers_that_are_newer_on_the_drive_stay(runtime: Path) -> None:
    here = runtime / "gahb-book" / "artifacts" / "colab" / "measured"
    kept = runtime / "drive" / "MyDrive" / "gahb" / "colab" / "measured"
    for folder in (here, kept):
        folder.mkdir(parents=True)
        for name in ("a", "b"):
            (folder / name).write_text(str(folder))
    os.utime(here / "a", (0, 0))
    os.utime(kept / "b", (0, 0))
    (here / "c").write_text("")
    colab.set_up(keep_on_drive=True)
    assert [(kept / name).read_text() for name in "abc"] == [str(kept), str(here), ""]


def test_nothing_that_runs_already_is_replaced(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen: list[str] = []

    def run(command: list[str], check: bool) -> None:
        assert check
        at = command.index("--constraint")
        seen.extend(Path(command[at + 1]).read_text().splitlines())

    monkeypatch.setattr(colab.subprocess, "run", run)
    monkeypatch.setattr(colab, "ROOT", tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    colab.install()
    assert [pin.split("==")[0] for pin in seen] == ["torch", "numpy", "ipywidgets"]
    assert f"torch=={torch.__version__}" in seen
    assert sys.path[0] == str(tmp_path)


def test_the_gpu_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert colab.gpu() is None or torch.cuda.is_available()
    found = SimpleNamespace(name="Tesla T4", total_memory=15_000 * 2**20)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: found)
    assert colab.gpu() == "Tesla T4 with 15 GB"
