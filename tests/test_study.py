import re

import pandas as pd
import pytest
import yaml

from pconv_core import evaluation, training
from pconv_core.masks import LAMA
from pconv_core.study import Study, label, load_profile
from pconv_core.study.profile import claim
from pconv_core.study.run import OUTPUT_VARIABLE, _minutes
from pconv_core.study.tables import by_width, compare, stage_finding, widths_finding

TINY = {
    "name": "tiny",
    "size": 48,
    "small_size": 40,
    "base_channels": 2,
    "features": "random",
    "feature_width": 0.0625,
    "batch_size": 2,
    "stage1_steps": 4,
    "stage2_steps": 2,
    "finetune_steps": 2,
    "record_every": 1,
    "test_per_cell": 1,
}


@pytest.fixture
def study(tmp_path):
    def make(folder="a", **changes):
        return Study(load_profile("demo", {**TINY, **changes}), tmp_path / folder)

    return make


def test_two_runs_leave_the_same_bytes(study):
    def run(folder):
        s = study(folder)
        s.log("pconv", 48)
        pictures = s.evaluate({"mean fill": lambda i, m: i * m}, 40)
        table = s.save_table(pictures, "t")
        assert set(table["features"]) == {"random VGG-16 x0.0625"}
        return {p.relative_to(s.root): p.read_bytes() for p in sorted(s.root.rglob("*.csv"))}

    first = run("a")
    assert first == run("b")
    assert sorted(str(p) for p in first) == [
        "logs/pconv48_finetune.csv",
        "logs/pconv48_stage1.csv",
        "logs/pconv48_stage2.csv",
        "tables/t.csv",
    ]


def test_schedule_is_that_of_p_conv(study):
    s = study()
    stages = [s.stage(name) for name in ("stage1", "stage2", "finetune")]
    assert [x.lambda_style for x in stages] == [1, 120, 120]
    assert [x.freeze_encoder_norm for x in stages] == [False, False, True]
    rates = [x.learning_rate / s.profile.learning_rate for x in stages]
    assert rates == pytest.approx([1, 0.1, 0.01])
    assert [x.first_step for x in stages] == [0, 4, 6]


def test_log_runs_over_all_stages(study):
    log = study().log("unet", 48)
    assert log["step"].tolist() == [1, 2, 3, 4, 5, 6, 7, 8]
    assert log["stage"].tolist() == ["stage1"] * 4 + ["stage2"] * 2 + ["finetune"] * 2


def test_network_is_trained_once(study, monkeypatch):
    s = study()
    net = s.network("pconv", 48, "stage1")
    monkeypatch.setattr(Study, "train", lambda *_: pytest.fail("trained again"))
    again = s.network("pconv", 48, "stage1")
    assert all(a.equal(b) for a, b in zip(net.parameters(), again.parameters(), strict=True))


def test_a_run_that_was_cut_off_ends_with_the_bytes_of_an_undisturbed_one(study, monkeypatch):
    def files(s):
        s.log("pconv", 48)
        return {p.relative_to(s.root): p.read_bytes() for p in s.root.rglob("*") if p.is_file()}

    expected = files(study("a"))
    ends = {1, 3, 5, 6}  # steps, of all three stages
    whole_check = training._check_number

    def cut_off(total, step, *rest):
        if step in ends:
            ends.remove(step)
            raise KeyboardInterrupt
        whole_check(total, step, *rest)

    monkeypatch.setattr(training, "_check_number", cut_off)
    for _ in range(4):
        with pytest.raises(KeyboardInterrupt):
            study("b", checkpoint_every=1).log("pconv", 48)
    assert files(study("b", checkpoint_every=1)) == expected


def test_two_processes_do_what_one_does_with_twice_the_batch(study):
    # The whole batch passes the features: of a part, each process would draw its own.
    one = study("one", batch_size=4, features_share=1.0).log("pconv", 48)
    two = study("two", batch_size=2, processes=2, features_share=1.0).log("pconv", 48)
    assert two["step"].tolist() == one["step"].tolist()
    for name in ("total", "hole", "valid"):
        assert two[name].tolist() == pytest.approx(one[name].tolist(), rel=1e-2)
    assert not list((study("two").root / "unfinished").glob("*"))


def test_a_process_that_fails_is_reported(study):
    with pytest.raises(RuntimeError, match="in 2 processes ended with exit code"):
        study("two", processes=2, pretrain_photos="nowhere").train("pconv", 48, "stage1")


def test_checkpoint_of_other_settings_is_not_used(study, monkeypatch):
    study().network("pconv", 48, "stage1")
    monkeypatch.setattr(Study, "train", lambda *_: "trained")
    assert study(learning_rate=0.1).network("pconv", 48, "stage1") == "trained"
    assert study(test_per_cell=9).network("pconv", 48, "stage1") != "trained"


def test_a_run_reads_only_what_it_wrote_itself(study, tmp_path, monkeypatch):
    table = pd.DataFrame({"psnr": [1.0]})
    study().save_table(table, "old", trained=False)
    monkeypatch.setenv(OUTPUT_VARIABLE, str(tmp_path / "scratch"))
    with pytest.raises(ValueError, match="no table old"):
        study().table("old")


def test_a_staged_chapter_reads_what_the_others_left(study, tmp_path, monkeypatch):
    table = pd.DataFrame({"psnr": [1.0]})
    study().save_table(table, "old", trained=False)
    monkeypatch.setenv(OUTPUT_VARIABLE, str(tmp_path / "a/tiny/.staging/07"))
    s = study()
    assert s.table("old").equals(table)
    s.save_table(table * 2, "old", trained=False)
    assert s.table("old")["psnr"].tolist() == [2.0]
    assert pd.read_csv(s.root / "tables" / "old.csv")["psnr"].tolist() == [1.0]
    with pytest.raises(ValueError, match="no table new"):
        s.table("new")


def test_check_compares_with_the_reference_never_with_the_last_run(study):
    s = study()
    s.save_table(pd.DataFrame({"psnr": [20.4]}), "t", trained=False)
    assert s.check("t", psnr=0.5) == "t: there is no committed table to compare with"
    (s.results / "reference/tiny/tables").mkdir(parents=True)
    (s.results / "reference/tiny/tables/t.csv").write_text("psnr\n20.0\n")
    for _ in range(2):
        assert s.check("t", psnr=0.5) == (
            "t: 1 rows agree with the committed table (psnr within 0.5)"
        )
    s.save_table(pd.DataFrame({"psnr": [21.0]}), "t", trained=False)
    assert s.check("t", psnr=0.5) == "t: DIFFERS by 1.000 in column psnr, more than 0.5"
    assert "agree" in study(compare_with="itself").check("t", psnr=0.5)


def test_compare_is_exact_where_no_tolerance_is_given():
    old = pd.DataFrame({"model": ["a", "b"], "psnr": [1.0, 2.0]})
    assert "agree" in compare("t", old.copy(), old, {"psnr": 0.1})
    assert "DIFFERS in column model" in compare("t", old.assign(model="a"), old, {"psnr": 0.1})
    assert "DIFFERS in its columns" in compare("t", old.head(1), old, {"psnr": 0.1})
    known = pd.DataFrame({"model": ["Telea", "b"], "psnr": [1.0, 2.0]})
    assert "not trained" in compare("t", known.assign(psnr=[1.05, 2.0]), known, {"psnr": 0.1})
    assert "agree" in compare("t", known.assign(psnr=[1.0, 2.05]), known, {"psnr": 0.1})
    shipped = pd.DataFrame({"model": ["shipped weights, one pass", "b"], "psnr": [1.0, 2.0]})
    for ours, said in ((1.02, "agree"), (1.05, "of the shipped weights")):
        assert said in compare("t", shipped.assign(psnr=[ours, 2.05]), shipped, {"psnr": 0.1})
    assert "DIFFERS by nan" in compare("t", old.assign(psnr=[1.0, None]), old, {"psnr": 0.1})


def test_compare_takes_missing_for_missing_and_leaves_out_verdicts():
    old = pd.DataFrame({"psnr": [1.0, float("nan")], "holds": ["yes", "no"]})
    new = pd.DataFrame({"psnr": [1.1, float("nan")], "holds": ["yes", "yes"]})
    line = compare("t", new, old, {"psnr": 0.2, "holds": None})
    assert line == (
        "t: 2 rows agree with the committed table (psnr within 0.2, holds not compared)"
    )
    assert "DIFFERS" in compare("t", new.fillna(1.0), old, {"psnr": 0.2, "holds": None})


def test_label():
    assert label("pconv", 64) == "partial U-Net 64"


def test_stage_table_is_measured_once_and_for_a_chapter_alone(study, monkeypatch):
    s = study()
    table = s.stage_table("stage1")
    assert table["model"].tolist() == ["partial U-Net 48", "traditional U-Net 48", "mean fill"]
    monkeypatch.setattr(Study, "evaluate", lambda *_: pytest.fail("measured again"))
    assert s.stage_table("stage1")["model"].tolist() == table["model"].tolist()


def test_stage_finding():
    models = ["partial U-Net 64", "traditional U-Net 64", "mean fill"]
    lite0 = [0.2, 0.3, 0.45]
    table = pd.DataFrame({"model": models, "psnr": [26.0, 25.0, 22.5], "lite0": lite0})
    text = stage_finding(table, table.assign(psnr=[25.0, 25.5, 22.5], lite0=[0.25, 0.29, 0.45]))
    assert "26.00 dB now, the traditional 25.00 dB" in text
    assert "+1.00 and +3.50 dB" in text
    assert "(lower is better) are 0.200, 0.300 and 0.450." in text
    assert "partial U-Net 64 +1.00 dB and -0.050; traditional U-Net 64 -0.50 dB and +0.010" in text
    assert "stage before" not in stage_finding(table)


def test_parameters_of_a_notebook(tmp_path, monkeypatch):
    monkeypatch.setenv(OUTPUT_VARIABLE, str(tmp_path))
    given = {"profile": "demo", "overrides": {"name": "mine", "size": 96}, "In": [], "_x": 1}
    study = Study.of({**given, "BINS": 6, "label": label})
    assert (study.profile.name, study.profile.size) == ("mine", 96)
    assert yaml.safe_load((tmp_path / "settings.yaml").read_text())["size"] == 96
    with pytest.raises(ValueError, match="no parameter is named 'stage1_step'; there are profile"):
        Study.of({**given, "stage1_step": 50})
    with pytest.raises(ValueError, match="no setting is named 'sise'; did you mean 'size'"):
        Study.of({"profile": "demo", "overrides": {"sise": 96}})


def test_the_folder_of_a_run_is_not_another_runs(tmp_path):
    claim(tmp_path / "mine", load_profile("demo", {"name": "mine", "seed": 1}))
    claim(tmp_path / "mine", load_profile("demo", {"name": "mine", "seed": 1}))
    with pytest.raises(ValueError, match=r"holds another run \(seed 1 instead of 2\); give"):
        claim(tmp_path / "mine", load_profile("demo", {"name": "mine", "seed": 2}))


def test_conv_is_trained_only_if_wanted(study):
    small = {"pconv_small": ("pconv", 40)}
    both = {"pconv": ("pconv", 48), "unet": ("unet", 48)}
    assert study().entrants == {**both, **small}
    assert study(conv_unet=True).entrants == {**both, "conv": ("conv", 48), **small}


def test_tables_name_the_hardware_if_wanted(study):
    s = study(name_hardware=True)
    s.log("pconv", 48)
    table = s.save_table(pd.DataFrame({"psnr": [1.0]}), "t")
    assert table.loc[0, "samples"] == (4 + 2 + 2) * 2
    assert re.search(r", \d+ threads?, torch \d", table.loc[0, "hardware"])
    assert 0 < table.loc[0, "minutes"] < 60
    assert "hardware" not in study("b").save_table(pd.DataFrame({"psnr": [1.0]}), "t")


def test_a_training_that_was_cut_off_counts_in_full(monkeypatch):
    rows = [(500, 110.0), (600, 130.0)]  # it went on somewhere before step 500
    assert _minutes(rows, began=100.0, steps=600) == pytest.approx(20 / 100 * 600 / 60)
    monkeypatch.setattr("pconv_core.study.run.time.monotonic", lambda: 160.0)
    assert _minutes(rows[:1], began=100.0, steps=600) == pytest.approx(1)


def test_a_reference_is_read_where_it_is_committed(tmp_path, monkeypatch):
    (tmp_path / "reference/photographs/tables").mkdir(parents=True)
    (tmp_path / "reference/photographs/tables/t.csv").write_text("psnr\n2.0\n")
    (tmp_path / "scratch/tables").mkdir(parents=True)
    (tmp_path / "scratch/tables/t.csv").write_text("psnr\n1.0\n")
    monkeypatch.setenv(OUTPUT_VARIABLE, str(tmp_path / "scratch"))
    found = Study.of_reference("photographs", tmp_path)
    assert found.table("t")["psnr"].tolist() == [2.0]


@pytest.mark.parametrize(("value", "word"), [(0.66, "agree"), (0.68, "DIFFERS"), (0.3, "DIFFERS")])
def test_a_tolerance_may_be_a_part_of_the_committed_value(value, word):
    old = pd.DataFrame({"stage": ["stage1", "stage2"], "loss": [0.5, 9.0]})
    new = old.assign(loss=[value, 10.0])
    assert word in compare("t", new, old, {"loss": "35%"})


@pytest.mark.parametrize(
    ("trained", "tested"),
    [
        ("occlusion", "occlusion"),
        ("strokes", "strokes"),
        ("thin", "occlusion"),
        ("mixed", "occlusion"),
    ],
)
def test_tests_are_on_masks_like_the_papers(study, trained, tested):
    s = study(mask_kind=trained)
    assert s.samples("stage1", 48).kind == trained
    assert {samples.kind for *_, samples, _ in s.evaluation_cells(48)} == {tested}


def test_every_method_is_measured_on_three_widths(study):
    s = study()
    methods = {"ours": lambda images, masks: images, "other": lambda images, masks: 1 - images}
    methods |= evaluation.BASELINES
    pictures = {kind: s.evaluate(methods, 48, kind) for kind in LAMA}
    table = by_width(pictures)
    assert table["holes"].drop_duplicates().tolist() == ["thin", "medium", "thick"]
    assert table["model"].tolist() == 3 * list(methods)
    assert set(table["pictures"]) == {3 * s.profile.test_per_cell}
    for row in table.to_dict("records"):
        rows = pictures[f"lama-{row['holes']}"]
        rows = rows[rows["model"] == row["model"]]
        assert row["psnr_hole"] == pytest.approx(rows["psnr_hole"].mean())
        assert row["hole_ratio"] == pytest.approx(rows["ratio"].mean())
    lines = widths_finding(table, "ours", "other").splitlines()
    assert len(lines) == 3
    thin = table[table["holes"] == "thin"].set_index("model")["psnr_hole"]
    best = thin[list(evaluation.BASELINES)].idxmax()
    assert lines[0] == (
        f"thin holes: ours 100.00 dB in the hole, {100 - thin['other']:+.2f} against other, "
        f"{100 - thin[best]:+.2f} against {best}, the best that learns nothing"
    )
