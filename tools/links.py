"""A Sphinx extension: citations lead to their source, and the words of the glossary to it."""

import re
from typing import Any

from docutils import nodes
from docutils.utils.math import tex2unichar
from sphinx.application import Sphinx
from sphinx.util.nodes import make_refnode

GLOSSARY = "book/glossary"
LISTS = (GLOSSARY, "book/bibliography", "book/api/")  # pages to look things up in
COMMON_WORDS = {"new", "s1, s2, test"}  # which mean in most places what they mean everywhere
SYMBOLS = tex2unichar.mathalpha | tex2unichar.mathord | tex2unichar.mathbin | tex2unichar.mathrel
SYMBOLS |= {"hat": "", "mathbb": ""}  # which say how the next letter looks
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
    if page.startswith(LISTS):
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
        word, told = item[0], item[-1].astext()
        if (name := word.astext().lower()) not in COMMON_WORDS:
            sentence = told.partition(". ")[0].rstrip(".") + "."
            found[name] = word["ids"][0], without_commands(sentence)
    return found


def without_commands(text: str) -> str:
    r"""Write the symbols of a formula where nothing typesets it: σ for \sigma, log for \log."""
    written = re.sub(r"\\([A-Za-z]+)", lambda command: SYMBOLS.get(command[1], command[1]), text)
    return " ".join(written.split())


def words(known: dict[str, Any]) -> re.Pattern[str]:
    """Return a pattern of all words and their plurals, the longest of those that begin alike."""
    longest_first = sorted(map(re.escape, known), key=len, reverse=True)
    return re.compile(rf"(?<![\w-])({'|'.join(longest_first)})(?:e?s)?(?![\w-])", re.IGNORECASE)


def within(node: nodes.Node, kinds: type[nodes.Node] | tuple[type[nodes.Node], ...]) -> bool:
    """Whether a node stands in another of such a kind."""
    while (node := node.parent) is not None:
        if isinstance(node, kinds):
            return True
    return False
