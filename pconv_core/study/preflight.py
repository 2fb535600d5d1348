"""Before hours of training: see that everything is there that they will need."""

import shutil

import torch

from pconv_core import data, training
from pconv_core.files import lite0
from pconv_core.losses import VGGFeatures
from pconv_core.models import build_model
from pconv_core.study.profile import PHOTOS, Profile
from pconv_core.study.run import RESULTS, Study, make_loss, perceptual_features

# Weights and Adam's two moments, float32; the last two checkpoints and one being written.
_OF_TRAINING = 3 * 3
_OF_RUN = 3 * 4  # three stages of four networks, as weights alone
_SPARE = 2**28  # tables, figures, logs


def problems(profile: Profile, runs: int = 1, side_by_side: int = 1) -> list[str]:
    """List all that stands in the way of a run, each with what would help; perhaps nothing.

    Its disk is to hold the weights of so many `runs`, of which so many trainings go on at a time.
    """
    found = []
    for name in PHOTOS:
        try:
            data.open_photos(getattr(profile, name), "test" if name == "test_photos" else "train")
        except ValueError as error:
            found.append(str(error))
    try:
        features = perceptual_features(profile)
    except (RuntimeError, ValueError) as error:
        features = None
        found.append(str(error))
    try:
        lite0.network()
    except ValueError as error:
        found.append(str(error))
    found += _disk(profile, runs * _OF_RUN + side_by_side * _OF_TRAINING)
    if features is not None and profile.device != "cpu" and torch.cuda.is_available():
        found += _gpu_memory(profile, features)
    return list(dict.fromkeys(found))


def check(profile: Profile, runs: int = 1, side_by_side: int = 1) -> None:
    """Raise ValueError with all `problems`, if there are any."""
    found = problems(profile, runs, side_by_side)
    if found:
        listed = "\n".join(f"  - {p}" for p in found)
        raise ValueError(f"profile {profile.profile} cannot run yet:\n{listed}")


def _disk(profile: Profile, copies: int) -> list[str]:
    net = build_model("pconv", profile.size, profile.base_channels, profile.seed)
    needed = 4 * sum(p.numel() for p in net.parameters()) * copies + _SPARE
    place = (RESULTS / profile.name).resolve()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if free >= needed:
        return []
    return [
        f"{free / 1e9:.1f} GB of disk are free for the results; the checkpoints and tables need "
        f"{needed / 1e9:.1f} GB"
    ]


def _gpu_memory(profile: Profile, features: VGGFeatures) -> list[str]:
    """Try one training step of the largest network."""
    net = build_model("pconv", profile.size, profile.base_channels, profile.seed).cuda()
    loss = make_loss(profile, features).cuda()
    objective = training.make_objective(net, loss, Study(profile).switches)
    count = -(-profile.batch_size // profile.accumulate)
    image = torch.rand(count, 3, profile.size, profile.size, device="cuda")
    try:
        chosen = loss.draw(0, len(image))
        chosen = chosen if chosen is None else chosen.cuda()
        objective(image, torch.ones_like(image[:, :1]), chosen)[0].backward()
    except torch.cuda.OutOfMemoryError:
        total = torch.cuda.get_device_properties(0).total_memory / 1e9
        return [
            f"the GPU's {total:.0f} GB do not hold a step of {count} images of "
            f"{profile.size} pixels; a smaller batch_size, accumulate or precision: bfloat16 helps"
        ]
    finally:
        features.cpu()
        del net, loss, objective
        torch.cuda.empty_cache()
    return []
