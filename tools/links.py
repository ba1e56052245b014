"""A Sphinx extension: citations lead to their source, and the words of the glossary to it."""

import re
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.nodes import make_refnode

GLOSSARY = "book/glossary"
COMMON_WORDS = {"new", "s1, s2, test"}  # which mean in most places what they mean everywhere
PLAIN = (nodes.paragraph, nodes.emphasis, nodes.strong)  # text that is not a link, nor code


def setup(app: Sphinx) -> dict[str, bool]:
    """Name the sources before links are resolved, and link words once all else is."""
    app.connect("env-updated", name_sources, priority=900)  # once the bibliography is known
    app.connect("doctree-resolved", link_terms)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def name_sources(app: Sphinx, env: Any) -> None:
    """Let links lead to an entry of the bibliography by its key, as they do to a heading."""
    for source in env.get_domain("cite").citations:
        targets = env.metadata[source.bibliography_key.docname].setdefault("myst_slugs", {})
        targets[source.key] = (0, source.citation_id, source.key)


def link_terms(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Link each word of the glossary where a page first uses it; its meaning shows on hover."""
    if not page.startswith("book/") or page == GLOSSARY or page.startswith("book/api/"):
        return
    known = meanings(app.env.get_doctree(GLOSSARY))
    pattern = words(known)
    for text in list(doctree.findall(nodes.Text)):
        if not isinstance(text.parent, PLAIN) or within(text, nodes.reference):
            continue
        pieces: list[nodes.Node] = []
        done, said = 0, text.astext()
        for match in pattern.finditer(said):
            if (found := known.pop(match[1].lower(), None)) is None:
                continue
            target, meaning = found
            word = nodes.inline(match[0], match[0])
            link = make_refnode(app.builder, page, GLOSSARY, target, word, meaning)
            link["classes"].append("glossary-word")
            pieces += [nodes.Text(said[done : match.start()]), link]
            done = match.end()
        if pieces:
            text.parent.replace(text, [*pieces, nodes.Text(said[done:])])


def meanings(glossary: nodes.document) -> dict[str, tuple[str, str]]:
    """Return the words of a glossary, each with its target and the sentence that explains it."""
    found = {}
    for item in glossary.findall(nodes.definition_list_item):
        word, told = item[0], " ".join(item[-1].astext().split())
        if (name := word.astext().lower()) not in COMMON_WORDS:
            found[name] = word["ids"][0], told.partition(". ")[0].rstrip(".") + "."
    return found


def words(known: dict[str, Any]) -> re.Pattern[str]:
    """Return a pattern of all words and their plurals, the longest of those that begin alike."""
    longest_first = sorted(map(re.escape, known), key=len, reverse=True)
    return re.compile(rf"(?<![\w-])({'|'.join(longest_first)})(?:e?s)?(?![\w-])", re.IGNORECASE)


def within(node: nodes.Node, kind: type[nodes.Node]) -> bool:
    """Whether a node stands in another of this kind."""
    while (node := node.parent) is not None:
        if isinstance(node, kind):
            return True
    return False
