"""Partial convolutions for image inpainting: the library behind the study's notebooks.

The method is that of Liu et al., "Image Inpainting for Irregular Holes Using Partial
Convolutions" (ECCV 2018, arXiv 1804.07723); equation and table numbers in the docstrings are
that paper's.  Masks are 1 where a pixel is known and 0 in the hole, pixels are RGB in [0, 1].
"""

import os

__version__ = "0.1.0"

# Threads that wait for work sleep instead of spinning: trainings that share a processor would else
# take its cores from each other.  OpenMP, GNU's as LLVM's and Intel's, reads this once, when torch
# loads it, so it is set here, before any module of ours imports torch.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
