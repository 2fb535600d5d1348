import math
import re
from pathlib import Path

import pandas as pd
import pytest
import torch

from pconv_core.losses import InpaintingLoss
from pconv_core.training import Stage
from pconv_study import deviations, settings, tables
from pconv_study.settings import Experiment

ROOT = Path(__file__).parents[2]
EXPERIMENTS = ROOT / "experiments"
MANIFESTS = sorted(ROOT.glob("results/reference/*/manifest.csv"))
assert MANIFESTS  # or a test of each would pass
FACTS = {
    "definitions": {"PConvUNet": 1, "InpaintingLoss": 2, "VGGFeatures": 1},
    "photographs": {"pretrain": "made up", "finetune": "of two", "validation": "of three"},
    "measures": 1,
}
# Settings that decide no weights.
BESIDE = {"record_every", "photographs", "measures", "stages"}


def hashes(cell, facts=FACTS):
    last = len(cell.stages) - 1
    return cell.trajectory(last, facts), cell.row_hash(cell.readouts[-1], "validation", facts)


def changed(value):
    """Another value of the same kind."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, (int, float)):
        return 2 * value
    if isinstance(value, list):
        return [v / 2 for v in value]
    return {"tv": 0.2} if isinstance(value, dict) else f"{value}, changed"


def partial(tiny, changes=None, **raw):
    return tiny.write(variants={"plain": changes or {}}, **raw).cells[0]


def test_hashes_stay_those_that_they_were(tiny):
    """Literals: no change of the code may change them, or all would be trained again."""
    method, plain, tuned = tiny.write(methods=["mean fill"]).cells
    wider = tiny.write(methods=["mean fill"], base={"span": [0.25, 1.0]}).cells[0]
    assert wider.row_hash(0, "validation", FACTS) != method.row_hash(0, "validation", FACTS)
    assert method.row_hash(0, "validation", FACTS) == "a5ea39055c46944a"
    assert hashes(plain) == ("52838aa987ebda41", "3f7e48a4daaa1ba4")
    assert hashes(tuned) == ("dceb43c422f1bafc", "e002228c91ec4a1e")


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda p: p.parent.name)
def test_committed_tables_are_made_of_rows_that_the_settings_ask_for(path, tmp_path):
    name = path.parent.name
    lines = tables.asked_for(Experiment(name, EXPERIMENTS), path.parent)
    assert len(lines) == len(pd.read_csv(path))
    (tmp_path / "reference").symlink_to(path.parents[1])
    assert tables.make(name, tmp_path, EXPERIMENTS)
    made, committed = ((at / "tables").iterdir() for at in (tmp_path / name, path.parent))
    assert {p.name for p in made} == {p.name for p in committed}


def test_what_decides_changes_the_hash(tiny):
    first = hashes(partial(tiny))
    seen = {first}
    base = tiny.write().base
    names = [name for name in base if name not in BESIDE]
    stage = [f"stages.stage1.{name}" for name in base["stages"]["stage1"] if name != "samples"]
    values = {name: changed(base[name]) for name in names}
    values |= {name: changed(base["stages"]["stage1"][name.split(".")[2]]) for name in stage}
    values["stages.stage1.photos"] = "finetune"
    for name, value in values.items():
        more = {"samples": [48]} if name.endswith("cosine") else {}
        found = hashes(partial(tiny, {name: value}, **more))
        assert all(not {h} & {old[k] for old in seen} for k, h in enumerate(found)), name
        seen.add(found)
    assert len(seen) == 1 + len(values) > 20
    for facts in (
        {"definitions": {**FACTS["definitions"], "InpaintingLoss": 3}},
        {"definitions": {**FACTS["definitions"], "Samples": 2}},
        {"photographs": {**FACTS["photographs"], "pretrain": "with one more"}},
    ):
        found = hashes(partial(tiny), FACTS | facts)
        assert not set(found) & set(first)
    assert hashes(partial(tiny, seeds=[2])) != first


def test_what_decides_rows_alone_changes_their_hash_alone(tiny):
    trajectory, rows = hashes(partial(tiny))
    for base, facts in (
        ({"measures": {"validation": {"crops": 2}}}, {}),
        ({}, {"measures": 2}),
        ({}, {"photographs": {**FACTS["photographs"], "validation": "other"}}),
    ):
        found = hashes(partial(tiny, base=base), FACTS | facts)
        assert found[0] == trajectory
        assert found[1] != rows
    cell = partial(tiny)
    assert len({cell.row_hash(n, "validation", FACTS) for n in (16, 32, 48)}) == 3


def test_what_does_not_decide_changes_no_hash(tiny, monkeypatch):
    expected = hashes(partial(tiny))
    cells = [
        partial(tiny, base={"record_every": 7}),
        partial(tiny, name="other"),
        partial(tiny, question="Is it so?"),
        partial(tiny, base={"measures": {**tiny.write().base["measures"], "test": {"crops": 1}}}),
    ]
    assert [hashes(cell) for cell in cells] == [expected] * len(cells)
    longer = partial(tiny, {"stages.stage1.samples": 96})
    assert longer.trajectory(0, FACTS) == expected[0]
    assert longer.row_hash(48, "validation", FACTS) == expected[1]
    # Of a cosine the end decides.
    ends = [
        partial(tiny, {"stages.stage1.cosine": True, "stages.stage1.samples": n}, samples=[n])
        for n in (48, 96)
    ]
    assert len({cell.trajectory(0, FACTS) for cell in ends}) == 2


def test_a_raised_definition_changes_the_cells_that_use_the_class(tiny, monkeypatch):
    variants = {
        "plain": {},
        "swapped": {"loss": "SwappedComposite"},
        "both": {"loss": ["PerceptualOfOutput", "SwappedComposite"]},
        "of output": {"loss": "PerceptualOfOutput"},
    }

    def found():
        cells = tiny.write(variants=variants).cells
        return [
            hashes(c, FACTS | {"definitions": deviations.definitions(c.settings)}) for c in cells
        ]

    before = found()
    moved = type("SwappedComposite", (InpaintingLoss,), {"__module__": "elsewhere"})
    monkeypatch.setattr(deviations, "SwappedComposite", moved)
    assert found() == before
    moved.definition = 3
    assert [a == b for a, b in zip(found(), before, strict=True)] == [True, False, False, True]
    monkeypatch.setattr(Stage, "definition", 2)
    assert not set(found()) & set(before)
    monkeypatch.setattr(InpaintingLoss, "definition", 9)
    assert [a == b for a, b in zip(found(), before, strict=True)] == [False, False, False, False]


def test_one_byte_of_one_photograph_changes_the_hash(tiny):
    cell, path = tiny.write().cells[0], tiny.folder / "photos/train/2.png"
    facts = tiny.run().facts(cell, "validation")
    path.write_bytes(path.read_bytes() + b"!")
    again = tiny.run().facts(cell, "validation")
    assert hashes(cell, again)[0] != hashes(cell, facts)[0]
    assert again["photographs"]["validation"] == facts["photographs"]["validation"]
    path.rename(path.with_name("2b.png"))
    assert tiny.run().facts(cell)["photographs"]["pretrain"] not in (
        facts["photographs"]["pretrain"],
        again["photographs"]["pretrain"],
    )


def test_sets_of_photographs_are_those_of_the_lists(tiny):
    run = tiny.run()
    labels = {n: [run.photos(n).label(k) for k in range(len(run.photos(n)))] for n in RAW_SETS}
    assert labels == RAW_SETS
    (tiny.experiments / "left-out.txt").write_text("train/5.png\ntrain/55.png")
    for name in RAW_SETS:
        with pytest.raises(ValueError, match=r"photos lacks train/55\.png"):
            tiny.run().photos(name)


RAW_SETS = {
    "pretrain": [f"train/{k}.png" for k in range(5)],
    "validation": ["train/5.png", "val/6.png", "val/7.png", "val/8.png"],
}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"base_chanels": 2}, "base_chanels: no setting is named 'base_chanels'; did you mean"),
        ({"stages.stage2": {"samples": 4}}, "stages.stage2 lacks cosine, freeze_encoder_norm, lam"),
        ({"photographs.pretrain": {"root": "x"}}, "plain has photographs of its own; variants sha"),
        ({"like": "plane"}, "no variant is named 'plane'; did you mean 'plain'?"),
        ({"stages.stage1.samples": 12}, "plain-1 has no read-out up to its end at 12 samples"),
        ({"batch_size": 32}, "plain-1 is read at 16 samples, not after a step of 32"),
        ({"stages.stage1.cosine": True}, "plain-1 is read at 16 samples, within a cosine"),
    ],
)
def test_what_is_wrong_is_named(tiny, changes, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        partial(tiny, changes)
    with pytest.raises(ValueError, match="2 cells are named 'plain-1'"):
        print(tiny.write(variants={"plain": {}, "Plain ": {}}).cells)


def test_later_stages_and_what_a_variant_is_like(tiny):
    tuned = tiny.write().cells[1]
    like = {"tuned": tiny.write().raw["variants"]["tuned"], "wide": {"like": "tuned", "size": 64}}
    wide = tiny.write(variants=like).cells[1]
    assert wide.settings == {**tuned.settings, "size": 64}
    assert tuned.readouts == (16, 48, 64)
    assert [tuned.stage_of(n) for n in (16, 48, 49, 64)] == [0, 0, 1, 1]
    plain = tiny.write().cells[0]
    assert plain.trajectory(0, FACTS) == tuned.trajectory(0, FACTS) != tuned.trajectory(1, FACTS)


@pytest.mark.parametrize("name", list(settings.names(EXPERIMENTS)))
def test_committed_experiments_expand_and_every_network_and_loss_is_made(name):
    experiment = Experiment(name, EXPERIMENTS)
    assert experiment.raw["baseline"] in [*experiment.raw["variants"], *experiment.methods]
    small = {"size": 32, "base_channels": 4, "features": "random", "feature_width": 0.0625}
    image, mask = torch.rand(2, 3, 32, 32), torch.ones(2, 1, 32, 32)
    mask[..., 8:20, 8:20] = 0
    for variant in experiment.raw["variants"]:
        cell = next(cell for cell in experiment.cells if cell.variant == variant)
        made = {**cell.settings, **small}
        net, loss = deviations.network(made, 1), deviations.loss(made, 1)
        total, _ = loss(net(image * mask, mask), image, mask)
        assert math.isfinite(total.item()), variant
        assert deviations.definitions(cell.settings).keys() >= {"VGGFeatures"}
