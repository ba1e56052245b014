"""The rendered pages: no error of a script, and nothing that keeps a reader out, light or dark."""

from collections.abc import Iterator
from pathlib import Path

import axe_core_python
import pages
import pytest
from browser import CHROMIUM, Browser, Page, opened
from chapters import ROOT

AXE = (Path(axe_core_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
HTML = ROOT / "_build" / "html"
BUILT = sorted(path.relative_to(HTML).as_posix() for path in HTML.glob("book/**/*.html"))
GRAVE = """axe.run().then(({ violations }) => violations
  .filter(({ impact }) => ["serious", "critical"].includes(impact))
  .map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html.slice(0, 200)).join(" | ")}`))"""
# Pictures that are read out as the name of their file, or not at all, or that have no caption.
UNTOLD = """[...document.querySelectorAll("article img")].filter((image) =>
    !image.alt.trim() || /^\\S+\\.\\w+$/.test(image.alt.trim()) ||
    (image.closest(".cell_output") && !image.closest("figure")?.querySelector("figcaption")))
  .map((image) => `${image.alt}: ${image.src.slice(0, 200)}`)"""
# What is folded away is to be read too; closed, axe takes it to lie under what comes next.
UNFOLDED = """for (const part of document.querySelectorAll("details")) part.open = true;
for (const fading of document.getAnimations()) fading.finish(); 0"""
DARK = "document.documentElement.dataset.theme = document.documentElement.dataset.mode = 'dark'; 0"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with opened(tmp_path_factory.mktemp("profile")) as running:
        yield running


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium, to open a page")
@pytest.mark.parametrize("name", BUILT)
def test_page_is_open_to_everybody(browser: Browser, name: str) -> None:
    page = Page(
        browser, (HTML / name).as_uri(), width=1400, height=1000, deviceScaleFactor=1, mobile=False
    )
    page.run(UNFOLDED)
    page.run(f"{AXE}; 0")
    assert page.run(GRAVE) == []
    assert page.run(UNTOLD) == []
    page.run(DARK)
    assert page.run(GRAVE) == []
    assert page.errors() == []
    page.close()


MODELS = {
    "1": {"model_name": "VBoxModel", "state": {"children": ["IPY_MODEL_2", "IPY_MODEL_3"]}},
    "2": {"model_name": "HBoxModel", "state": {}},
    "3": {"model_name": "StackModel", "state": {"children": ["IPY_MODEL_4", "IPY_MODEL_5"]}},
    "4": {"model_name": "HTMLModel", "state": {"value": "<img src='first'>"}},
    "5": {"model_name": "HTMLModel", "state": {"value": "<img src='second'>"}},
}
VIEW = (
    '<script type="application/vnd.jupyter.widget-view+json">{"model_id": "%s"}</script>\n<p>next'
)


def test_stepper_shows_its_first_picture_where_no_scripts_run() -> None:
    body = pages.with_still_pictures(VIEW % 1, MODELS)
    assert "</script><noscript><img src='first'></noscript>\n<p>next" in body
    assert pages.with_still_pictures(VIEW % 2, MODELS) == VIEW % 2
    assert pages.with_still_pictures(VIEW % 1, {}) == VIEW % 1


@pytest.mark.parametrize("name", [name for name in BUILT if VIEW[:50] in (HTML / name).read_text()])
def test_built_steppers_have_a_first_picture(name: str) -> None:
    text = (HTML / name).read_text(encoding="utf-8")
    assert text.count(VIEW[:50]) == text.count('<noscript><img src="data:image/png')
