"""A small network in a file, as `train` leaves it."""

from pconv_core import checkpoints
from pconv_core.models import build_model


def save_net(path, model="pconv", size=32, width=2, seed=0):
    """Write it and return it."""
    net = build_model(model, size, width, seed)
    settings = {"model": model, "size": size, "base_channels": width}
    checkpoints.write(path, {"settings": settings, "model": net.state_dict()})
    return net.eval()
