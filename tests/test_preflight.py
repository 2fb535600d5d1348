import shutil
from collections import namedtuple

import pytest
import torch

from pconv_core import losses, preflight
from pconv_core.profiles import changed, load_profile


def test_the_demo_can_run():
    assert preflight.problems(load_profile("demo")) == []


def test_everything_missing_is_listed_at_once(tmp_path, monkeypatch):
    def offline(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr(losses, "vgg16", offline)
    monkeypatch.setattr(
        shutil,
        "disk_usage",
        lambda _: namedtuple("usage", "total used free")(1, 1, 10**6),
    )
    (tmp_path / "empty").mkdir()
    profile = changed(
        load_profile("full"),
        [
            f"pretrain_photos=places365:{tmp_path}",
            f"finetune_photos=coco2014:{tmp_path}/none",
            f"test_photos={tmp_path}/empty",
        ],
    )
    with pytest.raises(ValueError, match="profile full cannot run yet") as caught:
        preflight.check(profile)
    text = str(caught.value)
    for part in (
        "is not Places365-Standard: it should hold the folder",
        "is not COCO 2014: it should hold the folder train2014",
        "empty holds no photograph",
        "weights of VGG-16 could not be downloaded",
        "GB of disk are free",
    ):
        assert part in text
    assert text.count("\n  - ") == 5


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_batch_that_does_not_fit_the_gpu():
    profile = changed(load_profile("demo"), ["device=auto", "batch_size=4096", "size=1024"])
    assert "do not hold a step" in preflight.problems(profile)[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("nonsense=1", "no setting 'nonsense=1'"),
        ("seed", "no setting 'seed'; it should be NAME=VALUE"),
        ("seed=a", "profile setting seed is 'a'"),
        ("recipe=mine", "recipe is 'mine'; it should be one of seed, paper"),
        ("precision=float8", "precision is 'float8'"),
    ],
)
def test_bad_changes(change, message):
    with pytest.raises(ValueError, match=message):
        changed(load_profile("demo"), [change])


def test_changes():
    profile = changed(load_profile("demo"), ["seed=5", "learning_rate=1e-3", "compiled=true"])
    assert (profile.seed, profile.learning_rate, profile.compiled) == (5, 0.001, True)
