"""The report is one page that needs nothing else: no network, no folder beside it."""

import re
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from pconv_study.report import write_report

CHAPTERS = sorted((Path(__file__).parents[2] / "notebooks").glob("[0-9]*.ipynb"))
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
CASES = r"""
$$ x' = \begin{cases} W^T (X \odot M)\,\dfrac{\mathrm{sum}(\mathbf 1)}{\mathrm{sum}(M)} + b
   & \text{if } \mathrm{sum}(M) > 0 \\ 0 & \text{otherwise,} \end{cases} $$
"""


class Elements(HTMLParser):
    """All start tags of a page, as (name, attributes)."""

    def __init__(self, page):
        super().__init__()
        self.all = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.all.append((tag, dict(attrs)))

    def values(self, attribute):
        return [a[attribute] for _, a in self.all if attribute in a]


@pytest.fixture
def report(tmp_path):
    """Write notebooks, given as lists of cells by name, and return the page made of them."""

    def make(**chapters):
        for name, cells in chapters.items():
            cells = [new_markdown_cell(c) if isinstance(c, str) else c for c in cells]
            nbformat.write(new_notebook(cells=cells), tmp_path / f"{name}.ipynb")
        write_report([tmp_path / f"{n}.ipynb" for n in chapters], tmp_path / "r.html", "A < B")
        return (tmp_path / "r.html").read_text(encoding="utf-8")

    return make


def check_page(page):
    """Hold a page to what every report promises."""
    elements = Elements(page)
    assert not {tag for tag, _ in elements.all} & {"script", "link", "iframe", "object", "embed"}
    assert all(source.startswith("data:image/") for source in elements.values("src"))
    prose = re.sub(r"(?s)<(pre|code|style)\b.*?</\1>|data:image/[^\"]*", "", page)
    assert not {"$", "\\"} & set(prose)
    ids = elements.values("id")
    assert len(ids) == len(set(ids))
    for target in elements.values("href"):
        assert target[1:] in ids if target.startswith("#") else target.startswith("https://")


def test_the_studys_own_notebooks_make_a_page_that_needs_nothing_else(tmp_path):
    write_report(CHAPTERS, tmp_path / "a.html", "t")
    page = (tmp_path / "a.html").read_text(encoding="utf-8")
    check_page(page)
    assert re.findall(r'<section id="(.*?)">', page) == [path.stem for path in CHAPTERS]


def test_cells_formulas_and_figures_come_in_their_order(report):
    figure = new_code_cell("show()", outputs=[new_output("display_data", {"image/png": PNG})])
    page = report(one=["# 1. `One` $x$", "So $a_b$." + CASES, figure], two=["# Two & more"])
    check_page(page)
    names = re.findall(r'<li><a href="#(.*?)">(.*?)</a>', page)
    assert names == [("one", "1. One x"), ("two", "Two &amp; more")]
    assert page.count('display="inline"') == 2
    assert page.count('display="block"') == 1
    places = [page.index(part) for part in ("A &lt; B</h1>", "⊙", "data:image/png", 'id="two"')]
    assert places == sorted(places)


def test_links_lead_to_chapters_or_to_the_web_or_are_text_with_their_query(report):
    links = '[two](two.ipynb), [3 dB](../t.csv "a -> b"), [web](https://example.org/a)'
    page = report(one=["# One", links], two=["# Two"])
    check_page(page)
    assert '<a href="#two">two</a>, <span title="a -&gt; b">3 dB</span>' in page
