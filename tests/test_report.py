"""The report is one page that needs nothing else: no network, no folder beside it."""

import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from pconv_core.study.report import write_report

ROOT = Path(__file__).parents[1]
CHAPTERS = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
TABLE = '<div><style scoped>th {}</style><table class="dataframe"><tr><td>7</td></tr></table></div>'
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

    def values(self, attribute, *tags):
        return [a[attribute] for tag, a in self.all if attribute in a and (not tags or tag in tags)]


@pytest.fixture
def report(tmp_path):
    """Write notebooks, given as lists of cells by name, and return the page made of them."""

    def make(**chapters):
        for name, cells in chapters.items():
            cells = [new_markdown_cell(c) if isinstance(c, str) else c for c in cells]
            nbformat.write(new_notebook(cells=cells), tmp_path / f"{name}.ipynb")
        paths = [tmp_path / f"{name}.ipynb" for name in chapters]
        out = write_report(paths, ["PSNR **rose**."], tmp_path / "report.html", "A < B")
        return out.read_text(encoding="utf-8")

    return make


def code(source, **data):
    data = {kind.replace("_", "/"): value for kind, value in data.items()}
    return new_code_cell(source, outputs=[new_output("display_data", data)] if data else [])


def check_page(page):
    """Hold a page to what every report promises."""
    elements = Elements(page)
    names = {tag for tag, _ in elements.all}
    assert not names & {"script", "link", "iframe", "object", "embed"}
    assert all(source.startswith("data:image/") for source in elements.values("src"))
    assert not re.search(r"url\(|@import", re.search(r"<style>(.*?)</style>", page, re.S)[1])
    prose = re.sub(r"(?s)<(pre|code|style)\b.*?</\1>|data:image/[^\"]*", "", page)
    assert "$" not in prose
    assert "\\" not in prose
    ids = elements.values("id")
    assert len(ids) == len(set(ids))
    for target in elements.values("href", "a"):
        assert target[1:] in ids if target.startswith("#") else target.startswith("https://")
    assert len(elements.values("alt", "img")) == sum(tag == "img" for tag, _ in elements.all)
    levels = [int(tag[1]) for tag, _ in elements.all if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert 1 not in levels[1:]
    assert all(b <= a + 1 for a, b in pairwise(levels))
    return elements


def test_the_studys_own_notebooks_make_a_page_that_needs_nothing_else(tmp_path):
    pages = [write_report(CHAPTERS, ["s"], tmp_path / name, "t") for name in ("a.html", "b.html")]
    first, second = (page.read_bytes() for page in pages)
    assert first == second
    elements = check_page(first.decode())
    assert [i for i in elements.values("id", "section") if i != "found"] == [
        path.stem for path in CHAPTERS
    ]
    assert sum(tag == "math" for tag, _ in elements.all) > 20


def test_findings_come_first_then_the_chapters_and_their_cells_in_order(report):
    cells = ["# 1. `One` $x$", code("size = 64"), "## Part", code("show()", text_plain="printed")]
    page = report(one=cells, two=["# Two & more"])
    elements = check_page(page)
    contents = re.findall(r'<li><a href="#(.*?)">(.*?)</a>', page)
    assert contents == [
        ("found", "What the study found"),
        ("one", "1. One x"),
        ("two", "Two &amp; more"),
    ]
    assert "<title>A &lt; B</title>" in page
    assert ("html", {"lang": "en"}) in elements.all
    text = re.sub(r"<[^>]+>", "", page.split("</header>")[1])
    wanted = ["PSNR rose.", "1. One", "size = 64", "Part", "show()", "printed", "Two & more"]
    places = [text.replace("&amp;", "&").index(part) for part in wanted]
    assert places == sorted(places)
    assert page.count("<summary>code</summary>") == 2


def test_formulas_become_mathml(report):
    page = report(one=["# One", r"Weights $C_1 * W_2 * b$ and $a_b$, code `$x$`." + CASES])
    check_page(page)
    assert page.count('<math display="inline"') == 2
    assert page.count('<math display="block"') == 1
    assert "<mtable>" in page
    assert "⊙" in page
    assert "<code>$x$</code>" in page


@pytest.mark.parametrize("formula", [r"\nosuch x", r"\begin{cases} a", "x_{", "a & b"])
def test_a_formula_that_mathml_cannot_say_is_named(report, formula):
    with pytest.raises(ValueError, match=re.escape(repr(formula))):
        report(one=["# One", f"${formula}$"])


def test_links_lead_to_chapters_or_to_the_web_or_are_plain_text(report):
    links = [
        "[two](two.ipynb), [part](two.ipynb#part), [again](../results/demo/notebooks/two.ipynb)",
        "[none](three.ipynb) [card](../pconv_core/shipped/README.md) [here](#one) ![pic](a.png)",
        "[web](https://example.org/a)",
    ]
    page = report(one=["# One", "\n\n".join(links)], two=["# Two"])
    targets = check_page(page).values("href", "a")[3:]
    assert targets == ["#two", "#two", "#two", "https://example.org/a"]
    assert "<p>none card here pic</p>" in page


def test_figures_say_what_their_caption_says_and_tables_scroll_in_their_box(report):
    caption = "*Figure: what $I_{out}$ shows,\non two lines.*\n\n## Next"
    cells = ["# One", code("a", image_png=PNG), caption, code("b", image_png=PNG)]
    page = report(one=[*cells, code("c", text_html=TABLE), "| x |\n|---|\n| 1 |"])
    elements = check_page(page)
    assert elements.values("alt") == ["Figure: what I_out shows, on two lines.", "figure"]
    assert len(re.findall(r'<div class="wide" tabindex="0">\s*(?:<div>\s*)?<table', page)) == 2
    assert "scoped" not in page


def test_without_notebooks_there_is_no_report_and_a_failed_one_leaves_the_old(report, tmp_path):
    out = tmp_path / "report.html"
    with pytest.raises(ValueError, match="holds no executed notebook; run `make all` first"):
        write_report([], [], out, "t")
    assert not out.exists()
    page = report(one=["# One"])
    with pytest.raises(ValueError, match="nosuch"):
        report(one=[r"$\nosuch$"])
    assert out.read_text(encoding="utf-8") == page
