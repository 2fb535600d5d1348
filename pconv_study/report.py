"""All chapters as one page that needs no network: formulas, figures and style lie inside it."""

import re
from base64 import b64encode
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from urllib.parse import urlsplit

import nbformat
from latex2mathml.converter import convert
from nbconvert import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

from pconv_core.writing import whole


def write_report(notebooks: Sequence[Path], out: Path, title: str) -> None:
    """Join executed notebooks into one HTML page; ValueError without any."""
    if not notebooks:
        raise ValueError(f"{out.parent} holds no executed notebook; run `make all` first")
    markdown = MarkdownWithMath(renderer=_Renderer([path.stem for path in notebooks]))
    exporter = HTMLExporter(
        template_name="basic",
        filters={"markdown2html": markdown.render},
        exclude_input_prompt=True,
        exclude_output_prompt=True,
    )
    names, bodies = [], []
    for path in notebooks:
        notebook = nbformat.read(path, as_version=4)
        for number, cell in enumerate(notebook.cells):
            cell.id = f"{path.stem}-{number}"  # two chapters may have used one name
        body, _ = exporter.from_notebook_node(notebook)
        heading = re.search(r"^# (.+)$", notebook.cells[0].source, re.MULTILINE)
        name = re.sub(r"[*`${}\\]", "", heading[1]) if heading else path.stem
        names.append(f'<li><a href="#{path.stem}">{escape(name)}</a></li>')
        bodies.append(f'<section id="{path.stem}">\n{body}\n</section>')
    style = (files("pconv_study") / "report.css").read_text(encoding="utf-8")
    with whole(out) as unfinished:
        unfinished.write_text(
            f'<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8">\n'
            f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f"<title>{escape(title)}</title>\n<style>\n{style}</style></head>\n<body>\n"
            f"<h1>{escape(title)}</h1>\n<nav><ul>{''.join(names)}</ul></nav>\n"
            + slider(out.parent / "figures")
            + "\n".join(bodies)
            + "\n</body>\n</html>\n",
            encoding="utf-8",
        )


def slider(figures: Path) -> str:
    """A photograph with its hole, and from a handle on its repair, as chapter 9 left the two."""
    files = [figures / f"09_{name}.jpg" for name in ("hole", "repair")]
    if not all(file.is_file() for file in files):
        return ""
    hole, repair = (f"data:image/jpeg;base64,{b64encode(f.read_bytes()).decode()}" for f in files)
    return f"""<figure class="slider"><img src="{hole}" alt="A photograph with a hole">
<img src="{repair}" alt="The same, repaired" style="clip-path: inset(0 0 0 50%)">
<input type="range" value="50" aria-label="Percent of the picture that is not repaired"
oninput="this.previousElementSibling.style.clipPath = 'inset(0 0 0 ' + this.value + '%)'">
<figcaption>Left: what is given. Right: what the shipped weights make of it.</figcaption></figure>
"""


class _Renderer(IPythonRenderer):
    """Markdown to HTML: formulas become MathML, links stay within the page or lead to the web."""

    def __init__(self, chapters: Sequence[str]) -> None:
        super().__init__(escape=False, exclude_anchor_links=True)
        self.chapters = chapters

    def inline_math(self, body: str) -> str:
        return convert(body)

    def block_math(self, body: str) -> str:
        return convert(body, display="block")

    def heading(self, text: str, level: int, **attrs: str) -> str:
        return super().heading(text, min(level + 1, 6), **attrs)  # the page's title is the first

    def link(self, text: str, url: str, title: str | None = None) -> str:
        parts = urlsplit(url)
        if Path(parts.path).stem in self.chapters:
            return super().link(text, f"#{Path(parts.path).stem}", title)
        if parts.scheme.startswith("http"):
            return super().link(text, url, title)
        return f'<span title="{escape(title)}">{text}</span>' if title else text
