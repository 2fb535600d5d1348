"""Tables from rows: checksums, pairs and families, interactions, learning curves."""

import hashlib
import shutil

import numpy as np
import pandas as pd
import pytest
import yaml
from tiny_experiment import BASE, STAGE

from pconv_study import experiment as run
from pconv_study import tables
from pconv_study.settings import Experiment

VARIANTS = {"faithful": 0.0, "one": -1.0, "two": -0.1, "both": -1.2, "both but one": -0.5}


def one_cell(variant, seed, samples, gain):
    """Made rows: 8 crops of 4 photographs in two bins, PSNR 20 + gain + noise of seed and crop."""
    rng = np.random.default_rng([*variant.encode(), seed + 1, samples])
    crops = [
        {
            **{"variant": variant, "random_seed": seed, "samples": samples, "photos": "validation"},
            **{"masks": "occlusion", "size": 64, "photograph": f"p{k // 2}", "crop": k},
            **{"hole_ratio": ("0.1-0.2", "0.5-0.6")[k % 2], "border": True},
            **{"ratio": (0.15, 0.55)[k % 2], "psnr": 20 + gain + k + 0.01 * rng.random()},
            **{"lite0": 1 - gain / 10 + 0.001 * rng.random(), "psnr_inside": np.nan if k else 9.0},
        }
        for k in range(8)
    ]
    return pd.DataFrame(crops)


def leave(folder, cells, of):
    """Write cells' rows, the manifest and digests, as an experiment leaves them."""
    (folder / "rows").mkdir(parents=True)
    digests, lines = {"pretrain": "p", "validation": "v"}, []
    about = pd.DataFrame(digests.items(), columns=["photos", "digest"])
    about.to_csv(folder / "photographs.csv", index=False)
    known = {(cell.variant, cell.seed or -1): cell for cell in of.cells}
    for number, rows in enumerate(cells):
        path = folder / "rows" / f"{number:02d}.csv"
        rows.to_csv(path, index=False)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
        key = rows.iloc[0][["variant", "random_seed", "samples", "photos"]].to_dict()
        cell = known[key["variant"], key["random_seed"]]
        made = cell.row_hash(key["samples"], "validation", run.facts(cell, digests))
        lines.append({**key, "hash": made, "rows_sha256": digest, "note": None})
    pd.DataFrame(lines).to_csv(folder / "manifest.csv", index=False)


def experiment(folder, name, samples, **content):
    (folder / "base").mkdir(parents=True, exist_ok=True)
    base = {**BASE, "stages": {"stage1": {**STAGE, "samples": max(samples)}}}
    (folder / "base" / f"{name}.yaml").write_text(yaml.safe_dump(base))
    content |= {"samples": samples} if len(samples) > 1 or "continues" in content else {}
    text = yaml.safe_dump({"base": name, "seeds": [1, 2, 3], **content}, sort_keys=False)
    (folder / f"{name}.yaml").write_text(text)
    return Experiment(name, folder)


@pytest.fixture
def ablation(tmp_path):
    """Departures of two kinds, and both, committed; returns results and experiments."""
    ends = {name: 120 if name.startswith("both") else 100 for name in VARIANTS}
    known = experiment(
        tmp_path / "experiments",
        "made",
        [100],
        baseline="faithful",
        variants={k: {"stages.stage1.samples": n} if n > 100 else {} for k, n in ends.items()},
        pairs=[["both", "both but *"], ["[!b]*", "faithful"], ["both", "faithful"]],
        interactions=[["both but one", "one", "both", "faithful"]],
    )
    cells = [one_cell(v, s, ends[v], g) for v, g in VARIANTS.items() for s in (1, 2, 3)]
    leave(tmp_path / "results/reference/made", cells, known)
    return tmp_path / "results", known.folder


def test_differences_and_interactions(ablation):
    results, _ = ablation
    tables.make("made", *ablation)
    found = pd.read_csv(results / "made/tables/differences.csv")
    told = found.query("measure == 'psnr' and part == 'up to 0.5'").set_index(["variant", "other"])
    assert told.loc[("one", "faithful"), "mean"] == pytest.approx(-1, abs=0.02)
    assert told.loc[("both", "both but one"), "mean"] == pytest.approx(-0.7, abs=0.02)
    families = {"[!b]* less faithful": 2, "both less both but *": 1, "both less faithful": 1}
    assert told["family"].value_counts().to_dict() == families
    assert told["samples"].to_dict() == {p: 120 if "both" in p else 100 for p in told.index}
    assert set(told.index[told["equivalent"].astype(bool)]) == {("two", "faithful")}
    two = told.xs("faithful", level="other").loc[["one", "two"]]
    assert two["p_holm"].min() == pytest.approx(2 * two["p"].min(), rel=0.01)
    mixed = pd.read_csv(results / "made/tables/interactions.csv").set_index("measure")
    assert mixed.loc["psnr", "mean"] == pytest.approx(0.3, abs=0.02)  # -0.7 there, -1.0 alone
    means = pd.read_csv(results / "made/tables/means.csv")
    assert set(means["part"]) == {"up to 0.5", "0.1-0.2", "0.5-0.6"}
    assert not means.query("measure == 'psnr_inside'").empty


def test_committed_tables_must_come_out_as_they_are(ablation, capsys):
    results, _ = ablation
    assert not tables.make("made", *ablation)
    assert "is not" in capsys.readouterr().err
    shutil.copytree(results / "made/tables", results / "reference/made/tables")
    assert tables.make("made", *ablation)
    path = results / "reference/made/tables/means.csv"
    old = path.read_text()
    other = old.replace(",one,", ",?,").replace(",two,", ",one,").replace(",?,", ",two,")
    assert other != old
    path.write_text(other)
    assert not tables.make("made", *ablation)


@pytest.mark.parametrize("damage", ["exchanged", "a digit", "removed", "added"])
def test_rows_are_held_to_their_checksums(ablation, damage):
    results, known = ablation
    paths = sorted((results / "reference/made/rows").glob("*.csv"))
    text = paths[3].read_text()
    if damage == "exchanged":  # the rows of two variants
        other = paths[6].read_text()
        paths[3].write_text(text.replace("one", "two"))
        paths[6].write_text(other.replace("two", "one"))
    if damage == "a digit":
        paths[3].write_text(text.replace("0.15", "0.16", 1))
    if damage == "removed":
        paths[3].unlink()
    if damage == "added":
        (paths[3].parent / "more.csv").write_text(text + "\n")
    match = "lacks one, 1, 100" if damage == "removed" else "no line of manifest.csv has its"
    with pytest.raises(ValueError, match=match):
        tables.read(Experiment("made", known), results)


def test_rows_are_held_to_the_settings(ablation, capsys):
    results, known = ablation
    assert len(tables.read(Experiment("made", known), results)) == 3 * 8 * len(VARIANTS)
    assert capsys.readouterr().err == ""
    begun = [one_cell(v, s, 100, 0) for v in ("one",) for s in (1, 2, 3)]
    leave(results / "made", begun, Experiment("made", known))
    tables.make("made", *ablation)
    assert [p.name for p in (results / "made/tables").iterdir()] == ["means.csv"]
    shutil.rmtree(results / "made")
    text = (known / "made.yaml").read_text()
    more, fewer = text.replace("- 3\n", "- 3\n- 4\n"), text.replace("  two: {}\n", "")
    for other, told in ((more, "5 of 20 read-outs lack"), (fewer, "3 read-outs are of no cell")):
        (known / "made.yaml").write_text(other)
        tables.make("made", *ablation)
        assert told in capsys.readouterr().err
    (known / "made.yaml").write_text(text.replace("two: {}", "two: {base_channels: 3}"))
    with pytest.raises(ValueError, match="two-1 at 100 on validation was made with other settings"):
        tables.read(Experiment("made", known), results)


def test_learning_curves_go_on_from_an_earlier_experiment(tmp_path):
    settings = {"baseline": "net", "variants": {"net": {}, "other": {}}, "seeds": [1, 2]}
    first = experiment(tmp_path / "e", "first", [100, 200], methods=["Telea"], **settings)
    then = experiment(tmp_path / "e", "then", [400], continues="first", **settings)
    rungs = {100: 0.0, 200: 1.0, 400: 2.0}
    telea = one_cell("Telea", -1, 0, 2.5)
    made = {
        n: [one_cell(v, s, n, g * (1 + (v == "other"))) for v in ("net", "other") for s in (1, 2)]
        for n, g in rungs.items()
    }
    leave(tmp_path / "r/first", [telea, *made[100], *made[200]], first)
    leave(tmp_path / "r/then", made[400], then)
    assert tables.make("then", tmp_path / "r", then.folder)
    curve, slopes, crossings = (
        pd.read_csv(tmp_path / f"r/then/tables/{name}.csv").query("measure == 'psnr'")
        for name in ("curve", "slopes", "crossings")
    )
    assert len(curve) == 2 * 3 + 1
    by_net = slopes.groupby("variant")["mean"].first()
    assert by_net.to_dict() == pytest.approx({"net": 1, "other": 2}, abs=0.02)
    crossed = crossings.set_index("variant")["samples"]
    assert crossed["net"] == pytest.approx(100 * 2**2.5, rel=0.02)
    assert crossed["other"] == pytest.approx(100 * 2**1.25, rel=0.02)
    other = {**settings, "variants": {"net": {}, "other": {"batch_size": 2}}}
    first = experiment(tmp_path / "e", "first", [100, 200], methods=["Telea"], **other)
    leave(tmp_path / "r2/first", [telea, *made[100], *made[200]], first)
    leave(tmp_path / "r2/then", made[400], then)
    with pytest.raises(ValueError, match=r"then does not continue first: \('other', [12]\)"):
        tables.make("then", tmp_path / "r2", then.folder)
