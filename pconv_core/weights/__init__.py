"""The trained networks that come with the study; README.md beside this file is their model card."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pconv_core.models import InpaintingNet

_FOLDER = Path(__file__).parent


def names() -> list[str]:
    """Names of the networks."""
    return sorted(file.stem for file in _FOLDER.glob("*.safetensors"))


def path(name: str) -> Path:
    """File of the weights of a network; ValueError if there is none of that name."""
    if name not in names():
        raise ValueError(f"no weights are named {name!r}; there are {', '.join(names())}")
    return _FOLDER / f"{name}.safetensors"


def load(name: str) -> "InpaintingNet":
    """Make one of the networks, trained, in evaluation mode."""
    # Imported here: whoever asks for a path alone should not wait for torch.
    from pconv_core import checkpoints

    file = path(name)
    return checkpoints.network(checkpoints.read_exported(file), file)
