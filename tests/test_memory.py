"""A training process must not grow, nor inpainting with the photograph."""

import os
import subprocess
import sys

import numpy as np
from PIL import Image

from pconv_core.files import checkpoints
from pconv_core.models import build_model

STEPS = int(os.environ.get("PCONV_LONG", "240"))

# In a process of its own: what other tests have used would hide growth.
SCRIPT = """
import resource, sys
from pconv_core.data import Samples, embedded
from pconv_core.losses import InpaintingLoss, VGGFeatures
from pconv_core.models import build_model
from pconv_core.training import Stage, train

steps = int(sys.argv[1])
net = build_model("pconv", 32, 4, seed=0)
loss = InpaintingLoss(VGGFeatures("random", 0.0625))
samples = Samples(embedded("train"), 32, seed=1)
for first in (0, steps // 4):
    count = steps // 4 if first == 0 else steps - first
    train(net, loss, samples, Stage("s", first, count, 1e-4, 1.0), 2, 10, workers=0)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_memory_of_a_training_process_is_flat():
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(STEPS)], capture_output=True, text=True, check=True
    )
    early, late = map(int, done.stdout.split())  # KiB, the peaks so far
    assert late - early < 12 * 1024


# `make stress` sets 12.
MEGAPIXELS = float(os.environ.get("PCONV_MEGAPIXELS", "2"))
INPAINT = """
import resource, sys
from pconv_core.__main__ import main

code = main(["inpaint", *sys.argv[1:]])
print(code, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def peak_of_inpaint(folder, pixels, known, *more):
    """Peak memory in bytes of a process that runs the command on a picture and its mask."""
    Image.fromarray(pixels).save(folder / "in.png")
    Image.fromarray(known).save(folder / "mask.png")
    names = {"image": "in.png", "mask": "mask.png", "out": "out.png"}
    arguments = [a for name, file in names.items() for a in (f"--{name}", str(folder / file))]
    command = [sys.executable, "-c", INPAINT, *arguments, *more]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    code, peak = map(int, done.stdout.split())  # the peak in KiB
    assert code == 0
    return peak * 1024


def test_a_large_hole_in_two_and_a_half_gigabytes(tmp_path):
    """The shipped weights, 2000 x 1500 pixels, a square of 800 filled coarse to fine."""
    pixels = np.random.default_rng(0).integers(0, 256, (1500, 2000, 3), dtype=np.uint8)
    known = np.full((1500, 2000), 255, np.uint8)
    known[350:1150, 600:1400] = 0
    assert peak_of_inpaint(tmp_path, pixels, known) <= 2.5e9


def test_a_large_photograph_in_four_gigabytes(tmp_path):
    """The paper's network, holes all over: 12 megapixels may take 4 GB."""
    settings = {"model": "pconv", "size": 256, "base_channels": 64}
    checkpoints.save_weights(tmp_path / "net.pt", build_model("pconv", 256, 64, 0), settings)
    height = round((MEGAPIXELS * 1e6 * 3 / 4) ** 0.5)
    shape = (height, height * 4 // 3)
    pixels = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    known = np.full(shape, 255, np.uint8)
    known[::9] = 0
    assert peak_of_inpaint(tmp_path, pixels, known, "--checkpoint", str(tmp_path / "net.pt")) <= 4e9
