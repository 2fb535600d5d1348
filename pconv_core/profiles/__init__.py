"""Profiles: the numbers of a run, one flat YAML file each, that papermill reads as parameters."""

from dataclasses import asdict, dataclass, fields
from importlib.resources import files

import yaml

_CHOICES = {
    "recipe": ("seed", "paper"),
    "precision": ("float32", "bfloat16"),
    "device": ("cpu", "auto"),
    "deviations": ("brief", "full"),
}


@dataclass(frozen=True)
class Profile:
    """All settings of one run of the study.

    The fields are the names in profiles/*.yaml and in the notebooks' parameters cells.
    """

    profile: str  # name, also of the folder below results/
    results: str  # folder of all results, relative to notebooks/
    size: int  # pixels; stands for the seed's 256
    small_size: int  # pixels; stands for the seed's 224
    base_channels: int  # width of the networks' first level
    conv_unet: bool  # whether to train the paper's baseline "Conv" beside the seed's networks
    pretrain_photos: str  # a source, see data.open_photos; the seed's Places365
    finetune_photos: str  # the seed's COCO 2014
    test_photos: str
    crop_smallest: float  # side of the square cut from a photograph, in short sides: from this
    crop_largest: float  # ... to this
    features: str  # perceptual features: "random", "imagenet" or a path
    feature_width: float  # of "random", 1 = VGG-16
    batch_size: int
    recipe: str  # "seed": stage 2 with a tenth, fine-tuning with a hundredth of learning_rate;
    # "paper": its 2e-4, and 5e-5 for fine-tuning
    learning_rate: float  # of stage 1
    stage1_steps: int
    stage2_steps: int
    finetune_steps: int
    record_every: int  # steps a point of the loss record
    checkpoint_every: int  # steps between two saves of a training that may be cut off
    test_per_cell: int  # test samples for each hole-ratio bin, with and without border
    seed: int
    deviations: str  # chapter 8 trains them "brief", and reads a table, or "full": half an hour
    name_hardware: bool  # whether tables say on what and how long networks were trained
    channels_last: bool  # see training.Switches, for this and the next four
    precision: str
    compiled: bool
    fused_adam: bool
    accumulate: int
    processes: int  # that train together, each with its own batch; on GPUs one for each
    device: str  # "cpu", or "auto": the GPU if there is one

    def __post_init__(self):
        for field in fields(self):
            value = getattr(self, field.name)
            expected = (int, float) if field.type is float else field.type
            # In Python True is a whole number, too.
            a_switch, wants_switch = isinstance(value, bool), field.type is bool
            if not isinstance(value, expected) or a_switch is not wants_switch:
                raise ValueError(
                    f"profile setting {field.name} is {value!r}; it should be of type "
                    f"{field.type.__name__}"
                )
            least = 0 if field.name == "seed" else 1e-12
            if isinstance(value, (int, float)) and not a_switch and not value >= least:
                raise ValueError(f"profile setting {field.name} is {value}; it should be above 0")
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise ValueError(
                    f"profile setting {name} is {getattr(self, name)!r}; it should be one of "
                    f"{', '.join(choices)}"
                )
        if not self.crop_smallest <= self.crop_largest <= 1:
            raise ValueError(
                f"profile settings crop_smallest and crop_largest are {self.crop_smallest} and "
                f"{self.crop_largest}; they should ascend and be at most 1"
            )
        for training in (self.pretrain_photos, self.finetune_photos):
            # Of the other sources, training and test images are different ones.
            if (
                training == self.test_photos
                and training not in ("embedded",)
                and ":" not in training
            ):
                raise ValueError(
                    f"profile setting test_photos is {self.test_photos!r}, which is trained on; "
                    "it should be another folder"
                )

    def settings(self) -> dict:
        """Return the settings as a dictionary, in order."""
        return asdict(self)


def load_profile(name: str) -> Profile:
    """Read profiles/NAME.yaml.

    Raises
    ------
    ValueError
        If there is no such profile, or a setting is missing, unknown or of the wrong kind.
    """
    folder = files(__package__)
    path = folder / f"{name}.yaml"
    if not path.is_file():
        known = sorted(p.name[:-5] for p in folder.iterdir() if p.name.endswith(".yaml"))
        raise ValueError(f"no profile named {name!r}; there are: {', '.join(known)}")
    settings = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(settings, dict) or settings.get("profile") != name:
        raise ValueError(f"profiles/{name}.yaml should set profile: {name}, the name of its file")
    return from_settings(settings, exact=True)


def changed(profile: Profile, changes: list[str]) -> Profile:
    """Change settings of a profile, each given as "name=value" in YAML's notation.

    Raises
    ------
    ValueError
        If one is not of that form, unknown or of the wrong kind.
    """
    settings = profile.settings()
    for change in changes:
        name, equals, value = change.partition("=")
        if not equals or name not in settings:
            raise ValueError(
                f"no setting {change!r}; it should be NAME=VALUE, NAME one of {', '.join(settings)}"
            )
        settings[name] = _parsed(value)
    return from_settings(settings)


def _parsed(text: str):
    """Read a value as YAML does, but take 1e-3 for the number that it is."""
    value = yaml.safe_load(text)
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def from_settings(settings: dict, exact: bool = False) -> Profile:
    """Make a profile of a mapping such as a notebook's `globals()`.

    Parameters
    ----------
    settings : dict
    exact : bool
        Whether names that are no setting are an error.

    Raises
    ------
    ValueError
        If a setting is missing, unknown (with `exact`) or of the wrong kind.
    """
    names = [f.name for f in fields(Profile)]
    missing = [n for n in names if n not in settings]
    unknown = [n for n in settings if n not in names] if exact else []
    if missing or unknown:
        raise ValueError(
            f"profile lacks {', '.join(missing) or 'nothing'}, "
            f"has the unknown {', '.join(unknown) or 'nothing'}; it should set {', '.join(names)}"
        )
    return Profile(**{n: settings[n] for n in names})
