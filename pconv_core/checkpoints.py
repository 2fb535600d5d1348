"""Files of weights, and of training that can go on: written whole or not at all, read unpickled."""

import json
import os
import warnings
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from pconv_core.models import InpaintingNet, build_model
from pconv_core.writing import whole

FORMAT = "pconv_core 1"
EXPORTED = ".safetensors"  # of files to share: float16, no optimiser, no code


def read_tensors(path: Path) -> dict:
    """Read a dictionary that torch has saved, on the CPU and without its pickled code.

    ValueError, which says why only, if torch cannot read the file or it holds something else.
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

    It goes to a temporary file, which is flushed and renamed.  OSError if it cannot be written,
    which leaves what was there.
    """
    try:
        with whole(path) as unfinished, open(unfinished, "wb") as file:
            torch.save({"format": FORMAT, **state}, file)
            file.flush()
            os.fsync(file.fileno())
    except (OSError, RuntimeError) as error:
        # torch reports a full disk as a RuntimeError of its own.
        raise OSError(f"cannot write the checkpoint {path} ({error}); the last stays") from error


def read(path: Path) -> dict:
    """Read a checkpoint of ours; ValueError if there is none, or it is damaged or another file."""
    if not path.is_file():
        raise ValueError(f"no checkpoint at {path}")
    try:
        state = read_tensors(path)
        if state.get("format") != FORMAT:
            raise ValueError("it holds something else")
    except ValueError as error:
        raise ValueError(
            f"{path} is not a checkpoint of this project, or damaged ({error})"
        ) from None
    return state


def weights(state: dict) -> dict:
    """Return the weights that a checkpoint is used with: the averaged ones, if it has them."""
    return state["average"] if "average" in state else state["model"]


def load_into(model: nn.Module, state: dict, path: Path, raw: bool = False) -> None:
    """Load what `weights` returns or, if `raw`, what training goes on from; ValueError if unfit."""
    try:
        model.load_state_dict(state["model"] if raw else weights(state))
    except (KeyError, RuntimeError, TypeError) as error:
        first = str(error).strip().splitlines()[-1].strip()
        raise ValueError(f"the weights in {path} belong to another network: {first:.150}") from None


def network(state: dict, path: Path) -> InpaintingNet:
    """Make the network of a checkpoint or an exported file that was read, to inpaint with.

    ValueError if it does not say which network it is of, or the weights are of another one.
    """
    settings = state.get("settings", {})
    try:
        size = settings.get("trained_size") or settings["size"]
        net = build_model(settings["model"], size, settings["base_channels"], seed=0)
    except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise ValueError(f"{path} does not say which network it is of: {error}") from None
    load_into(net, state, path)
    return net.eval()


def export(path: Path, model: dict[str, Tensor], settings: dict) -> None:
    """Write weights as float16 safetensors, with which network they are of.

    Parameters
    ----------
    path : Path
        Of the file, ending in .safetensors.
    model : dict of Tensor
        A network's state dict; ValueError if a weight does not fit float16.
    settings : dict
        "model" and "base_channels", as `build_model` takes them; "trained_size", or else "size",
        the side in pixels of the pictures that it was trained on.
    """
    halves = {}
    for name, weight in model.items():
        halves[name] = weight.half().contiguous() if weight.is_floating_point() else weight
        if weight.is_floating_point() and not torch.isfinite(halves[name]).all():
            raise ValueError(f"{name} holds values that float16 cannot")
    what = {"model": settings["model"], "base_channels": settings["base_channels"]}
    what["size"] = settings.get("trained_size") or settings["size"]
    with whole(path) as unfinished:
        # One entry only: safetensors writes several in any order.
        # Not by save_file, whose files no other user may read.
        unfinished.write_bytes(save(halves, {FORMAT: json.dumps(what)}))


def read_exported(path: Path) -> dict:
    """Read a safetensors file as `read` would read a checkpoint, weights in float32.

    Of a file that `export` did not write, its tensors alone, by their names.  ValueError, which
    says why only, if it cannot be read.
    """
    try:
        with safe_open(path, "pt") as file:
            what = (file.metadata() or {}).get(FORMAT)
            model = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise ValueError(str(error).partition("\n")[0]) from None
    floats = {k: v.float() if v.is_floating_point() else v for k, v in model.items()}
    if what is None:
        return floats
    return {"format": FORMAT, "settings": json.loads(what), "model": floats}
