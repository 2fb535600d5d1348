"""What the README shows of the results: written between its marks, from the committed tables."""

import textwrap
from pathlib import Path

import pandas as pd

from pconv_core.evaluation import BASELINES
from pconv_core.files.writing import whole
from pconv_core.study import summary
from pconv_core.study.answers import answers
from pconv_core.study.found import PROFILE, Found
from pconv_core.study.profile import load_profile

CORE = {
    "layers.py": "`PartialConv2d`, eq. 1 and 2",
    "models.py": "`PConvUNet`, its twin of plain convolutions, the traditional U-Net",
    "losses.py": "perceptual features and eq. 7, one method a term",
    "data.py": "photographs, crops and masks: a sample is a pure function of its number",
    "training.py": "the loop: steps, record, resume",
}


def blocks(reference: Path) -> dict[str, str]:
    """Make every block of the README that is written, in Markdown.

    Returns
    -------
    dict of str
        Text by the name in the block's marks.

    Raises
    ------
    FileNotFoundError
        If a table is missing.
    ValueError
        If the networks on photographs were not trained alike.
    """
    sentences = summary.sentences(reference)
    return {
        "answer": "\n".join(_item(part) for part in summary.answer(reference)),
        "chapters": _chapters(reference),
        "summary": "\n".join(_item(sentence) for sentence in sentences),
        "demo": _demo(reference / "demo" / "tables"),
        "photographs": _photographs(Found(reference)),
        "core": _core(),
    }


def write(readme: Path, reference: Path) -> None:
    """Renew every block of the README.

    Raises
    ------
    ValueError
        If the README lacks a mark.
    """
    text = readme.read_text(encoding="utf-8")
    for name, body in blocks(reference).items():
        begin, end = _marks(text, name)
        before, _, rest = text.partition(begin)
        text = f"{before}{begin}\n\n{body}\n\n{end}{rest.partition(end)[2]}"
    with whole(readme) as unfinished:
        unfinished.write_text(text, encoding="utf-8")


def _marks(text: str, name: str) -> tuple[str, str]:
    begin, end = f"<!-- {name}: written by `make notebooks` -->", f"<!-- end of {name} -->"
    for mark in (begin, end):
        if mark not in text:
            raise ValueError(f"the README lacks the mark {mark}")
    return begin, end


def _item(sentence: str) -> str:
    return _filled(sentence, initial_indent="- ", subsequent_indent="  ")


def _filled(text: str, **indents: str) -> str:
    """Wrap a paragraph; a word with a hyphen stays whole, or Markdown puts a space into it."""
    return textwrap.fill(text, 98, break_on_hyphens=False, **indents)


def _chapters(reference: Path) -> str:
    rows = [
        [f"[{name}](notebooks/{name}.ipynb)", *parts] for name, parts in answers(reference).items()
    ]
    return _table(["chapter", "question", "answer"], rows)


def _core() -> str:
    """The core in five files, with their lines."""
    folder = Path(__file__).parents[1]
    rows = []
    for name, what in CORE.items():
        lines = len((folder / name).read_text(encoding="utf-8").splitlines())
        rows.append([f"[{name}](pconv_core/{name})", f"about {50 * round(lines / 50)}", what])
    return _table(["file", "lines", "what it holds"], rows)


def _demo(tables: Path) -> str:
    table = pd.read_csv(tables / "psnr_overall.csv")
    heads = ["method", "PSNR in dB", "SSIM", "L1 in %", "Lite0 distance", "PSNR of I_out in dB"]
    rows = []
    for row in table.itertuples():
        numbers = f"{row.psnr:.2f}", f"{row.ssim:.3f}", f"{row.l1:.2f}", f"{row.lite0:.3f}"
        rows.append([row.model, *numbers, f"{row.psnr_out:.2f}", _features(row)])
    notes = (
        "VGG-16 hed: that of ImageNet, slightly fine-tuned to find edges. The Lite0 distance "
        "(lower is better) compares features of EfficientNet-Lite0, which has no part in the loss. "
        "The continuation is this project's own: smooth, coarse to fine, without learning."
    )
    return _table([*heads, "perceptual features"], rows) + "\n\n" + _filled(notes)


def _photographs(found: Found) -> str:
    """PSNR by hole ratio, and the other measures; with and without border have as many crops."""
    overall = found.overall
    networks = overall.loc[found.networks]
    if networks["samples"].nunique() > 1 or networks["random_seeds"].nunique() > 1:
        told = networks[["samples", "random_seeds"]].to_dict("index")
        raise ValueError(f"the networks on photographs were not trained alike: {told}")
    by_bin = found.table("psnr_by_bin").groupby(["model", "hole_ratio"])["psnr"].mean()
    bins = by_bin.index.unique("hole_ratio").sort_values()
    rows = []
    for name, row in overall.iterrows():
        cells = [f"{by_bin[name, ratio]:.2f}" for ratio in bins]
        scatter = "-" if pd.isna(row["spread_psnr"]) else f"± {row['spread_psnr']:.2f}"
        numbers = scatter, *cells, f"{row['ssim']:.3f}", f"{row['l1']:.2f}", f"{row['lite0']:.3f}"
        rows.append([name, f"{row['psnr']:.2f}", *numbers])
    heads = ["method", "up to 0.5", "SD of random seeds", *bins, "SSIM", "L1 in %"]
    p, first = load_profile(PROFILE), networks.iloc[0]
    hardware = " and ".join(dict.fromkeys(networks["hardware"]))
    facts = (
        f"SD: standard deviation of the means of {first['random_seeds']} random seeds. Each "
        f"training saw {first['samples']:,} samples; width {p.base_channels}, features of a "
        f"{first['features']} for {p.features_share:g} of each batch. All together took "
        f"{networks['minutes'].sum() / 60:.1f} hours, added up, on {hardware}. "
        "Conv U-Net: the partial U-Net with plain convolutions. The "
        "shipped weights were trained for longer, on more photographs."
    )
    return _table([*heads, "Lite0 distance"], rows) + "\n\n" + _filled(facts)


def _features(row) -> str:
    return "-" if row.model in BASELINES else row.features


def _table(heads: list[str], rows: list[list[str]]) -> str:
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    return "\n".join(lines + [f"| {' | '.join(row)} |" for row in rows])
