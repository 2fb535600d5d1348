"""All chapters as one page that needs no network: formulas, figures and style lie inside it."""

import re
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlsplit

import nbformat
from latex2mathml.converter import convert
from nbconvert import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

from pconv_core.files.writing import whole

# Scrolls by itself, also by keyboard, so that the page never has to.
_WIDE = '<div class="wide" tabindex="0">\n{}</div>\n'


def write_report(notebooks: list[Path], summary: list[str], out: Path, title: str) -> Path:
    """Join executed notebooks into one HTML page, the sentences of the summary first; return `out`.

    Raises
    ------
    ValueError
        If there is no notebook, or a formula that MathML cannot say.
    """
    if not notebooks:
        raise ValueError(f"{out.parent} holds no executed notebook; run `make all` first")
    markdown = MarkdownWithMath(renderer=_Renderer([path.stem for path in notebooks]))
    found = markdown.render("# What the study found\n\n" + "\n".join(f"- {s}" for s in summary))
    sections = [("found", "What the study found", found)]
    sections += [_chapter(path, markdown) for path in notebooks]
    page = _file("report.html").format(
        title=escape(title),
        style=_file("report.css"),
        contents="\n".join(f'<li><a href="#{a}">{escape(t)}</a></li>' for a, t, _ in sections),
        sections="\n".join(f'<section id="{a}">\n{body}\n</section>' for a, _, body in sections),
    )
    with whole(out) as unfinished:
        unfinished.write_text(page, encoding="utf-8")
    return out


def _file(name: str) -> str:
    return (files("pconv_core.study") / name).read_text(encoding="utf-8")


class _Renderer(IPythonRenderer):
    """Markdown to HTML: formulas become MathML, and links stay within the page or the web."""

    def __init__(self, chapters: Sequence[str]) -> None:
        super().__init__(escape=False, exclude_anchor_links=True)
        self.chapters = chapters

    def inline_math(self, body: str) -> str:
        return _mathml(body, "inline")

    def block_math(self, body: str) -> str:
        return f'<span class="wide" tabindex="0">{_mathml(body, "block")}</span>'

    def latex_environment(self, name: str, body: str) -> str:
        return self.block_math(rf"\begin{{{name}}}{body}\end{{{name}}}")

    def heading(self, text: str, level: int, **attrs: str) -> str:
        return super().heading(text, min(level + 1, 6), **attrs)  # the page's title is the first

    def table(self, text: str) -> str:
        return _WIDE.format(f"<table>\n{text}</table>\n")

    def link(self, text: str, url: str, title: str | None = None) -> str:
        parts = urlsplit(url)
        path = Path(parts.path)
        if path.suffix == ".ipynb" and path.stem in self.chapters:
            return super().link(text, f"#{path.stem}", title)
        return super().link(text, url, title) if parts.scheme.startswith("http") else text

    def image(self, text: str, url: str, title: str | None = None) -> str:
        return super().image(text, url, title) if url.startswith("data:") else escape(text)


def _mathml(formula: str, display: str) -> str:
    try:
        mathml = convert(formula, display=display)
    except Exception as error:
        raise ValueError(f"formula {formula!r} is no LaTeX: {error!r}") from None
    if unknown := re.search(r">(\\[^<]*|&)<", mathml):  # what it does not know is handed through
        raise ValueError(f"formula {formula!r}: latex2mathml knows no {unknown[1]} here")
    return mathml


def _chapter(path: Path, markdown: MarkdownWithMath) -> tuple[str, str, str]:
    """Make a notebook's anchor, title and HTML."""
    notebook = nbformat.read(path, as_version=4)
    _name_cells(notebook.cells, path.stem)
    exporter = HTMLExporter(
        raw_template=_file("report_cells.html.j2"),
        template_name="basic",
        filters={"markdown2html": markdown.render, "boxed": _boxed},
        exclude_input_prompt=True,
        exclude_output_prompt=True,
    )
    body, _ = exporter.from_notebook_node(notebook)
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    heading = re.search(r"^# (.+)$", text, re.MULTILINE)
    return path.stem, _plain(heading[1]) if heading else path.stem, body


def _name_cells(cells: list[nbformat.NotebookNode], chapter: str) -> None:
    """Give every cell a name of its own, and its figures the caption that follows as their text."""
    for number, (cell, next_cell) in enumerate(pairwise([*cells, nbformat.v4.new_markdown_cell()])):
        cell.id = f"{chapter}-{number}"  # two chapters may have used one name
        caption = re.match(r"\*(Figure: .+?)\*(\n\n|\Z)", next_cell.source, re.DOTALL)
        cell.metadata["alt"] = _plain(caption[1]) if caption else "figure"


def _boxed(html: str) -> str:
    """Put a table into its own box, without the style that pandas brings along."""
    return _WIDE.format(re.sub(r"<style.*?</style>\n?", "", html, flags=re.DOTALL))


def _plain(markdown: str) -> str:
    """Take the marks from a line of Markdown."""
    return " ".join(re.sub(r"[*`${}\\]", "", markdown).split())
