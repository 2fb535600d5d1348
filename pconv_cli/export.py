"""Turn a checkpoint into a file to share.

Write the weights of a checkpoint of this project as float16 safetensors: half their size, no
optimiser, no code; inpaint and evaluate read it as a --checkpoint.  Or write the whole network as
ONNX, of free batch and size: inputs "image" (N, 3, H, W), RGB in [0, 1], and "mask" (N, 1, H, W),
1 = known; output "out".
"""

from pathlib import Path

from pconv_cli import options


def add(command) -> None:
    """Add the options."""
    command.add_argument("--checkpoint", required=True, type=Path, metavar="FILE")
    what = command.add_mutually_exclusive_group(required=True)
    what.add_argument("--out", type=Path, metavar="FILE.safetensors")
    what.add_argument("--onnx", type=Path, metavar="FILE.onnx", help="needs the extra [onnx]")
    options.add_overwrite(command)


def run(given) -> None:
    """Write the file."""
    option, path = ("--onnx", given.onnx) if given.onnx else ("--out", given.out)
    options.check_results([path], given.overwrite, option)
    # Imported here: --help should not wait for torch, nor all that ONNX needs be there.
    from pconv_cli import onnx, weights

    (onnx.write if given.onnx else weights.export)(given.checkpoint, path)
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")
