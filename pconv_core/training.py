"""The training loop: steps, record, resume."""

import math
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

from pconv_core import checkpoints, distributed, hardware
from pconv_core.data import Samples, batches
from pconv_core.losses import InpaintingLoss
from pconv_core.models import InpaintingNet
from pconv_core.writing import whole

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}


class Preempted(Exception):
    """SIGTERM came; the training was saved, if it had a keeper."""

    exit_code = 75  # EX_TEMPFAIL of sysexits.h: saved, try again


@dataclass(frozen=True)
class Stage:
    """One stage of P-Conv's schedule; the last two fields are switches that P-Conv does not have.

    With an average, the stage ends with an exponential moving average of its weights and of batch
    norm's statistics.  It begins with those after the first step; at step t, of which the first is
    0, the decay is min(average, (1 + t) / (10 + t)), so that early weights do not weigh for ever.
    """

    definition = 1  # raised when a step, the average or `reestimate_norm` computes otherwise

    name: str
    first_sample: int  # samples seen before it, over all stages
    samples: int
    learning_rate: float
    lambda_style: float | None  # of both style terms; None leaves those of the loss
    freeze_encoder_norm: bool = False
    cosine: bool = False  # the learning rate falls towards 0, as `rate` says
    average: float = 0.0  # largest decay of the moving average, say 0.999; 0 = none, 1 = no cap

    def rate(self, sample: int) -> float:
        """With `cosine` learning_rate (1 + cos(pi k / n)) / 2 after k of the stage's n samples."""
        if not self.cosine:
            return self.learning_rate
        k = sample - self.first_sample
        return self.learning_rate * (1 + math.cos(math.pi * k / self.samples)) / 2


@dataclass(frozen=True)
class Switches:
    """How the same arithmetic is carried out; all but the last change results by rounding only."""

    precision: str = "float32"  # or "bfloat16", autocast of convolutions; or "auto"
    compiled: bool = False  # torch.compile: slower to start, needs a C++ compiler
    fused_adam: bool = False  # all weights updated in one kernel
    accumulate: int = 1  # parts of a batch, one by one: less memory, batch norm sees the parts


@dataclass
class Progress:
    """What a run needs to go on, beside weights and optimiser."""

    samples: int  # seen, over all stages
    step: int  # updates made, over all stages
    rows: list[dict] = field(default_factory=list)  # of the loss record
    window: list[dict] = field(default_factory=list)  # terms since the last of them


@dataclass(frozen=True)
class Keeper:
    """Saves a run now and then, so that the same call goes on where it was cut off."""

    path: Path  # of the checkpoint
    every: int  # steps between two saves
    settings: dict  # plain values that decide the run
    record: Path | None = None  # CSV file of the loss record, renewed with every row
    may_change: tuple[str, ...] = ()  # settings that a resumed run may have otherwise

    def load(self, model: nn.Module, optimiser, begin: Progress, average=None) -> Progress:
        """Go on where the checkpoint was written, or as `begin` says."""
        if not self.path.is_file():
            return begin
        state = checkpoints.read(self.path)
        if other := self._differences(state, average is not None):
            raise ValueError(
                f"{self.path} is a checkpoint of another run ({other}); name another file"
            )
        checkpoints.load_into(model, state, self.path, raw=True)
        if average is not None:
            checkpoints.load_into(average.module, state, self.path)
            average.n_averaged.fill_(state["averaged"])
        optimiser.load_state_dict(state["optimiser"])
        return Progress(state["samples"], state["step"], state["rows"], state["window"])

    def _differences(self, state: dict, averages: bool) -> str:
        """How a checkpoint's run differs from this one, in words; "" if in nothing."""
        found, own = state.get("settings", {}), self.settings
        names = sorted(n for n in found.keys() | own.keys() if found.get(n) != own.get(n))
        names = [name for name in names if name not in self.may_change]
        if names:
            return ", ".join(f"{n} {found.get(n)!r} instead of {own.get(n)!r}" for n in names)
        if "samples" not in state:
            return "weights only"
        same = ("average" in state) == averages
        return "" if same else f"it has {'no' if averages else 'an'} average of weights"

    def save(self, model: nn.Module, optimiser, progress: Progress, average=None) -> None:
        """Write the checkpoint, by the first process only."""
        if distributed.rank() == 0:
            state = {"settings": self.settings, "model": model.state_dict(), **vars(progress)}
            if average is not None:
                state["average"] = average.module.state_dict()
                state["averaged"] = int(average.n_averaged)
            checkpoints.write(self.path, {**state, "optimiser": optimiser.state_dict()})

    def save_record(self, progress: Progress) -> None:
        """Write the rows so far as CSV, six decimals."""
        if self.record is not None and distributed.rank() == 0:
            with whole(self.record) as unfinished:
                pd.DataFrame(progress.rows).to_csv(unfinished, index=False, float_format="%.6f")


def train(
    model: InpaintingNet,
    loss: InpaintingLoss,
    samples: Samples,
    stage: Stage,
    batch_size: int,
    record_every: int,
    workers: int = 1,
    switches: Switches | None = None,
    keeper: Keeper | None = None,
    watch: Callable[[int], None] | None = None,
) -> pd.DataFrame:
    """Train `model` in place through one stage with Adam.

    Samples are counted over the whole schedule: a stage sees those from its first one on, a step
    the next `batch_size` of each process.  So a resumed run may have another batch size.  With an
    average, `model` holds the averaged weights at the end, until then those that Adam moves.

    Parameters
    ----------
    model, loss, samples
        The network and eq. 7, on one device, and the endless samples.
    workers : int
        Loader processes; they cannot change what is seen.
    keeper : Keeper, optional
        Saves the run and lets it go on, to the bytes of a run that was never cut off.
    watch : callable, optional
        Called by the first process with the step after each row of the record.

    Returns
    -------
    DataFrame
        A row for every `record_every` steps: step, samples, stage, total and the six unweighted
        terms of eq. 7, each the mean over the steps since the last row.

    Raises
    ------
    ValueError
        If the samples that are left are not whole steps, or the checkpoint has seen more.
    FloatingPointError
        If the loss is no longer a number, naming the step, its samples and the last checkpoint.
    Preempted, KeyboardInterrupt
        If SIGTERM or SIGINT (Ctrl-C, a notebook's interrupt) comes to any of the processes; the
        step was done and, with a keeper, the run saved before.  A second SIGINT raises at once.
    """
    switches = switches or Switches()
    if stage.lambda_style is not None:
        loss.weights.update(style_out=stage.lambda_style, style_comp=stage.lambda_style)
    model.train()
    if stage.freeze_encoder_norm:
        model.freeze_encoder_norm()
    weights = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.Adam(weights, stage.learning_rate, fused=switches.fused_adam or None)
    objective = make_objective(model, loss, switches)
    # Only now: in the memory order of the weights.
    average = _moving_average(model, stage.average)
    part = (distributed.rank(), distributed.processes())
    of_step, last = batch_size * part[1], stage.first_sample + stage.samples
    progress = Progress(stage.first_sample, stage.first_sample // of_step)
    if keeper is not None:
        progress = keeper.load(model, optimiser, progress, average)
    left = last - progress.samples
    if left < 0 or left % of_step:
        raise ValueError(f"{left} samples are left, of which a step takes {of_step}")
    steps = range(progress.step, progress.step + left // of_step)
    loader = batches(samples, batch_size, progress.samples, last, workers, part)
    stop = 0
    # Plain text, seldom refreshed and wiped at the end: a notebook stores little of it.
    look = {"unit": "step", "mininterval": 2, "leave": False, "total": stage.samples // of_step}
    if distributed.rank():  # elsewhere as TQDM_DISABLE says
        look["disable"] = True
    bar = tqdm(steps, stage.name, initial=look["total"] - len(steps), **look)
    with _notices() as notice, closing(loader), bar:
        for step, (image, mask) in zip(bar, loader, strict=True):
            pair = [x.to(weights[0].device) for x in (image, mask)]
            chosen = _draws(loss, step, len(image), switches.accumulate)
            optimiser.param_groups[0]["lr"] = stage.rate(progress.samples)
            terms = _step(objective, optimiser, pair, chosen)
            _check_number(terms["total"], progress, of_step, stage, keeper)
            if average is not None:
                average.update_parameters(model)
            progress.window.append(terms)
            progress.step, progress.samples = step + 1, progress.samples + of_step
            if progress.step % record_every == 0 or progress.samples == last:
                _add_row(progress, stage, bar)
                if keeper is not None:
                    keeper.save_record(progress)
                if watch is not None and distributed.rank() == 0:
                    watch(progress.step)
            due = keeper is not None and progress.step % keeper.every == 0
            # All processes stop after the same step, or one would wait for the others for ever.
            stop = distributed.largest(notice())
            if keeper is not None and (due or stop or progress.samples == last):
                keeper.save(model, optimiser, progress, average)
            if stop:
                break
        _stop(stop or distributed.largest(notice()), progress, keeper)
    if average is not None:
        model.load_state_dict(average.module.state_dict())
    model.eval()
    return pd.DataFrame(progress.rows)


@torch.no_grad()
def reestimate_norm(
    model: InpaintingNet, samples: Samples, count: int, batch_size: int, precision: str = "float32"
) -> None:
    """Set the running statistics of batch norm, in place, to their mean over `count` samples.

    Averaged weights have features of their own, whose statistics no average of older ones is.
    Frozen norms keep theirs.
    """
    model.train()
    norms = [m for m in model.modules() if isinstance(m, _BatchNorm) and m.training]
    before = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean
    place = next(model.parameters()).device
    for image, mask in batches(samples, batch_size, 0, count):
        with torch.autocast(place.type, PRECISIONS[precision], enabled=precision != "float32"):
            model(image.to(place), mask.to(place))
    for norm, momentum in zip(norms, before, strict=True):
        norm.momentum = momentum
    model.eval()


def make_objective(model: nn.Module, loss: InpaintingLoss, switches: Switches) -> Callable:
    """Join network and loss into (image, mask, chosen) -> (total, terms), as the switches say."""
    if switches.precision not in (choices := (*PRECISIONS, "auto")):
        found = f"precision is {switches.precision!r}"
        raise ValueError(f"{found}; it should be one of {', '.join(choices)}")
    precision = hardware.precision(switches.precision, next(model.parameters()).device)
    order = torch.channels_last  # (N, H, W, C), that of most convolution kernels
    model.to(memory_format=order)
    loss.to(memory_format=order)
    # Only now: the memory order of the weights decides that in which gradients are exchanged.
    model = distributed.wrap(model)
    low = precision != "float32"

    def objective(image, mask, chosen=None):
        image = image.contiguous(memory_format=order)
        with torch.autocast(image.device.type, PRECISIONS[precision], enabled=low):
            return loss(model(image, mask), image, mask, chosen)

    return torch.compile(objective) if switches.compiled else objective


def _moving_average(model: nn.Module, decay: float) -> AveragedModel | None:
    """Begin the average that `Stage` describes; none if the decay is 0."""
    if not decay:
        return None

    def update(averages, values, t) -> None:
        kept = min(decay, (1 + int(t)) / (10 + int(t)))
        # Of the batches that batch norm counts the last number is taken: torch would cut a mean.
        counts = not averages[0].is_floating_point()
        get_ema_multi_avg_fn(0.0 if counts else kept)(averages, values, t)

    return AveragedModel(model, multi_avg_fn=update, use_buffers=True)


def _draws(loss: InpaintingLoss, step: int, batch_size: int, parts: int) -> list:
    """Draw, for each part of a batch, the images whose features are compared."""
    sizes = [len(part) for part in torch.arange(batch_size).chunk(parts)]
    first = (step * distributed.processes() + distributed.rank()) * parts
    return [loss.draw(first + k, size) for k, size in enumerate(sizes)]


def _step(objective, optimiser, pair, chosen: list) -> dict[str, float]:
    """One update; the terms are the means over the images of the batch and over the processes."""
    optimiser.zero_grad(set_to_none=True)
    parts = list(zip(*(x.chunk(len(chosen)) for x in pair), chosen, strict=True))
    means: dict[str, torch.Tensor] = {}
    for image, mask, drawn in parts:
        drawn = drawn if drawn is None else drawn.to(image.device)
        try:
            total, terms = objective(image, mask, drawn)
        except ValueError as error:
            if "more than 1 value per channel" not in str(error):
                raise
            raise ValueError(
                f"{len(image)} image leaves batch norm one value a channel; batch_size, here "
                f"{len(pair[0])}, should be at least twice accumulate, here {len(chosen)}"
            ) from None
        # A part weighs as its images do: the last one may have fewer.
        share = len(pair[0]) / len(image)
        (total / share).backward()
        for name, term in terms.items():
            means[name] = means.get(name, 0) + term / share
    optimiser.step()
    return distributed.mean(means)


def _check_number(
    total: float, progress: Progress, of_step: int, stage: Stage, keeper: Keeper | None
) -> None:
    if math.isfinite(total):
        return
    first, last = progress.samples, progress.samples + of_step - 1
    saved = "nothing was saved"
    if keeper is not None and keeper.path.is_file():
        saved = f"the last good checkpoint is {keeper.path}"
    raise FloatingPointError(
        f"the loss is {total} at step {progress.step} (samples {first} to {last}); a smaller "
        f"learning rate than {stage.learning_rate:g} may help; {saved}"
    )


def _add_row(progress: Progress, stage: Stage, bar: tqdm) -> None:
    means = pd.DataFrame(progress.window).mean().to_dict()
    done = {"step": progress.step, "samples": progress.samples, "stage": stage.name}
    progress.rows.append({**done, **means})
    bar.set_postfix(loss=f"{means['total']:.3f}", refresh=False)
    progress.window = []


def _stop(notice: int, progress: Progress, keeper: Keeper | None) -> None:
    """Raise what the number of a signal stands for; 0 is none."""
    saved = f"saved to {keeper.path}" if keeper else "it was not to be saved"
    if notice == signal.SIGTERM:
        raise Preempted(f"terminated after step {progress.step}; {saved}")
    if notice == signal.SIGINT:
        raise KeyboardInterrupt(f"interrupted after step {progress.step}; {saved}")


@contextmanager
def _notices() -> Iterator[Callable[[], int]]:
    """Catch SIGTERM, a cluster's notice, and SIGINT, Ctrl-C, until the step is done.

    Yields what returns the number of the signal that came, 0 if none.
    """
    came: set[int] = set()

    def note(number: int, _) -> None:
        # torchrun passes on the one that its processes may have had: that is no second one.
        if number == signal.SIGINT in came and distributed.processes() == 1:
            raise KeyboardInterrupt
        came.add(number)
        if number == signal.SIGINT and distributed.rank() == 0:
            # Not by print, which this may have interrupted.
            os.write(2, b"\ninterrupted: ends after this step; once more, and it ends at once\n")

    in_main = threading.current_thread() is threading.main_thread()
    before = {n: signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT) if in_main}
    # None was set by another library, which Python could not put back.
    caught = {n: handler for n, handler in before.items() if handler not in (None, signal.SIG_IGN)}
    try:
        for number in caught:
            signal.signal(number, note)
        yield lambda: max(came, default=0)
    finally:
        for number, handler in caught.items():
            signal.signal(number, handler)
