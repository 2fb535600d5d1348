"""Inpainting must not grow with the photograph."""

import os
import subprocess
import sys

import numpy as np
import pytest
from nets import save_net
from PIL import Image

# `make stress` sets 12.
MEGAPIXELS = float(os.environ.get("PCONV_MEGAPIXELS", "0"))
INPAINT = """
import resource, sys
from pconv_cli.__main__ import main

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


@pytest.mark.skipif(not MEGAPIXELS, reason="make stress: a small one would take less anyway")
def test_a_large_photograph_in_four_gigabytes(tmp_path):
    """The paper's network, holes all over: 12 megapixels may take 4 GB."""
    save_net(tmp_path / "net.pt", size=256, width=64)
    height = round((MEGAPIXELS * 1e6 * 3 / 4) ** 0.5)
    shape = (height, height * 4 // 3)
    pixels = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    known = np.full(shape, 255, np.uint8)
    known[::9] = 0
    assert peak_of_inpaint(tmp_path, pixels, known, "--checkpoint", str(tmp_path / "net.pt")) <= 4e9
