"""What the trainings on photographs found: their committed tables, read by those who tell of them.

A difference is told with its interval, and called better or worse only where the interval lies on
one side of 0.
"""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from pconv_core.evaluation import UP_TO_HALF
from pconv_core.study.profile import load_profile
from pconv_core.study.run import STAGES, Study, label

RUN = "trainings"  # below results/reference
PROFILE = "photographs"
LOWER_IS_BETTER = ("l1", "lite0", "l1_hole")
UNITS = {"psnr": " dB", "psnr_hole": " dB", "l1": " %", "l1_hole": " %"}
TOLD = ("psnr", "ssim", "lite0")  # measures that sentences tell
NAMES = {"psnr": "PSNR", "ssim": "SSIM", "l1": "L1", "lite0": "Lite0 distance"}
NAMES |= {f"{name}_hole": f"{NAMES[name]} in the hole" for name in ("psnr", "ssim", "l1")}


class Found:
    """The tables of `photographs.write`, as they are committed.

    Parameters
    ----------
    reference : Path
        results/reference.

    Raises
    ------
    FileNotFoundError
        If a table is missing, when it is read.
    """

    def __init__(self, reference: Path):
        p = load_profile(PROFILE)
        self.folder = reference / RUN
        self.entrants = Study(p).entrants  # (model, training size) by the key of their look
        self.size, self.small_size = p.size, p.small_size
        self.ours, self.unet, self.conv = (label(m, p.size) for m in ("pconv", "unet", "conv"))
        self.small = label("pconv", p.small_size)
        self.alike = [self.ours, self.unet, self.conv, self.small]  # but for the size of the last

    def table(self, name: str) -> pd.DataFrame:
        """Read tables/NAME.csv."""
        return pd.read_csv(self.folder / "tables" / f"{name}.csv")

    @property
    def overall(self) -> pd.DataFrame:
        """Means up to a hole ratio of 0.5, by method."""
        return self.table("psnr_overall").set_index("model")

    def against(self, other: str, measure: str = "psnr", ratio: str = UP_TO_HALF) -> pd.Series:
        """The partial U-Net less another method: mean, low, high, random_seeds, pictures."""
        table = self.table("differences")
        chosen = table["difference"] == f"{self.ours} - {other}"
        return table[chosen & (table["measure"] == measure) & (table["hole_ratio"] == ratio)].iloc[
            0
        ]

    def by_bin(self, other: str, measure: str = "psnr") -> pd.DataFrame:
        """The partial U-Net less another method: a row a bin, as `against`."""
        table = self.table("differences")
        chosen = (table["difference"] == f"{self.ours} - {other}") & (table["measure"] == measure)
        return table[chosen & (table["hole_ratio"] != UP_TO_HALF)].set_index("hole_ratio")

    def stage(self, model: str, after: str, measure: str = "psnr") -> pd.Series:
        """What a stage changed for a network: mean, low, high."""
        before = STAGES[STAGES.index(after) - 1]
        table = self.table("stages").query("model == @model and measure == @measure")
        return table.set_index("difference").loc[f"{after} - {before}"]

    def smaller(self, at: int, measure: str = "psnr") -> pd.Series:
        """Trained at the smaller size less trained at the larger, measured at a size."""
        table = self.table("05_differences")
        chosen = (table["evaluated_at"] == at) & (table["measure"] == measure)
        return table[chosen & (table["hole_ratio"] == UP_TO_HALF)].iloc[0]

    def record(self, model: str, size: int, seed: int) -> pd.DataFrame:
        """Loss record of a training over all stages."""
        logs = self.folder / str(seed) / "logs"
        return pd.concat(
            (pd.read_csv(logs / f"{model}{size}_{stage}.csv") for stage in STAGES),
            ignore_index=True,
        )

    @property
    def seeds(self) -> list[int]:
        """Random seeds of the trainings."""
        return sorted(self.table("manifest")["random_seed"].unique().tolist())


def side(row: pd.Series, measure: str = "psnr") -> str:
    """Say of a difference "better", "worse" or "not told apart", by its interval."""
    low, high = row["low"], row["high"]
    if measure in LOWER_IS_BETTER:
        low, high = -high, -low
    return "better" if low > 0 else "worse" if high < 0 else "not told apart"


def with_interval(row: pd.Series, measure: str = "psnr") -> str:
    """Write a difference with its interval: "+0.70 dB (+0.59 to +0.82)"."""
    form = "{:+.2f}" if UNITS.get(measure) == " dB" else "{:+.3f}"
    mean, low, high = (form.format(row[name]) for name in ("mean", "low", "high"))
    return f"{mean}{UNITS.get(measure, '')} ({low} to {high})"


def in_bins(table: pd.DataFrame, measure: str = "psnr") -> str:
    """Say in which bins of `Found.by_bin` one is better and in which worse, by the intervals."""
    sides = {name: side(row, measure) for name, row in table.iterrows()}
    if len(set(sides.values())) == 1:
        return f"{next(iter(sides.values()))} in every bin"
    parts = []
    for which in ("better", "worse", "not told apart"):
        bins = [name for name, found in sides.items() if found == which]
        if bins:
            parts.append(f"{which} in {listed(bins)}")
    return "; ".join(parts)


def measured(found: Found, other: str) -> str:
    """Say in a line what the partial U-Net is against another method: `TOLD`, whole and by bin."""
    parts = []
    for measure in TOLD:
        row = found.against(other, measure)
        where = in_bins(found.by_bin(other, measure), measure)
        parts.append(f"{_named(row, measure)}, {where}")
    return "; ".join(parts)


def stage_lines(found: Found, after: str) -> str:
    """Say of each network what a stage changed, a line a network."""
    lines = []
    for model in (found.ours, found.conv, found.unet):
        rows = {measure: found.stage(model, after, measure) for measure in TOLD}
        parts = [f"{_named(row, m)}: {side(row, m)}" for m, row in rows.items()]
        lines.append(f"{model}: {'; '.join(parts)}")
    return "\n".join(lines)


def size_lines(found: Found) -> str:
    """Say what training at the smaller size changes, a line a size of evaluation."""
    lines = []
    for at in (found.small_size, found.size):
        rows = {measure: found.smaller(at, measure) for measure in TOLD}
        parts = [f"{_named(row, m)}: {side(row, m)}" for m, row in rows.items()]
        lines.append(
            f"trained at {found.small_size} instead of {found.size} pixels, measured at {at}: "
            f"{'; '.join(parts)}"
        )
    return "\n".join(lines)


def _named(row: pd.Series, measure: str) -> str:
    """A difference with its measure's name, which the unit tells of PSNR."""
    name = "" if measure == "psnr" else f"{NAMES[measure]} "
    return f"{name}{with_interval(row, measure)}"


def listed(parts: Iterable[str]) -> str:
    """Join as in a sentence: "a, b and c"."""
    *first, last = parts
    return f"{', '.join(first)} and {last}" if first else str(last)
