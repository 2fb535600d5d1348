"""Irregular masks, 1 = known and 0 = hole, most of them at a guaranteed hole ratio."""

# ruff: noqa: F401  (names for others)
from pconv_core.masks.irregular import (
    BINS,
    KINDS,
    PAPER_LIKE,
    hole_ratio,
    margin_pixels,
    random_mask,
)
from pconv_core.masks.lama import LAMA, MOST_HOLE, lama_mask
