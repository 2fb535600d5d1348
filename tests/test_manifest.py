"""The manifest is enough to make the test set again, apart from the code that made it."""

import hashlib
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pconv_core.masks import BINS, LAMA, PAPER_LIKE, lama_mask, random_mask
from pconv_core.study import Study, load_profile, manifest

SETTINGS = {"name": "tiny", "size": 48, "test_per_cell": 2}
# Two kinds of mask in six bins, with border and without, and three widths of three cells each.
ROWS = 2 * (2 * 2 * len(BINS) + 3 * 3)


@pytest.fixture
def study(tmp_path):
    def make(**changes):
        return Study(load_profile("demo", {**SETTINGS, **changes}), tmp_path)

    return make


def commit(study, table):
    folder = study.reference / "tables"
    folder.mkdir(parents=True, exist_ok=True)
    table.to_csv(folder / f"{manifest.NAME}.csv", index=False)


def test_pictures_and_masks_can_be_made_from_it(study):
    s = study()
    manifest.write(s)
    exact = ["share", "down", "right", "ratio"]
    path = s.output / "tables/07_test_set.csv"
    table = pd.read_csv(path, dtype=dict.fromkeys(exact, str)).astype(dict.fromkeys(exact, float))
    assert len(table) == ROWS
    for row in table.itertuples():
        package, _, rest = row.photograph.partition("/")
        with Image.open(Path(find_spec(package).origin).parent / rest) as file:
            photo = np.array(file.convert("RGB"))
        side = round(min(photo.shape[:2]) * row.share)
        top, left = (
            round(at * (whole - side))
            for at, whole in zip((row.down, row.right), photo.shape, strict=False)
        )
        square = photo[top : top + side, left : left + side]
        how = cv2.INTER_AREA if side > 48 else cv2.INTER_LINEAR
        square = cv2.resize(square, (48, 48), interpolation=how)
        square = square[:, ::-1] if row.mirrored else square
        assert hashlib.sha256(square.tobytes()).hexdigest() == row.picture_sha256
        ratio = tuple(float(end) for end in row.hole_ratio.split("-"))
        if row.kind in LAMA:
            mask = lama_mask(48, row.kind, row.seed, row.mask_number)
        else:
            mask = random_mask(48, ratio, row.border, row.seed, row.mask_number, row.kind)
        assert hashlib.sha256(mask.astype(np.uint8).tobytes()).hexdigest() == row.mask_sha256
        assert row.ratio == 1 - mask.astype(np.float64).mean()
        assert ratio[0] < row.ratio <= ratio[1]


def test_it_lists_what_is_evaluated_in_that_order(study):
    s = study()
    table = manifest.build(s)
    fill = {"mean fill": lambda images, masks: images * 0}
    measured = pd.concat([s.evaluate(fill, 48, kind) for kind in (*PAPER_LIKE, *LAMA)])
    assert table["hole_ratio"].tolist() == measured["hole_ratio"].tolist()
    assert table["border"].tolist() == measured["border"].map(str).tolist()
    assert table["ratio"].astype(float).tolist() == measured["ratio"].tolist()


def test_photographs_of_a_folder_are_named_within_it(study, tmp_path):
    (tmp_path / "photos/a").mkdir(parents=True)
    picture = np.random.default_rng(0).integers(0, 256, (70, 80, 3), dtype=np.uint8)
    Image.fromarray(picture).save(tmp_path / "photos/a/one.png")
    table = manifest.build(study(test_photos=str(tmp_path / "photos")))
    assert set(table["photograph"]) == {"a/one.png"}
    assert str(tmp_path) not in table.to_csv()


def test_a_second_run_agrees_and_a_change_is_named(study):
    s = study()
    table = manifest.write(s)
    assert manifest.check(s) == "07_test_set: there is no committed table to compare with"
    commit(s, table)
    manifest.write(s)
    assert manifest.check(s) == "07_test_set: 66 rows agree with the committed table"
    other = study(seed=1)
    manifest.write(other)
    assert "07_test_set: DIFFERS in photograph, share, down" in manifest.check(other)
    assert "seed" in manifest.check(other)
    assert "agree" in manifest.check(study(seed=1, compare_with="itself"))


def test_rows_that_differ_are_named(study):
    old = manifest.build(study())
    new = old.copy()
    new.loc[[3, 7], "mask_sha256"] = "0"
    assert manifest.compare(new, old) == (
        "07_test_set: DIFFERS in mask_sha256 of 2 of 66 rows: 3, 7"
    )
    new = old.assign(ratio="0.5")
    assert manifest.compare(new, old).endswith("in ratio of 66 of 66 rows: 0, 1, 2, 3, 4, ...")
    assert "DIFFERS: 65 rows, the committed table has 66" in manifest.compare(old[1:], old)
    assert "DIFFERS in its columns" in manifest.compare(old.drop(columns="seed"), old)


def test_pictures_that_decode_otherwise_are_a_note(study):
    old = manifest.build(study())
    new = old.copy()
    new.loc[5, "picture_sha256"] = "0"
    assert manifest.compare(new, old) == (
        "07_test_set: 66 rows agree with the committed table; a note: the pictures were decoded "
        "to other bytes in 1 of 66 rows: 5"
    )
