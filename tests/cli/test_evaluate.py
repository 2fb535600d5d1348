"""The command `evaluate`, against the same measures taken by hand."""

import numpy as np
import pandas as pd
import pytest
import torch
from nets import save_net
from PIL import Image

from pconv_cli.__main__ import main
from pconv_core.evaluation import lite0_distance, metrics
from pconv_core.inpainting import inpaint
from pconv_core.masks import random_mask

RATIOS = ((0.1, 0.2), (0.1, 0.2), (0.5, 0.6))


@pytest.fixture
def given(tmp_path):
    """Three pictures, their masks and a network, in files."""
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (3, 40, 48, 3), dtype=np.uint8)
    masks = [random_mask((40, 48), r, number=k) for k, r in enumerate(RATIOS)]
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    for k, (picture, mask) in enumerate(zip(pictures, masks, strict=True)):
        Image.fromarray(picture).save(tmp_path / "images" / f"{k}.png")
        Image.fromarray((255 * mask).astype(np.uint8)).save(tmp_path / "masks" / f"{k}.png")
    # Trained at a size at which none of the holes is wide: all are filled in one pass.
    return tmp_path, pictures, masks, save_net(tmp_path / "net.pt", size=256)


def run(folder, *more):
    names = ("checkpoint", "net.pt"), ("images", "images"), ("masks", "masks")
    arguments = [a for name, file in names for a in (f"--{name}", str(folder / file))]
    return main(["evaluate", *arguments, "--out", str(folder / "out.csv"), *more])


def test_every_number(given):
    folder, pictures, masks, net = given
    assert run(folder) == 0
    table, means = (pd.read_csv(folder / name) for name in ("out.csv", "out_means.csv"))
    assert table["picture"].tolist() == table["mask"].tolist() == ["0.png", "1.png", "2.png"]
    assert table["hole_ratio"].tolist() == ["0.1-0.2", "0.1-0.2", "0.5-0.6"]
    assert means["hole_ratio"].tolist() == ["0.1-0.2", "0.5-0.6", "all"]
    assert means["pictures"].tolist() == [2, 1, 3]
    assert table["halvings"].tolist() == [0, 0, 0]
    assert "halvings" not in means
    for k, (picture, mask) in enumerate(zip(pictures, masks, strict=True)):
        truth = picture.astype(np.float64) / 255
        image = torch.from_numpy(truth.transpose(2, 0, 1)).float()[None]
        with torch.no_grad():
            out = net(image, torch.from_numpy(mask)[None, None])[0].clamp(0, 1)
        out = out.permute(1, 2, 0).double().numpy()
        comp = mask[..., None] * truth + (1 - mask[..., None]) * out
        wanted = metrics(comp, truth, mask == 0)
        wanted |= {f"{name}_out": value for name, value in metrics(out, truth).items()}
        pair = (torch.from_numpy(x.transpose(2, 0, 1)).float()[None] for x in (comp, truth))
        wanted["lite0"] = lite0_distance(*pair).item()
        found = table.iloc[k][list(wanted)].tolist()
        assert found == pytest.approx(list(wanted.values()), abs=1e-3)
        assert table["ratio"][k] == pytest.approx((mask == 0).mean(), abs=1e-4)
    for bin_row, rows in enumerate(([0, 1], [2], [0, 1, 2])):
        for name in ("ratio", "psnr", "ssim", "l1", "lite0", "ssim_hole", "psnr_out"):
            mean = table[name].iloc[rows].mean()
            assert means[name].iloc[bin_row] == pytest.approx(mean, abs=1e-3)


def test_wide_holes_are_filled_as_inpaint_does(given):
    folder, pictures, masks, _ = given
    net = save_net(folder / "net.pt")
    assert run(folder) == 0
    table = pd.read_csv(folder / "out.csv")
    assert table["halvings"].max() > 0
    for k, (picture, mask) in enumerate(zip(pictures, masks, strict=True)):
        truth, hole = picture.astype(np.float32) / 255, mask == 0
        gap = (inpaint(net.folded(), truth, hole) - truth).astype(np.float64)
        assert table["psnr"][k] == pytest.approx(-10 * np.log10((gap**2).mean()), abs=1e-3)


def test_the_middle_square_is_taken(given):
    folder, pictures, *_ = given
    assert run(folder, "--size", "40") == 0
    whole = pd.read_csv(folder / "out.csv")
    for k, picture in enumerate(pictures):
        Image.fromarray(picture[:, 4:44]).save(folder / "images" / f"{k}.png")
        with Image.open(folder / "masks" / f"{k}.png") as mask:
            mask = np.array(mask)
        Image.fromarray(mask[:, 4:44]).save(folder / "masks" / f"{k}.png")
    assert run(folder, "--overwrite") == 0
    pd.testing.assert_frame_equal(whole, pd.read_csv(folder / "out.csv"))


def test_told_to_pair_in_order_masks_are_used_again_and_may_be_inverted(given):
    folder, _, masks, _ = given
    assert run(folder) == 0
    before = pd.read_csv(folder / "out.csv")
    for path in (folder / "masks").iterdir():
        path.unlink()
    Image.fromarray((255 * (1 - masks[0])).astype(np.uint8)).save(folder / "masks" / "m.png")
    assert run(folder, "--mask-hole", "white", "--pair", "order", "--overwrite") == 0
    after = pd.read_csv(folder / "out.csv")
    assert after["mask"].tolist() == ["m.png"] * 3
    assert after["psnr"][0] == before["psnr"][0]


def test_masks_among_the_photographs_are_no_photographs(given):
    folder, *_ = given
    (folder / "masks").rename(folder / "images" / "masks")
    assert run(folder, "--masks", str(folder / "images" / "masks")) == 0
    assert pd.read_csv(folder / "out.csv")["picture"].tolist() == ["0.png", "1.png", "2.png"]


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda f: (f / "masks" / "1.png").unlink(), "no mask for 1.png in"),
        (lambda f: (f / "masks" / "1.bmp").write_bytes(b"x"), "one mask for 1.png"),
        (lambda f: (f / "masks" / "1.png").write_bytes(b"x"), "cannot read"),
        (lambda f: (f / "images" / "1.png").write_text("x"), "cannot read"),
        (lambda f: Image.new("L", (48, 40), 255).save(f / "masks" / "1.png"), "marks no hole"),
        (lambda f: Image.new("L", (48, 40), 0).save(f / "masks" / "1.png"), "is all hole"),
        (lambda f: Image.new("RGB", (47, 40)).save(f / "images" / "1.png"), "is 40x47, smaller"),
    ],
)
def test_one_bad_picture_or_mask_is_left_out_named_and_counted(given, capsys, break_it, message):
    folder, *_ = given
    break_it(folder)
    assert run(folder) == 2
    lines = capsys.readouterr().err.replace("\r", "\n").strip().splitlines()
    assert lines[-1] == "error: 1 of 3 pictures were left out, see above"
    assert lines[-2].startswith("left out: ")
    assert message in lines[-2]
    assert pd.read_csv(folder / "out.csv")["picture"].tolist() == ["0.png", "2.png"]
    assert pd.read_csv(folder / "out_means.csv")["pictures"].tolist() == [1, 1, 2]


def test_nothing_is_enlarged_unless_told(given, capsys):
    folder, *_ = given
    assert run(folder, "--size", "64") == 2
    assert capsys.readouterr().err.count("is 40x48, smaller than 64x64") == 3
    assert not (folder / "out.csv").exists()
    assert not (folder / "out_means.csv").exists()
    assert run(folder, "--size", "64", "--enlarge") == 0
    assert len(pd.read_csv(folder / "out.csv")) == 3


@pytest.mark.parametrize("there", ["out.csv", "out_means.csv"])
def test_tables_are_replaced_only_when_told(given, capsys, there):
    folder, *_ = given
    (folder / there).write_text("mine")
    assert run(folder) == 2
    assert f"{there} is there already; --overwrite replaces it" in capsys.readouterr().err
    assert (folder / there).read_text() == "mine"


def test_where_the_table_goes_is_tried_before_the_network_is_loaded(given, capsys):
    folder, *_ = given
    (folder / "net.pt").unlink()
    assert run(folder, "--out", str(folder / "images" / "0.png" / "out.csv")) == 2
    assert "0.png is a file; it should be a folder" in capsys.readouterr().err
    assert run(folder, "--out", "/proc/none/out.csv") == 2
    assert "--out: cannot write /proc/none/out" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("break_it", "more", "message"),
    [
        (lambda f: (f / "images").rename(f / "gone"), [], "no folder at"),
        (lambda f: [p.unlink() for p in (f / "masks").iterdir()], [], "masks holds no picture"),
        (lambda f: (f / "net.pt").unlink(), [], "no checkpoint at"),
        (lambda f: None, ["--size", "8"], "--size is 8; it should be at least 32"),
        (lambda f: None, ["--out", "out.txt"], "out.txt; it should end in .csv"),
    ],
)
def test_bad_input_is_one_line(given, capsys, break_it, more, message):
    folder, *_ = given
    break_it(folder)
    assert run(folder, *more) == 2
    error = capsys.readouterr().err.replace("\r", "\n").strip().splitlines()[-1]
    assert error.startswith("error: ")
    assert message in error
    assert not (folder / "out.csv").exists()
