import shutil
from collections import namedtuple

import pytest
import torch

from pconv_core import losses
from pconv_core.models import build_model
from pconv_core.study import preflight
from pconv_core.study.profile import load_profile


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
    told = {
        "pretrain_photos": f"places365:{tmp_path}",
        "finetune_photos": f"coco2014:{tmp_path}/none",
        "test_photos": f"{tmp_path}/empty",
    }
    profile = load_profile("full", told)
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


def test_three_runs_need_more_disk_than_one(monkeypatch):
    free = []
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(1, 1, free[-1]))
    profile = load_profile("demo")
    needed = []
    for runs in (1, 3):
        low, high = 0, 10**12
        while high - low > 1:  # the least that is enough
            free.append((low + high) // 2)
            enough = not preflight._disk(profile, runs * 12)
            low, high = (low, free[-1]) if enough else (free[-1], high)
        needed.append(high)
    weights = 4 * sum(p.numel() for p in build_model("pconv", 64, 16, 0).parameters())
    assert needed[1] - needed[0] == 2 * 12 * weights


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_batch_that_does_not_fit_the_gpu():
    larger = {"name": "large", "device": "auto", "batch_size": 4096, "size": 1024}
    profile = load_profile("demo", larger)
    assert "do not hold a step" in preflight.problems(profile)[0]
