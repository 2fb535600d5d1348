"""A tiny experiment over photographs of one colour each."""

import numpy as np
import yaml
from PIL import Image

from pconv_study.experiment import Run
from pconv_study.settings import Experiment

STAGE = {
    "samples": 48,
    "learning_rate": 0.002,
    "lambda_style": 1.0,
    "freeze_encoder_norm": False,
    "cosine": False,
    "photos": "pretrain",
}
BASE = {
    "size": 32,
    "base_channels": 2,
    "network": "PConvUNet",
    "span": [0.5, 1.0],
    "mask_kind": "occlusion",
    "batch_size": 4,
    "accumulate": 1,
    "precision": "float32",
    "loss": "InpaintingLoss",
    "loss_weights": {},
    "features": "random",
    "feature_width": 0.0625,
    "features_input": "as trained",
    "features_share": 0.25,
    "average": 1.0,
    "norm_samples": 8,
    "record_every": 2,
    "stages": {"stage1": STAGE},
    "photographs": {
        "pretrain": {"root": "here", "folders": ["train"], "without": "left-out.txt"},
        "validation": {"root": "here", "only": "left-out.txt"},
    },
    "measures": {"validation": {"crops": 1, "disc": 1}},
}
# The second variant begins as the first one.
TUNED = {**STAGE, "samples": 16, "learning_rate": 0.0002, "freeze_encoder_norm": True}
RAW = {
    "base": "tiny",
    "seeds": [1],
    "samples": [16, 48, 64],
    "variants": {"plain": {}, "tuned": {"stages.finetune": TUNED}},
}
COLOURS = 9  # photographs, number k of the colour `colour(k)`


def colour(k):
    return (20 * k + 30, 200 - 20 * k, 100)


class Tiny:
    """experiments/ and photographs below a folder."""

    def __init__(self, folder):
        self.folder, self.experiments = folder, folder / "experiments"
        (self.experiments / "base").mkdir(parents=True)
        (self.experiments / "PROTOCOL.md").write_text("a protocol")
        for k in range(COLOURS):
            place = folder / "photos" / ("val" if k > 5 else "train") / f"{k}.png"
            place.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((40, 50, 3), colour(k), np.uint8)).save(place)
        left_out = ["train/5.png", *(f"val/{k}.png" for k in range(6, COLOURS))]
        (self.experiments / "left-out.txt").write_text("\n".join(left_out))
        self.write()

    def write(self, name="small", base=None, **raw):
        """Write an experiment, and its base with some settings changed; returns the former."""
        for path, content in (("base/tiny", BASE | (base or {})), (name, RAW | raw)):
            text = yaml.safe_dump(content, sort_keys=False)
            (self.experiments / f"{path}.yaml").write_text(text)
        return Experiment(name, self.experiments)

    def run(self, results="results", name="small"):
        experiment = Experiment(name, self.experiments)
        return Run(experiment, {"here": str(self.folder / "photos")}, self.folder / results)
