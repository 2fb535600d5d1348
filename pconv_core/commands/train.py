"""python -m pconv_core train."""

from pathlib import Path

from pconv_core import data, distributed
from pconv_core.files import checkpoints
from pconv_core.losses import InpaintingLoss, VGGFeatures
from pconv_core.models import MODELS, build_model
from pconv_core.study.preview import Preview
from pconv_core.study.profile import load_profile
from pconv_core.training import PRECISIONS, Keeper, Stage, Switches, train

_FROM_PROFILE = ("batch_size", "size", "learning_rate", "base_channels", "features")
_FROM_PROFILE += ("feature_width", "record_every", "checkpoint_every", "seed", "precision")


def add(commands) -> None:
    """Add the subcommand."""
    command = commands.add_parser(
        "train",
        help="train a network on a folder of photographs",
        description="Train a network on photographs with irregular holes. Cut off at any moment, "
        "the same command goes on where it was, if --resume is among its options; SIGTERM saves "
        "first and ends with exit code 75. Under torchrun several processes share each step.",
    )
    option = command.add_argument
    option(
        "--images",
        required=True,
        metavar="DIR",
        help="photographs, in any subfolders; or embedded, places365:DIR, coco2014:DIR",
    )
    option("--masks", metavar="DIR", help="mask pictures, black = hole (default: drawn anew)")
    option("--model", choices=MODELS, default="pconv")
    option("--checkpoint", required=True, metavar="FILE", type=Path, help="where to save")
    option("--resume", action="store_true", help="go on with --checkpoint if it is there")
    option(
        "--resume-previous",
        action="store_true",
        help="go on with the checkpoint before the last, FILE.previous, if the last is damaged",
    )
    option(
        "--from",
        dest="start",
        metavar="FILE",
        type=Path,
        help="begin with the weights of this checkpoint, say of the stage before",
    )
    length = command.add_mutually_exclusive_group()
    length.add_argument("--steps", type=int, help="how many updates")
    length.add_argument("--epochs", type=float, help="how often each photograph (default 1)")
    option("--profile", default="demo", help="where unnamed settings come from (default demo)")
    option("--batch-size", type=int, help="images a process and step")
    option("--size", type=int, help="side of the training crops in pixels")
    option("--lr", dest="learning_rate", type=float, help="Adam's learning rate")
    option("--base-channels", type=int, help="width of the first level; 64 in the paper")
    option("--features", help="perceptual features: imagenet, random, or a VGG-16 state dict")
    option("--feature-width", type=float, help="width of random features; 1 = VGG-16")
    option("--lambda-style", type=float, default=120.0, help="style weight (default 120)")
    option("--freeze-encoder-bn", action="store_true", help="as in the paper's fine-tuning")
    option("--record-every", type=int, metavar="STEPS", help="steps a row of the record")
    option("--record", type=Path, metavar="FILE.csv", help="where the loss record goes")
    option(
        "--preview",
        type=Path,
        metavar="FILE.png",
        help="a picture of five samples as the network fills them, renewed with the record",
    )
    option("--checkpoint-every", type=int, metavar="STEPS", help="steps between two saves")
    option("--precision", choices=PRECISIONS)
    option("--compile", action="store_true", help="torch.compile; needs a C++ compiler")
    option("--accumulate", type=int, default=1, help="do a batch in so many parts")
    option("--workers", type=int, default=1, help="loader processes (default 1)")
    option("--seed", type=int)
    command.set_defaults(run=_run)


def _run(given) -> None:
    profile = load_profile(given.profile)
    for name in _FROM_PROFILE:
        if getattr(given, name) is None:
            setattr(given, name, getattr(profile, name))
    _check(given)
    photos = data.open_photos(given.images, "train")
    masks = None if given.masks is None else data.MaskFolder(given.masks)
    span = (profile.crop_smallest, profile.crop_largest)
    unreadable = given.checkpoint.with_suffix(".unreadable.txt")
    samples = data.Samples(
        photos, given.size, given.seed, span=span, masks=masks, unreadable=unreadable
    )
    features = VGGFeatures(given.features, given.feature_width, given.seed)
    with distributed.group() as device:
        if given.resume_previous and distributed.rank() == 0:
            checkpoints.restore_previous(given.checkpoint)
        distributed.wait()
        steps = _steps(given, len(photos) / distributed.processes())
        stage = Stage(
            "train", 0, steps, given.learning_rate, given.lambda_style, given.freeze_encoder_bn
        )
        net = build_model(given.model, given.size, given.base_channels, given.seed)
        if given.start is not None:
            checkpoints.load_into(net, checkpoints.read(given.start), given.start)
        keeper = Keeper(given.checkpoint, given.checkpoint_every, _settings(given), given.record)
        watch = None if given.preview is None else Preview(given.preview, net, samples)
        train(
            net.to(device),
            InpaintingLoss(features, style_scale=given.feature_width).to(device),
            samples,
            stage,
            given.batch_size,
            given.record_every,
            given.workers,
            Switches(
                precision=given.precision,
                compiled=given.compile,
                fused_adam=device.type == "cuda",
                accumulate=given.accumulate,
            ),
            keeper,
            watch,
        )
        if distributed.rank() == 0:
            print(f"{steps} steps done; weights in {given.checkpoint}")


def _check(given) -> None:
    for name in ("batch_size", "size", "base_channels", "record_every", "checkpoint_every"):
        if getattr(given, name) < 1:
            raise ValueError(_too_small(name, getattr(given, name), "at least 1"))
    if given.size < 32:
        raise ValueError(_too_small("size", given.size, "at least 32"))
    if not given.learning_rate > 0:
        raise ValueError(_too_small("lr", given.learning_rate, "above 0"))
    if not 1 <= given.accumulate <= given.batch_size:
        raise ValueError(
            f"--accumulate is {given.accumulate}; it should be from 1 to the batch size, "
            f"{given.batch_size}"
        )
    for name in ("steps", "epochs"):
        value = getattr(given, name)
        if value is not None and not value > 0:
            raise ValueError(_too_small(name, value, "above 0"))
    if given.checkpoint.is_file() and not (given.resume or given.resume_previous):
        raise ValueError(
            f"{given.checkpoint} exists; --resume goes on with it, or name another file"
        )


def _too_small(name: str, value: float, right: str) -> str:
    return f"--{name.replace('_', '-')} is {value:g}; it should be {right}"


def _steps(given, photos: float) -> int:
    """Updates to be made: as told, or so many passes over the photographs."""
    if given.steps is not None:
        return given.steps
    return max(1, round((given.epochs or 1) * photos / given.batch_size))


def _settings(given) -> dict:
    """What decides the weights, so that a run is not gone on with by mistake as another."""
    names = ("images", "masks", "model", "size", "base_channels", "batch_size", "learning_rate")
    names += ("lambda_style", "freeze_encoder_bn", "features", "feature_width", "seed")
    names += ("precision", "accumulate")
    settings = {name: getattr(given, name) for name in names}
    return {**settings, "processes": distributed.processes(), "from": str(given.start or "")}
