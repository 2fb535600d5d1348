"""Irregular masks, 1 = known and 0 = hole, at a guaranteed hole ratio."""

from pconv_core.masks.irregular import (
    BINS,
    KINDS,
    PAPER_LIKE,
    hole_ratio,
    margin_pixels,
    random_mask,
)

__all__ = ["BINS", "KINDS", "PAPER_LIKE", "hole_ratio", "margin_pixels", "random_mask"]
