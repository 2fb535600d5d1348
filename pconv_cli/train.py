"""Train a network on a folder of photographs.

The holes are irregular.  In the folder, a_mask.png and b.jpg.png beside a.jpg and b.jpg are masks,
and no photographs; --masks may name it too, or a folder in it.  Cut off at any moment, the same
command goes on where it was, if --resume is among its options.  SIGTERM and Ctrl-C save first,
when the step is done, and end with exit code 75 and 130; a second Ctrl-C ends at once.  Under
torchrun several processes share each step.
"""

import sys
from pathlib import Path

from pconv_cli import files, options
from pconv_cli.errors import say
from pconv_core.masks import KINDS

# What decides the weights, so that a run is not gone on with by mistake as another.
_DECIDING = ("images", "masks", "model", "size", "base_channels", "batch_size", "learning_rate")
_DECIDING += ("lambda_style", "freeze_encoder_bn", "features", "feature_width", "seed")
_DECIDING += ("mask_kind", "features_share", "precision", "accumulate")
# These too, but only where they are on: off, they change no checkpoint.
_DECIDING_IF_ON = ("cosine", "average")
_PERCEPTUAL = 0.05  # the paper's weight
_SPAN = (0.125, 0.5)
_MAY_CHANGE = ("batch_size", "learning_rate")
_MASKS_LOOKED_AT = 64
_LARGE_HOLE = 0.9


def add(command) -> None:
    """Add the options."""
    option = command.add_argument
    photographs = "photographs, in any subfolders; or embedded, places365:DIR, coco2014:DIR"
    option("--images", required=True, metavar="DIR", help=photographs)
    option("--masks", metavar="DIR", help="mask pictures (default: drawn anew)")
    options.add_mask_hole(command)
    drawn = f"of the masks that are drawn (default {KINDS[0]}); see masks --help"
    option("--mask-kind", choices=KINDS, default=KINDS[0], help=drawn)
    networks = "pconv, the paper's partial U-Net (default); partwise, merged, partial-masked, "
    networks += "or refined, its departures; masked or gated, the same with "
    networks += "plain or gated convolutions that see the mask; without masks conv, the same with "
    networks += "plain convolutions, or unet, a traditional one"
    option("--model", default="pconv", metavar="NAME", help=networks)
    option("--checkpoint", required=True, metavar="FILE", type=Path, help="where to save")
    option("--resume", action="store_true", help="go on with --checkpoint if it is there")
    other = "with --resume, --batch-size and --learning-rate may be others than before"
    option("--may-change", action="store_true", help=other)
    start = "begin with the weights of this checkpoint, say of the stage before: averaged ones, "
    start += "if it has them"
    option("--from", dest="start", metavar="FILE", type=Path, help=start)
    length = command.add_mutually_exclusive_group()
    length.add_argument("--steps", type=int, help="how many updates")
    length.add_argument("--epochs", type=float, help="how often each photograph (default 1)")
    option("--batch-size", type=int, default=8, help="images a process and step (default 8)")
    option("--size", type=int, default=64, help="side of the training crops (default 64 pixels)")
    cut = "the crops, in short sides of the photograph (default 0.125 0.5)"
    ends = ("SMALLEST", "LARGEST")
    option("--crop-span", type=float, nargs=2, default=_SPAN, metavar=ends, help=cut)
    option("--learning-rate", "--lr", type=float, default=0.002, help="Adam's (default 0.002)")
    falls = "let the learning rate fall towards 0 as half a cosine over the steps"
    option("--cosine", action="store_true", help=falls)
    averaged = "decay of a moving average of the weights, in [0, 1], say 0.999 (default 0: none); "
    averaged += "inpaint, evaluate, export and --from take the averaged weights of a checkpoint, "
    averaged += "--resume goes on with the others, which --preview shows"
    option("--average", type=float, default=0.0, metavar="DECAY", help=averaged)
    width = "width of the first level (default 16); 64 in the paper"
    option("--base-channels", type=int, default=16, help=width)
    network = "perceptual features: hed (default), imagenet, random, or a VGG-16 state dict"
    option("--features", default="hed", help=network)
    width = "width of random features (default 1, VGG-16's)"
    option("--feature-width", type=float, default=1.0, help=width)
    seen = "share of a batch that they see, in (0, 1] (default 0.125)"
    option("--features-share", type=float, default=0.125, help=seen)
    option("--lambda-style", type=float, default=120.0, help="style weight (default 120)")
    perceptual = (
        f"perceptual weight (default {_PERCEPTUAL:g}); with both 0 the loss is L1 and total "
    )
    perceptual += "variation, and nothing passes the features"
    option("--lambda-perceptual", type=float, default=_PERCEPTUAL, help=perceptual)
    option("--freeze-encoder-bn", action="store_true", help="as in the paper's fine-tuning")
    rows = "steps a row of the record (default 10)"
    option("--record-every", type=int, default=10, metavar="STEPS", help=rows)
    option("--record", type=Path, metavar="FILE.csv", help="where the loss record goes")
    preview = "a picture of five samples as the network fills them, renewed with the record"
    option("--preview", type=Path, metavar="FILE.png", help=preview)
    saves = "steps between two saves (default 200)"
    option("--checkpoint-every", type=int, default=200, metavar="STEPS", help=saves)
    quick = "float32 (default), bfloat16, or auto: bfloat16 where processor or GPU has "
    quick += "instructions for it"
    option("--precision", default="float32", metavar="NAME", help=quick)
    option("--compile", action="store_true", help="torch.compile; needs a C++ compiler")
    option("--accumulate", type=int, default=1, help="do a batch in so many parts")
    option("--workers", type=int, default=1, help="loader processes (default 1)")
    option("--seed", type=int, default=2018, help="random seed (default 2018)")


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
    from pconv_cli.preview import Preview
    from pconv_core import checkpoints, data, distributed, hardware
    from pconv_core.features import VGGFeatures
    from pconv_core.losses import InpaintingLoss
    from pconv_core.models import build_model
    from pconv_core.training import Keeper, Stage, Switches, train

    _check(given)
    start = None if given.start is None else checkpoints.read(given.start)
    photos, left, masks = _opened(given)
    samples = data.Samples(
        photos,
        given.size,
        given.seed,
        span=tuple(given.crop_span),
        masks=masks,
        kind=given.mask_kind,
        unreadable=given.unreadable,
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
        if left and distributed.rank() == 0:
            say("note", f"{left} pictures are masks and not trained on")
        if masks is not None and distributed.rank() == 0:
            _say_ratio(samples, given.mask_hole)
        of_step = given.batch_size * distributed.processes()
        begun = _begun(given)
        count = _samples(given, len(photos), of_step, *begun)
        steps = begun[1] + (count - begun[0]) // of_step
        schedule = given.learning_rate, given.lambda_style, given.freeze_encoder_bn
        schedule += given.cosine, given.average
        net = build_model(given.model, given.size, given.base_channels, given.seed)
        if start is not None:
            checkpoints.load_into(net, start, given.start)
        settings = _settings(given, steps)
        settings["precision"] = hardware.precision(given.precision, device)
        settings |= {"processes": distributed.processes(), "from": str(given.start or "")}
        switches = Switches(
            precision=given.precision,
            compiled=given.compile,
            fused_adam=device.type == "cuda",
            accumulate=given.accumulate,
        )
        keeper = Keeper(
            given.checkpoint,
            given.checkpoint_every,
            settings,
            given.record,
            may_change=_MAY_CHANGE if given.may_change else (),
        )
        train(
            net.to(device),
            loss.to(device),
            samples,
            Stage("train", 0, count, *schedule),
            given.batch_size,
            given.record_every,
            given.workers,
            switches,
            keeper,
            given.preview and Preview(given.preview, net, samples),
        )
        if distributed.rank() == 0:
            print(f"{steps} steps done; weights in {given.checkpoint}")


def _opened(given) -> tuple:
    """The photographs without the masks among them, how many these are, the masks of --masks."""
    from pconv_core import data

    photos = data.open_photos(given.images, "train")
    masks = None if given.masks is None else data.MaskFolder(given.masks, given.mask_hole)
    paths = [photos.path(number) for number in range(len(photos))]
    alone, beside = (set(part) for part in files.parted(paths))
    if masks is not None and given.images != "embedded":
        inside, root = Path(given.masks).resolve(), photos.root.resolve()
        if inside == root:
            masks.masks = _among(masks.masks, beside)
        else:
            alone -= {
                p for p in alone if (root / p.relative_to(photos.root)).is_relative_to(inside)
            }
    left = len(paths) - len(alone)
    return _among(photos, alone) if left else photos, left, masks


def _among(listed, kept: set[Path]):
    """Those of a folder's pictures that are in a set."""
    if not kept:
        raise ValueError(
            f"{listed.name} should hold photographs and, as --masks names it too, masks with their "
            "names, a_mask.png for a.jpg"
        )
    return listed.subset([k for k in range(len(listed)) if listed.path(k) in kept], listed.name)


def _check(given) -> None:
    options.check(given, batch_size=1, size=32, base_channels=1, record_every=1)
    options.check(given, checkpoint_every=1, accumulate=1, steps=1, workers=0, seed=0)
    options.check(given, learning_rate=None, epochs=None, feature_width=None)
    options.check(given, lambda_perceptual=0, lambda_style=0)
    if given.may_change and not given.resume:
        raise ValueError("--may-change is for --resume, which should be given too")
    if given.mask_hole != "black" and given.masks is None:
        raise ValueError("--mask-hole is for --masks, which should be given too")
    if not 0 <= given.average <= 1:
        raise ValueError(f"--average is {given.average:g}; it should be in [0, 1]")
    smallest, largest = given.crop_span
    if not 0 < smallest <= largest <= 1:
        raise ValueError(
            f"--crop-span is {smallest:g} {largest:g}; it should ascend, above 0 and at most 1"
        )
    if given.accumulate > given.batch_size:
        raise ValueError(
            f"--accumulate is {given.accumulate}; it should be at most the batch size, "
            f"{given.batch_size}"
        )
    places = {n: p for n in ("checkpoint", "record", "preview") if (p := getattr(given, n))}
    if len(set(places.values())) < len(places):
        raise ValueError(f"--{', --'.join(places)} name one file twice; each should have its own")
    for name, path in places.items():
        options.check_place(f"--{name}", path)
        if path.is_file() and not given.resume:
            raise ValueError(f"{path} exists; --resume goes on with it, or name another file")
    # Beside the checkpoint photographs are listed that cannot be read.
    given.unreadable = given.checkpoint.with_suffix(".unreadable.txt")
    options.check_place("--checkpoint", given.unreadable)


def _settings(given, steps: int) -> dict:
    """What of the options decides the weights."""
    on = [name for name in _DECIDING_IF_ON if getattr(given, name)]
    settings = {name: getattr(given, name) for name in (*_DECIDING, *on)}
    if given.lambda_perceptual != _PERCEPTUAL:
        settings["lambda_perceptual"] = given.lambda_perceptual
    if given.masks is not None and given.mask_hole != "black":
        settings["mask_hole"] = given.mask_hole
    if tuple(given.crop_span) != _SPAN:
        settings["crop_span"] = list(given.crop_span)
    # More steps make a run longer, but with the cosine another one from its first step.
    return settings | ({"steps": steps} if given.cosine else {})


def _begun(given) -> tuple[int, int]:
    """Samples and steps that the run to go on with has behind it."""
    from pconv_core import checkpoints

    if not given.may_change or not given.checkpoint.is_file():
        return 0, 0
    state = checkpoints.read(given.checkpoint)
    return state.get("samples", 0), state.get("step", 0)


def _samples(given, photos: int, of_step: int, samples: int, steps: int) -> int:
    """Samples to have seen at the end: of so many steps, or passes over the photographs."""
    if given.steps:
        return samples + max(0, given.steps - steps) * of_step
    left = round(((given.epochs or 1) * photos - samples) / of_step)
    return samples + max(0 if samples else 1, left) * of_step


def _say_ratio(samples, colour: str) -> None:
    """Print the mean hole ratio of the first masks that are trained on."""
    masks = [samples[number][1] for number in range(_MASKS_LOOKED_AT)]
    ratio = 1 - sum(float(mask.mean()) for mask in masks) / len(masks)
    print(f"mean hole ratio of the masks: {ratio:.2f}")
    if ratio > _LARGE_HOLE:
        other = "white" if colour == "black" else "black"
        told = f"If the masks mark it the other way round, say --mask-hole {other}"
        say("warning", f"is that much hole meant? {told}")
