"""Widgets show what was drawn, and step through it in a page without a kernel or a network."""

import base64
import json
import re
import subprocess
from html import unescape
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import ipywidgets
import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pydata_sphinx_theme
import pytest
import yaml
from browser import CHROMIUM
from chapters import ROOT
from ipywidgets.embed import dependency_state, embed_data
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from PIL import Image

from gahb.book import widgets

STATIC = ROOT / "book" / "_static"
THEME = Path(pydata_sphinx_theme.__file__).parent
CONFIG = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))["sphinx"]["config"]
COLORS = ["tab:red", "tab:green", "tab:blue"]
LABELS = ["σ = 1", "σ = 0.5", 'σ < "0.1"']


def draw(i: int, inches: tuple[float, float] = (3, 2)) -> Axes:
    """One color all over, so that a frame is known by any of its pixels."""
    figure = plt.figure(figsize=inches, dpi=100, facecolor=COLORS[i % 3])
    axes = figure.subplots()
    axes.set_axis_off()
    return axes


class ImageTag(HTMLParser):
    """What a browser reads in the HTML of one picture."""

    def __init__(self, picture: str) -> None:
        super().__init__()
        self.attributes: dict[str, str | None] = {}
        self.feed(picture)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        assert tag == "img" and not self.attributes, "one image and nothing else"
        self.attributes = dict(attributes)

    def pixels(self) -> np.ndarray:
        kind, data = self.attributes["src"].split(",")
        assert kind == "data:image/png;base64"
        return np.asarray(Image.open(BytesIO(base64.b64decode(data))).convert("RGB")) / 255


@pytest.fixture(autouse=True)
def no_figure_left():
    plt.close("all")
    yield
    assert plt.get_fignums() == []


@pytest.fixture
def version_7(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(ipywidgets, "Stack")
    monkeypatch.delattr(ipywidgets, "jslink")


# What is shown


def test_each_frame_is_what_was_drawn_and_says_its_label() -> None:
    pictures = widgets.stepper(draw, LABELS).children[1].children
    for picture, color, label in zip(pictures, COLORS, LABELS, strict=True):
        tag = ImageTag(picture.value)
        pixels = tag.pixels()
        assert pixels.shape == (200, 300, 3)
        np.testing.assert_allclose(pixels, np.broadcast_to(to_rgb(color), pixels.shape), atol=3e-3)
        assert tag.attributes["alt"] == label
        assert "width: 300px; max-width: 100%" in tag.attributes["style"]


def test_gray_images_keep_their_levels() -> None:
    levels = np.linspace(0, 1, 64).reshape(8, 8)

    def gray(i: int) -> plt.Figure:
        figure = plt.figure(figsize=(2, 2), dpi=40)
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        axes.imshow(levels, cmap="gray", vmin=0, vmax=1, interpolation="nearest", aspect="auto")
        return figure

    pixels = ImageTag(widgets.stepper(gray, LABELS).children[1].children[0].value).pixels()
    np.testing.assert_allclose(pixels[5::10, 5::10, 0], levels, atol=1.01 / 255)


def test_slider_shows_the_labels_and_what_they_are() -> None:
    play, slider = widgets.stepper(draw, LABELS, "noise level").children[0].children
    assert [label for label, _ in slider.options] == LABELS
    assert (slider.description, slider.label, slider.readout) == ("noise level", LABELS[0], True)
    assert (play.min, play.max, play.interval) == (0, len(LABELS) - 1, 500)


def test_equal_labels_are_different_frames() -> None:
    slider = widgets.stepper(draw, ["end", "end", "end"]).children[0].children[1]
    slider.index = 2
    assert slider.index == 2


# How it is tied together


def test_all_that_it_needs_is_in_the_page() -> None:
    widget = widgets.stepper(draw, LABELS)
    (play, slider), stack = widget.children[0].children, widget.children[1]
    state = dependency_state([widget])
    links = [
        [tuple(model["state"][end]) for end in ("source", "target")]
        for model in state.values()
        if model["model_name"] == "LinkModel"
    ]
    named = {f"IPY_MODEL_{part.model_id}": part for part in (play, slider, stack)}
    ties = [[(named[model], trait) for model, trait in ends] for ends in links]
    assert ties == [
        [(play, "value"), (slider, "index")],
        [(slider, "index"), (stack, "selected_index")],
    ]
    assert len(stack.children) == len(LABELS) and stack.selected_index == 0
    assert {child.model_id for child in stack.children} <= set(state)


@pytest.mark.usefixtures("version_7")
def test_before_version_8_the_kernel_swaps_the_picture() -> None:
    widget = widgets.stepper(draw, LABELS)
    (play, slider), picture = widget.children[0].children, widget.children[1]
    assert ImageTag(picture.value).attributes["alt"] == LABELS[0]
    slider.index = 2
    assert (ImageTag(picture.value).attributes["alt"], play.value) == (LABELS[2], 2)
    play.value = 1
    assert (ImageTag(picture.value).attributes["alt"], slider.label) == (LABELS[1], LABELS[1])


# What is refused


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: widgets.stepper(draw, []), "^labels: 0 texts; accepted: 2 to 20 texts"),
        (lambda: widgets.stepper(draw, ["a"] * 21), "^labels: 21 texts; accepted: 2 to 20 texts"),
        (lambda: widgets.stepper(draw, "abc"), "^labels: 'abc' are not 2 to 20 texts"),
        (lambda: widgets.stepper(draw, 3), "^labels: 3 are not 2 to 20 texts"),
        (lambda: widgets.stepper(draw, [1.0, 0.5]), r"^labels: \[1.0, 0.5\] are not 2 to 20 texts"),
        (lambda: widgets.stepper(lambda i: None, LABELS), "^draw: gives NoneType for 'σ = 1'"),
        (
            lambda: widgets.stepper(lambda i: draw(i, (3, 2 + i)), LABELS),
            r"^draw: figures of \[\(300.0, 200.0\), \(300.0, 300.0\), .*; accepted: one size",
        ),
    ],
)
def test_bad_input_gives_one_clear_line(call, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message) as error:
        call()
    assert "\n" not in str(error.value)


def test_too_heavy_a_page_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(widgets, "MOST_BYTES", 100)
    with pytest.raises(
        ValueError, match=r"^draw: 3 frames of 0\.\d MB in all; accepted: 0.0001 MB"
    ):
        widgets.stepper(draw, LABELS)


def test_labels_are_refused_before_anything_is_drawn() -> None:
    with pytest.raises(ValueError, match=r"^labels"):
        widgets.stepper(lambda i: pytest.fail("drew a frame"), ["a"] * 21)


# The page that shows it


def test_nothing_is_loaded_from_elsewhere() -> None:
    loaded = [*CONFIG["nb_ipywidgets_js"], *CONFIG["html_css_files"], CONFIG["mathjax_path"]]
    assert [name for name in loaded if not (STATIC / name).is_file()] == []


def test_fonts_are_beside_the_script_that_asks_for_them() -> None:
    path = STATIC / "widgets" / "embed.js"
    fonts = set(re.findall(r"[0-9a-f]{20}\.woff2", path.read_text(encoding="utf-8")))
    assert fonts == {font.name for font in path.parent.glob("*.woff2")} != set()


# Steps with the arrow key, then lets it play, and notes what is seen: the label and the picture.
VISITOR = """
const shown = () => document.querySelector("img")?.alt;
const changed = (before) => new Promise((done) => {
  const clock = setInterval(() => {
    if (shown() && shown() !== before) { clearInterval(clock); done(); }
  }, 20);
});
const seen = [];
const see = async (before) => {
  await changed(before);
  seen.push([document.querySelector(".widget-readout").textContent, shown()]);
};
window.addEventListener("load", async () => {
  await see(undefined);
  const key = new KeyboardEvent("keydown", { key: "ArrowRight", bubbles: true });
  document.querySelector("[role=slider]").dispatchEvent(key);
  await see(seen[0][1]);
  document.querySelector(".fa-play").closest("button").click();
  await see(seen[1][1]);
  const requests = performance.getEntriesByType("resource").map((entry) => entry.name);
  const formulas = document.querySelectorAll(".widget-label mjx-container").length;
  document.body.textContent = JSON.stringify({ seen, requests, formulas });
});
"""


def page(widget: ipywidgets.Widget) -> str:
    """The widget as the book embeds it, among the scripts that the pages of the book have."""
    data = embed_data(views=[widget], state=dependency_state([widget]))
    state, (view,) = json.dumps(data["manager_state"]), map(json.dumps, data["view_specs"])
    scripts = [*THEME.rglob("vendor/fontawesome/*/js/all.min.js")]
    scripts += [STATIC / name for name in (CONFIG["mathjax_path"], *CONFIG["nb_ipywidgets_js"])]
    assert len(scripts) == 4
    return "\n".join(
        [
            '<!DOCTYPE html><html><head><meta charset="utf-8"></head><body>',
            f'<script type="application/vnd.jupyter.widget-state+json">{state}</script>',
            f'<script type="application/vnd.jupyter.widget-view+json">{view}</script>',
            f"<script>{VISITOR}</script>",
            *(f'<script src="{script.as_uri()}"></script>' for script in scripts),
            "</body></html>",
        ]
    )


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium, to open a page")
def test_a_page_without_kernel_or_network_steps_and_plays(tmp_path: Path) -> None:
    widget = widgets.stepper(draw, LABELS, r"noise level \(\sigma\)")
    file = tmp_path / "page.html"
    file.write_text(page(widget), encoding="utf-8")
    flags = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--host-resolver-rules=MAP * ~NOTFOUND",
        f"--user-data-dir={tmp_path / 'profile'}",
        "--virtual-time-budget=20000",
        "--dump-dom",
    ]
    command = [CHROMIUM, *flags, file.as_uri()]
    dom = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    told = re.search(r"<body>(.*)</body>", dom, re.DOTALL)
    found = json.loads(unescape(told[1]))
    assert found["seen"] == [[label, label] for label in LABELS]
    assert found["formulas"] == 1
    assert [url for url in found["requests"] if not url.startswith(("file:", "data:"))] == []
