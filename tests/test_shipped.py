"""The weights that come with the project, and what their model card says of them."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image
from safetensors import safe_open

from pconv_core import data, evaluation
from pconv_core.__main__ import main
from pconv_core.files import weights
from pconv_core.models import PConvUNet

ROOT = Path(__file__).parents[1]
REFERENCE = ROOT / "results" / "reference"
CLASSICAL = ("Telea", "Navier-Stokes", "biharmonic")
CARD = weights.SHIPPED.with_name("README.md").read_text()


def test_they_are_small_halves_and_nothing_else():
    assert weights.SHIPPED.stat().st_size <= 10e6
    with safe_open(weights.SHIPPED, "pt") as file:
        kinds = {file.get_tensor(name).dtype for name in file.keys()}  # noqa: SIM118
        assert len(file.metadata()) == 1
    assert kinds <= {torch.float16, torch.int64}
    net = weights.load_network(weights.SHIPPED)
    assert type(net) is PConvUNet
    count = sum(p.numel() for p in net.parameters())
    assert f"{count:,} parameters" in CARD


def test_inpaint_needs_no_checkpoint(tmp_path):
    photo = data.embedded("test")[1][:120, :150]
    mask = np.full(photo.shape[:2], 255, np.uint8)
    mask[40:60, 50:90] = 0
    Image.fromarray(photo).save(tmp_path / "photo.png")
    Image.fromarray(mask).save(tmp_path / "mask.png")
    paths = {k: str(tmp_path / f"{k}.png") for k in ("photo", "mask", "out")}
    command = ["inpaint", "--image", paths["photo"], "--mask", paths["mask"]]
    assert main([*command, "--out", paths["out"]]) == 0
    out = np.asarray(Image.open(paths["out"]))
    known = mask == 255
    assert (out[known] == photo[known]).all()
    assert (out[~known] != photo[~known]).any()


def test_they_beat_the_mean_fill_on_photographs_never_seen():
    """Live, on the embedded test photographs: a damaged file could not."""
    cells = list(data.evaluation_set(data.embedded("test"), 88, 2, seed=5))
    net = weights.load_network(weights.SHIPPED)
    ours = evaluation.evaluate(evaluation.network_fill(net), cells)
    mean = evaluation.evaluate(evaluation.mean_fill, cells)
    assert (ours["psnr"] - mean["psnr"]).mean() > 3


def test_the_card_tells_what_the_tables_hold():
    table = pd.read_csv(REFERENCE / "photographs/tables/09_shipped.csv").set_index("model")
    rows = dict(re.findall(r"^\| ([\w -]+?) \| ([\d.]+) \|", CARD, flags=re.MULTILINE))
    assert rows.keys() == set(table.index)
    for name, psnr in rows.items():
        assert psnr == f"{table.loc[name, 'psnr']:.2f}"
    demo = pd.read_csv(REFERENCE / "demo/tables/09_shipped.csv").set_index("model")["psnr"]
    assert f"reaches {demo['shipped weights']:.2f} dB, Telea {demo['Telea']:.2f} dB" in CARD
    ours, *others = (f"{table.loc[name, 'ssim']:.3f}" for name in ("shipped weights", *CLASSICAL))
    assert f"({ours}; {min(others)} to {max(others)})" in CARD


def test_they_pass_the_classical_methods_on_photographs_never_seen():
    folder = REFERENCE / "photographs/tables"
    psnr = pd.read_csv(folder / "09_shipped.csv").set_index("model")["psnr"]
    assert psnr.idxmax() == "shipped weights"
    gaps = pd.read_csv(folder / "09_shipped_differences.csv")
    gaps["other"] = gaps["difference"].str.partition(" - ")[2]
    low = gaps.pivot(index="other", columns="hole_ratio", values="low")
    assert (low.loc[["Telea", "Navier-Stokes"], "0.01-0.5"] > 0).all()
    assert low.loc["biharmonic", "0.01-0.5"] < 0
    assert (low[["0.2-0.3", "0.3-0.4", "0.4-0.5", "0.5-0.6"]] > 0).all(axis=None)
    assert (gaps[gaps["hole_ratio"] == "0.01-0.1"].query("other != 'mean fill'")["high"] < 0).all()
