"""Numbers in prose are links to the tables that they come from; here every link is evaluated.

[+1.26 dB (+0.99 to +1.53)](results/reference/NAME/tables/TABLE.csv "QUERY -> mean, low, high"): the
row that pandas finds by the query, and of it an expression for each number of the text.
"""

import re
from pathlib import Path

import nbformat
import pandas as pd
import pytest

ROOT = Path(__file__).parents[2]
LINK = re.compile(r'\[([^\]]*)\]\(([^)\s"]+\.csv) "(.*?)"\)', re.DOTALL)
NUMBER = re.compile(r"[-+]?\d[\d,]*(?:\.\d+)?")
# Decimals that no run produced: weights and rates of papers, P-Conv and settings, versions.
ELSEWHERE = "0.002 0.004 0.01 0.02 0.05 0.1 0.2 22.65 13.37 1804.07723 3.11"
NO_PROSE = re.compile(
    r"```.*?```|<!--.*?-->|\$\$.*?\$\$|\$[^$\n]+\$|`[^`\n]*`|\]\([^)]*\)|https?://\S+", re.DOTALL
)
CARD = ROOT / "pconv_core" / "weights" / "README.md"
FILES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted(ROOT.glob("notebooks/[0-9]*.ipynb"))]


def prose(path: Path) -> str:
    if path.suffix == ".md":
        return path.read_text(encoding="utf-8")
    cells = nbformat.read(path, as_version=4).cells
    return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


def faults(text: str, folder: Path) -> list[str]:
    """What is wrong with the numbers of a text whose links start in a folder."""
    found = []
    for said, file, title in LINK.findall(text):
        query, _, wanted = title.rpartition("->")
        rows = pd.read_csv(folder / file).query(" ".join(query.split()), engine="python")
        numbers = NUMBER.findall(said)
        values = [rows.eval(x.strip(), engine="python") for x in wanted.split(",")]
        values = [set(v) if isinstance(v, pd.Series) else {v} for v in values]
        if len(numbers) != len(values) or any(len(v) != 1 for v in values):
            found.append(f"{said}: {len(rows)} rows, {len(values)} values")
            continue
        for number, (value,) in zip(numbers, values, strict=True):
            decimals = len(number.partition(".")[2])
            form = f"{'+' if number[0] in '+-' else ''}{',' if ',' in number else ''}.{decimals}f"
            if number != format(value, form):
                found.append(f"{said}: {number} is {format(value, form)} in {file}")
    rest = NO_PROSE.sub("", LINK.sub("", text))
    found += [
        f"{n} is no link" for n in re.findall(r"\d+\.\d+", rest) if n not in ELSEWHERE.split()
    ]
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_numbers_are_those_of_their_tables(path):
    assert faults(prose(path), path.parent) == []


def test_numbers_of_the_model_card_are_those_of_their_tables():
    found = faults(prose(CARD), CARD.parent)
    assert [fault for fault in found if not fault.endswith("is no link")] == []


def test_a_wrong_number_a_loose_one_and_a_query_of_two_rows_are_seen(tmp_path):
    pd.DataFrame({"a": [1, 2], "x": [1.234, -5678.5]}).to_csv(tmp_path / "t.csv", index=False)

    def check(said, title):
        return faults(f'It is [{said}](t.csv "{title}").', tmp_path)

    assert check("+1.23 dB", "a == 1 -> x") == []
    assert check("1.2 and 1", "a == 1 -> x, a") == []
    assert check("-5,678.5", "a == 2 -> x") == []
    assert check("3", "a > 0 -> a.sum()") == []
    assert check("+1.24 dB", "a == 1 -> x") == ["+1.24 dB: +1.24 is +1.23 in t.csv"]
    assert check("1.2", "a > 0 -> x") == ["1.2: 2 rows, 1 values"]
    assert check("1.2", "a == 3 -> x") == ["1.2: 0 rows, 1 values"]
    assert faults("It is 1.23 `4.5`.", tmp_path) == ["1.23 is no link"]


@pytest.mark.parametrize("path", [*FILES, CARD, ROOT / "CONTRIBUTING.md"], ids=lambda p: p.stem)
def test_links_lead_somewhere(path):
    text = re.sub(r"```.*?```", "", prose(path), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s\"#]+)", text):
        assert "://" in target or (path.parent / target).exists(), target
