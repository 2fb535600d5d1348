"""A training process must not grow."""

import os
import subprocess
import sys

STEPS = int(os.environ.get("PCONV_LONG", "240"))

# In a process of its own: what other tests have used would hide growth.
SCRIPT = """
import resource, sys
from pconv_core.data import Samples, embedded
from pconv_core.features import VGGFeatures
from pconv_core.losses import InpaintingLoss
from pconv_core.models import build_model
from pconv_core.training import Stage, train

steps = int(sys.argv[1])
net = build_model("pconv", 32, 4, seed=0)
loss = InpaintingLoss(VGGFeatures("random", 0.0625))
samples = Samples(embedded("train"), 32, seed=1)
for first in (0, steps // 4):
    count = steps // 4 if first == 0 else steps - first
    train(net, loss, samples, Stage("s", 2 * first, 2 * count, 1e-4, 1.0), 2, 10, workers=0)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_memory_of_a_training_process_is_flat():
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(STEPS)], capture_output=True, text=True, check=True
    )
    early, late = map(int, done.stdout.split())  # KiB, the peaks so far
    assert late - early < 12 * 1024
