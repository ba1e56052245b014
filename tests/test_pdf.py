"""The book as one PDF: its pages in order, links that lead within it, and nothing folded away."""

from pathlib import Path

import pdf
import pytest
from bs4 import BeautifulSoup
from chapters import ROOT

PAGE = """<html><head><title>Book</title><link rel="stylesheet" href="../_static/a.css">
<script>window.MathJax = {{}}</script><script src="../_static/mathjax/m.js"></script>
<script src="../_static/other.js"></script></head><body><article>
<section id="top"><h1>{title}<a class="headerlink" href="#top">#</a></h1>{body}</section>
</article></body></html>"""
FIRST = """<a href="api/second.html#top">there</a> <a href="#top">here</a>
<a href="../gone.html">x</a>
<a href="https://a.b/c.html">out</a> <img src="../_images/x.png">
<details><summary>Solution</summary>found</details>
<details class="hide"><summary>Show code cell source</summary>x = 1</details>
<script type="application/vnd.jupyter.widget-view+json">{}</script><noscript><b>still</b></noscript>
<div class="gahb-live"><img src="../_static/live/s.png"><p>computes in your browser</p></div>"""
NAMES = ["book/first.html", "book/api/second.html"]


@pytest.fixture
def built(tmp_path: Path) -> Path:
    bodies = {NAMES[0]: FIRST, NAMES[1]: '<a href="../first.html">back</a>'}
    for name, body in bodies.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        text = PAGE.format(title=Path(name).stem, body=body)
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


@pytest.fixture
def whole(built: Path) -> BeautifulSoup:
    return BeautifulSoup(pdf.joined(built, NAMES), "html.parser")


def test_pages_are_in_order_and_listed(whole: BeautifulSoup) -> None:
    assert [h1.text for h1 in whole.select("article h1")] == ["first", "second"]
    assert [entry.text for entry in whole.select("nav li")] == ["first", "second"]
    targets = [entry["href"] for entry in whole.select("nav a")]
    assert targets == [f"#{article['id']}" for article in whole.select("article")]


def test_links_lead_within_the_whole_and_pictures_are_found(whole: BeautifulSoup) -> None:
    links = [link.get("href") for link in whole.select("article a")]
    second = "#book-api-second"
    assert links == [
        f"{second}--top",
        "#book-first--top",
        None,
        "https://a.b/c.html",
        "#book-first",
    ]
    sources = [image["src"] for image in whole.select("article img")]
    assert sources == ["_images/x.png", "_static/live/s.png"]
    assert [link["href"] for link in whole.select("head link")] == ["_static/a.css"]
    ids = [part["id"] for part in whole.find_all(id=True)]
    assert len(set(ids)) == len(ids) == 4


def test_solutions_are_open_and_what_moves_stands_still(whole: BeautifulSoup) -> None:
    assert [part.get("open") for part in whole.select("details")] == [""]
    assert whole.select_one("article b").text == "still"
    assert not whole.select("noscript, article script")
    assert "computes in your browser" not in whole.text
    scripts = [part.get("src") for part in whole.select("script")]
    assert scripts == [None, "_static/mathjax/m.js"]  # formulas are set in the browser


@pytest.mark.skipif(pdf.CHROMIUM is None, reason="needs Chromium, to print")
def test_pages_are_printed(built: Path) -> None:
    page, out = built / "whole.html", built / "book.pdf"
    page.write_text(pdf.joined(built, NAMES), encoding="utf-8")
    pdf.print_pdf(page, out)
    content = out.read_bytes()
    assert content.startswith(b"%PDF")
    assert b"/Outlines" in content


@pytest.mark.skipif(not (pdf.BUILT / "book").is_dir(), reason="needs the rendered book")
def test_book_is_whole_and_in_the_order_of_its_contents() -> None:
    names = pdf.pages()
    whole = BeautifulSoup(pdf.joined(pdf.BUILT, names), "html.parser")
    assert names[0] == "book/index.html"
    titles = [article.h1.text.strip().replace("’", "'") for article in whole.select("article")]
    sources = [(ROOT / name).with_suffix(".md").read_text(encoding="utf-8") for name in names]
    first_headings = [
        next(line[2:] for line in text.splitlines() if line.startswith("# ")) for text in sources
    ]
    assert titles == first_headings
    known = {part["id"] for part in whole.find_all(id=True)}
    inner = [link["href"][1:] for link in whole.select('a[href^="#"]')]
    assert [target for target in inner if target not in known] == []
