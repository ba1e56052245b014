"""Sphinx extension: figures that compute in the page, with networks written into the built book.

A page that holds ``<div class="gahb-live" data-live="sample">`` gets the scripts, and a still
picture inside the div, which is what a reader sees where the scripts do not run.
"""

import hashlib
import json
import re
import shutil
from base64 import b64encode
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import torch
from live_networks import SOURCE, kernel, network_data, worker, write_script
from sphinx.application import Sphinx
from torch import Tensor

import gahb
from gahb.book import figures, recipes
from gahb.book.artifacts import manifest
from gahb.book.figures.images import as_gray
from gahb.book.figures.look import label_text
from gahb.sampling.algorithm import Noise
from gahb.training import Recipe

EDITION = "laptop"  # whose weights are shipped
PATTERN = "faces-unet-n*-s?"
PRECISION = "half"  # moves no PSNR by 0.01 dB: tests/test_live.py
MOST_IMAGES = 100  # of a training set: beyond that none are sent along
FACES, PARTS = 8, 16  # pictures to start from; vectors of a basis
SIGMAS = {"denoise": 0.3, "basis": 0.15}
PACE = 20  # ms between steps of a sampling that is watched
PLACE = re.compile(r'(<div class="gahb-live" data-live="(\w+)"[^>]*>)(.*?</div>)', re.S)
CAPTIONS = {
    "sample": "Live: two networks that share no training image draw from the same noise. "
    "Compare the paper’s Figure 2.",
    "denoise": "Live: one noisy picture, and what networks of more and more training images make "
    "of it. Compare the paper’s Figure 1.",
    "basis": "Live: a picture with noise, and the leading vectors of the basis in which a network "
    "denoises it. Compare the paper’s Figure 3.",
}
ALT = {
    "sample": "Faces that two networks without a common training image draw from the same noise, "
    "for each number of training images: different ones for few, nearly the same for many.",
    "denoise": "A face, the same with noise, and what networks trained on more and more faces "
    "make of it: the first ones answer with a face they have seen, the last with this one.",
    "basis": "A face, the same with noise, and the leading basis vectors in which the network "
    "denoises it: patterns that follow its contours.",
}


def as_text(images: Tensor) -> str:
    """Images as bytes in base64."""
    return b64encode((images.clamp(0, 1) * 255).round().byte().numpy().tobytes()).decode()


def write_networks(folder: Path, listed: list[Recipe]) -> list[tuple[Recipe, dict[str, Any]]]:
    """Write the weights of each network, and return what a page says of it."""
    found = []
    for recipe in listed:
        network = gahb.load(recipe.name, EDITION).network
        file = write_script(folder, recipe.name, network_data(network, recipe.size, PRECISION))
        row = {"name": recipe.name, "n": recipe.n, "subset": recipe.subset, "file": file}
        found.append((recipe, {**row, "bytes": (folder / file).stat().st_size}))
    return found


def write_training_images(folder: Path, found: list[Recipe]) -> dict[str, str]:
    """Write the first training images of each subset, for its networks' closest ones."""
    largest = {recipe.subset: recipe for recipe in sorted(found, key=lambda r: r.n)}
    shown = {s: as_text(r.train_images(MOST_IMAGES) / 255) for s, r in largest.items()}
    return {s: write_script(folder, f"trained-{s}", text) for s, text in shown.items()}


@torch.no_grad()
def first_states(networks: list[tuple[Recipe, dict[str, Any]]]) -> dict[str, dict[str, Tensor]]:
    """Compute what each figure shows before anything has been loaded, by label."""
    recipe = networks[0][0]
    faces = recipe.test_images(FACES) / 255
    z = Noise(0, range(1), tuple(faces.shape[1:])).draw([0])
    noisy = {figure: faces[:1] + sigma * z for figure, sigma in SIGMAS.items()}
    drawn, denoised, cleaned = {}, {}, {}
    for recipe, _ in networks:
        f = gahb.load(recipe.name, EDITION).cpu()
        drawn[recipe.name] = gahb.sample(f, n=1, size=recipe.size, seed=0).images
        denoised[recipe.name], cleaned[recipe.name] = f(noisy["denoise"]), f(noisy["basis"])
    last = max((r for r, _ in networks if r.subset == "S1"), key=lambda r: r.n)
    pairs = gahb.adaptive_basis(gahb.load(last.name, EDITION).cpu(), noisy["basis"], k=PARTS)
    return {
        "faces": {"": faces},
        "noisy": noisy,
        "drawn": drawn,
        "denoised": denoised,
        "cleaned": cleaned,
        "basis": {"values": pairs.eigenvalues, "vectors": as_gray(pairs.eigenvectors)},
    }


def draw_stills(folder: Path, networks: list[Recipe], states: dict[str, dict[str, Tensor]]) -> None:
    """Draw the picture of each figure that is seen where it does not run."""

    def by_subset(images: dict[str, Tensor]) -> dict[str, Tensor]:
        subsets = dict.fromkeys(recipe.subset for recipe in networks)
        of = {s: sorted((r.n, r.name) for r in networks if r.subset == s) for s in subsets}
        return {s: torch.cat([images[name] for _, name in names]) for s, names in of.items()}

    face, noisy = states["faces"][""][:1], states["noisy"]
    sizes = [label_text(n) for n in sorted({recipe.n for recipe in networks})]
    denoised = by_subset(states["denoised"])["S1"]
    vectors = states["basis"]["vectors"]
    stills = {
        "sample": (by_subset(states["drawn"]), sizes),
        "denoise": (
            {"": torch.cat([face, noisy["denoise"], denoised])},
            ["clean", "noisy", *sizes],
        ),
        "basis": (
            {"": torch.cat([face, noisy["basis"], vectors[:6]]), " ": vectors[6:14]},
            ["clean", "noisy", *[""] * 6],
        ),
    }
    for name, (rows, columns) in stills.items():
        axes = figures.image_grid(rows, columns)
        axes.figure.savefig(folder / f"{name}.png", bbox_inches="tight")
        plt.close(axes.figure)


def version(listed: list[Recipe]) -> str:
    """Sum of the weights and of the sources that the figures are made from."""
    sums = [manifest(recipe.name, EDITION)["sha256"] for recipe in listed]
    sources = [*sorted(SOURCE.glob("*.*")), *sorted(Path(__file__).parent.glob("live_*.py"))]
    texts = [json.dumps(sums).encode(), *(path.read_bytes() for path in sources)]
    return hashlib.sha256(b"".join(texts)).hexdigest()


def write(folder: Path, listed: list[Recipe]) -> None:
    """Write all that the figures need, unless what is there is of the same weights and sources."""
    made = version(listed)
    if (folder / "version.txt").is_file() and (folder / "version.txt").read_text() == made:
        return
    shutil.rmtree(folder, ignore_errors=True)
    networks = write_networks(folder, listed)
    states = first_states(networks)
    for recipe, row in networks:
        row |= {of: as_text(states[of][recipe.name]) for of in ("drawn", "denoised", "cleaned")}
    basis = states["basis"]
    live = {
        "side": listed[0].size,
        "networks": [row for _, row in networks],
        "trained": write_training_images(folder, listed),
        "most": MOST_IMAGES,
        "faces": as_text(states["faces"][""]),
        "basis": {"values": basis["values"].tolist(), "vectors": as_text(basis["vectors"])},
        "sigmas": SIGMAS,
        "pace": PACE,
        "kernel": kernel(),
        "worker": write_script(folder, "worker", worker()),
    }
    write_script(folder, "live", live)
    draw_stills(folder, listed, states)
    for name in ("figures.js", "figures.css"):
        shutil.copy(SOURCE / name, folder)
    (folder / "version.txt").write_text(made)  # last, when all else is there


def begin(app: Sphinx) -> None:
    """Write the figures' files before the pages that name them."""
    if app.builder.format == "html":
        write(Path(app.outdir) / "_static" / "live", recipes.find(PATTERN, EDITION))


def add_to_page(app: Sphinx, page: str, _: str, context: dict[str, Any], __: Any) -> None:
    """Give a page that has figures their scripts, still pictures and captions; others nothing."""
    body = context.get("body", "")
    if not PLACE.search(body):
        return
    folder = Path(app.outdir) / "_static" / "live"
    (table,) = folder.glob("live.*.js")
    for script in (table.name, "figures.js"):
        app.add_js_file(f"live/{script}", loading_method="defer")
    app.add_css_file("live/figures.css")

    def with_still(place: re.Match[str]) -> str:
        opening, kind, rest = place.groups()
        source = context["pathto"](f"_static/live/{kind}.png", resource=True)
        still = f'<img class="gahb-still" src="{source}" alt={json.dumps(ALT[kind])}>'
        caption = f"<figcaption>{CAPTIONS[kind]}</figcaption>"
        return f"<figure>{opening}{still}{rest}{caption}</figure>"

    context["body"] = PLACE.sub(with_still, body)


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect to the events of a build."""
    app.connect("builder-inited", begin)
    app.connect("html-page-context", add_to_page)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
