"""Train a network on a folder of photographs.

The holes are irregular.  Cut off at any moment, the same command goes on where it was, if --resume
is among its options.  SIGTERM and Ctrl-C save first, when the step is done, and end with exit code
75 and 130; a second Ctrl-C ends at once.  Under torchrun several processes share each step.
"""

import sys
from pathlib import Path

from pconv_core.commands import options
from pconv_core.masks import KINDS

# What decides the weights, so that a run is not gone on with by mistake as another.
_DECIDING = ("images", "masks", "model", "size", "base_channels", "batch_size", "learning_rate")
_DECIDING += ("lambda_style", "freeze_encoder_bn", "features", "feature_width", "seed")
_DECIDING += ("mask_kind", "features_share", "precision", "accumulate")
# These too, but only where they are on: off, they change no checkpoint.
_DECIDING_IF_ON = ("cosine", "average")
_PERCEPTUAL = 0.05  # the paper's weight


def add(command) -> None:
    """Add the options."""
    option = command.add_argument
    photographs = "photographs, in any subfolders; or embedded, places365:DIR, coco2014:DIR"
    option("--images", required=True, metavar="DIR", help=photographs)
    option("--masks", metavar="DIR", help="mask pictures, black = hole (default: drawn anew)")
    option("--mask-kind", choices=KINDS, help="of the masks that are drawn; see masks --help")
    networks = "pconv, the paper's partial U-Net (default); partwise, merged, partial-masked, "
    networks += "residual or refined, its departures; masked, gated or gated-wide, the same with "
    networks += "plain or gated convolutions that see the mask; without masks conv, the same with "
    networks += "plain convolutions, or unet, a traditional one"
    option("--model", default="pconv", metavar="NAME", help=networks)
    option("--checkpoint", required=True, metavar="FILE", type=Path, help="where to save")
    option("--resume", action="store_true", help="go on with --checkpoint if it is there")
    older = "go on with the checkpoint before the last, FILE.previous, if the last is damaged"
    option("--resume-previous", action="store_true", help=older)
    start = (
        "begin with the weights of this checkpoint, say of the stage before: the averaged ones, "
    )
    start += "if it has them"
    option("--from", dest="start", metavar="FILE", type=Path, help=start)
    length = command.add_mutually_exclusive_group()
    length.add_argument("--steps", type=int, help="how many updates")
    length.add_argument("--epochs", type=float, help="how often each photograph (default 1)")
    option("--profile", default="demo", help="where unnamed settings come from (default demo)")
    option("--batch-size", type=int, help="images a process and step")
    option("--size", type=int, help="side of the training crops in pixels")
    option("--learning-rate", "--lr", type=float, help="Adam's")
    falls = "let the learning rate fall towards 0 as half a cosine over the steps"
    option("--cosine", action="store_true", help=falls)
    averaged = "decay of a moving average of the weights, in [0, 1), say 0.999 (default 0: none); "
    averaged += "inpaint, evaluate, export and --from take the averaged weights of a checkpoint, "
    averaged += "--resume goes on with the others, which --preview shows"
    option("--average", type=float, default=0.0, metavar="DECAY", help=averaged)
    option("--base-channels", type=int, help="width of the first level; 64 in the paper")
    option("--features", help="perceptual features: hed, imagenet, random, or a VGG-16 state dict")
    option("--feature-width", type=float, help="width of random features; 1 = VGG-16")
    option("--features-share", type=float, help="share of a batch that they see, in (0, 1]")
    option("--lambda-style", type=float, default=120.0, help="style weight (default 120)")
    perceptual = (
        f"perceptual weight (default {_PERCEPTUAL:g}); with both 0 the loss is L1 and total "
    )
    perceptual += "variation, and nothing passes the features"
    option("--lambda-perceptual", type=float, default=_PERCEPTUAL, help=perceptual)
    option("--freeze-encoder-bn", action="store_true", help="as in the paper's fine-tuning")
    option("--record-every", type=int, metavar="STEPS", help="steps a row of the record")
    option("--record", type=Path, metavar="FILE.csv", help="where the loss record goes")
    preview = "a picture of five samples as the network fills them, renewed with the record"
    option("--preview", type=Path, metavar="FILE.png", help=preview)
    option("--checkpoint-every", type=int, metavar="STEPS", help="steps between two saves")
    quick = "float32, bfloat16, or auto: bfloat16 where processor or GPU has instructions for it"
    option("--precision", metavar="NAME", help=quick)
    option("--compile", action="store_true", help="torch.compile; needs a C++ compiler")
    option("--accumulate", type=int, default=1, help="do a batch in so many parts")
    option("--workers", type=int, default=1, help="loader processes (default 1)")
    option("--seed", type=int)


def run(given) -> int:
    """Train, and save; returns the exit code."""
    # Imported here: --help should not wait for torch.
    from pconv_core.training import Preempted

    try:
        _run(given)
    except Preempted as notice:
        print(notice, file=sys.stderr)
        return notice.exit_code
    return 0


def _run(given) -> None:
    from pconv_core import data, distributed, hardware
    from pconv_core.files import checkpoints
    from pconv_core.losses import InpaintingLoss, VGGFeatures
    from pconv_core.models import build_model
    from pconv_core.study.preview import Preview
    from pconv_core.study.profile import load_profile
    from pconv_core.training import Keeper, Stage, Switches, train

    profile = load_profile(given.profile)
    for name, value in profile.settings().items():
        if getattr(given, name, value) is None:
            setattr(given, name, value)
    _check(given)
    start = None if given.start is None else checkpoints.read(given.start)
    photos = data.open_photos(given.images, "train")
    samples = data.Samples(
        photos,
        given.size,
        given.seed,
        span=(profile.crop_smallest, profile.crop_largest),
        masks=None if given.masks is None else data.MaskFolder(given.masks),
        kind=given.mask_kind,
        unreadable=given.checkpoint.with_suffix(".unreadable.txt"),
    )
    features = VGGFeatures(given.features, given.feature_width, given.seed)
    loss = InpaintingLoss(
        features,
        given.feature_width,
        given.features_share,
        given.seed,
        perceptual=given.lambda_perceptual,
    )
    with distributed.group() as device:
        if given.resume_previous and distributed.rank() == 0:
            checkpoints.restore_previous(given.checkpoint)
        distributed.wait()
        steps = _steps(given, len(photos) / distributed.processes())
        schedule = given.learning_rate, given.lambda_style, given.freeze_encoder_bn
        schedule += given.cosine, given.average
        net = build_model(given.model, given.size, given.base_channels, given.seed)
        if start is not None:
            checkpoints.load_into(net, start, given.start)
        settings = _settings(given, steps)
        settings["precision"] = hardware.precision(given.precision, device)
        settings |= {"processes": distributed.processes(), "from": str(given.start or "")}
        train(
            net.to(device),
            loss.to(device),
            samples,
            Stage("train", 0, steps * given.batch_size * distributed.processes(), *schedule),
            given.batch_size,
            given.record_every,
            given.workers,
            Switches(
                precision=given.precision,
                compiled=given.compile,
                fused_adam=device.type == "cuda",
                accumulate=given.accumulate,
            ),
            Keeper(given.checkpoint, given.checkpoint_every, settings, given.record),
            given.preview and Preview(given.preview, net, samples),
        )
        if distributed.rank() == 0:
            print(f"{steps} steps done; weights in {given.checkpoint}")


def _check(given) -> None:
    options.check(given, batch_size=1, size=32, base_channels=1, record_every=1)
    options.check(given, checkpoint_every=1, accumulate=1, learning_rate=0, steps=0, epochs=0)
    if not 0 <= given.average <= 1:
        raise ValueError(f"--average is {given.average:g}; it should be in [0, 1]")
    if not given.lambda_perceptual >= 0:
        found = f"--lambda-perceptual is {given.lambda_perceptual:g}"
        raise ValueError(f"{found}; it should be at least 0")
    if given.accumulate > given.batch_size:
        raise ValueError(
            f"--accumulate is {given.accumulate}; it should be at most the batch size, "
            f"{given.batch_size}"
        )
    for name in ("checkpoint", "record", "preview"):
        if getattr(given, name) is not None:
            options.check_place(f"--{name}", getattr(given, name))
    if given.checkpoint.is_file() and not (given.resume or given.resume_previous):
        raise ValueError(
            f"{given.checkpoint} exists; --resume goes on with it, or name another file"
        )


def _settings(given, steps: int) -> dict:
    """What of the options decides the weights."""
    on = [name for name in _DECIDING_IF_ON if getattr(given, name)]
    settings = {name: getattr(given, name) for name in (*_DECIDING, *on)}
    if given.lambda_perceptual != _PERCEPTUAL:
        settings["lambda_perceptual"] = given.lambda_perceptual
    # More steps make a run longer, but with the cosine another one from its first step.
    return settings | ({"steps": steps} if given.cosine else {})


def _steps(given, photos: float) -> int:
    """Updates to be made: as told, or so many passes over the photographs."""
    return given.steps or max(1, round((given.epochs or 1) * photos / given.batch_size))
