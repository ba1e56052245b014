"""Widgets for the pages of the book, where no kernel answers."""

from base64 import b64encode
from collections.abc import Callable, Sequence
from html import escape
from io import BytesIO
from typing import Any

import ipywidgets
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

MOST_FRAMES = 20
MOST_BYTES = 1_000_000  # of all frames: they become a part of the page
INTERVAL = 500  # milliseconds for which a frame stays when they are played
COLORS = 256  # more than a figure of grays and a few colors needs, at half the bytes
Size = tuple[float, float]
PIXELS_PER_INCH = 100  # of the page, where a figure that fills it is 7 inches wide


def stepper(
    draw: Callable[[int], Axes | Figure], labels: Sequence[str], name: str = ""
) -> ipywidgets.VBox:
    """Return pictures to step through or to play, one label for each.

    ``draw`` makes frame i = 0, 1, ... as a new figure, all of one size, and gives that or its axes.
    The 2 to 20 labels are seen with the frames; the ``name`` is what they are values of, such as
    "noise level". All are drawn at once and tied together in the browser: the widget lives in a
    page without a kernel. Only where ipywidgets is older than version 8, as on Colab, it needs one.

    Examples
    --------
    >>> import torch
    >>> from gahb.book.figures import image_grid
    >>> x, z = torch.rand(1, 1, 8, 8), torch.randn(1, 1, 8, 8)
    >>> draw = lambda i: image_grid({"noisy": x + [1.0, 0.1][i] * z})
    >>> controls, picture = stepper(draw, ["σ = 1", "σ = 0.1"]).children
    >>> controls.children[1].options
    (('σ = 1', 0), ('σ = 0.1', 1))
    """
    _check_labels(labels)
    frames, (width, height) = _drawn(draw, labels)
    pictures = [_picture(*frame, width) for frame in zip(frames, labels, strict=True)]
    play = ipywidgets.Play(max=len(labels) - 1, interval=INTERVAL)
    slider = ipywidgets.SelectionSlider(
        options=[(label, i) for i, label in enumerate(labels)],
        description=name,
        style={"description_width": "initial"},
        layout={"flex": "1 1 16rem", "width": "auto"},
    )
    if hasattr(ipywidgets, "Stack"):
        picture = _tied_in_the_browser(play, slider, pictures)
        # While one frame replaces another there is none: the page below must not jump.
        picture.layout.min_height = f"min({height:g}px, {100 * height / width:.0f}vw)"
    else:
        picture = _tied_by_the_kernel(play, slider, pictures)
    spread = {"flex_flow": "row wrap", "grid_gap": "0 1rem"}
    return ipywidgets.VBox([ipywidgets.HBox([play, slider], layout=spread), picture])


def _check_labels(labels: Any) -> None:
    accepted = f"2 to {MOST_FRAMES} texts"
    if not isinstance(labels, list | tuple) or not all(isinstance(text, str) for text in labels):
        raise TypeError(f"labels: {labels!r} are not {accepted}")
    if not 2 <= len(labels) <= MOST_FRAMES:
        raise ValueError(f"labels: {len(labels)} texts; accepted: {accepted}")


def _drawn(draw: Callable[[int], Axes | Figure], labels: Sequence[str]) -> tuple[list[bytes], Size]:
    """Return frames as PNG, and their common width and height in pixels of the page."""
    frames, sizes = [], set()
    for i, label in enumerate(labels):
        drawn = draw(i)
        figure = drawn.figure if isinstance(drawn, Axes) else drawn
        if not isinstance(figure, Figure):
            given = type(drawn).__name__
            raise TypeError(f"draw: gives {given} for {label!r}; accepted: axes, or a figure")
        width, height = figure.get_size_inches() * PIXELS_PER_INCH
        sizes.add((float(width), float(height)))
        frames.append(_small_png(figure))
        plt.close(figure)
    if len(sizes) > 1:
        raise ValueError(f"draw: figures of {sorted(sizes)} pixels; accepted: one size for all")
    if (total := sum(map(len, frames))) > MOST_BYTES:
        given, accepted = f"{total / 1e6:.1f} MB", f"{MOST_BYTES / 1e6:g} MB"
        raise ValueError(f"draw: {len(frames)} frames of {given} in all; accepted: {accepted}")
    return frames, sizes.pop()


def _small_png(figure: Figure) -> bytes:
    drawn, small = BytesIO(), BytesIO()
    figure.savefig(drawn, format="png")
    Image.open(drawn).convert("RGB").quantize(COLORS).save(small, format="png", optimize=True)
    return small.getvalue()


def _picture(png: bytes, label: str, width: float) -> str:
    """Return an image in HTML: the Image of ipywidgets has no text for those who cannot see it."""
    source = f"data:image/png;base64,{b64encode(png).decode()}"
    style = f"width: {width:g}px; max-width: 100%; height: auto"
    return f'<img src="{source}" alt="{escape(label)}" style="{style}">'


def _tied_in_the_browser(play: Any, slider: Any, pictures: list[str]) -> Any:
    stack = ipywidgets.Stack([ipywidgets.HTML(picture) for picture in pictures], selected_index=0)
    ipywidgets.jslink((play, "value"), (slider, "index"))
    ipywidgets.jslink((slider, "index"), (stack, "selected_index"))
    play.tooltip, slider.tooltip = "Play or pause, stop, repeat", "Drag, or press the arrow keys"
    return stack


def _tied_by_the_kernel(play: Any, slider: Any, pictures: list[str]) -> Any:
    """Return one picture that is swapped: before version 8, widgets cannot be stacked."""
    shown = ipywidgets.HTML(pictures[0])
    slider.observe(lambda change: setattr(shown, "value", pictures[change["new"]]), "index")
    ipywidgets.link((play, "value"), (slider, "index"))
    return shown
