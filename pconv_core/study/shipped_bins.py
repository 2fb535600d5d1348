"""The shipped weights by the paper's bins, at three sizes, beside methods that learn nothing.

python -m pconv_core.study.shipped_bins --photographs DIR --out DIR [--checkpoint FILE]
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from pconv_core import data, evaluation
from pconv_core.files import weights
from pconv_core.files.writing import whole
from pconv_core.models import InpaintingNet
from pconv_core.study.tables import SHIPPED

# Pictures of each bin, with and without border, by the side of a picture in pixels.
PICTURES = {128: 20, 256: 10, 512: 10}
SPAN = (0.9, 1.0)  # nearly the largest square of a photograph
ONE_PASS = f"{SHIPPED}, one pass"
_OTHERS = ("Telea", "Navier-Stokes", "biharmonic", "continuation")
MEASURES = ("psnr", "lite0", "ssim")


def run(
    net: InpaintingNet, photos: data.Photos, pictures: dict[int, int] = PICTURES, seed: int = 0
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Measure on every bin, with border and without.

    Returns
    -------
    bins : DataFrame
        As `evaluation.by_bin` makes it, the size before it.
    differences : DataFrame
        Of each of `MEASURES`: the shipped weights' less every other method's, with 95 % intervals
        over the pictures, as `evaluation.differences`, size and measure before them.
    """
    bins, differences = [], []
    for size, count in pictures.items():
        fills = {
            SHIPPED: evaluation.network_fill(net, coarse_to_fine=True),
            ONE_PASS: evaluation.network_fill(net),
            **{name: evaluation.BASELINES[name] for name in _OTHERS},
        }
        tables = []
        for name, fill in tqdm(fills.items(), desc=f"{size} pixels", leave=False):
            crops = data.evaluation_set(photos, size, count, seed, SPAN)
            table = evaluation.evaluate(fill, crops)
            table.insert(0, "model", name)
            tables.append(table)
        rows = pd.concat(tables, ignore_index=True)
        bins.append(_first(evaluation.by_bin(rows), size=size))
        for measure in MEASURES:
            found = evaluation.differences(rows, SHIPPED, seed, measure)
            found = found.rename(columns={measure: "mean"})
            differences.append(_first(found, size=size, measure=measure))
    return pd.concat(bins, ignore_index=True), pd.concat(differences, ignore_index=True)


def _first(table: pd.DataFrame, **columns) -> pd.DataFrame:
    """A table with columns of one value before the others."""
    for place, (name, value) in enumerate(columns.items()):
        table.insert(place, name, value)
    return table


def main(arguments: Sequence[str] | None = None) -> int:
    """Write bins.csv and differences.csv, and print PSNR and Lite0 distance by bin, with border."""
    parser = argparse.ArgumentParser(prog="python -m pconv_core.study.shipped_bins")
    parser.add_argument("--photographs", required=True, metavar="DIR")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR")
    parser.add_argument("--checkpoint", type=Path, default=weights.SHIPPED, metavar="FILE")
    given = parser.parse_args(arguments)
    try:
        photos = data.open_photos(given.photographs, "test")
        bins, differences = run(weights.load_network(given.checkpoint), photos)
        for name, table in (("bins", bins), ("differences", differences)):
            with whole(given.out / f"{name}.csv") as unfinished:
                table.to_csv(unfinished, index=False, float_format="%.3f")
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    shown = bins[bins["border"]].set_index(["size", "model", "hole_ratio"])[["psnr", "lite0"]]
    print(shown.unstack("hole_ratio").round(3).to_string())
    return 0


if __name__ == "__main__":
    sys.exit(main())
