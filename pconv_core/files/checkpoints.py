"""Files of weights, and of training that can go on: written whole or not at all, read unpickled."""

import os
import warnings
from pathlib import Path

import torch
from torch import nn

from pconv_core.files.writing import whole

FORMAT = "pconv_core 1"


def read_tensors(path: Path) -> dict:
    """Read a dictionary that torch has saved, on the CPU and without its pickled code.

    Raises
    ------
    ValueError
        If torch cannot read the file, or it holds something else; the message says why only.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of old pickles, to be reported to torch
            found = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError) as error:
        raise ValueError(str(error).partition("\n")[0].partition(". ")[0]) from None
    except Exception:  # torch.load has no common base for what a bad file can raise
        # Not in torch's words, which advise to run the code that the file may hold.
        raise ValueError("it holds no weights, or more than weights") from None
    if not isinstance(found, dict):
        raise ValueError(f"it holds a {type(found).__name__}, not a dictionary")
    return found


def write(path: Path, state: dict) -> None:
    """Write a checkpoint so that at every moment a whole one is there.

    It goes to a temporary file, which is flushed and renamed; the checkpoint that was there before
    is kept as NAME.previous.

    Raises
    ------
    OSError
        If it cannot be written, for want of space for instance; what was there is still there.
    """
    try:
        with whole(path) as unfinished:
            with open(unfinished, "wb") as file:
                torch.save({"format": FORMAT, **state}, file)
                file.flush()
                os.fsync(file.fileno())
            _keep(path)
        _flush_folder(path.parent)
    except (OSError, RuntimeError) as error:
        # torch reports a full disk as a RuntimeError of its own.
        raise OSError(
            f"cannot write the checkpoint {path} ({error}); the one before it is untouched"
        ) from error


def previous(path: Path) -> Path:
    """Where `write` keeps the checkpoint before the last."""
    return path.with_name(f"{path.name}.previous")


def restore_previous(path: Path) -> None:
    """Put the checkpoint before the last in its place; that one is kept as NAME.damaged."""
    older = previous(path)
    if not older.is_file():
        raise ValueError(f"there is no older checkpoint {older}")
    read(older)
    if path.is_file():
        os.replace(path, path.with_name(f"{path.name}.damaged"))
    os.replace(older, path)


def read(path: Path) -> dict:
    """Read a checkpoint of ours, without running anything that it may hold.

    Raises
    ------
    ValueError
        If there is none, or it is truncated or of another kind.
    """
    if not path.is_file():
        raise ValueError(f"no checkpoint at {path}")
    try:
        state = read_tensors(path)
        if state.get("format") != FORMAT:
            raise ValueError("it holds something else")
    except ValueError as error:
        advice = "there is no older one"
        if previous(path).is_file():
            advice = f"{previous(path)} is the one before it, which --resume-previous goes on with"
        raise ValueError(
            f"{path} is not a checkpoint of this project, or damaged ({error}); {advice}"
        ) from None
    return state


def save_weights(path: Path, model: nn.Module, settings: dict) -> None:
    """Write the weights and what they were trained with; `load_weights` demands the same."""
    write(path, {"settings": settings, "model": model.state_dict()})


def load_weights(path: Path, model: nn.Module, settings: dict) -> bool:
    """Load the weights if they are there and were trained with these settings: whether it did."""
    if not path.is_file():
        return False
    state = read(path)
    if state.get("settings") != settings:
        return False
    load_into(model, state, path)
    return True


def weights(state: dict) -> dict:
    """Return the weights that a checkpoint is used with: the averaged ones, if it has them."""
    return state["average"] if "average" in state else state["model"]


def load_into(model: nn.Module, state: dict, path: Path, raw: bool = False) -> None:
    """Load the weights of a checkpoint that was read; ValueError if of another network.

    They are what `weights` returns, or, if `raw`, those that training goes on from.
    """
    try:
        model.load_state_dict(state["model"] if raw else weights(state))
    except (KeyError, RuntimeError, TypeError) as error:
        first = str(error).strip().splitlines()[-1].strip()
        raise ValueError(f"the weights in {path} belong to another network: {first}") from None


def _keep(path: Path) -> None:
    """Keep the file at `path` as the previous one; it never ceases to be at `path`."""
    if not path.is_file():
        return
    link = path.with_name(f"{path.name}.link")
    link.unlink(missing_ok=True)
    try:
        os.link(path, link)
    except OSError:
        return  # a file system without links keeps one checkpoint only
    os.replace(link, previous(path))


def _flush_folder(folder: Path) -> None:
    """Make the renaming itself survive a power failure, where the system allows it."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
