"""From a file of weights to a network that inpaints, and to a small file that others can use."""

import json
from pathlib import Path

import torch

from pconv_core.files import checkpoints, foreign, packaged
from pconv_core.files.checkpoints import read_tensors
from pconv_core.files.writing import whole
from pconv_core.models import InpaintingNet, build_model

SUFFIX = ".safetensors"
SHIPPED = packaged.SHIPPED


def load_network(path: Path) -> InpaintingNet:
    """Make the network of a checkpoint, ready to inpaint.

    The file is a checkpoint of this project or what `export` made of one, which say what they
    are; or a state dict in one of the layouts that `foreign` knows.  Of a checkpoint that has a
    moving average of weights, of a finished training or not, the averaged ones are loaded.

    Raises
    ------
    ValueError
        If there is no file, or it is damaged or of no kind known.
    """
    if not path.is_file():
        raise ValueError(f"no checkpoint at {path}")
    try:
        state = _read_exported(path) if path.suffix == SUFFIX else read_tensors(path)
    except ValueError as error:
        raise ValueError(f"{path} is not a checkpoint, or damaged ({error})") from None
    if state.get("format") == checkpoints.FORMAT:
        return _ours(path, state)
    for inner in ("state_dict", "model", "net", "generator"):
        if isinstance(state.get(inner), dict):
            state = state[inner]
            break
    net = foreign.build(state)
    if net is None:
        keys = ", ".join(str(k) for k in list(state)[:3]) or "none"
        raise ValueError(
            f"{path} holds weights of no kind known here (its first keys: {keys}); they should be "
            "this project's, P-Conv's, or named enc_N.conv.input_conv and so on"
        )
    return net


def export(checkpoint: Path, out: Path) -> None:
    """Write the weights of a checkpoint of this project as float16 safetensors, half their size.

    They are those that `load_network` loads: the averaged ones, if it has them.

    Raises
    ------
    ValueError
        If the checkpoint is not of this project, damaged or exported already, a weight does not
        fit float16, or the ending of `out` is not .safetensors.
    """
    # Imported here: machines that only train need not have it.
    from safetensors.torch import save_file

    if out.suffix != SUFFIX:
        raise ValueError(f"--out is {out}; it should end in {SUFFIX}")
    load_network(checkpoint)
    if checkpoint.suffix == SUFFIX:
        raise ValueError(f"{checkpoint} is already exported; it should be a checkpoint of training")
    state = read_tensors(checkpoint)
    if state.get("format") != checkpoints.FORMAT:
        raise ValueError(f"{checkpoint} is not a checkpoint of this project")
    settings, halves = state["settings"], {}
    for name, weight in checkpoints.weights(state).items():
        halves[name] = weight.half().contiguous() if weight.is_floating_point() else weight
        if weight.is_floating_point() and not torch.isfinite(halves[name]).all():
            raise ValueError(f"{checkpoint}: {name} holds values that float16 cannot")
    what = {"model": settings["model"], "base_channels": settings["base_channels"]}
    what["size"] = settings.get("trained_size") or settings["size"]
    with whole(out) as unfinished:
        # One entry only: safetensors writes several in any order.
        save_file(halves, unfinished, {checkpoints.FORMAT: json.dumps(what)})


def _read_exported(path: Path) -> dict:
    """Read a safetensors file as `checkpoints.read` would read a checkpoint."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            what = (file.metadata() or {}).get(checkpoints.FORMAT)
            model = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise ValueError(str(error).partition("\n")[0]) from None
    floats = {k: v.float() if v.is_floating_point() else v for k, v in model.items()}
    if what is None:
        return floats
    return {"format": checkpoints.FORMAT, "settings": json.loads(what), "model": floats}


def _ours(path: Path, state: dict) -> InpaintingNet:
    settings = state.get("settings", {})
    try:
        size = settings.get("trained_size") or settings["size"]
        net = build_model(settings["model"], size, settings["base_channels"], seed=0)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} does not say which network it is of: {error}") from None
    checkpoints.load_into(net, state, path)
    return net.eval()
