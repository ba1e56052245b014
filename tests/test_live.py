"""Networks run in a page as they do in Python: layers, products, noise, samples, basis, figures."""

import copy
import json
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import live_figures
import live_networks
import pytest
import torch
from browser import CHROMIUM, Browser, Page, opened
from chapters import ROOT
from sphinx.application import Sphinx
from torch import Tensor, nn

import gahb
from gahb.basis.jacobian import jacobian_at
from gahb.book import recipes
from gahb.networks import BFCNN, UNet
from gahb.sampling.algorithm import Noise

sys.path.append(str(ROOT / "live"))
import build

RECIPES = recipes.find(live_figures.PATTERN, live_figures.EDITION)
SIZES = sorted({recipe.n for recipe in RECIPES})
ENDS = [recipe for recipe in RECIPES if recipe.n in (SIZES[0], SIZES[-1])]
LAST = ENDS[-1]
# Blocks, width, side: the book's own, and such as leave a remainder at some level.
SHAPES = [(2, 32, 32), (1, 16, 12), (2, 16, 24), (3, 16, 48), (2, 12, 20), (3, 4, 8)]
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium, to open a page")

ASKING = """
const answers = new Map();
const worker = new Worker(URL.createObjectURL(new Blob([globalThis.gahbData.worker])));
worker.onmessage = ({ data }) => { if (data.done || data.error) answers.get(data.id)(data); };
let asked = 0;
const plain = (value) => value instanceof Float32Array ? Array.from(value)
  : Array.isArray(value) ? value.map(plain)
  : value && typeof value === "object"
    ? Object.fromEntries(Object.entries(value).map(([k, v]) => [k, plain(v)])) : value;
globalThis.ask = (task, question) => new Promise((done) => {
  answers.set(++asked, ({ value, error }) => done(error ? { error } : plain(value)));
  for (const name of ["y", "v"])
    if (question[name]) question[name] = Float32Array.from(question[name]);
  worker.postMessage({ id: asked, task, figure: "test", ...question });
});
"""


def random_unet(blocks: int, width: int) -> UNet:
    """A UNet whose normalization is not trivial."""
    network = UNet(blocks, width)
    for norm in network.modules():
        if isinstance(norm, gahb.networks.BiasFreeNorm):
            nn.init.uniform_(norm.gamma, 0.5, 1.5)
            nn.init.uniform_(norm.running_sd, 0.5, 1.5)
    return network.eval()


def halved(network: UNet) -> gahb.Denoiser:
    """The denoiser with the weights that a page has: folded, and in half precision."""
    rounded = copy.deepcopy(network)
    with torch.no_grad():
        for layer in rounded.modules():
            if hasattr(layer, "norm"):
                layer.conv.weight *= layer.norm.scale()[:, None, None, None]
                layer.norm.gamma.fill_(1)
                layer.norm.running_sd.fill_(1)
        for layer in rounded.modules():
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                layer.weight.copy_(layer.weight.half())
    return gahb.Denoiser(rounded)


def trained(recipe: gahb.Recipe) -> gahb.Denoiser:
    return gahb.load(recipe.name, live_figures.EDITION).cpu()


# What is written, without a browser


def test_kernel_is_of_the_source_that_is_there() -> None:
    assert build.read()[0] == build.source_sum(), "make kernel"


@pytest.mark.skipif(not build.installed(), reason=f"needs the compiler {build.COMPILER}")
def test_kernel_is_what_the_compiler_makes_of_the_source() -> None:
    assert build.read()[1] == build.compiled()


def test_only_a_unet_is_written() -> None:
    with pytest.raises(ValueError, match=r"^network: BFCNN; accepted: a UNet of gray images"):
        live_networks.network_data(BFCNN(3, 8).eval(), side=8)


def test_address_changes_with_what_is_written(tmp_path: Path) -> None:
    first, second = (live_networks.write_script(tmp_path, "a", value) for value in (1, 2))
    assert first != second
    assert live_networks.write_script(tmp_path, "a", 1) == first


@pytest.mark.parametrize("recipe", ENDS, ids=lambda recipe: recipe.name)
def test_half_precision_changes_no_psnr(recipe: gahb.Recipe) -> None:
    f = trained(recipe)
    x = recipe.test_images(16) / 255
    for sigma in (0.05, 0.2, 0.5):
        y = gahb.noisy(x, sigma)
        with torch.no_grad():
            psnrs = [gahb.psnr(g(y), x).mean() for g in (f, halved(f.network))]
        assert abs(psnrs[0] - psnrs[1]) < 0.01


# What a worker computes


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with opened(tmp_path_factory.mktemp("profile")) as chromium:
        yield chromium


@pytest.fixture(scope="module")
def page(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Page:
    """A page with a worker, of which a test asks what it likes."""
    folder = tmp_path_factory.mktemp("worker")
    script = live_networks.write_script(folder, "worker", live_networks.worker())
    scripts = f'<script src="{script}"></script><script>{ASKING}</script>'
    (folder / "page.html").write_text(f'<meta charset="utf-8">{scripts}', encoding="utf-8")
    opened_page = Page(browser, (folder / "page.html").as_uri())
    assert ask(opened_page, "start", code=live_networks.kernel()) is None
    return opened_page


def ask(page: Page, task: str, **question: Any) -> Any:
    given = {k: v.flatten().tolist() if isinstance(v, Tensor) else v for k, v in question.items()}
    return page.run(f"ask({json.dumps(task)}, {json.dumps(given)})")


def error(found: list[float], expected: Tensor) -> float:
    """Largest difference, against the largest value."""
    difference = torch.tensor(found) - expected.flatten()
    return float(difference.abs().max() / expected.abs().max())


@needs_browser
@pytest.mark.parametrize(("blocks", "width", "side"), SHAPES)
def test_layers_and_products_are_those_of_torch(
    page: Page, blocks: int, width: int, side: int
) -> None:
    network = random_unet(blocks, width)
    f = gahb.Denoiser(network)
    y, v = torch.randn(2, 1, 1, side, side)
    ask(page, "load", name="f", network=live_networks.network_data(network, side, "single"))
    with torch.no_grad():
        assert error(ask(page, "denoise", name="f", y=y), f(y)) < 1e-5
    with jacobian_at(f, y) as jacobian:
        product, transposed = (
            jacobian.times(v.view(1, -1)),
            jacobian.transposed_times(v.view(1, -1)),
        )
    assert error(ask(page, "times", name="f", v=v), product) < 1e-5
    assert error(ask(page, "transposed", name="f", v=v), transposed) < 1e-5


@needs_browser
def test_missing_and_superfluous_weights_are_refused(page: Page) -> None:
    data = live_networks.network_data(random_unet(1, 8), 8, "single")
    for widths, told in (([8, 24], "weights are missing"), ([8, 8], "left over")):
        assert told in ask(page, "load", name="g", network={**data, "widths": widths})["error"]


@needs_browser
@pytest.mark.parametrize("seed", [0, 7, 2**32 - 1])
def test_noise_is_that_of_numpy(page: Page, seed: int) -> None:
    expected = Noise(seed, range(1), (1000,)).draw([0])
    assert error(ask(page, "noise", seed=seed, d=1000), expected) < 1e-7


@needs_browser
@pytest.mark.parametrize("precision", ["single", "half"])
def test_same_seeds_give_samples_of_python(page: Page, precision: str) -> None:
    f = trained(LAST)
    ask(page, "load", name="f", network=live_networks.network_data(f.network, LAST.size, precision))
    g = f if precision == "single" else halved(f.network)
    for seed in (3, 4):
        expected = gahb.sample(g, n=1, size=LAST.size, seed=seed)
        ((found,),) = [ask(page, "sample", names=["f"], seed=seed)]
        assert found["t"] == expected.steps.item()
        assert torch.tensor(found["estimate"]).sub(expected.images.flatten()).abs().max() < 1e-5


@needs_browser
def test_basis_is_that_of_python(page: Page) -> None:
    f = trained(LAST)
    ask(page, "load", name="f", network=live_networks.network_data(f.network, LAST.size, "single"))
    y = gahb.noisy(LAST.test_images(1) / 255, 0.4)
    expected = gahb.adaptive_basis(f, y)
    found = ask(page, "basis", name="f", y=y, k=16)
    assert max(found["residuals"]) <= 0.01
    assert error(found["values"], expected.eigenvalues[:16]) < 1e-3
    within = expected.eigenvectors[:16].flatten(1) @ torch.tensor(found["vectors"]).T
    assert (within.norm(dim=0) > 0.99).all()


# Pages with figures


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small book, built without a warning, with figures of the smallest and the largest N."""
    folder = tmp_path_factory.mktemp("book")
    kinds = ("sample", "denoise", "basis")
    places = [f'<div class="gahb-live" data-live="{kind}">\n<p>text</p>\n</div>' for kind in kinds]
    (folder / "page.md").write_text("# A page\n\n" + "\n\n".join(places), encoding="utf-8")
    (folder / "index.md").write_text("# No figure\n\n```{toctree}\npage\n```\n", encoding="utf-8")
    settings = {
        "extensions": ["myst_parser", "live_figures"],
        "html_theme": "basic",
        "exclude_patterns": ["html"],
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(live_figures.recipes, "find", lambda pattern, edition: ENDS)
        patch.setattr(live_figures, "PACE", 0)
        Sphinx(
            folder,
            None,
            folder / "html",
            folder / "doctrees",
            "html",
            settings,
            status=None,
            warningiserror=True,
        ).build()
    return folder / "html"


@pytest.fixture(scope="module")
def server(site: Path) -> Iterator[str]:
    """Address of a plain server of static files, the book being in a folder of it."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

    handler = partial(Quiet, directory=str(site.parent))
    with ThreadingHTTPServer(("localhost", 0), handler) as serving:
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        yield f"http://localhost:{serving.server_port}/html"
        serving.shutdown()


def figure(page: Page, kind: str) -> str:
    """Scroll to a figure, which then comes alive; return an expression for it."""
    place = f'document.querySelector("[data-live={kind}]")'
    page.run(f"{place}.scrollIntoView()")
    page.wait(f'{place}.querySelector(".gahb-status") !== null')
    return place


def finished(page: Page, place: str, action: str) -> Any:
    """What a figure says when it has finished what an action began."""
    end = f'{place}.addEventListener("finished", (e) => done(e.detail), {{ once: true }})'
    script = f"new Promise((done) => {{ const place = {place}; {end}; {action}; }})"
    plain = "(v) => v instanceof Float32Array ? [...v] : v"
    return json.loads(page.run(f"{script}.then((v) => JSON.stringify(v, (_, x) => ({plain})(x)))"))


def click(label: str) -> str:
    return f"[...place.querySelectorAll('button')].find(b => b.textContent === '{label}').click()"


def key(selector: str, name: str) -> str:
    """Press a key on an element, as a keyboard does."""
    pressed = f"new KeyboardEvent('keydown', {{ key: '{name}', bubbles: true }})"
    return f"place.querySelector('{selector}').dispatchEvent({pressed})"


@needs_browser
@pytest.mark.parametrize("way", ["file", "server"])
def test_figures_draw_denoise_and_find_the_basis(
    browser: Browser, site: Path, server: str, way: str
) -> None:
    page = Page(browser, f"{site.as_uri() if way == 'file' else server}/page.html")
    denoisers = [halved(trained(r).network) for r in ENDS if r.n == SIZES[-1]]

    place = figure(page, "sample")
    states = finished(page, place, click("New noise"))
    for state, f in zip(states, denoisers, strict=True):
        expected = gahb.sample(f, n=1, size=LAST.size, seed=1)
        assert state["t"] == expected.steps.item()
        assert error(state["estimate"], expected.images) < 1e-5

    place = figure(page, "basis")
    found = finished(page, place, click("Another face"))
    y = torch.tensor(found["y"]).view(1, 1, LAST.size, LAST.size)
    expected = gahb.adaptive_basis(denoisers[0], y, k=16)
    assert error(found["values"], expected.eigenvalues) < 1e-3

    place = figure(page, "denoise")
    middle = LAST.size // 2 * (LAST.size + 1)
    before = finished(page, place, click("New noise"))[middle]
    note = "place.addEventListener('finished', (e) => place.seen.push(e.detail))"
    paint = f"place.seen = []; {note}; {key('canvas', ' ')};"
    page.run(f"(() => {{ const place = {place}; {paint} }})()")
    page.wait(f"{place}.seen.some((y) => y[{middle}] > {before})")  # painted white
    page.wait(f'{place}.querySelector(".gahb-status").textContent.includes("answer")')
    page.wait(f'{place}.querySelectorAll(".gahb-waiting").length === 0')

    assert page.errors() == []
    loaded = page.run("performance.getEntriesByType('resource').map((entry) => entry.name)")
    here = ("file:", "http://localhost:", "blob:", "data:")
    assert [url for url in loaded if not url.startswith(here)] == []


@needs_browser
def test_sliders_say_their_values_and_nothing_is_loaded_before_it_is_asked_for(
    browser: Browser, server: str
) -> None:
    page = Page(browser, f"{server}/page.html")
    place = figure(page, "sample")
    spoken = f'{place}.querySelector("input").getAttribute("aria-valuetext")'
    assert page.run(spoken) == f"{SIZES[-1]:,} faces"
    closest = f'getComputedStyle({place}.querySelector(".gahb-closest")).visibility'
    assert page.run(closest) == "hidden"
    page.run(f'(() => {{ const s = {place}.querySelector("input"); s.value = 0; s.oninput(); }})()')
    assert page.run(spoken) == "1 face"
    assert page.run(closest) == "visible"
    # With one training image, the closest one is it, and so is what the network draws.
    page.wait(f"/has seen: similarity (0.9|1.00)/.test({place}.innerText)")
    names = "performance.getEntriesByType('resource').map((entry) => entry.name)"
    loaded = page.run(names)
    assert len([url for url in loaded if "trained-S1" in url]) == 1
    assert [url for url in loaded if "faces-unet" in url] == []
    for kind in ("denoise", "basis"):
        figure(page, kind)
    heights = page.run(
        "[...document.querySelectorAll('.gahb-live button, .gahb-live input[type=range]')]"
        ".map((e) => e.getBoundingClientRect().height)"
    )
    assert min(heights) >= 24
    unnamed = "[...document.querySelectorAll('.gahb-live canvas')].filter((c) => !c.ariaLabel)"
    assert page.run(f"{unnamed}.length") == 0


@needs_browser
def test_without_webassembly_the_still_picture_stays(site: Path, tmp_path: Path) -> None:
    with opened(tmp_path, "--js-flags=--jitless") as chromium:
        page = Page(chromium, f"{site.as_uri()}/page.html")
        assert page.run("typeof WebAssembly") == "undefined"
        page.wait("[...document.querySelectorAll('img.gahb-still')].every((i) => i.naturalWidth)")
        assert page.run("document.querySelectorAll('img.gahb-still[alt]').length") == 3
        assert page.run("document.querySelectorAll('figure .gahb-live ~ figcaption').length") == 3
        assert page.run("document.querySelectorAll('.gahb-figure').length") == 0
        assert page.errors() == []


def test_pages_without_a_figure_get_nothing(site: Path) -> None:
    assert "live/" not in (site / "index.html").read_text(encoding="utf-8")
    assert "live/figures.js" in (site / "page.html").read_text(encoding="utf-8")


def test_what_has_not_changed_is_not_written_again(site: Path) -> None:
    folder = site / "_static" / "live"
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    live_figures.write(folder, ENDS)
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before
