"""Print the rendered book as one PDF, by Chromium: all its pages, in the order of _toc.yml."""

import argparse
import posixpath
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import NamedTemporaryFile, TemporaryDirectory
from urllib.parse import urlsplit

from bs4 import BeautifulSoup, Tag
from chapters import ROOT, listed_pages

BUILT = ROOT / "_build" / "html"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "chrome"))), None)
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-pdf-header-footer",
    "--generate-pdf-document-outline",
    "--virtual-time-budget=600000",  # ms of a clock that waits for the formulas
)
HEAD = 'link[rel="stylesheet"], script[src*="mathjax"], script:-soup-contains("MathJax =")'
# Code that is folded away, and what only a screen has a use for.
LEFT_OUT = "script, style, button, .headerlink, details.hide, .gahb-live > p, .reading-time"
STYLE = """
article { break-before: page; }
figure, table, pre, .gahb-live { break-inside: avoid; }
h1, h2, h3 { break-after: avoid; }
pre { white-space: pre-wrap !important; }
img { max-width: 100%; }
nav li { line-height: 1.3; }
"""


def pages() -> list[str]:
    """Addresses of the rendered pages, in reading order."""
    return [p.relative_to(ROOT).with_suffix(".html").as_posix() for p in listed_pages()]


def joined(built: Path, names: Sequence[str]) -> str:
    """Return one page that holds the articles of many, whose links lead from one to another."""
    whole = BeautifulSoup(
        '<!DOCTYPE html><html lang="en" data-theme="light" data-mode="light"><head>'
        '<meta charset="utf-8"></head><body><main class="bd-content">'
        "<nav><p><strong>Contents</strong></p><ol></ol></nav></main></body></html>",
        "html.parser",
    )
    head, main, contents = (whole.select_one(each) for each in ("head", "main", "nav ol"))
    for name in names:
        soup = BeautifulSoup((built / name).read_text(encoding="utf-8"), "html.parser")
        if name == names[0]:
            head.append(soup.title)
            for part in soup.select(HEAD):
                _lead(part, name, names)
                head.append(part)
            head.append(whole.new_tag("style", string=STYLE))
        article = _article(soup, name, names)
        main.append(article)
        entry = whole.new_tag("li")
        entry.append(whole.new_tag("a", href=f"#{article['id']}", string=_title(article)))
        contents.append(entry)
    return str(whole)


def _article(soup: BeautifulSoup, name: str, names: Sequence[str]) -> Tag:
    """Return what a page says, as it is to be printed."""
    article = soup.select_one("article")
    for still in article.select("noscript"):
        still.unwrap()
    for part in article.select(LEFT_OUT):
        part.decompose()
    for part in article.select("details"):
        part["open"] = ""
    for part in article.find_all(id=True):
        part["id"] = _anchor(name, part["id"])
    article["id"] = _anchor(name)
    for part in article.select("[href], [src]"):
        _lead(part, name, names)
    return article


def _title(article: Tag) -> str:
    return article.h1.get_text().strip()


def _anchor(name: str, fragment: str = "") -> str:
    """Return the name of a page, or of a place on it, that no other page has."""
    page = name.removesuffix(".html").replace("/", "-")
    return f"{page}--{fragment}" if fragment else page


def _lead(part: Tag, name: str, names: Sequence[str]) -> None:
    """Let a link of a page lead where it led, from the folder that holds all pages."""
    attribute = "href" if part.has_attr("href") else "src"
    to = urlsplit(part.get(attribute, "data:"))
    if to.scheme or to.netloc:
        return
    path = posixpath.normpath(posixpath.join(posixpath.dirname(name), to.path)) if to.path else name
    if path in names:
        part[attribute] = f"#{_anchor(path, to.fragment)}"
    elif part.name == "a" and path.endswith(".html"):
        del part[attribute]  # of a page that is not printed
    else:
        part[attribute] = to._replace(path=path).geturl()


def print_pdf(page: Path, out: Path) -> None:
    """Print a page into a file."""
    with TemporaryDirectory() as profile:
        subprocess.run(
            [
                CHROMIUM,
                *FLAGS,
                f"--user-data-dir={profile}",
                f"--print-to-pdf={out}",
                page.as_uri(),
            ],
            check=True,
            stderr=subprocess.DEVNULL,
        )


def main() -> None:
    """Write the PDF, _build/gahb.pdf unless another file is named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", nargs="?", type=Path, default=ROOT / "_build" / "gahb.pdf")
    out = parser.parse_args().out.resolve()
    if CHROMIUM is None:
        sys.exit("chromium: not found; install it to print the book")
    out.unlink(missing_ok=True)
    with NamedTemporaryFile("w", dir=BUILT, suffix=".html", encoding="utf-8") as page:
        page.write(joined(BUILT, pages()))
        page.flush()
        print_pdf(Path(page.name), out)
    if not out.is_file():
        sys.exit(f"{out.name}: the browser has printed nothing")
    print(f"{out}: {out.stat().st_size / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
