"""From a file of weights to a network that inpaints, and to a small file that others can use."""

from pathlib import Path

from pconv_cli import foreign
from pconv_core import checkpoints
from pconv_core.checkpoints import read_tensors
from pconv_core.models import InpaintingNet

SUFFIX = checkpoints.EXPORTED


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
        state = checkpoints.read_exported(path) if path.suffix == SUFFIX else read_tensors(path)
    except ValueError as error:
        raise ValueError(f"{path} is not a checkpoint, or damaged ({error})") from None
    if state.get("format") == checkpoints.FORMAT:
        return checkpoints.network(state, path)
    for inner in ("state_dict", "model", "net", "generator"):
        if isinstance(state.get(inner), dict):
            state = state[inner]
            break
    net = foreign.build(state)
    if net is None:
        keys = ", ".join(str(k) for k in list(state)[:3]) or "none"
        raise ValueError(
            f"{path} holds weights of no kind known here (its first keys: {keys}); they should be "
            f"this project's, {foreign.KNOWN}"
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
    if out.suffix != SUFFIX:
        raise ValueError(f"--out is {out}; it should end in {SUFFIX}")
    load_network(checkpoint)
    if checkpoint.suffix == SUFFIX:
        raise ValueError(f"{checkpoint} is already exported; it should be a checkpoint of training")
    state = read_tensors(checkpoint)
    if state.get("format") != checkpoints.FORMAT:
        raise ValueError(f"{checkpoint} is not a checkpoint of this project")
    try:
        checkpoints.export(out, checkpoints.weights(state), state["settings"])
    except ValueError as error:
        raise ValueError(f"{checkpoint}: {error}") from None
