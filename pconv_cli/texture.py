"""Texture for what a network has filled smoothly, from patches of what is known."""

import importlib.util
from argparse import ArgumentParser

import cv2
import numpy as np

from pconv_core.masks.shape import depth

# Chosen on seven of BSDS500's validation photographs.
AMOUNT = 0.5
_FINE = 4  # pixels, standard deviation of the Gaussian that parts what is fine from what is coarse
_RIM = 8  # pixels; up to here from what is known the network sees detail itself
_AROUND = 256  # pixels of a large picture, what patches may come from


def add(command: ArgumentParser) -> None:
    """Add --texture."""
    told = (
        "add fine detail from patches of the picture, in large holes, which are blurred without "
        f"it: 0 to 1, {AMOUNT} if no number is given (default 0: none); needs the extra [texture]"
    )
    number = {"type": float, "nargs": "?", "const": AMOUNT, "default": 0, "metavar": "AMOUNT"}
    command.add_argument("--texture", **number, help=told)


def check(amount: float) -> None:
    """Raise ValueError, before any work, if an amount is none, or its package is missing."""
    if not 0 <= amount <= 1:
        raise ValueError(f"--texture is {amount:g}; it should be from 0 to 1")
    if amount and importlib.util.find_spec("patchmatch") is None:
        raise ValueError(
            "--texture needs the package PyPatchMatch: pip install PyPatchMatch, or the extra "
            "[texture]"
        )


def textured(filled: np.ndarray, hole: np.ndarray, amount: float) -> np.ndarray:
    """Add the fine detail of PatchMatch's fill to another one.

    With the fill S, PatchMatch's P, a Gaussian G and the depth d in the hole::

        S + amount * min(d / 8, 1) * (P - G P)

    Parameters
    ----------
    filled : ndarray of shape (H, W, 3), float32
        In [0, 1].
    hole : ndarray of shape (H, W), bool
        What of it was filled.
    amount : float
        From 0, nothing, to 1, all of the detail.

    Returns
    -------
    ndarray of shape (H, W, 3), float32
        In [0, 1]; exactly `filled` where there is no hole, and the same in every call.
    """
    if not amount or not hole.any():
        return filled
    # Imported here: the package is an extra.
    from pconv_core.baselines import patchmatch
    from pconv_core.evaluation import picture_of, tensor_of

    part = tuple(_around(hole.any(axis)) for axis in (1, 0))
    smooth, where = filled[part], hole[part]
    known = tensor_of(~where[..., None])[None]
    patches = picture_of(patchmatch(tensor_of(smooth)[None], known)[0])
    share = amount * np.minimum(depth(where) / _RIM, 1).astype(np.float32)
    detail = share[..., None] * (patches - cv2.GaussianBlur(patches, None, _FINE))
    out = filled.copy()
    out[part][where] = (smooth + detail)[where].clip(0, 1)
    return out


def _around(lines: np.ndarray) -> slice:
    """From the first to the last line with hole, and `_AROUND` on both sides."""
    at = np.flatnonzero(lines)
    return slice(max(0, int(at[0]) - _AROUND), int(at[-1]) + 1 + _AROUND)
