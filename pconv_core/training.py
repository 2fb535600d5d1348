"""The training loop: steps, record, checkpoint."""

import math
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
from torch import nn
from tqdm import tqdm

from pconv_core.data import Samples, batches
from pconv_core.losses import InpaintingLoss
from pconv_core.models import InpaintingNet


@dataclass(frozen=True)
class Stage:
    """One stage of the seed's schedule."""

    name: str
    first_step: int  # steps done before it, over all stages
    steps: int
    learning_rate: float
    lambda_style: float
    freeze_encoder_norm: bool = False


@dataclass(frozen=True)
class Switches:
    """How the same arithmetic is carried out; each changes results within rounding only."""

    channels_last: bool = True  # memory order (N, H, W, C), that of most convolution kernels
    precision: str = "float32"  # or "bfloat16": autocast of convolutions and what is between
    compiled: bool = False  # torch.compile: slower to start, needs a C++ compiler


PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def train(
    model: InpaintingNet,
    loss: InpaintingLoss,
    samples: Samples,
    stage: Stage,
    batch_size: int,
    record_every: int,
    workers: int = 1,
    switches: Switches | None = None,
) -> pd.DataFrame:
    """Train `model` in place through one stage with Adam.

    Step s of the whole schedule sees the samples s * batch_size onwards, so a later stage goes on
    where the one before it stopped.

    Parameters
    ----------
    model, loss, samples
        The network, eq. 7 and the endless samples.
    stage : Stage
    batch_size, record_every : int
    workers : int
        Loader processes; they cannot change what is seen.
    switches : Switches, optional

    Returns
    -------
    DataFrame
        A row for every `record_every` steps: step, stage, total and the six unweighted terms of
        eq. 7, each the mean over the steps since the last row.

    Raises
    ------
    FloatingPointError
        If the loss is no longer a number, naming the step and its samples.
    """
    loss.weights.update(style_out=stage.lambda_style, style_comp=stage.lambda_style)
    switches = switches or Switches()
    model.train()
    objective = make_objective(model, loss, switches)
    if stage.freeze_encoder_norm:
        model.freeze_encoder_norm()
    weights = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.Adam(weights, lr=stage.learning_rate)
    last_step = stage.first_step + stage.steps
    steps = range(stage.first_step, last_step)
    loader = batches(samples, batch_size, stage.first_step, last_step, workers)
    rows, window = [], []
    with _progress(steps, stage.name) as progress:
        for step, (image, mask) in zip(progress, loader, strict=True):
            terms = _step(objective, optimiser, image, mask)
            if not math.isfinite(terms["total"]):
                first = step * batch_size
                raise FloatingPointError(
                    f"the loss is {terms['total']} at step {step} (samples {first} to "
                    f"{first + batch_size - 1}); a smaller learning rate than "
                    f"{stage.learning_rate:g} may help"
                )
            window.append(terms)
            if (step + 1) % record_every == 0 or step + 1 == last_step:
                means = pd.DataFrame(window).mean().to_dict()
                rows.append({"step": step + 1, "stage": stage.name, **means})
                progress.set_postfix(loss=f"{means['total']:.3f}", refresh=False)
                window = []
    model.eval()
    return pd.DataFrame(rows)


def make_objective(model: InpaintingNet, loss: InpaintingLoss, switches: Switches) -> Callable:
    """Join network and loss into one function of (image, mask), as the switches say.

    Returns
    -------
    callable
        (image, mask) -> (total, terms), as `InpaintingLoss.forward`.

    Raises
    ------
    ValueError
        If the precision is unknown.
    """
    if switches.precision not in PRECISIONS:
        raise ValueError(
            f"precision is {switches.precision!r}; it should be one of {', '.join(PRECISIONS)}"
        )
    order = torch.channels_last if switches.channels_last else torch.contiguous_format
    model.to(memory_format=order)
    loss.to(memory_format=order)
    low = switches.precision != "float32"

    def objective(image, mask):
        image = image.contiguous(memory_format=order)
        with torch.autocast(image.device.type, PRECISIONS[switches.precision], enabled=low):
            return loss(model(image, mask), image, mask)

    return torch.compile(objective) if switches.compiled else objective


def _step(objective, optimiser, image, mask) -> dict[str, float]:
    total, terms = objective(image, mask)
    optimiser.zero_grad(set_to_none=True)
    total.backward()
    optimiser.step()
    return {name: term.item() for name, term in terms.items()}


def _progress(steps: Iterable[int], name: str) -> tqdm:
    # Plain text, seldom refreshed and wiped at the end: a notebook stores little of it.
    return tqdm(steps, desc=name, unit="step", mininterval=2, leave=False)


def save_checkpoint(path: Path, model: nn.Module, settings: dict) -> None:
    """Write the weights and what they were trained with, whole or not at all.

    Parameters
    ----------
    path : Path
    model : nn.Module
    settings : dict
        Plain numbers and strings; `load_checkpoint` demands the same.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".unfinished")
    with open(unfinished, "wb") as file:
        torch.save({"settings": settings, "model": model.state_dict()}, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(unfinished, path)


def load_checkpoint(path: Path, model: nn.Module, settings: dict) -> bool:
    """Load the weights, if they are there and were trained with these settings.

    Returns
    -------
    bool
        False, and the model as it was, if there is no file or its settings differ.

    Raises
    ------
    ValueError
        If the file is no checkpoint of ours.
    """
    if not path.is_file():
        return False
    try:
        # Without pickled code: a checkpoint from elsewhere cannot run anything.
        state = torch.load(path, map_location="cpu", weights_only=True)
        found = state["settings"]
        if found == settings:
            model.load_state_dict(state["model"])
    except Exception as error:  # torch.load has no common base for what a bad file can raise
        raise ValueError(
            f"{path} is not a checkpoint of this project ({error}); delete it to train anew"
        ) from None
    return found == settings
