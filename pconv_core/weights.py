"""From a file of weights to a network that inpaints: this project's, or other people's."""

from pathlib import Path

from pconv_core import checkpoints, foreign
from pconv_core.files import read_tensors
from pconv_core.models import InpaintingNet, build_model


def load_network(path: Path) -> InpaintingNet:
    """Make the network of a checkpoint, ready to inpaint.

    Parameters
    ----------
    path : Path
        A checkpoint of this project, which says what it is; or a state dict of the seed or in the
        public layouts of `foreign`.

    Raises
    ------
    ValueError
        If there is no file, or it is damaged or of no kind known.
    """
    if not path.is_file():
        raise ValueError(f"no checkpoint at {path}")
    try:
        state = read_tensors(path)
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
            "this project's, the seed's, or named enc_N.conv.input_conv and so on"
        )
    return net


def _ours(path: Path, state: dict) -> InpaintingNet:
    settings = state.get("settings", {})
    try:
        size = settings.get("trained_size") or settings["size"]
        net = build_model(settings["model"], size, settings["base_channels"], seed=0)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} does not say which network it is of: {error}") from None
    checkpoints.load_into(net, state, path)
    return net.eval()
