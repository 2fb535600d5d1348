"""Train each deviation as the faithful run is trained, and measure what it costs."""

import copy
import multiprocessing
import os
import re
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from io import StringIO
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from PIL import Image
from scipy import stats
from torch import Tensor
from tqdm import tqdm

from pconv_core import evaluation, hardware
from pconv_core.files.figure import save
from pconv_core.files.pictures import read_photo
from pconv_core.files.writing import whole
from pconv_core.losses import InpaintingLoss
from pconv_core.models import InpaintingNet, composite, levels_for
from pconv_core.study import disc, figures
from pconv_core.study.deviations import DEVIATIONS, PCONV_STYLE, Deviation
from pconv_core.study.profile import Profile, load_profile
from pconv_core.study.run import STAGES, Study, make_loss, perceptual_features
from pconv_core.training import Preempted, Stage, train

# Patterns of at most so many pixels a period count as artefacts of the network.
LONGEST_PERIOD = 8
LUMA = (0.299, 0.587, 0.114)
KEPT = "kept"  # folder of what single trainings gave
# What is compared; see `measure`.
MEASURES = ("psnr", "ssim", "lite0", "excess", "peak")
# Of each training: its perceptual features and samples; if the profile names its hardware, also
# that, and the minutes that it took.
FACTS = ("features", "samples", "hardware", "minutes")


def build(study: Study, deviation: Deviation) -> InpaintingNet:
    """Make the network of a deviation, its initial weights those of the study's random seed."""
    p = study.profile
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(p.seed)
        return deviation.network(levels_for(p.size), p.base_channels)


def stages(study: Study, deviation: Deviation) -> list[Stage]:
    """The study's schedule with what the deviation changes of it."""
    rate = deviation.learning_rate
    changes = {} if rate is None else {"learning_rate": rate, "recipe": "P-Conv"}
    changed = Study(replace(study.profile, **changes), study.results)
    style = {"lambda_style": PCONV_STYLE} if deviation.style_from_start else {}
    return [replace(changed.stage(name), **style) for name in STAGES]


def objective(study: Study, deviation: Deviation) -> InpaintingLoss:
    """The loss of a deviation."""
    others = {"features": deviation.weights, "features_share": deviation.features_share}
    profile = replace(study.profile, **{k: v for k, v in others.items() if v is not None})
    features = deviation.features(perceptual_features(profile))
    return make_loss(profile, features, deviation.loss)


def trained(study: Study, deviation: Deviation) -> InpaintingNet:
    """Train a deviation through all stages; FloatingPointError if its loss is no number."""
    p = study.profile
    net, loss = build(study, deviation), objective(study, deviation)
    for stage in stages(study, deviation):
        samples = study.samples(stage.name, p.size)
        train(net, loss, samples, stage, p.batch_size, p.record_every, 0, study.switches)
    return net.eval()


def filler(net: InpaintingNet, deviation: Deviation) -> evaluation.Fill:
    """How a deviation fills holes when it is measured."""
    return (
        with_batch_statistics(net) if deviation.batch_statistics else evaluation.network_fill(net)
    )


def with_batch_statistics(net: InpaintingNet) -> evaluation.Fill:
    """As P-Conv measures: batch norm in training mode, on each image stacked twice."""
    net = copy.deepcopy(net)
    net.encoder_norm_frozen = False
    net.train()

    @torch.no_grad()
    def fill(images: Tensor, masks: Tensor) -> Tensor:
        pairs = zip(images.split(1), masks.split(1), strict=True)
        outs = [net(torch.cat([i * m, i * m]), torch.cat([m, m]))[:1] for i, m in pairs]
        return torch.cat(outs).clamp(0, 1)

    return fill


def measure(study: Study, net: InpaintingNet, deviation: Deviation) -> dict[str, float]:
    """PSNR, SSIM and Lite0 distance up to a hole ratio of 0.5, and how periodic the fillings are.

    Returns
    -------
    dict
        psnr in dB, ssim and lite0, of I_comp or, if the deviation says so, of I_out; excess and
        peak in dB, see `periodicity`; `disc.MEASURES` in dB.
    """
    fill = filler(net, deviation)
    crops = list(study.evaluation_set(study.profile.size))
    table = evaluation.evaluate(fill, iter(crops))
    images, masks = (torch.cat([crop[k] for crop in crops]) for k in (2, 3))
    out = fill(images, masks)
    end = "_out" if deviation.on_out else ""
    if deviation.on_out:
        table["lite0_out"] = evaluation.lite0_distance(out, images).numpy()
    up_to_half = table[table["ratio"] <= 0.5]
    means = {name: float(up_to_half[name + end].mean()) for name in ("psnr", "ssim", "lite0")}
    periods = periodicity(composite(out, images, masks), images, masks)
    return {**means, **periods, **disc.measure(fill)}


def periodicity(comp: Tensor, images: Tensor, masks: Tensor) -> dict[str, float]:
    """Compare the spectrum of what fills the holes with that of the ground truth there.

    The mean power spectra of the luma in the hole, its local mean taken off, are divided at every
    frequency of at most `LONGEST_PERIOD` pixels a period.

    Parameters
    ----------
    comp, images : Tensor of shape (N, 3, H, W)
        I_comp and I_gt.
    masks : Tensor of shape (N, 1, H, W)

    Returns
    -------
    dict
        excess: energy at those frequencies over the truth's, in dB; below 0 is blur.
        peak: how far the largest quotient stands out of those at the same distance from frequency
        0, in dB; high where a pattern repeats, low for blur and for noise.
    """
    powers = [_power(pictures, masks) for pictures in (comp, images)]
    height, width = masks.shape[-2:]
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width))
    fine = frequency >= 1 / LONGEST_PERIOD
    ours, truth = (power[fine] for power in powers)
    # Neighbouring frequencies of few pictures scatter; what repeats does not hide in a mean of 3x3.
    smooth = [cv2.blur(np.fft.fftshift(power), (3, 3)) for power in powers]
    quotient = smooth[0] / smooth[1]
    rings = np.fft.fftshift(np.where(fine, np.rint(frequency * max(height, width)), -1))
    peaks = [_peak(quotient[rings == r]) for r in np.unique(rings[rings >= 0])]
    return {
        "excess": 10 * float(np.log10(ours.sum() / truth.sum())),
        "peak": 10 * float(np.log10(max(peaks))),
    }


def _peak(quotients: np.ndarray) -> float:
    """Largest quotient over the median one; where there is blur, over the ground truth's energy."""
    middle = np.median(quotients)
    return 1 + (quotients.max() - middle) / max(middle, 1.0)


def _power(pictures: Tensor, masks: Tensor) -> np.ndarray:
    luma = (pictures * torch.tensor(LUMA).view(1, 3, 1, 1)).sum(1).numpy().astype(np.float64)
    holes = 1 - masks[:, 0].numpy().astype(np.float64)
    fields = [
        (p - cv2.GaussianBlur(p, (0, 0), LONGEST_PERIOD / 2)) * h
        for p, h in zip(luma, holes, strict=True)
    ]
    return np.mean([np.abs(np.fft.fft2(f)) ** 2 for f in fields], axis=0)


def by_deviation(rows: pd.DataFrame) -> pd.DataFrame:
    """Means of `runs` over the seeds, and differences to the faithful run of the same seed.

    Seeds at which the faithful run could not be measured are left out.

    Returns
    -------
    DataFrame
        A row a deviation: whose it is, seeds (at which it could be measured, too), the mean of each
        of `MEASURES` that the rows have, and for each the mean difference (delta_...), the half
        width of its 95 % interval by Student's t (reach_...) and its standard deviation
        (spread_...), which are empty with one seed; features and samples, where the rows say so.

    Raises
    ------
    ValueError
        If the faithful run, which is the first, could not be measured at any seed.
    """
    names = rows["deviation"].unique()
    measures = [name for name in MEASURES if name in rows]
    wide = rows.pivot(index="seed", columns="deviation", values=measures)
    faithful = wide["psnr"][names[0]].notna()
    if not faithful.any():
        raise ValueError(
            f"{names[0]} has no finite loss at any random seed, so there is nothing to compare "
            "with; a lower learning rate may help"
        )
    wide = wide[faithful]
    counts = wide["psnr"][names].count().to_numpy()
    whose = {d.name: d.whose for d in DEVIATIONS}
    columns = {"deviation": names, "whose": [whose.get(n, "") for n in names], "seeds": counts}
    table = pd.DataFrame(columns)
    for name in measures:
        table[name] = wide[name][names].mean().to_numpy()
    for name in measures:
        delta = wide[name][names].sub(wide[name][names[0]], axis=0)
        table[f"delta_{name}"] = delta.mean().to_numpy()
        table[f"reach_{name}"] = reach(delta)
        table[f"spread_{name}"] = delta.std().to_numpy()
    for name in (name for name in FACTS[:2] if name in rows):
        table[name] = rows.groupby("deviation")[name].first()[names].to_numpy()
    return table


def reach(values: pd.DataFrame) -> np.ndarray:
    """Half width of the 95 % interval of each column's mean, by Student's t; NaN with one value."""
    count, spread = values.count().to_numpy(), values.std().to_numpy()
    with np.errstate(divide="ignore", invalid="ignore"):
        return stats.t.ppf(0.975, count - 1) * spread / np.sqrt(count)


def brief(profile: Profile) -> Profile:
    """Shrink a profile until every deviation is trained and measured in a minute or two."""
    return replace(
        profile,
        size=48,
        base_channels=4,
        features="random",
        feature_width=0.0625,
        batch_size=4,
        stage1_steps=12,
        stage2_steps=4,
        finetune_steps=4,
        test_per_cell=1,
    )


def runs(
    profile: Profile,
    seeds: Sequence[int],
    processes: int | None = None,
    kept: Path | None = None,
) -> pd.DataFrame:
    """Train and measure every deviation with every seed.

    Each training has one thread: its bytes do not depend on how many `processes` run side by side.
    The seeds are those of weights and samples; the test crops are the profile's for all.

    Parameters
    ----------
    kept : Path, optional
        Folder in which what a training gave is kept when it is done: its rows, and of the first
        seed also what it fills in `example`, as pictures.  What is there is not trained again.

    Returns
    -------
    DataFrame
        A row a run: deviation, seed, `MEASURES`, `disc.MEASURES`, note, and `FACTS` of the
        training; where the loss was no longer a number the measures are empty, and the note says
        so.
    """
    jobs = [
        (profile, seed, numbers, kept, seed == seeds[0]) for seed in seeds for numbers in networks()
    ]
    rows = []
    context = multiprocessing.get_context("spawn")
    count = processes or os.cpu_count()
    with ProcessPoolExecutor(count, context, _begin, (os.getpid(),)) as pool:
        waiting = [pool.submit(_job, *job) for job in jobs]
        for done in tqdm(as_completed(waiting), "deviations", len(waiting), leave=False):
            rows += done.result()
    names = [d.name for d in DEVIATIONS]
    order = sorted(rows, key=lambda row: (row["seed"], names.index(row["deviation"])))
    facts = FACTS if profile.name_hardware else FACTS[:2]
    columns = ["deviation", "seed", *MEASURES, *disc.MEASURES, "note", *facts]
    return pd.DataFrame(order, columns=columns)


def write(profile: Profile, folder: Path, seeds: int = 3) -> None:
    """Train and measure every deviation in full: FOLDER/tables/runs.csv, figures/artefacts.png.

    Cut off at any moment, the same call goes on with the trainings that are left.
    """
    first = profile.seed
    rows = runs(profile, range(first, first + seeds), kept=folder / KEPT)
    with whole(folder / "tables" / "runs.csv") as unfinished:
        # As `kept` has them: verdicts read these, and three decimals may hide an interval's side.
        rows.to_csv(unfinished, index=False, float_format="%.6f")
    with whole(folder / "figures" / "artefacts.png") as unfinished:
        save(artefacts(folder / KEPT, profile.size), unfinished)


def artefacts(kept: Path, size: int) -> Figure:
    """Draw how the networks of the first seed fill `example`, from what `runs` has kept."""
    image, mask = example(size)
    shown = {"ground truth": image, "input": image * mask}
    pictures = {title: figures.to_picture(picture) for title, picture in shown.items()}
    paths = {d.name: kept / f"{_file_name(d)}.png" for d in DEVIATIONS}
    pictures |= {name: read_photo(path) / 255 for name, path in paths.items() if path.is_file()}
    return figures.picture_grid(pictures)


def example(size: int) -> tuple[Tensor, Tensor]:
    """A crop of an embedded photograph and a mask with a hole ratio between 0.3 and 0.4."""
    return Study(load_profile("demo")).examples(size)[3]


def networks() -> list[list[int]]:
    """Numbers of the `DEVIATIONS`; those that share a network stand together."""
    groups: dict[Deviation, list[int]] = {}
    for number, deviation in enumerate(DEVIATIONS):
        groups.setdefault(deviation.network_only(), []).append(number)
    return list(groups.values())


def _begin(parent: int) -> None:
    """Prepare a process of `runs`: one thread, and no progress bars that overwrite each other."""
    torch.set_num_threads(1)
    sys.stderr = StringIO()
    threading.Thread(target=_end_after, args=(parent,), daemon=True).start()


def _end_after(parent: int) -> None:
    """End with the process that has begun this one, however that ends."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(Preempted.exit_code)


def _job(
    profile: Profile, seed: int, numbers: list[int], kept: Path | None, draws: bool
) -> list[dict]:
    """Train one network and measure it as each of the deviations that share it, if not kept."""
    path = kept and kept / f"{seed}-{_file_name(DEVIATIONS[numbers[0]])}.csv"
    if path and path.is_file():
        return pd.read_csv(path, dtype={"note": str}).fillna({"note": ""}).to_dict("records")
    study, seeded = Study(profile), Study(replace(profile, seed=seed))
    began = time.monotonic()
    try:
        net, note = trained(seeded, DEVIATIONS[numbers[0]]), ""
    except FloatingPointError as error:
        net, note = None, str(error).partition(";")[0]
    facts = _facts(study, DEVIATIONS[numbers[0]], (time.monotonic() - began) / 60)
    rows = []
    for deviation in (DEVIATIONS[number] for number in numbers):
        row = {"deviation": deviation.name, "seed": seed, "note": note, **facts}
        rows.append(row if net is None else row | measure(study, net, deviation))
        if kept and draws and net is not None:
            _draw(net, deviation, profile.size, kept / f"{_file_name(deviation)}.png")
    if path:
        # Last of all: what has a file of rows is done.
        with whole(path) as unfinished:
            pd.DataFrame(rows).to_csv(unfinished, index=False, float_format="%.6f")
    return rows


def _facts(study: Study, deviation: Deviation, minutes: float) -> dict[str, object]:
    """`FACTS` of a training."""
    p = study.profile
    seen = Study(replace(p, features=deviation.weights or p.features))
    samples = sum(stage.samples for stage in stages(study, deviation))
    facts = {"features": seen.features_label, "samples": samples}
    if p.name_hardware:
        facts["hardware"] = hardware.describe(study.device, p.precision)
        facts["minutes"] = minutes
    return facts


def _draw(net: InpaintingNet, deviation: Deviation, size: int, path: Path) -> None:
    """Write what a network makes of `example`: I_comp, or I_out where that is measured."""
    image, mask = (x[None] for x in example(size))
    out = filler(net, deviation)(image, mask)
    shown = out if deviation.on_out else composite(out, image, mask)
    pixels = np.rint(255 * figures.to_picture(shown[0])).astype(np.uint8)
    with whole(path) as unfinished:
        Image.fromarray(pixels).save(unfinished, format="PNG")


def _file_name(deviation: Deviation) -> str:
    """Its name in small letters, figures and dashes."""
    return re.sub("[^a-z0-9]+", "-", deviation.name.lower().replace("i_", "i")).strip("-")
