import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pconv_cli import mask_sets as sets
from pconv_cli.__main__ import main
from pconv_core.masks import BINS, KINDS, margin_pixels, random_mask


def files(folder):
    paths = (p for p in folder.rglob("*") if p.is_file())
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in paths}


def test_the_papers_test_set_in_small(tmp_path):
    out = tmp_path / "set"
    index = sets.write(sets.paper_test_set(5, size=64, per_cell=3), out, processes=2)
    assert len(index) == 6 * 2 * 3
    pd.testing.assert_frame_equal(
        pd.read_csv(out / "index.csv"), index.round(6), check_exact=False, atol=1e-6
    )
    margin = margin_pixels((64, 64))
    for row in index.itertuples():
        with Image.open(out / row.file) as picture:
            assert picture.mode == "1"
            known = np.asarray(picture)
        lo, hi = map(float, row.bin.split("-"))
        assert (lo, hi) in BINS
        assert lo < 1 - known.mean() <= hi
        assert row.ratio == pytest.approx(1 - known.mean())
        if not row.border:
            frame = np.pad(np.zeros((64 - 2 * margin,) * 2, bool), margin, constant_values=True)
            assert known[frame].all()


def test_the_papers_numbers():
    entries = sets.paper_test_set(0)
    assert len(entries) == 12_000
    assert {e.size for e in entries} == {512}
    assert len({e.path for e in entries}) == len({e.number for e in entries}) == 12_000


@pytest.mark.parametrize("kind", ["strokes", "occlusion"])
def test_same_seed_same_bytes_however_many_processes(tmp_path, kind):
    entries = sets.uniform_set(6, 48, (0.1, 0.4), True, 3, kind)
    for processes in (1, 2):
        sets.write(entries, tmp_path / str(processes), processes)
    assert files(tmp_path / "1") == files(tmp_path / "2")
    other = sets.uniform_set(6, 48, (0.1, 0.4), True, 4, kind)
    sets.write(other, tmp_path / "other", 1)
    assert files(tmp_path / "1") != files(tmp_path / "other")


def test_a_set_that_cannot_be_leaves_nothing(tmp_path):
    entries = sets.uniform_set(3, 48, (0.8, 0.9), False, 0, "strokes")
    with pytest.raises(ValueError, match="no 48x48 mask without border"):
        sets.write(entries, tmp_path / "set", 1)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"mine.txt is a file; masks should go into a new folder"):
        sets.write(sets.uniform_set(1, 48, (0.1, 0.2), True, 0, "strokes"), tmp_path / "mine.txt")
    with pytest.raises(ValueError, match="not empty; masks should go into a new folder"):
        sets.write(sets.uniform_set(1, 48, (0.1, 0.2), True, 0, "strokes"), tmp_path)
    assert files(tmp_path) == {"mine.txt": b"mine"}


@pytest.mark.parametrize("kind", KINDS)
def test_the_command_draws_what_it_is_told(tmp_path, kind):
    out, size = tmp_path / "out", ["--count", "2", "--size", "64"]
    more = ["--hole-ratio", "0.2", "0.3", "--no-border", "--kind", kind, "--seed", "7"]
    assert main(["masks", "--out", str(out), *size, *more]) == 0
    assert sorted(files(out)) == ["000000.png", "000001.png", "index.csv"]
    drawn = np.array(Image.open(out / "000001.png"), dtype=np.float32)
    assert np.array_equal(drawn, random_mask(64, (0.2, 0.3), False, 7, 1, kind))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("lo", "size"), [(0.99, 16), (0.98, 8), (0.999, 48)])
def test_a_mask_keeps_a_known_pixel(kind, lo, size):
    for number in range(8):
        known = random_mask(size, (lo, 1.0), True, 3, number, kind)
        assert 1 <= known.sum() < (1 - lo) * size**2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--count", "0"], "--count is 0; it should be at least 1"),
        (["--size", "-5"], "--size is -5; it should be at least 8"),
        (["--seed", "-1"], "--seed is -1; it should be at least 0"),
        (["--size", "16", "--hole-ratio", "0.999", "1.0"], "whole number of pixels, 1 to 255"),
        (["--test-set", "--border"], "--test-set has its own ratios and borders"),
    ],
)
def test_bad_calls_are_one_line(tmp_path, capsys, options, message):
    assert main(["masks", "--out", str(tmp_path / "out"), *options]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.rpartition("\r")[2].startswith("error: ")  # the progress bar wipes itself
    assert "Traceback" not in error
    assert not (tmp_path / "out").exists()
