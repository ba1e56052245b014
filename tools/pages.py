"""A Sphinx extension: what the theme and the widgets leave to be mended on every page."""

import json
import math
import re
from html import escape
from importlib.metadata import version
from typing import Any

from docutils import nodes
from links import LISTS, within
from sphinx.application import Sphinx

DESCRIPTION = (
    "An executable book: why diffusion models generalize instead of memorizing, from denoisers "
    "that shrink images in geometry-adaptive harmonic bases."
)
WORDS_A_MINUTE = 200
UNREAD = (nodes.FixedTextElement, nodes.math, nodes.Invisible)  # code, its output, formulas
KEPT = '<p>Three things to keep:</p>\n<ul class="simple">'  # with which chapters end
STATE = "application/vnd.jupyter.widget-state+json"
VIEW = re.compile(r'<script type="application/vnd.jupyter.widget-view\+json">(.*?)</script>', re.S)


def setup(app: Sphinx) -> dict[str, bool]:
    """Mend pages once all other extensions have had them."""
    app.connect("config-inited", sign)
    app.connect("html-page-context", mend, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def sign(app: Sphinx, config: Any) -> None:
    """Say at the foot of every page which version it is of, and under which terms."""
    source = config.html_theme_options["repository_url"]
    config.html_theme_options["extra_footer"] = (
        f'<p>Version {version("gahb")} · <a href="{source}/blob/main/LICENSE">MIT license</a> · '
        f'<a href="{source}/blob/main/CITATION.cff">how to cite</a></p>'
    )


def mend(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Take the scripts of Thebe off, which has no button, and add what is missing."""
    if 'class="scorecard"' in context.get("body", ""):
        app.add_js_file("scorecard.js", loading_method="defer")
    scripts = context.get("script_files", [])
    context["script_files"] = [script for script in scripts if not of_thebe(script)]
    picture = (
        f"{app.config.html_theme_options['repository_url']}/raw/main/book/_static/transition.png"
    )
    about = {"og:type": "website", "og:title": context.get("title", ""), "og:image": picture}
    tags = [f'<meta property="{name}" content="{escape(text)}" />' for name, text in about.items()]
    tags += [f'<meta name="description" content="{escape(DESCRIPTION)}" />']
    context["metatags"] = "\n".join([context.get("metatags", ""), *tags])
    if "body" in context:
        # What docutils calls a list of references has no items that readers of screens know.
        body = context["body"].replace('role="list" class="citation-list"', 'class="citation-list"')
        body = body.replace(KEPT, KEPT.replace("<p>", '<p class="key-points">'))
        if doctree is not None and page != app.config.root_doc and not page.startswith(LISTS):
            body = body.replace("</h1>", f"</h1>\n{reading_time(doctree)}", 1)
        context["body"] = with_still_pictures(body, widget_models(scripts))


def reading_time(doctree: nodes.document) -> str:
    """Return how long the words of a page take; code, output and formulas are not counted."""
    texts = (text for text in doctree.findall(nodes.Text) if not within(text, UNREAD))
    minutes = math.ceil(sum(len(text.split()) for text in texts) / WORDS_A_MINUTE)
    unit = "minute" if minutes == 1 else "minutes"
    return f'<p class="reading-time">{minutes} {unit} to read</p>'


def of_thebe(script: Any) -> bool:
    """Whether a script configures Thebe: on pages of two extensions it does so twice, an error."""
    body = getattr(script, "attributes", {}).get("body") or ""
    return "thebe" in f"{getattr(script, 'filename', script)} {body}".lower()


def widget_models(scripts: list[Any]) -> dict[str, Any]:
    """Return the models of the widgets of a page, by their number."""
    held = [getattr(script, "attributes", {}) for script in scripts]
    states = [json.loads(each["body"])["state"] for each in held if each.get("type") == STATE]
    return {number: model for state in states for number, model in state.items()}


def with_still_pictures(body: str, models: dict[str, Any]) -> str:
    """Return a page whose steppers show their first picture where no scripts run."""

    def parts(model: str) -> list[str]:
        children = models.get(model, {}).get("state", {}).get("children", [])
        return [child.removeprefix("IPY_MODEL_") for child in children]

    def with_still(view: re.Match[str]) -> str:
        for part in parts(json.loads(view[1])["model_id"]):
            if models[part]["model_name"] == "StackModel":
                picture = models[parts(part)[0]]["state"]["value"]
                return f"{view[0]}<noscript>{picture}</noscript>"
        return view[0]

    return VIEW.sub(with_still, body)
