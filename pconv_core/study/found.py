"""What the trainings on photographs found: their committed tables, read by those who tell of them.

A difference is told with its interval, and called better or worse only where the interval lies on
one side of 0.
"""

from collections.abc import Callable, Iterable
from pathlib import Path

import pandas as pd

from pconv_core.evaluation import UP_TO_HALF
from pconv_core.study.profile import load_profile
from pconv_core.study.run import STAGES, Study, label
from pconv_core.study.tables import SHIPPED, beside_pconv, pconv_curves

BETTER, WORSE, UNTOLD = "better", "worse", "not told apart"
AS_GOOD = 0.5  # dB; within this, two training sizes are equally good
RUN = "trainings"  # below results/reference
PROFILE = "photographs"
LOWER_IS_BETTER = ("l1", "lite0", "l1_hole")
UNITS = {"psnr": " dB", "psnr_hole": " dB", "l1": " %", "l1_hole": " %"}
TOLD = ("psnr", "ssim", "lite0")  # measures that sentences tell
NAMES = {"psnr": "PSNR", "ssim": "SSIM", "l1": "L1", "lite0": "Lite0 distance"}
NAMES |= {f"{name}_hole": f"{NAMES[name]} in the hole" for name in ("psnr", "ssim", "l1")}
STAGE_NAMES = dict(zip(STAGES, ("stage 1", "stage 2", "fine-tuning"), strict=True))


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
        # Trained alike, but for the size of the last.
        self.networks = [label(*which) for which in self.entrants.values()]

    def table(self, name: str) -> pd.DataFrame:
        """Read tables/NAME.csv."""
        return pd.read_csv(self.folder / "tables" / f"{name}.csv")

    @property
    def overall(self) -> pd.DataFrame:
        """Means up to a hole ratio of 0.5, by method."""
        whole = {"random_seeds": "Int64", "samples": "Int64"}
        return self.table("psnr_overall").set_index("model").astype(whole)

    def against(self, other: str, measure: str = "psnr", ratio: str = UP_TO_HALF) -> pd.Series:
        """The partial U-Net less another method: mean, low, high, random_seeds, pictures."""
        table = self.table("differences")
        chosen = table["difference"] == f"{self.ours} - {other}"
        chosen &= (table["measure"] == measure) & (table["hole_ratio"] == ratio)
        return table[chosen].iloc[0]

    def shipped_against(self, other: str, measure: str = "psnr") -> pd.Series:
        """The shipped weights less another method on the same crops: mean, low, high, pictures."""
        return self._shipped(other, measure).loc[UP_TO_HALF]

    def shipped_by_bin(self, other: str, measure: str = "psnr") -> pd.DataFrame:
        """The shipped weights less another method: a row a bin, as `shipped_against`."""
        return self._shipped(other, measure).drop(UP_TO_HALF)

    def _shipped(self, other: str, measure: str) -> pd.DataFrame:
        table = self.table("shipped_differences").query("measure == @measure")
        chosen = table["difference"] == f"{SHIPPED} - {other}"
        return table[chosen].set_index("hole_ratio").sort_index()

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

    def after(self, stage: str, other: str, measure: str = "psnr") -> pd.Series:
        """The partial U-Net less another network after a stage: mean, low, high."""
        table = self.table("after_stages").query("stage == @stage and measure == @measure")
        return table.set_index("difference").loc[f"{self.ours} - {other}"]

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

    def beside_pconv(self) -> pd.DataFrame:
        """`tables.beside_pconv` of every random seed, one after the other."""
        parts = []
        for seed in self.seeds("pconv"):
            logs = {
                look: (label(*which), self.record(*which, seed))
                for look, which in self.entrants.items()
            }
            parts.append(beside_pconv(logs, pconv_curves()).assign(random_seed=seed))
        return pd.concat(parts, ignore_index=True)

    def seeds(self, model: str) -> list[int]:
        """Random seeds with which a model was trained at the larger size."""
        table = self.table("manifest")
        chosen = table[(table["model"] == model) & (table["size"] == self.size)]
        return sorted(chosen["random_seed"].unique().tolist())


def side(row: pd.Series, measure: str = "psnr") -> str:
    """Say of a difference "better", "worse" or "not told apart", by its interval."""
    low, high = row["low"], row["high"]
    if measure in LOWER_IS_BETTER:
        low, high = -high, -low
    return BETTER if low > 0 else WORSE if high < 0 else UNTOLD


def with_interval(row: pd.Series, measure: str = "psnr") -> str:
    """Write a difference with its interval: "+0.70 dB (+0.59 to +0.82)".

    With one more decimal where an end would be printed as 0, which does not show its side.
    """
    unit = UNITS.get(measure, "")
    numbers = row[["mean", "low", "high"]]
    digits = 2 if unit == " dB" else 3
    digits += int((numbers[["low", "high"]].abs() < 0.5 * 10**-digits).any())
    mean, low, high = (f"{number:+.{digits}f}" for number in numbers)
    interval = "no interval" if numbers.isna().any() else f"{low} to {high}"
    return f"{mean}{unit} ({interval})"


def told(row: pd.Series, measure: str = "psnr") -> str:
    """A difference with its measure's name, which the unit tells of PSNR, and its side."""
    name = "" if measure == "psnr" else f"{NAMES[measure]} "
    return f"{name}{with_interval(row, measure)}: {side(row, measure)}"


def in_bins(table: pd.DataFrame, measure: str = "psnr") -> str:
    """Say in which bins of `Found.by_bin` one is better and in which worse, by the intervals."""
    sides = {name: side(row, measure) for name, row in table.iterrows()}
    if len(set(sides.values())) == 1:
        found = next(iter(sides.values()))
        return "told apart in no bin" if found == UNTOLD else f"{found} in every bin"
    parts = []
    for which in (BETTER, WORSE, UNTOLD):
        spans = _joined([name for name, found in sides.items() if found == which])
        if spans:
            parts.append(f"{which} in {listed(spans)}")
    return ", ".join(parts)


def _joined(bins: Iterable[str]) -> list[str]:
    """Join bins that follow each other: "0.1-0.2", "0.2-0.3" and "0.5-0.6" to 0.1-0.3, 0.5-0.6."""
    spans: list[list[str]] = []
    for name in bins:
        low, high = name.split("-")
        if spans and spans[-1][1] == low:
            spans[-1][1] = high
        else:
            spans.append([low, high])
    return ["-".join(span) for span in spans]


def measured(found: Found, other: str) -> str:
    """Say in a line what the partial U-Net is against another method: `TOLD`, whole and by bin."""
    return _measured(found.against, found.by_bin, other)


def shipped_measured(found: Found, other: str) -> str:
    """Say the same of the shipped weights."""
    return _measured(found.shipped_against, found.shipped_by_bin, other)


def _measured(whole: Callable, by_bin: Callable, other: str) -> str:
    parts = []
    for measure in TOLD:
        name = "" if measure == "psnr" else f"{NAMES[measure]} "
        row, where = whole(other, measure), in_bins(by_bin(other, measure), measure)
        parts.append(f"{name}{with_interval(row, measure)}, {where}")
    return "; ".join(parts)


def stage_lines(found: Found, after: str) -> str:
    """Say of each network what a stage changed, a line a network."""
    lines = []
    for model in (found.ours, found.conv, found.unet):
        parts = [told(found.stage(model, after, measure), measure) for measure in TOLD]
        lines.append(f"{model}: {'; '.join(parts)}")
    return "\n".join(lines)


def after_lines(found: Found, other: str) -> str:
    """Say what the partial U-Net is against another network after each stage, a line a stage."""
    return "\n".join(after_line(found, other, stage) for stage in STAGES)


def after_line(found: Found, other: str, stage: str) -> str:
    """Say what the partial U-Net is against another network after a stage."""
    parts = [told(found.after(stage, other, measure), measure) for measure in TOLD]
    return f"after {STAGE_NAMES[stage]}, {found.ours} less {other}: {'; '.join(parts)}"


def size_lines(found: Found) -> str:
    """Say what training at the smaller size changes, a line a size of evaluation."""
    lines = []
    for at in (found.small_size, found.size):
        parts = [told(found.smaller(at, measure), measure) for measure in TOLD]
        lines.append(
            f"trained at {found.small_size} instead of {found.size} pixels, measured at {at}: "
            f"{'; '.join(parts)}"
        )
    return "\n".join(lines)


def as_good(gaps: Iterable[pd.Series]) -> str:
    """Say whether trainings are as good as others, "yes", "no" or "undecided".

    Parameters
    ----------
    gaps : iterable of Series
        Differences of PSNR in dB with their intervals, as `Found.smaller` gives them.
    """
    gaps = list(gaps)
    if any(gap["high"] < -AS_GOOD for gap in gaps):
        return "no"
    return "yes" if all(gap["low"] > -AS_GOOD for gap in gaps) else "undecided"


def listed(parts: Iterable[str]) -> str:
    """Join as in a sentence: "a, b and c"."""
    *first, last = parts
    return f"{', '.join(first)} and {last}" if first else str(last)
