"""What speaks for the recipe of the shipped weights: short trainings, measured on validation.

Each is a stage of `training.train` with another network, loss or learning rate.  What they gain is
taken over the continuation that all of them add to.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from pconv_core import data, evaluation, hardware
from pconv_core.files import checkpoints
from pconv_core.losses import InpaintingLoss
from pconv_core.models import build_model
from pconv_core.study.profile import Profile, load_profile, overrides_of
from pconv_core.study.run import Study, perceptual_features
from pconv_core.training import Keeper, Preempted, Stage, train

AVERAGE = 0.999  # decay
MEASURES = ("psnr", "lite0")
_BASE = "continuation"


@dataclass(frozen=True)
class Trial:
    """A network, whether eq. 7 (style weight 1) or its L1 and total variation alone, a schedule."""

    network: str
    perceptual: bool
    cosine: bool

    @property
    def name(self) -> str:
        """How tables call it."""
        return f"{self.network}, {self.loss}, {self.rate}"

    @property
    def loss(self) -> str:
        """Which terms of eq. 7 it has."""
        return "eq. 7" if self.perceptual else "L1 and total variation"

    @property
    def rate(self) -> str:
        """How the learning rate goes."""
        return "cosine" if self.cosine else "constant"


TRIALS = (
    Trial("refined", perceptual=False, cosine=True),  # the recipe
    Trial("refined", perceptual=False, cosine=False),
    Trial("refined", perceptual=True, cosine=True),
    Trial("residual", perceptual=False, cosine=True),
    Trial("residual", perceptual=True, cosine=True),
)


def run(profile: Profile, results: Path, trials: Sequence[Trial] = TRIALS) -> pd.DataFrame:
    """Train what is not trained yet, measure all, and write tables/trials.csv.

    Cut off at any moment, the same call goes on.

    Returns
    -------
    DataFrame
        A row a trial, weights ("moving average" or "last"), size in pixels (that of training, and
        twice that) and measure of `MEASURES`: its mean gain over the continuation up to a hole
        ratio of 0.5, with a 95 % interval over the pictures, as `evaluation.differences`.
    """
    study, tables = Study(profile, results), []
    bases = {size: _measured(study, _BASE, size) for size in (profile.size, 2 * profile.size)}
    for trial in trials:
        file = study.output / "checkpoints" / f"{trial.name}.pt".replace(" ", "_")
        _train(study, trial, file)
        tables.append(_gains(study, trial, checkpoints.read(file), bases))
    found = pd.concat(tables, ignore_index=True).assign(
        samples=profile.batch_size * profile.stage1_steps,
        photographs=len(data.open_photos(profile.pretrain_photos, "train")),
        hardware=hardware.describe(study.device, profile.precision),
    )
    return study.save_table(found, "trials", trained=False)


def _train(study: Study, trial: Trial, file: Path) -> None:
    """Train to the end, from where `file` was left; it keeps both kinds of weights."""
    p = study.profile
    chosen = {} if trial.perceptual else {"perceptual": 0.0}
    features = perceptual_features(p)
    loss = InpaintingLoss(features, p.feature_width, p.features_share, p.seed, **chosen)
    style = 1.0 if trial.perceptual else 0.0
    settings = {k: v for k, v in p.settings().items() if k not in ("test_photos", "test_per_cell")}
    train(
        build_model(trial.network, p.size, p.base_channels, p.seed).to(study.device),
        loss.to(study.device),
        study.samples("stage1", p.size),
        Stage(
            "stage1",
            0,
            p.stage1_steps * p.batch_size,
            p.learning_rate,
            style,
            False,
            trial.cosine,
            AVERAGE,
        ),
        p.batch_size,
        p.record_every,
        switches=study.switches,
        keeper=Keeper(file, p.checkpoint_every, {**settings, "trial": trial.name}),
    )


def _gains(study: Study, trial: Trial, state: dict, bases: dict) -> pd.DataFrame:
    p, tables = study.profile, []
    for kind, key in (("moving average", "average"), ("last", "model")):
        net = build_model(trial.network, p.size, p.base_channels, p.seed)
        net.load_state_dict(state[key])
        for size, base in bases.items():
            own = _measured(study, trial.name, size, evaluation.network_fill(net))
            both = pd.concat([own, base], ignore_index=True)
            for measure in MEASURES:
                gaps = evaluation.differences(both, trial.name, p.seed, measure)
                gaps = gaps[gaps["hole_ratio"] == evaluation.UP_TO_HALF]
                row = gaps[[measure, "low", "high", "pictures"]].rename(columns={measure: "gain"})
                tables.append(row.assign(weights=kind, size=size, measure=measure))
    told = {"network": trial.network, "loss": trial.loss, "learning_rate": trial.rate}
    table = pd.concat(tables, ignore_index=True).assign(**told)
    return table[[*told, "weights", "size", "measure", "gain", "low", "high", "pictures"]]


def _measured(
    study: Study, name: str, size: int, fill: evaluation.Fill | None = None
) -> pd.DataFrame:
    """Measure a method, or the baseline of that name, on the paper's kind of masks."""
    return study.evaluate({name: fill or evaluation.BASELINES[name]}, size, "occlusion")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the trials; returns the exit code, 75 if SIGTERM came and the training was saved."""
    parser = argparse.ArgumentParser(prog="python -m pconv_core.study.trials")
    parser.add_argument("--profile", default="trials")
    parser.add_argument("--set", action="append", default=[], metavar="SETTING=VALUE")
    given = parser.parse_args(arguments)
    try:
        found = run(load_profile(given.profile, overrides_of(given.set)), Path("results"))
        print(found.drop(columns="hardware").round(3).to_string(index=False))
    except Preempted as stop:
        print(stop, file=sys.stderr)
        return stop.exit_code
    except (FloatingPointError, OSError, RuntimeError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
