"""Partial convolutions for image inpainting: the library behind the study's notebooks.

The method is that of Liu et al., "Image Inpainting for Irregular Holes Using Partial
Convolutions" (ECCV 2018, arXiv 1804.07723); equation and table numbers in the docstrings are
that paper's.  Masks are 1 where a pixel is known and 0 in the hole, pixels are RGB in [0, 1].
"""

__version__ = "0.1.0"
