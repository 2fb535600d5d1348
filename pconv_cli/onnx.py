"""A network as an ONNX file, for runtimes without PyTorch."""

import importlib.util
from pathlib import Path

import torch
from torch.export import Dim

from pconv_cli import weights
from pconv_core.models import MIN_SIZE
from pconv_core.writing import whole

SUFFIX = ".onnx"
OPSET = 23  # the newest that PyTorch writes


def write(checkpoint: Path, out: Path) -> None:
    """Write the network of a checkpoint as ONNX, batch norm folded, of free batch and size.

    Inputs are "image" (N, 3, H, W), RGB in [0, 1], and "mask" (N, 1, H, W), 1 = known, both float32
    and at least 32 pixels a side; the output "out" (N, 3, H, W) is I_out, not clipped.

    Raises
    ------
    ValueError
        If the checkpoint is none, the ending of `out` is not .onnx, or a package that PyTorch
        needs for it is missing.
    """
    if out.suffix != SUFFIX:
        raise ValueError(f"--onnx is {out}; it should end in {SUFFIX}")
    for package in ("onnx", "onnxscript"):
        if importlib.util.find_spec(package) is None:
            raise ValueError(f"--onnx needs the package {package}: pip install onnx onnxscript")
    net = weights.load_network(checkpoint).folded()
    sizes = {0: Dim("batch", min=1), 2: Dim("height", min=MIN_SIZE), 3: Dim("width", min=MIN_SIZE)}
    program = torch.onnx.export(
        net,
        _example(),
        input_names=["image", "mask"],
        output_names=["out"],
        dynamic_shapes=(sizes, sizes),
        opset_version=OPSET,
        custom_translation_table={torch.ops.aten.upsample_nearest2d.default: _doubling()},
        verbose=False,
    )
    with whole(out) as unfinished:
        program.save(unfinished)


def _example() -> tuple[torch.Tensor, torch.Tensor]:
    """Larger than any bottleneck's field: a map of one pixel would be taken for a constant."""
    image = torch.zeros(2, 3, 600, 700)
    return image, torch.ones_like(image[:, :1])


def _doubling():
    """What `models.double` is in ONNX: the translation that PyTorch has leaves out the crop."""
    from onnxscript import FLOAT, INT64
    from onnxscript import opset23 as op

    def double(x: FLOAT, size: INT64, rows: float | None = None, columns: float | None = None):
        up = op.Resize(
            x,
            None,
            op.Constant(value_floats=[1.0, 1.0, 2.0, 2.0]),
            mode="nearest",
            coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
        )
        first, axes = (op.Constant(value_ints=ints) for ints in ([0, 0], [2, 3]))
        return op.Slice(up, first, size, axes)

    return double
