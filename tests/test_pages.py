"""Bibliography and glossary: every source is listed once and named rightly, every word is told."""

import ast
import re
import unicodedata
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import links
import pages
import pytest
from chapters import ROOT, chapters, listed_pages
from docutils.core import publish_doctree
from docutils.nodes import definition_list_item, reference
from pybtex.database import Entry, parse_file

from gahb.similarity import VERDICTS

BOOK = ROOT / "book"
ENTRIES = dict(parse_file(str(BOOK / "references.bib")).entries)
BIBLIOGRAPHY = (BOOK / "bibliography.md").read_text(encoding="utf-8")
# Pages with code that report no findings on the paper.
WITHOUT_FINDINGS = {"index", "paper_scale", "scorecard", "paper_and_code", "notation"}
CLOSING = "What the paper says, and what we see"
KEPT = re.compile(r"^Three things to keep:\n\n((?:- .+\n)+)", re.M)
# Where the list has each equation of the paper: the main ones by themselves.
EQUATION_AT = {n: f"p{n}" if n < 14 else "p14-to-p34" for n in range(1, 35)}
GLOSSARY = (BOOK / "glossary.md").read_text(encoding="utf-8")
# Each list of the bibliography is of the entries of one keyword.
LISTS = re.findall(r'```\{bibliography\}\n.*\n:filter: .*"(\w+)"', BIBLIOGRAPHY)
TERMS = re.findall(r"^(\S.*)\n  \S", GLOSSARY.split("```")[1], re.M)

# [Kadkhodaie and Simoncelli (2020)](bibliography.md#kadkhodaie2020)
NAMED = re.compile(r"\[([^\]]+?),? \(?(\d{4})\)?\]\(bibliography\.md#([\w-]+)\)")
# Stein (1981); (Kadkhodaie and Simoncelli, 2020); Hutchinson's estimate (1989)
CITED = re.compile(
    r"([A-Z]\w+)(?:\s+et\s+al\.|\s+and\s+[A-Z]\w+)?(?:'s)?(?:\s+estimate)?,?\s+\(?((?:19|20)\d\d)\b"
)


class Source(NamedTuple):
    """A source as it is named: by its first author and year."""

    author: str
    year: str


def plain(text: str) -> str:
    """Lower-case letters and figures alone, without accents."""
    decomposed = unicodedata.normalize("NFKD", text.lower())
    return re.sub(r"[^a-z0-9]", "", decomposed)


def source(entry: Entry) -> Source:
    person = entry.persons["author"][0]
    author = plain("".join([*person.prelast_names, *person.last_names]))
    return Source(author, entry.fields["year"])


def sources_named(text: str) -> list[tuple[str, Source]]:
    """Every source that a page names in a link to the bibliography, after where that leads."""
    return [
        (key, Source(plain(re.split(r",| and | et al", authors)[0]), year))
        for authors, year, key in NAMED.findall(text)
    ]


def package_sources() -> set[Source]:
    """Every source that a docstring of the package names."""
    texts = [path.read_text(encoding="utf-8") for path in sorted((ROOT / "gahb").rglob("*.py"))]
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    nodes = [node for text in texts for node in ast.walk(ast.parse(text))]
    docstrings = [ast.get_docstring(node) or "" for node in nodes if isinstance(node, documented)]
    cited = (found for told in docstrings for found in CITED.findall(told))
    return {Source(plain(author), year) for author, year in cited}


@pytest.mark.parametrize("key", ENTRIES)
def test_source_is_complete_and_named_by_author_and_year(key: str) -> None:
    entry = ENTRIES[key]
    assert {"title", "year", "keywords", "note"} <= set(entry.fields)
    assert re.sub(r"\d+", "", key) == source(entry).author
    assert key.endswith(entry.fields["year"])


def test_every_source_is_listed_in_one_section() -> None:
    assert len(set(LISTS)) == len(LISTS) == BIBLIOGRAPHY.count("{bibliography}")
    assert {entry.fields["keywords"] for entry in ENTRIES.values()} == set(LISTS)


def test_no_source_is_there_twice() -> None:
    titles = Counter(plain(entry.fields["title"]) for entry in ENTRIES.values())
    assert [title for title, count in titles.items() if count > 1] == []


@pytest.mark.parametrize("page", listed_pages(), ids=lambda page: page.stem)
def test_links_to_the_bibliography_lead_to_the_source_that_they_name(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert text.count("](bibliography.md#") == len(NAMED.findall(text)), "name author and year"
    listed = {key: source(entry) for key, entry in ENTRIES.items()}
    assert [(key, of) for key, of in sources_named(text) if listed.get(key) != of] == []


def test_sources_that_the_package_names_are_in_the_bibliography() -> None:
    named = package_sources()
    assert Source("stein", "1981") in named
    assert named - set(map(source, ENTRIES.values())) == set()


def test_terms_are_in_alphabetical_order() -> None:
    assert len(TERMS) > 30
    assert sorted(TERMS, key=str.casefold) == TERMS


def test_words_of_the_notation_are_in_the_glossary() -> None:
    notation = (BOOK / "notation.md").read_text(encoding="utf-8")
    words = re.findall(r"^\| ([\w -]+) \|", notation.split("## Words")[1], re.M)[1:]
    assert words
    missing = [word for word in words if not any(word.endswith(term) for term in TERMS)]
    assert missing == []


def test_verdicts_are_in_the_glossary() -> None:
    assert set(VERDICTS) <= set(TERMS)


def test_directives_are_on_pages_without_code() -> None:
    """Colab shows a page with code as plain Markdown, where a role or a directive is raw text."""
    for page in listed_pages():
        text = page.read_text(encoding="utf-8")
        if "{code-cell}" in text:
            assert re.findall(r"\{(?:cite|term|glossary|bibliography)[:\w]*\}", text) == []


def test_words_of_the_glossary_are_linked_where_a_page_first_uses_them() -> None:
    glossary = publish_doctree(
        "score\n  A slope of :math:`\\log p_\\sigma`. Of noise.\n\nnew\n  Not old.\n"
    )
    page = publish_doctree("Scores\n======\nA ``score`` scored. New Scores, a score.\n\nA score.\n")
    for i, item in enumerate(glossary.findall(definition_list_item)):
        item[0]["ids"] = [f"term-{i}"]
    app = SimpleNamespace(
        env=SimpleNamespace(get_doctree={links.GLOSSARY: glossary}.get),
        builder=SimpleNamespace(get_relative_uri=lambda _, to: f"{to}.html"),
    )
    links.link_terms(app, page, "book/chapter")
    (link,) = page.findall(reference)
    assert (link.astext(), link["reftitle"]) == ("Scores", "A slope of log p_σ.")
    assert link["refuri"] == "book/glossary.html#term-0"
    assert page[1].astext() == "A score scored. New Scores, a score."


@pytest.mark.parametrize(
    "page", [page for page in chapters() if page.stem not in WITHOUT_FINDINGS], ids=lambda p: p.stem
)
def test_chapter_ends_with_what_the_paper_says_and_three_things_to_keep(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    (closing,) = re.findall(rf"^## {CLOSING}\n(.*?)(?=^## |\Z)", text, re.M | re.S)
    (kept,) = KEPT.findall(closing)
    assert kept.count("\n") == 3
    assert len(KEPT.findall(text)) == 1


def test_reading_time_counts_prose_alone() -> None:
    code = "::\n\n" + "    x = 1 + 1\n" * 1000
    words = "word " * 399
    page = publish_doctree(f"Title\n=====\n{words}\n\n{code}\n.. math:: a + b\n")
    assert pages.reading_time(page) == '<p class="reading-time">2 minutes to read</p>'
    page = publish_doctree(f"Title\n=====\n{words} word more\n")
    assert ">3 minutes" in pages.reading_time(page)


def test_the_list_of_equations_has_all_of_them() -> None:
    headings = re.findall(r"^## (.+)$", (BOOK / "equations.md").read_text(encoding="utf-8"), re.M)
    anchors = [heading.lower().replace(" ", "-") for heading in headings]
    assert anchors == list(dict.fromkeys(EQUATION_AT.values()))


def test_equations_are_numbered_once_through_the_book() -> None:
    texts = [page.read_text(encoding="utf-8") for page in listed_pages()]
    numbers = [int(number) for text in texts for number in re.findall(r"\\tag\{(\d+)\}", text)]
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) > 20


@pytest.mark.parametrize("page", listed_pages(), ids=lambda page: page.stem)
def test_equations_of_the_paper_are_cited_by_links_to_their_list(page: Path) -> None:
    """Else nobody knows whether (3) is the paper's or ours."""
    text = page.read_text(encoding="utf-8")
    assert re.findall(r"equations? \d+", text, re.I) == []
    assert re.findall(r"the paper's \d+\)|\(\d+(?:, \d+)* (?:and|to) \d+", text) == []
    cited = re.findall(r"\[P(\d+)(?: to P\d+)?\]\(equations\.md#([\w-]+)\)", text)
    assert len(cited) == text.count("](equations.md#")
    assert [at for number, at in cited if at != EQUATION_AT[int(number)]] == []
