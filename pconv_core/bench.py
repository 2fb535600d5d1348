"""The benchmark: what the mask costs, and how fast masks, photographs and pictures go through.

Two sides are timed in one process, taking turns, so that whatever else the machine does falls on
both.  A row holds the medians, and the median and quartiles of the ratios of the pairs.
"""

import gc
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision import transforms
from tqdm import tqdm

from pconv_core import data, machine, mask_sets
from pconv_core.losses import InpaintingLoss, VGGFeatures
from pconv_core.masks import random_mask
from pconv_core.models import ConvUNet, InpaintingNet, PConvUNet
from pconv_core.training import PRECISIONS, Switches, make_objective

PAIRS = 7
LOADED_SIZE = 256  # pixels that a loaded photograph is resized to
_LEVELS = 8
_MEASURED = ("seconds", "seconds_low", "seconds_high", "reference_seconds", "ratio", "ratio_low")
_MEASURED += ("ratio_high", "pairs", "memory_mib", "reference_memory_mib", "images_per_second")
_MEASURED += ("note",)
_NO_TIME = "not measured: no time left"
_ONE_VALUE = "impossible: batch norm cannot train on one value a channel"


class TextbookPartialConv2d(nn.Conv2d):
    """Partial convolution as it is usually written: the yardstick, not used by the study.

    A mask as wide as the features is convolved with a kernel of ones as large as the weights, and
    eq. 1 is written down term by term, around a convolution that has added the bias already.
    """

    def convolve(self, parts: list[Tensor], masks: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Exchange for `PartialConv2d.convolve`; the new mask is as wide as the features."""
        wide = [m.expand_as(p) for m, p in zip(masks, parts, strict=True)]
        x, mask = torch.cat(list(parts), 1), torch.cat(wide, 1)
        y = super().forward(x * mask)
        ratio, new_mask = self._rescaling(mask)
        bias = y.new_zeros(1) if self.bias is None else self.bias
        bias = bias.view(1, -1, 1, 1)
        return ((y - bias) * ratio + bias) * new_mask, new_mask

    @torch.no_grad()
    def _rescaling(self, mask: Tensor) -> tuple[Tensor, Tensor]:
        ones = torch.ones_like(self.weight)
        known = F.conv2d(mask, ones, None, self.stride, self.padding, self.dilation)
        new_mask = known.clamp(0, 1)
        return ones[0].numel() / (known + 1e-8) * new_mask, new_mask

    @staticmethod
    def empty_hole(x: Tensor, mask: Tensor) -> Tensor:
        """Leave that to the next layer."""
        return x


class TextbookUNet(PConvUNet):
    """`PConvUNet` of textbook layers; state dicts can be exchanged."""

    conv = TextbookPartialConv2d


NETWORKS = {"PConvUNet": PConvUNet, "ConvUNet": ConvUNet, "textbook": TextbookUNet}


@dataclass(frozen=True)
class Cell:
    """One comparison of two networks."""

    subject: str
    reference: str
    phase: str  # "training" (forward, L1, backward) or "inference" (norm folded)
    batch: int = 4
    size: int = 256
    base_channels: int = 64
    precision: str = "float32"
    compiled: bool = False

    @property
    def benchmark(self) -> str:
        """Name of the comparison in the table."""
        return f"{self.subject} / {self.reference}"


def run(
    out: Path, minutes: float = 20, pairs: int = PAIRS, only: str = "", missing: bool = False
) -> Path:
    """Measure all there is time for and write MACHINE.csv.

    Parameters
    ----------
    out : Path
        Folder.
    minutes : float
        What would start later is listed as not measured.
    pairs : int
        How often each side is timed.
    only : str
        Measure the rows again whose benchmark begins so; the table's other rows stay.
    missing : bool
        Measure what an earlier run had no time for; the other rows stay.

    Returns
    -------
    Path
        Of the table.

    Raises
    ------
    ValueError
        If no benchmark begins so, or this machine has no table yet to renew rows in.
    """
    device = machine.device()
    deadline = time.monotonic() + 60 * minutes
    rows = []
    path = out / f"{machine.name(device)}.csv"
    tasks = list(_tasks(device, pairs))
    chosen = [place for place, (s, _) in enumerate(tasks) if s["benchmark"].startswith(only)]
    old = pd.read_csv(path) if (only or missing) and path.is_file() else None
    if missing and old is not None:
        chosen = [place for place in chosen if old["note"][place] == _NO_TIME]
        if not chosen:
            return path
    if not chosen or (old is None and (only or missing)):
        raise ValueError(
            f"no row of {path} begins with {only!r}; it should be one of "
            f"{', '.join(dict.fromkeys(s['benchmark'] for s, _ in tasks))}, all measured before"
        )
    tasks = [tasks[place] for place in chosen]
    with tqdm(tasks, desc="benchmark", unit="row", leave=False) as progress:
        for settings, measure in progress:
            progress.set_postfix_str(" ".join(str(v) for v in settings.values())[:60])
            if time.monotonic() > deadline:
                rows.append({**settings, "note": _NO_TIME})
            elif _one_value(settings):
                rows.append({**settings, "note": _ONE_VALUE})
            else:
                rows.append({**settings, **measure()})
    table = pd.DataFrame(rows)
    settings = [name for name in table if name not in _MEASURED]
    table = table.reindex(columns=[*settings, *_MEASURED])
    table.insert(0, "machine", machine.describe(device))
    if old is not None:
        table = table.set_axis(chosen).reindex(columns=old.columns)
        table = pd.concat([old.drop(index=chosen), table]).sort_index()
    out.mkdir(parents=True, exist_ok=True)
    table.to_csv(path, index=False, float_format="%.5g")
    return path


def _tasks(device: torch.device, pairs: int) -> Iterator[tuple[dict, Callable[[], dict]]]:
    """Yield the rows to be measured: their settings and what measures them, most wanted first."""
    yield from _comparisons(_main_cells(device), device, pairs)
    yield from _other_tasks(device, pairs)
    yield from _comparisons(_grid(device), device, pairs)


def _comparisons(cells: Iterator[Cell], device, pairs) -> Iterator[tuple[dict, Callable]]:
    for cell in cells:
        settings = {"benchmark": cell.benchmark, **vars(cell)}
        yield settings, lambda cell=cell: compare_networks(cell, device, pairs)


def _one_value(settings: dict) -> bool:
    """Whether the last level of a training step has one pixel of one image."""
    training = settings.get("phase") == "training"
    return training and settings["batch"] == 1 and settings["size"] <= 2**_LEVELS


def _main_cells(device: torch.device) -> Iterator[Cell]:
    for compiled, phase in product((False, True), ("training", "inference")):
        yield Cell("PConvUNet", "ConvUNet", phase, compiled=compiled)
    if device.type == "cuda":
        for phase in ("training", "inference"):
            yield Cell("PConvUNet", "ConvUNet", phase, 32, precision="bfloat16", compiled=True)
    for phase in ("training", "inference"):
        yield Cell("textbook", "PConvUNet", phase)


def _grid(device: torch.device) -> Iterator[Cell]:
    """All combinations; on a CPU at a quarter of the width, and what it is slow at last."""
    base = 64 if device.type == "cuda" else 16
    batches = list(product((128, 256, 512), (1, 4, 16)))
    # Few CPUs have bfloat16 arithmetic, so that it takes ten times as long on the others.
    for precision, large, compiled in product(PRECISIONS, (False, True), (False, True)):
        chosen = [(s, b) for s, b in batches if (b * s**2 > 4 * 256**2) is large]
        for (size, batch), phase in product(chosen, ("training", "inference")):
            yield Cell("PConvUNet", "ConvUNet", phase, batch, size, base, precision, compiled)


def _other_tasks(device, pairs) -> Iterator[tuple[dict, Callable[[], dict]]]:
    step = {"batch": 4, "size": 256, "base_channels": 64, "precision": "float32"}
    yield (
        {"benchmark": "step with loss / without", "phase": "training", **step},
        lambda: step_with_loss(device, pairs, **step),
    )
    yield (
        {"benchmark": "VGG as usual / ours", "phase": "training", "batch": 4, "size": 256},
        lambda: vgg_passes(device, pairs, 4, 256),
    )
    for kind in ("strokes", "occlusion"):
        settings = {"benchmark": f"masks: {kind}", "batch": 1, "size": 256}
        yield settings, lambda kind=kind: masks_per_second(kind, 256, pairs)
    yield {"benchmark": "masks: test set", "batch": 12_000, "size": 512}, mask_test_set
    for size in (512, 1024):
        settings = {"benchmark": "loading: usual / ours", "batch": 1, "size": size}
        yield settings, lambda size=size: loading(size, pairs)
    for size in (512, 1024, 2048):
        settings = {"benchmark": "one photograph", "phase": "inference", "batch": 1, "size": size}
        yield (
            {**settings, "base_channels": 64, "precision": "float32"},
            lambda size=size: one_photograph(device, size, pairs),
        )


# --- networks ------------------------------------------------------------------------------


def compare_networks(cell: Cell, device: torch.device, pairs: int) -> dict:
    """Time two networks of the same weights against each other, and their peak memory."""
    image, mask = random_batch(cell.batch, cell.size, device)
    steps = [
        network_step(NETWORKS[name], cell, image, mask) for name in (cell.subject, cell.reference)
    ]
    row = alternate(*steps, pairs, device)
    row["memory_mib"] = machine.peak_memory(steps[0], device)
    row["reference_memory_mib"] = machine.peak_memory(steps[1], device)
    row["images_per_second"] = cell.batch / row["seconds"]
    torch.compiler.reset()
    return row


def network_step(kind: type[InpaintingNet], cell: Cell, image: Tensor, mask: Tensor) -> Callable:
    """Make a network of a kind and return what is to be timed: one step of the cell's phase."""
    torch.manual_seed(0)
    net = kind(levels=_LEVELS, base_channels=cell.base_channels)
    net = net.to(image.device, memory_format=torch.channels_last)
    low = {"dtype": PRECISIONS[cell.precision], "enabled": cell.precision != "float32"}
    if cell.phase == "inference":
        # A textbook layer does not fold: its users do not.
        net = net.eval() if kind is TextbookUNet else net.eval().folded()

    def forward():
        with torch.autocast(image.device.type, **low):
            return net(image, mask)

    forward = torch.compile(forward) if cell.compiled else forward

    def training():
        net.zero_grad(set_to_none=True)
        (forward() - image).abs().mean().backward()

    def inference():
        with torch.no_grad():
            forward()

    return training if cell.phase == "training" else inference


def step_with_loss(device, pairs, batch, size, base_channels, precision) -> dict:
    """Time a whole training step against one whose loss looks at pixels only.

    What is left out is VGG-16, so its share of a step is 1 - 1 / ratio.
    """
    image, mask = random_batch(batch, size, device)
    net = PConvUNet(_LEVELS, base_channels).to(device)
    optimiser = torch.optim.Adam(net.parameters())
    loss = InpaintingLoss(VGGFeatures("random")).to(device)
    objective = make_objective(net, loss, Switches(precision=precision))

    def whole():
        optimiser.zero_grad(set_to_none=True)
        objective(image, mask)[0].backward()
        optimiser.step()

    def pixels_only():
        optimiser.zero_grad(set_to_none=True)
        (net(image, mask) - image).abs().mean().backward()
        optimiser.step()

    row = alternate(whole, pixels_only, pairs, device)
    row["memory_mib"] = machine.peak_memory(whole, device)
    row["reference_memory_mib"] = machine.peak_memory(pixels_only, device)
    row["images_per_second"] = batch / row["seconds"]
    return row


def vgg_passes(device, pairs, batch, size) -> dict:
    """Time the perceptual features as they are usually computed against ours.

    Usual: three passes one after another, the ground truth's too with gradient, weights not
    frozen, rows first in memory.  Ours: `InpaintingLoss`.
    """
    image, mask = random_batch(batch, size, device)
    out = (image + 0.1 * torch.rand_like(image)).requires_grad_()
    comp = torch.where(mask.bool(), image, out)
    ours = InpaintingLoss(VGGFeatures("random")).to(device, memory_format=torch.channels_last)
    usual = VGGFeatures("random").to(device).requires_grad_()

    def ends(features):
        return sum(f.mean() for image_features in features for f in image_features)

    def usual_passes():
        usual.zero_grad(set_to_none=True)
        inputs = (out, comp.contiguous(), image)
        ends([usual(i.contiguous()) for i in inputs]).backward(retain_graph=True)

    def our_passes():
        ends(ours.three_features(out, comp, image)).backward(retain_graph=True)

    row = alternate(usual_passes, our_passes, pairs, device)
    row["memory_mib"] = machine.peak_memory(usual_passes, device)
    row["reference_memory_mib"] = machine.peak_memory(our_passes, device)
    return row


def one_photograph(device, size: int, pairs: int) -> dict:
    """Time the inpainting of one square photograph."""
    net = PConvUNet(_LEVELS, 64).to(device, memory_format=torch.channels_last).eval().folded()
    image, mask = random_batch(1, size, device)

    def inpaint():
        with torch.no_grad():
            net(image, mask)

    row = repeated(inpaint, pairs, device)
    row["memory_mib"] = machine.peak_memory(inpaint, device)
    row["images_per_second"] = 1 / row["seconds"]
    return row


def random_batch(batch: int, size: int, device) -> tuple[Tensor, Tensor]:
    """Images of noise (N, 3, size, size) and masks of all hole ratios (N, 1, size, size)."""
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(batch, 3, size, size, generator=generator)
    mask = np.stack([random_mask(size, border=k % 2 == 0, number=k) for k in range(batch)])
    image = image.to(device).contiguous(memory_format=torch.channels_last)
    return image, torch.from_numpy(mask)[:, None].to(device)


# --- masks and loading ---------------------------------------------------------------------


def masks_per_second(kind: str, size: int, repeats: int) -> dict:
    """Time masks of ratios 0.01 to 0.6, taking turns with and without border, on one core."""
    count = 1000 if kind == "strokes" else 30

    def draw():
        for number in range(count):
            random_mask(size, (0.01, 0.6), number % 2 == 0, 0, number, kind)

    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    row = repeated(draw, repeats, torch.device("cpu"))
    cv2.setNumThreads(threads)
    return _per_item(row, count)


def mask_test_set() -> dict:
    """Time the paper's test set of masks, written to disk, once."""
    entries = mask_sets.paper_test_set(seed=0)
    with TemporaryDirectory() as folder:
        start = time.perf_counter()
        mask_sets.write(entries, Path(folder) / "set")
        seconds = time.perf_counter() - start
    return {"seconds": seconds, "pairs": 1, "images_per_second": len(entries) / seconds}


def loading(size: int, pairs: int) -> dict:
    """Time Pillow's and torchvision's usual chain against ours, JPEG files to tensors, one core."""
    chain = transforms.Compose(
        [transforms.Resize((LOADED_SIZE, LOADED_SIZE)), transforms.ToTensor()]
    )
    threads = cv2.getNumThreads(), torch.get_num_threads()
    with TemporaryDirectory() as folder:
        paths = _jpeg_files(Path(folder), size)

        def usual():
            for path in paths:
                with Image.open(path) as picture:
                    chain(picture.convert("RGB"))

        def ours():
            for path in paths:
                photo = data.read_photo(path, LOADED_SIZE)
                data.to_tensor(data.crop(photo, LOADED_SIZE, data.Cut(1, 0, 0, False)))

        cv2.setNumThreads(1)
        torch.set_num_threads(1)
        row = alternate(usual, ours, pairs, torch.device("cpu"))
        cv2.setNumThreads(threads[0])
        torch.set_num_threads(threads[1])
    return _per_item(row, len(paths), "reference_seconds")


def _jpeg_files(folder: Path, size: int) -> list[Path]:
    """Write the embedded photographs as square JPEG files of a size."""
    photos = data.embedded("train")
    paths = [folder / f"{k}.jpg" for k in range(len(photos))]
    for path, photo in zip(paths, photos, strict=True):
        square = data.crop(photo, size, data.Cut(1, 0, 0, False))
        Image.fromarray(square).save(path, quality=90)
    return paths


def _per_item(row: dict, count: int, of: str = "seconds") -> dict:
    """Divide the times of a row by the number of items; speed is that of the column `of`."""
    row = {k: v / count if "seconds" in k else v for k, v in row.items()}
    return {**row, "images_per_second": 1 / row[of]}


# --- timing --------------------------------------------------------------------------------


def alternate(subject: Callable, reference: Callable, pairs: int, device) -> dict:
    """Time two functions in turn, each `pairs` times after a first call that does not count.

    Returns
    -------
    dict
        seconds and reference_seconds (medians), ratio (median over the pairs, subject over
        reference), ratio_low and ratio_high (its quartiles), pairs.
    """
    for function in (subject, reference):
        _seconds(function, device)
    times = []
    for k in range(pairs):
        pair = [0.0, 0.0]
        for side in (0, 1) if k % 2 == 0 else (1, 0):
            pair[side] = _seconds((subject, reference)[side], device)
        times.append(pair)
    ours, theirs = np.array(times).T
    low, middle, high = np.quantile(ours / theirs, [0.25, 0.5, 0.75])
    return {
        **_spread(ours),
        "reference_seconds": float(np.median(theirs)),
        "ratio": float(middle),
        "ratio_low": float(low),
        "ratio_high": float(high),
        "pairs": pairs,
    }


def repeated(function: Callable, repeats: int, device) -> dict:
    """Time one function `repeats` times after a first call that does not count."""
    _seconds(function, device)
    return {
        **_spread(np.array([_seconds(function, device) for _ in range(repeats)])),
        "pairs": repeats,
    }


def _spread(seconds: np.ndarray) -> dict:
    low, middle, high = np.quantile(seconds, [0.25, 0.5, 0.75])
    return {
        "seconds": float(middle),
        "seconds_low": float(low),
        "seconds_high": float(high),
    }


def _seconds(function: Callable, device) -> float:
    gc.collect()
    machine.wait_for(device)
    start = time.perf_counter()
    function()
    machine.wait_for(device)
    return time.perf_counter() - start
