"""The trials behind the shipped weights' recipe: what is trained, measured, and gone on with."""

import pandas as pd
import pytest
from test_style_effect import SMALL

from pconv_core import evaluation
from pconv_core.files import checkpoints
from pconv_core.models import build_model
from pconv_core.study import trials
from pconv_core.study.profile import load_profile
from pconv_core.study.run import Study


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    profile = load_profile("trials", {"name": "small", **SMALL})
    return profile, folder, trials.run(profile, folder)


def test_every_trial_has_a_row_for_weights_size_and_measure(done):
    _, _, found = done
    assert len(found) == len(trials.TRIALS) * 2 * 2 * len(trials.MEASURES)
    keys = ["network", "loss", "learning_rate", "weights", "size", "measure"]
    assert not found.duplicated(keys).any()
    assert set(found["size"]) == {32, 64}
    assert ((found["low"] <= found["gain"]) & (found["gain"] <= found["high"])).all()


def test_a_gain_is_that_over_the_continuation(done):
    profile, folder, found = done
    (file,) = folder.glob("small/checkpoints/residual,_eq._7,_cosine.pt")
    net = build_model("residual", 32, 2, profile.seed)
    net.load_state_dict(checkpoints.read(file)["model"])
    study, means = Study(profile, folder), []
    for fill in (evaluation.network_fill(net), evaluation.continuation_fill):
        table = evaluation.evaluate(fill, study.evaluation_set(32, "occlusion"))
        means.append(table.loc[table["ratio"] <= 0.5, "psnr"].mean())
    row = found.query(
        "network == 'residual' and loss == 'eq. 7' and weights == 'last' and size == 32 "
        "and measure == 'psnr'"
    )
    assert row["gain"].item() == pytest.approx(means[0] - means[1], abs=1e-6)


def test_trials_differ_where_they_say(done):
    _, folder, _ = done
    weights = {p.stem: checkpoints.read(p)["model"] for p in folder.glob("small/checkpoints/*.pt")}
    assert len(weights) == len(trials.TRIALS)
    constant, cosine, features = (
        weights[f"refined,_{which}"]
        for which in (
            "L1_and_total_variation,_constant",
            "L1_and_total_variation,_cosine",
            "eq._7,_cosine",
        )
    )
    for other in (constant, features):
        assert any((cosine[name] != other[name]).any() for name in cosine)


def test_nothing_is_trained_twice(done):
    profile, folder, found = done
    files = {p: p.stat().st_mtime_ns for p in folder.rglob("*.pt")}
    again = trials.run(profile, folder, trials.TRIALS[:2])
    pd.testing.assert_frame_equal(again, found.head(len(again)))
    assert {p: p.stat().st_mtime_ns for p in folder.rglob("*.pt")} == files


def test_the_shipped_recipe_is_among_them():
    profile = load_profile("trials")
    assert trials.TRIALS[0] == trials.Trial("refined", perceptual=False, cosine=True)
    assert (profile.base_channels, profile.size, profile.mask_kind) == (16, 64, "mixed")


def test_a_missing_folder_is_one_line(capsys):
    assert trials.main(["--set", "test_photos=/nowhere"]) == 2
    assert capsys.readouterr().err.startswith("error: no folder at /nowhere")
