"""Profiles and what a run changes of them."""

from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from pconv_core.study.profile import Profile, load_profile, main, overrides_of

FOLDER = Path(__file__).parents[1] / "pconv_core/study/profiles"
NAMES = sorted(p.stem for p in FOLDER.glob("*.yaml"))


@pytest.mark.parametrize("name", NAMES)
def test_a_profile_is_named_as_its_file(name):
    profile = load_profile(name)
    assert profile.profile == profile.name == name


def test_the_demo_names_every_setting_with_its_comment():
    text = (FOLDER / "demo.yaml").read_text()
    names = list(yaml.safe_load(text))
    assert names == [f.name for f in fields(Profile)][2:]
    explained = [line for line in text.splitlines() if ":" in line and "#" in line]
    assert len(explained) >= len(names) - 5  # about, three photographs, crop_largest


@pytest.mark.parametrize("name", NAMES)
def test_the_others_name_only_what_differs(name):
    demo = load_profile("demo").settings()
    if name != "demo":
        for key, value in yaml.safe_load((FOLDER / f"{name}.yaml").read_text()).items():
            assert value != demo[key], key


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": "64"}, "setting size is '64'; it should be of type int"),
        ({"batch_size": 0}, "setting batch_size is 0; it should be above 0"),
        ({"conv_unet": 1}, "setting conv_unet is 1; it should be of type bool"),
        ({"crop_largest": 1.5}, "at most 1"),
        ({"recipe": "mine"}, "recipe is 'mine'; it should be one of P-Conv, paper"),
        (
            {"precision": "float8"},
            "precision is 'float8'; it should be one of float32, bfloat16, auto",
        ),
        ({"test_photos": "d", "finetune_photos": "d"}, "test_photos is 'd', which is trained on"),
        ({"sise": 64}, "no setting is named 'sise'; did you mean 'size'"),
        ({"name": "reference"}, "the run is named 'reference'"),
        ({"name": "full"}, "not that of another profile"),
        ({"name": "../demo"}, "the run is named '../demo'"),
    ],
)
def test_bad_settings(change, message):
    with pytest.raises(ValueError, match=message):
        load_profile("demo", {"name": "mine", **change})


def test_unknown_profile():
    with pytest.raises(ValueError, match="no profile named 'huge'; there are: demo, deviations"):
        load_profile("huge")


@pytest.mark.parametrize("overrides", [{"seed": 1}, {"pretrain_photos": "d"}, {"device": "auto"}])
def test_another_run_has_a_name_of_its_own(overrides):
    with pytest.raises(ValueError, match="of profile demo is changed, but the run has no name"):
        load_profile("demo", overrides)
    assert load_profile("demo", {**overrides, "name": "mine"}).name == "mine"


def test_a_profile_that_cannot_know_its_photographs_is_told_them():
    told = {name: name for name in ("pretrain_photos", "finetune_photos", "test_photos")}
    assert load_profile("photographs", told).name == "photographs"
    with pytest.raises(ValueError, match="size of profile photographs is changed"):
        load_profile("photographs", {**told, "size": 64})


def test_changes_on_the_command_line():
    changes = overrides_of(["seed=5", "learning_rate=1e-3", "compiled=true", "name=mine"])
    profile = load_profile("demo", changes)
    assert (profile.seed, profile.learning_rate, profile.compiled) == (5, 0.001, True)
    with pytest.raises(ValueError, match="no setting 'seed'; it should be NAME=VALUE"):
        overrides_of(["seed"])
    with pytest.raises(ValueError, match="no setting is named 'nonsense'"):
        overrides_of(["nonsense=1"])


def test_the_check_before_a_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["--profile", "demo"]) == 0
    assert main(["--set", "seed=1"]) == 2
    assert capsys.readouterr().err.startswith("error: seed of profile demo is changed")
    (tmp_path / "results/mine").mkdir(parents=True)
    assert main(["--set", "seed=1", "--set", "name=mine"]) == 0
    assert main(["--set", "seed=2", "--set", "name=mine"]) == 2
    assert "make clean NAME=mine" in capsys.readouterr().err
